"""Which job a workload renders to, as a part of a run's identity: a template that was changed is another experiment."""

import hashlib

from harness.model.workload import Workload
from harness.plan import JOB_CONDITION
from harness.render.workload import WorkloadTemplates, guest_job
from harness.workloads.registry import kind_of

_DIGITS = 16


def job_condition(workload: Workload) -> dict[str, str]:
    """The condition that names what the workload's templates render to; none where their names tell it.

    Raises ConfigError for a template that cannot be rendered.
    """
    if kind_of(workload).is_named_by_template(workload, WorkloadTemplates()):
        return {}
    return {JOB_CONDITION: job_digest(workload)}


def job_digest(workload: Workload) -> str:
    """Hash (hex) of all that the workload renders to, but for the seed and the folder. Raises ConfigError."""
    # The name heads a section of a fio job; where the template lies is not in it.
    texts = guest_job(workload, directory="/", seed=0).identity
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGITS]
