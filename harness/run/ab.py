"""The A/B loop: which boot is next, and when to stop; resuming is the same loop over stored trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace, Experiment
from harness.model.kernel import Kernel
from harness.model.run import Parent, Run
from harness.model.trial import Trial
from harness.model.verdict import Decision, Stop
from harness.model.workload import Metric
from harness.plan import experiment_digest, next_trial
from harness.report.decisions import worded
from harness.run.boots import Boots, Runner, record_of
from harness.stats.decide import decide
from harness.workloads.registry import metrics_of


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
    # The run that this one is made inside of.
    parent: Parent | None = None
    # Start a new run even where an unfinished one could be continued.
    fresh: bool = False
    # Of a new run whose experiment has none; None: drawn.
    seed: int | None = None

    @property
    def digest(self) -> str:
        """The run's identity, see harness.plan.experiment_digest."""
        return experiment_digest(
            self.experiment,
            baseline_digest=self.baseline.digest,
            candidate_digest=self.candidate.digest,
            conditions=self.conditions,
            parent=self.parent,
        )

    def kernel(self, arm: Arm) -> Kernel:
        """The kernel of an arm."""
        return self.baseline if arm is Arm.BASELINE else self.candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class AbLoop:
    """Runs A/B requests."""

    runner: Runner
    metrics: Mapping[str, Metric]

    def execute(self, request: AbRequest) -> tuple[Run, Decision]:
        """Make boots until the decision is final, and store it.

        Every trial is stored before anything is decided from it. Returns the closed run, its trials in the order
        they were made, without artifacts. Raises HostError (host trouble, or the guest lost again and again: the run
        stays open) and ConfigError.
        """
        runner = self.runner
        with runner.exclusive(request.digest):
            boots = self.begin(request)
            decision = self._extend(request, boots)
            runner.store.finish(boots.run.id, decision)
        return boots.whole(), decision

    def begin(self, request: AbRequest, run: Run | None = None) -> Boots[BlockPlace]:
        """The boots of `run`, else of the open run of this request, or of a new one; and tell of them.

        Raises as the store.
        """
        runner = self.runner
        if run is None and not request.fresh:
            run = runner.store.unfinished(request.digest)
        if run is None:
            run = self._create(request)
        boots = Boots(runner=runner, run=run, trials=list(run.block_trials))
        runner.progress.run_started(run, resumed_trials=boots.resumed)
        for trial in boots.trials:
            runner.progress.trial_finished(trial)
        return boots

    def _create(self, request: AbRequest) -> Run:
        baseline, candidate = record_of(request.baseline), record_of(request.candidate)
        seed = request.seed if request.experiment.seed is None else request.experiment.seed
        run = self.runner.new_run(
            "ab", request, baseline=baseline, candidate=candidate, seed=seed, parent=request.parent
        )
        self.runner.store.create_run(run)
        return run

    def _extend(self, request: AbRequest, boots: Boots[BlockPlace]) -> Decision:
        """Add trials until the decision is final."""
        experiment, trials, confirm = request.experiment, boots.trials, self.runner.confirm
        while True:
            decision = decide(experiment, self.metrics, trials, confirm=confirm)
            planned = next_trial(
                trials, seed=boots.run.seed, max_boots=experiment.max_boots, confirm=confirm, resumed=boots.resumed
            )
            if isinstance(planned, Stop) and not decision.final:
                decision = decide(experiment, self.metrics, trials, confirm=confirm, stopped=planned)
            decision = worded(decision, self.metrics)
            if _ends_block(trials) or decision.final:
                self.runner.progress.decided(decision)
            if decision.final or isinstance(planned, Stop):
                return decision
            boots.make(experiment, planned, request.kernel(planned.place.arm))


def stopped_decision(
    experiment: Experiment, trials: Sequence[Trial[BlockPlace]], stop: Stop, *, confirm: bool
) -> Decision:
    """What boots say, as it is stored, where no further one will be made; `confirm` as Runner.confirm."""
    metrics = metrics_of(experiment.workload)
    return worded(decide(experiment, metrics, trials, confirm=confirm, stopped=stop), metrics)


def _ends_block(trials: Sequence[Trial[BlockPlace]]) -> bool:
    return bool(trials) and trials[-1].place.order == 1
