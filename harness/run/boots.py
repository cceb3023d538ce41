"""One way to boot and to store, for every loop: a loop decides which boot is next and when to stop, and no more.

A boot is stored before anything is decided from it. What a loop needs of the world is in a `Runner`; the boots of one
run, those stored before this process began and those that it makes, are its `Boots`.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import Generic, Protocol, TypeVar

from harness import __version__, interruption
from harness.errors import HostError
from harness.interfaces import Progress, Store
from harness.model.experiment import Experiment, Place, PlaceT, TrialSpec
from harness.model.guest import Accelerator
from harness.model.kernel import Kernel
from harness.model.run import KernelRecord, Parent, Run
from harness.model.trial import Outcome, Trial
from harness.plan import MAX_LOSSES

# One kind of boot in a run: a list that grows is not covariant.
_PlaceT = TypeVar("_PlaceT", bound=Place)


class MakeTrial(Protocol):
    """Makes one boot, wherever in a run it stands. Raises HostError and ConfigError; all else is an outcome."""

    def __call__(self, experiment: Experiment, spec: TrialSpec[PlaceT], kernel: Kernel, /) -> Trial[PlaceT]:
        """The trial."""


class Asked(Protocol):
    """What every stored run was asked, whatever its verb."""

    @property
    def experiment(self) -> Experiment:
        """The experiment."""

    @property
    def conditions(self) -> Mapping[str, str]:
        """What must not change inside a run."""

    @property
    def host(self) -> Mapping[str, str]:
        """Fingerprint of the host."""

    @property
    def command(self) -> tuple[str, ...]:
        """argv, for "how to repeat"."""

    @property
    def digest(self) -> str:
        """The run's identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What every run is made with, whatever decides about its boots: a store, a way to make one trial, a display."""

    store: Store
    make_trial: MakeTrial
    progress: Progress
    accelerator: Accelerator
    new_run_id: Callable[[], str]
    # Run digest -> a context that only one process of this user can be in. Raises HostError when another one is.
    exclusive: Callable[[str], AbstractContextManager[object]]

    @property
    def confirm(self) -> bool:
        """Whether a crash counts only when it has happened twice in the same way: it may be the emulator's."""
        return self.accelerator is Accelerator.TCG

    def new_run(
        self,
        verb: str,
        asked: Asked,
        *,
        baseline: KernelRecord,
        candidate: KernelRecord,
        seed: int | None,
        parent: Parent | None = None,
    ) -> Run:
        """A run that is not stored yet; a `seed` of None is drawn."""
        return Run(
            id=self.new_run_id(),
            verb=verb,
            digest=asked.digest,
            experiment=asked.experiment,
            baseline=baseline,
            candidate=candidate,
            seed=secrets.randbits(31) if seed is None else seed,
            conditions=asked.conditions,
            host=asked.host,
            command=asked.command,
            kab_version=__version__,
            created=datetime.now(UTC),
            parent=parent,
        )


@dataclass(slots=True, kw_only=True)
class Boots(Generic[_PlaceT]):
    """The boots of a stored run, in the order they were made, without artifacts."""

    runner: Runner
    run: Run
    trials: list[Trial[_PlaceT]]
    # Whether the same command continues the run once the host is mended.
    resumable: bool = True
    # Trials stored before this process began: their losses belong to a host that may have been mended since.
    resumed: int = field(init=False)

    def __post_init__(self) -> None:
        self.resumed = len(self.trials)

    def make(self, experiment: Experiment, spec: TrialSpec[_PlaceT], kernel: Kernel) -> Trial[_PlaceT]:
        """Boot `kernel` once, and store what came of it.

        Raises KeyboardInterrupt where a signal asked for the end, HostError where the last boots of this process were
        all lost (they are stored), and what Runner.make_trial and the store raise.
        """
        interruption.check()
        self.runner.progress.trial_started(spec, kernel)
        trial = self.add(self.runner.make_trial(experiment, spec, kernel))
        self._bear_losses()
        return trial

    def add(self, trial: Trial[_PlaceT]) -> Trial[_PlaceT]:
        """Store a trial and tell of it. Raises as Store.append_trial."""
        self.runner.store.append_trial(self.run.id, trial)
        # Artifacts are in the store now; hundreds of boots must not pile up in memory.
        kept = replace(trial, artifacts={})
        self.trials.append(kept)
        self.runner.progress.trial_finished(kept)
        return kept

    def whole(self) -> Run:
        """The run as it is stored by now: its state, when it ended, and these trials without artifacts."""
        return self.runner.store.run(self.run.id)

    def _bear_losses(self) -> None:
        new = reversed(self.trials[self.resumed :])
        losses = sum(1 for _ in takewhile(lambda trial: trial.outcome is Outcome.LOST, new))
        if losses >= MAX_LOSSES:
            raise HostError(
                f"{losses} boots in a row were lost: {self.trials[-1].message}",
                remedy="That is the host's trouble, not a kernel's: see `kab doctor`."
                + (" What was measured is stored; the same command continues." if self.resumable else ""),
            )


def record_of(kernel: Kernel) -> KernelRecord:
    """What a stored run remembers of a kernel."""
    return KernelRecord(
        spec=kernel.spec,
        release=kernel.release,
        version=kernel.version,
        source=kernel.source,
        digest=kernel.digest,
        provenance=kernel.provenance,
    )
