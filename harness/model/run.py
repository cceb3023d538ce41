"""A run: one execution of an experiment on one host, and the conditions that must not change inside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from harness.model.experiment import Experiment
from harness.model.trial import Trial


class RunState(StrEnum):
    """Where a run stands."""

    OPEN = "open"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRecord:
    """A kernel as a stored run remembers it."""

    spec: str
    release: str
    version: str
    source: str
    digest: str
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Short name for tables: that of the revision where it was built from one."""
        return self.provenance.get("describe", self.release) if self.source == "git" else self.release


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stored run. ``digest`` covers experiment, kernels and conditions: a rerun with the same digest continues it."""

    id: str
    # "ab" (later "bisect", "matrix").
    verb: str
    digest: str
    experiment: Experiment
    baseline: KernelRecord
    candidate: KernelRecord
    seed: int
    # What must be equal for trials to be comparable: accelerator, QEMU and libvirt version, image, host CPU...
    conditions: Mapping[str, str]
    # The host at the start: fingerprint for the report (load, governor, memory, ...).
    host: Mapping[str, str]
    # argv that made it, for "how to repeat".
    command: tuple[str, ...]
    kab_version: str
    created: datetime
    state: RunState = RunState.OPEN
    finished: datetime | None = None
    trials: tuple[Trial, ...] = ()
