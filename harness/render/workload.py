"""fio jobs: the measured one of a workload, the one that lays out its files, and the one that checks data."""

from pathlib import Path

from harness import resources
from harness.errors import ConfigError
from harness.model.guest import MIB
from harness.model.workload import Parameter, Workload
from harness.parse.fiojob import check_job
from harness.parse.foreign import printable
from harness.render.sandbox import render_untrusted

# The checked file: small, as it is written and read on top of every trial, but by several writers at once.
VERIFY_WRITERS = 4
VERIFY_PART_BYTES = MIB // 2

# The line by which guest scripts (templates/guest) end the text of a job.
END_OF_JOB = "KAB-END-OF-JOB"

# fio multiplies its seed by odd constants in 64 bits; this keeps it clear of signed arithmetic in any version.
_SEED_MODULUS = 2**31


def render_job(workload: Workload, *, directory: str, seed: int, runtime_s: float) -> str:
    """The measured job, on files in `directory` of the guest, running `runtime_s` seconds. Raises ConfigError.

    The template sees the workload's parameters, its ``name``, and ``common``: the text of the [global] section.
    """
    common = _render(
        "common.fio.j2",
        directory=directory,
        seed=seed % _SEED_MODULUS,
        runtime_ms=round(runtime_s * 1000),
    )
    return _render(
        workload.template,
        **{**workload.parameters, "name": workload.name, "common": common.rstrip("\n")},
    )


def render_layout_job(workload: Workload, *, directory: str, seed: int) -> str:
    """The job that writes the files ``data.0``... which the measured job overwrites or reads; "" when there are none.

    Their number and size are the workload's parameters ``files`` and ``file_size``.
    """
    files = layout_files(workload)
    if not files:
        return ""
    return _render(
        "layout.fio.j2",
        directory=directory,
        seed=seed % _SEED_MODULUS,
        files=len(files),
        file_size=_whole(workload.parameters.get("file_size")),
    )


def check_jobs(workload: Workload) -> None:
    """Raise ConfigError for a template that cannot be rendered, and for jobs that cannot work on any kernel."""
    for seconds in {workload.runtime_s, workload.warmup_s} - {0.0}:
        check_job(render_job(workload, directory="/", seed=0, runtime_s=seconds), f"workload {workload.name}")
    render_layout_job(workload, directory="/", seed=0)


def layout_files(workload: Workload) -> tuple[tuple[str, int], ...]:
    """Name and size in bytes of each file that the layout job writes."""
    size_bytes = _whole(workload.parameters.get("file_size"))
    return tuple((f"data.{number}", size_bytes) for number in range(_whole(workload.parameters.get("files"))))


def render_verify_job(*, directory: str, seed: int, read_back: bool) -> str:
    """The job that writes checksummed blocks, or (`read_back`) reads the same blocks and checks them."""
    return _render(
        "verify.fio.j2",
        directory=directory,
        seed=seed % _SEED_MODULUS,
        writers=VERIFY_WRITERS,
        part_size=VERIFY_PART_BYTES,
        read_back=read_back,
    )


def _render(template: str, **values: Parameter) -> str:
    """A template of the catalogue, or one of the user's own by its path: both are files that a user may edit."""
    path = catalogue_folder() / template
    job = render_untrusted(path, values)
    for number, line in enumerate(job.split("\n"), 1):
        # The scripts that bring a job to the guest end it by such a line, and a shell loses other controls.
        if line == END_OF_JOB or not line.replace("\t", " ").isprintable():
            raise ConfigError(
                f"{path}: line {number} of the job that it makes cannot be in a job: {printable(line, limit=80)!r}"
            )
    return job


def catalogue_folder() -> Path:
    """Where the templates that ship with kab are."""
    return resources.folder("configs") / "workloads"


def _whole(value: Parameter | None) -> int:
    return value if isinstance(value, int) else 0
