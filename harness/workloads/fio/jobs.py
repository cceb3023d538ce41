"""fio jobs: the measured one of a workload, the one that lays out its files, and the one that checks data."""

from harness.model.guest import MIB
from harness.model.workload import Parameter, Workload
from harness.parse.units import size_text
from harness.workloads.kinds import Misfit, Templates

# Templates of the catalogue that every workload uses besides its own.
COMMON, LAYOUT, VERIFY = "common.fio.j2", "layout.fio.j2", "verify.fio.j2"

# The checked file: small, as it is written and read on top of every trial, but by several writers at once.
VERIFY_WRITERS = 4
VERIFY_PART_BYTES = MIB // 2

# The layout job makes a process for each file.
_MOST_FILES = 1000
# fio multiplies its seed by odd constants in 64 bits; this keeps it clear of signed arithmetic in any version.
_SEED_MODULUS = 2**31


def render_job(workload: Workload, templates: Templates, *, directory: str, seed: int, runtime_s: float) -> str:
    """The measured job, on files in `directory` of the guest, running `runtime_s` seconds. Raises ConfigError.

    The template sees the workload's parameters, its ``name``, and ``common``: the text of the [global] section.
    """
    common = templates.render(
        COMMON, {"directory": directory, "seed": seed % _SEED_MODULUS, "runtime_ms": round(runtime_s * 1000)}
    )
    values = {**workload.parameters, "name": workload.name, "common": common.rstrip("\n")}
    return templates.render(workload.template, values)


def render_layout_job(workload: Workload, templates: Templates, *, directory: str, seed: int) -> str:
    """The job that writes the files ``data.0``... which the measured job overwrites or reads; "" when there are none.

    Their number and size are the workload's parameters ``files`` and ``file_size``.
    """
    files = layout_files(workload)
    if not files:
        return ""
    return templates.render(
        LAYOUT,
        {
            "directory": directory,
            "seed": seed % _SEED_MODULUS,
            "files": len(files),
            "file_size": _whole(workload.parameters.get("file_size")),
        },
    )


def render_verify_job(templates: Templates, *, directory: str, seed: int, read_back: bool) -> str:
    """The job that writes checksummed blocks, or (`read_back`) reads the same blocks and checks them."""
    return templates.render(
        VERIFY,
        {
            "directory": directory,
            "seed": seed % _SEED_MODULUS,
            "writers": VERIFY_WRITERS,
            "part_size": VERIFY_PART_BYTES,
            "read_back": read_back,
        },
    )


def layout_files(workload: Workload) -> tuple[tuple[str, int], ...]:
    """Name and size in bytes of each file that the layout job writes."""
    size_bytes = _whole(workload.parameters.get("file_size"))
    return tuple((f"data.{number}", size_bytes) for number in range(_whole(workload.parameters.get("files"))))


def layout_misfit(workload: Workload) -> Misfit | None:
    """What cannot be laid out: it is done in blocks of 1 MiB, and the check looks for that size."""
    files, size_bytes = (workload.parameters.get(name, 0) for name in ("files", "file_size"))
    if not isinstance(files, int) or not isinstance(size_bytes, int) or not files:
        return None
    if files > _MOST_FILES:
        return Misfit(
            parameter="files", message=f"{files} is too large", remedy=f"At most {_MOST_FILES} files are laid out."
        )
    if size_bytes < MIB or size_bytes % MIB:
        return Misfit(
            parameter="file_size",
            message=f"{size_text(size_bytes)} is no size of a file",
            remedy="Files are laid out in whole MiB: 1MiB or more.",
        )
    return None


def space_bytes(workload: Workload) -> int:
    """Bytes of the files that are laid out, and of the logs that jobs write."""
    pairs = (("files", "file_size"), ("jobs", "log_size"))
    return sum(_whole(workload.parameters.get(one)) * _whole(workload.parameters.get(other)) for one, other in pairs)


def _whole(value: Parameter | None) -> int:
    return value if isinstance(value, int) else 0
