"""The A/B loop: plan the next boot, make it, store it, decide; resuming is the same loop over stored trials."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from harness import __version__, interruption
from harness.errors import HostError
from harness.interfaces import Progress, Store
from harness.model.experiment import Arm, BlockPlace, Experiment, PlaceT, TrialSpec
from harness.model.guest import Accelerator
from harness.model.kernel import Kernel
from harness.model.run import KernelRecord, Run
from harness.model.trial import Trial
from harness.model.verdict import Decision
from harness.model.workload import Metric
from harness.plan import Stop, StopKind, experiment_digest, next_trial
from harness.stats.decide import decide


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


class MakeTrial(Protocol):
    """Makes one boot, wherever in a run it stands. Raises HostError and ConfigError; all else is an outcome."""

    def __call__(self, experiment: Experiment, spec: TrialSpec[PlaceT], kernel: Kernel, /) -> Trial[PlaceT]:
        """The trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AbRequest:
    """What `kab ab` was asked, with everything resolved that decides whether two runs are one."""

    experiment: Experiment
    baseline: Kernel
    candidate: Kernel
    # What must not change inside a run: accelerator, versions, image, host CPU.
    conditions: Mapping[str, str]
    # Fingerprint of the host, for the report.
    host: Mapping[str, str]
    command: tuple[str, ...]
    # Start a new run even where an unfinished one could be continued.
    fresh: bool = False

    @property
    def digest(self) -> str:
        """The run's identity, see harness.plan.experiment_digest."""
        return experiment_digest(
            self.experiment,
            baseline_digest=self.baseline.digest,
            candidate_digest=self.candidate.digest,
            conditions=self.conditions,
        )

    def kernel(self, arm: Arm) -> Kernel:
        """The kernel of an arm."""
        return self.baseline if arm is Arm.BASELINE else self.candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class AbLoop:
    """Runs A/B requests over a store, a way to make one trial, and a progress display."""

    store: Store
    make_trial: MakeTrial
    progress: Progress
    metrics: Mapping[str, Metric]
    accelerator: Accelerator
    new_run_id: Callable[[], str]
    # Run digest -> a context that only one process of this user can be in. Raises HostError when another one is.
    exclusive: Callable[[str], AbstractContextManager[object]]

    def execute(self, request: AbRequest) -> tuple[Run, Decision]:
        """Make boots until the decision is final, and store it.

        Every trial is stored before anything is decided from it. Returns the closed run, its trials in the order
        they were made, without artifacts. Raises HostError (host trouble, or the guest lost again and again: the run
        stays open) and ConfigError.
        """
        with self.exclusive(request.digest):
            run = None if request.fresh else self.store.unfinished(request.digest)
            trials = list(run.block_trials) if run else []
            if run is None:
                run = self.new_run("ab", request, baseline=request.baseline, candidate=request.candidate)
                self.store.create_run(run)
            resumed = len(trials)
            self.progress.run_started(run, resumed_trials=resumed)
            for trial in trials:
                self.progress.trial_finished(trial)
            decision = self._extend(request, run, trials, resumed)
            self.store.finish(run.id, decision)
        return replace(run, trials=tuple(trials)), decision

    def new_run(
        self,
        verb: str,
        asked: Asked,
        *,
        baseline: Kernel,
        candidate: Kernel,
    ) -> Run:
        """A run that is not stored yet, with a seed of its own unless the experiment names one."""
        seed = asked.experiment.seed
        return Run(
            id=self.new_run_id(),
            verb=verb,
            digest=asked.digest,
            experiment=asked.experiment,
            baseline=record_of(baseline),
            candidate=record_of(candidate),
            seed=secrets.randbits(31) if seed is None else seed,
            conditions=asked.conditions,
            host=asked.host,
            command=asked.command,
            kab_version=__version__,
            created=datetime.now(UTC),
        )

    def _extend(self, request: AbRequest, run: Run, trials: list[Trial[BlockPlace]], resumed: int) -> Decision:
        """Add trials until the decision is final."""
        experiment = request.experiment
        # A crash under emulation may be the emulator's: it counts when it has happened twice in the same way.
        confirm = self.accelerator is Accelerator.TCG
        while True:
            decision = decide(experiment, self.metrics, trials, confirm=confirm)
            planned = next_trial(
                trials, seed=run.seed, max_boots=experiment.max_boots, confirm=confirm, resumed=resumed
            )
            if isinstance(planned, Stop) and not decision.final:
                if planned.kind is StopKind.LOSSES:
                    raise HostError(
                        planned.reason,
                        remedy="That is the host's trouble, not a kernel's: see `kab doctor`. What was measured is "
                        "stored; the same command continues.",
                    )
                decision = decide(experiment, self.metrics, trials, confirm=confirm, stopped=planned.reason)
            if _ends_block(trials) or decision.final:
                self.progress.decided(decision)
            if decision.final or isinstance(planned, Stop):
                return decision
            interruption.check()
            kernel = request.kernel(planned.place.arm)
            self.progress.trial_started(planned, kernel)
            trial = self.make_trial(experiment, planned, kernel)
            self.store.append_trial(run.id, trial)
            # Artifacts are in the store now; hundreds of boots must not pile up in memory.
            trials.append(replace(trial, artifacts={}))
            self.progress.trial_finished(trial)


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


def _ends_block(trials: Sequence[Trial[BlockPlace]]) -> bool:
    return bool(trials) and trials[-1].place.order == 1
