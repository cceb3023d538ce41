"""fio as a kind of workload: jobs from templates, files laid out beforehand, checksummed data, JSON read."""

import hashlib

from harness.errors import WorkloadError
from harness.model.workload import Metric, Workload
from harness.workloads.fio.jobfile import check_job
from harness.workloads.fio.jobs import (
    COMMON,
    LAYOUT,
    VERIFY,
    layout_files,
    layout_misfit,
    render_job,
    render_layout_job,
    render_verify_job,
    space_bytes,
)
from harness.workloads.fio.metrics import METRICS
from harness.workloads.fio.report import parse_fio
from harness.workloads.kinds import DataCheck, GuestJob, Key, Misfit, Ran, Reading, Step, Templates, WorkDone

# The catalogue's templates as they were when a run's identity held their names only: sha256, 16 digits. With these the
# identity stays what it was, and open runs go on. The table never grows or changes: templates that are new or
# changed (by an update of kab, too) are told apart by what they render.
_FIRST = {
    "checkpoint-files.fio.j2": "99b22ee7f4bb79ee",
    "checkpoint-shared.fio.j2": "f966ee2883210ffd",
    "common.fio.j2": "7899bdd3082b632c",
    "database-pages.fio.j2": "72b960da0744312b",
    "dataset-read.fio.j2": "0b1920e9680cbc4b",
    "layout.fio.j2": "10fc400fed350363",
    "shared-file.fio.j2": "833867b1e00b77cb",
    "verify.fio.j2": "0576e3d9a445e0cc",
    "wal.fio.j2": "40ac70b52e942325",
}
_DIGITS = 16
# Names of files in the guest's work folder.
_JOB, _WARM_UP, _LAYOUT, _WRITE, _READ = "job", "warm-up", "layout", "verify-write", "verify-read"
_MEASURED = 'fio --output-format=json+ "$work"/{}'
_UNMEASURED = 'fio --output-format=terse "$work"/{}'


class Fio:
    """Jobs of fio. What it does not say for itself, see `harness.workloads.kinds.WorkloadKind`."""

    name = "fio"
    metrics = METRICS
    keys = (
        Key(
            name="template",
            says="file name of the fio template: beside the workload's file, or else in `configs/workloads/`",
            required=True,
        ),
    )
    artifacts = ("fio-job", "fio-layout-job")
    output_type = "json"

    def metrics_of(self, workload: Workload) -> tuple[Metric, ...]:  # noqa: ARG002
        """Every job may yield all of them."""
        return METRICS

    def misfit(self, workload: Workload) -> Misfit | None:
        """Files that cannot be laid out."""
        return layout_misfit(workload)

    def space_bytes(self, workload: Workload) -> int:
        """``files`` x ``file_size``, and ``jobs`` x ``log_size``, where it has these parameters."""
        return space_bytes(workload)

    def job(self, workload: Workload, templates: Templates, *, directory: str, seed: int) -> GuestJob:
        """All its jobs. Raises ConfigError."""
        measured = render_job(workload, templates, directory=directory, seed=seed, runtime_s=workload.runtime_s)
        layout = render_layout_job(workload, templates, directory=directory, seed=seed)
        write, read = (
            render_verify_job(templates, directory=directory, seed=seed, read_back=back) for back in (False, True)
        )
        files, artifacts, warm_up = {_JOB: measured}, {"fio-job": measured}, None
        if workload.warmup_s > 0:
            files[_WARM_UP] = render_job(
                workload, templates, directory=directory, seed=seed, runtime_s=workload.warmup_s
            )
            warm_up = Step(command=_MEASURED.format(_WARM_UP), longest_s=workload.warmup_s)
        if layout:
            files[_LAYOUT] = artifacts["fio-layout-job"] = layout
        return GuestJob(
            prepare=_UNMEASURED.format(_LAYOUT) if layout else "",
            warm_up=warm_up,
            iterate=Step(command=_MEASURED.format(_JOB), longest_s=workload.runtime_s),
            files=files,
            check=DataCheck(
                files={_WRITE: write, _READ: read},
                write=_UNMEASURED.format(_WRITE),
                read_back=_UNMEASURED.format(_READ),
                kept=layout_files(workload),
            ),
            artifacts=artifacts,
            identity=(measured, layout, write, read),
        )

    def check(self, workload: Workload, job: GuestJob) -> None:
        """Numbers that no kernel can do. Raises ConfigError."""
        for name in (_JOB, _WARM_UP):
            if name in job.files:
                check_job(job.files[name], f"workload {workload.name}")

    def is_named_by_template(self, workload: Workload, templates: Templates) -> bool:
        """Whether all its templates are what they were at first."""
        return all(_is_first(templates, name) for name in (workload.template, COMMON, LAYOUT, VERIFY))

    def read(self, ran: Ran) -> Reading:
        """fio's JSON. Raises WorkloadError."""
        if ran.status:
            said = ran.errors.strip() or ran.output.partition("{")[0].strip()
            raise WorkloadError(f"fio failed in the guest with status {ran.status}: {said[-2000:]}")
        found = parse_fio(ran.output)
        return Reading(
            samples=found.metrics,
            done=WorkDone(ios=found.ios, written_bytes=found.written_bytes, thread_s=found.thread_s),
            facts={"fio": found.version},
        )


def _is_first(templates: Templates, name: str) -> bool:
    known, source = _FIRST.get(name), templates.source(name)
    return known is not None and source is not None and hashlib.sha256(source).hexdigest()[:_DIGITS] == known
