"""Which job a workload renders to, as a part of a run's identity: a template that was changed is another experiment."""

import hashlib
from pathlib import Path

from harness.model.workload import Workload
from harness.plan import JOB_CONDITION
from harness.render.workload import catalogue_folder, render_job, render_layout_job, render_verify_job

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
_OF_ALL = ("common.fio.j2", "layout.fio.j2", "verify.fio.j2")
_DIGITS = 16


def job_condition(workload: Workload) -> dict[str, str]:
    """The condition that names what the workload's templates render to; none where they are the first of their name.

    Raises ConfigError for a template that cannot be rendered.
    """
    if all(_is_first(name) for name in (workload.template, *_OF_ALL)):
        return {}
    return {JOB_CONDITION: job_digest(workload)}


def job_digest(workload: Workload) -> str:
    """Hash (hex) of all jobs that the workload renders to, but for the seed and the folder. Raises ConfigError."""
    # The name heads a section of the job; where the template lies is not in it.
    texts = (
        render_job(workload, directory="/", seed=0, runtime_s=workload.runtime_s),
        render_layout_job(workload, directory="/", seed=0),
        render_verify_job(directory="/", seed=0, read_back=False),
        render_verify_job(directory="/", seed=0, read_back=True),
    )
    return _hash("\0".join(texts).encode())


def _is_first(template: str) -> bool:
    path: Path = catalogue_folder() / template
    known = _FIRST.get(template)
    return known is not None and path.is_file() and _hash(path.read_bytes()) == known


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]
