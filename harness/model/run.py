"""A run: one execution of an experiment on one host, and the conditions that must not change inside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import cast

from harness.errors import ConfigError
from harness.model.experiment import BlockPlace, Experiment, Place, RungPlace
from harness.model.trial import Trial


class RunState(StrEnum):
    """Where a run stands."""

    OPEN = "open"
    FINISHED = "finished"


# Verbs of runs whose boots are of rungs: searches and classifications. The boots of all other runs are in blocks.
RUNG_VERBS = frozenset({"bisect", "test"})


class SubrunRole(StrEnum):
    """What a run is for inside the run that it was made in."""

    # Of a search: its first and its last kernel against each other.
    ENDS = "ends"
    # Of a search: an edge's neighbours against each other.
    PROOF = "proof"
    # Of a search: the far end of the slow stretch against itself with the culprit reverted (removed edge) or applied
    # (restored one). The word in what was stored before it was called so.
    REVERT_TEST = "counterproof"
    # Of a matrix: one of its cells, whose name is the place.
    CELL = "cell"
    # Of a nightly matrix: the A/B of the two kernels beside a suspected change, before anybody is told.
    CONFIRMATION = "confirmation"

    @property
    def words(self) -> str:
        """For people: ``revert test``."""
        return self.name.lower().replace("_", " ")


# Of what runs inside a search are for.
SEARCH_ROLES = (SubrunRole.ENDS, SubrunRole.PROOF, SubrunRole.REVERT_TEST)
# Of what runs inside a matrix are for.
MATRIX_ROLES = (SubrunRole.CELL, SubrunRole.CONFIRMATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """The run that a run was made inside of, as what, and where there.

    A parent has one run for each role and place. The place is a text of the role's own: of a search's roles the two
    rungs, as harness.model.bisection.Subrun reads and writes them; of a matrix's the name of the cell.
    """

    run_id: str
    role: SubrunRole
    place: str


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

    @property
    def lasting_spec(self) -> str | None:
        """A spec that names this very kernel for ever; None where its source has no such names, or needs none.

        Debian's releases are such names. Other sources whose specs may come to mean another kernel ("the newest 6.12")
        keep one as "spec" in the provenance.
        """
        if self.source == "debian":
            return f"debian:{self.release}"
        # A kernel that a user's builder took from such a source is that of a commit.
        kept = self.provenance.get("spec", "")
        return kept if kept.startswith(f"{self.source}:") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stored run. A rerun with the same ``digest`` continues it.

    The digest covers experiment, kernels and conditions, of a run with a parent the parent's id and the role, too.
    """

    id: str
    # "ab", "bisect", "test" (a classification), or "run", "gate", "nightly" (a matrix, whose experiment and kernels
    # here are those of its first cell).
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
    # The run that it belongs to; it is stored with it and goes with it. None: a run of its own.
    parent: Parent | None = None
    trials: tuple[Trial[Place], ...] = ()

    @property
    def block_trials(self) -> tuple[Trial[BlockPlace], ...]:
        """The trials of an A/B run. Raises ConfigError for another run's."""
        self._demand(BlockPlace, "no A/B run")
        return cast("tuple[Trial[BlockPlace], ...]", self.trials)

    @property
    def rung_trials(self) -> tuple[Trial[RungPlace], ...]:
        """The trials of a search or a classification. Raises ConfigError for another run's."""
        self._demand(RungPlace, "no search")
        return cast("tuple[Trial[RungPlace], ...]", self.trials)

    def _demand(self, kind: type[Place], instead: str) -> None:
        if not all(isinstance(trial.place, kind) for trial in self.trials):
            raise ConfigError(
                f"run {self.id} is {instead} but a `kab {self.verb}`", remedy=f"See `kab report {self.id}`."
            )
