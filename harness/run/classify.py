"""One kernel against a stored run's two sides: a few boots, and which side they are like."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from harness.bisect.classify import References, classify, log_odds
from harness.bisect.evidence import Evidence, ladder_evidence
from harness.bisect.fold import stand
from harness.bisect.metric import logs
from harness.errors import ConfigError
from harness.model.bisection import RungState
from harness.model.experiment import Arm, Experiment, RungPlace
from harness.model.kernel import Kernel
from harness.model.run import Run
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Choice, ChoiceKind, Decision, Verdict
from harness.model.workload import Metric
from harness.plan import JOB_CONDITION, experiment_digest, search_spec
from harness.report.classification import fault_words, lacking_words, likeness_words, unlike_words
from harness.report.decisions import worded
from harness.run.boots import Boots, Runner, record_of
from harness.stats.blocks import boot_value
from harness.stats.faults import faults_of

# Conditions that may differ between the stored run and now without making boots incomparable.
_FREE_CONDITIONS = frozenset({"kab", "host_kernel"})
_MAX_UNLIKE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSides:
    """What a kernel is compared with."""

    # The stored run, its metric, and per-boot medians of that metric on both sides.
    run: Run
    metric: Metric
    fast: tuple[float, ...]
    slow: tuple[float, ...]

    def references(self, values: tuple[float, ...] = ()) -> tuple[References, tuple[float, ...]]:
        """Both sides and `values` as logs."""
        found = logs(self.metric, {0: self.fast, 1: self.slow, 2: values})
        return References(fast=tuple(found[0]), slow=tuple(found[1])), tuple(found[2])


def sides_of_ab(run: Run, decision: Decision | None, metrics: Mapping[str, Metric]) -> KnownSides:
    """Both arms of an A/B run. Raises ConfigError where it did not find them to differ."""
    if decision is None or decision.metric is None or decision.verdict not in {Verdict.FASTER, Verdict.SLOWER}:
        raise ConfigError(
            f"run {run.id} did not find its arms to differ: there is nothing to be like",
            remedy="Name an A/B run that ended as faster or slower, or a search that found an edge.",
        )
    name = decision.metric
    values = {
        arm: tuple(
            value
            for trial in run.block_trials
            if trial.place.arm is arm and trial.outcome is Outcome.OK and (value := boot_value(trial, name)) is not None
        )
        for arm in Arm
    }
    slower = decision.verdict is Verdict.SLOWER
    fast, slow = (Arm.BASELINE, Arm.CANDIDATE) if slower else (Arm.CANDIDATE, Arm.BASELINE)
    return KnownSides(run=run, metric=metrics[name], fast=values[fast], slow=values[slow])


def sides_of_search(run: Run, evidence: Evidence, metrics: Mapping[str, Metric]) -> KnownSides:
    """Kernels that a search knows to be fast, and to be slow. Raises ConfigError where it knows only one kind."""
    standing = stand(evidence, metrics)
    groups: dict[RungState, tuple[float, ...]] = {}
    if standing.metric is not None:
        values = ladder_evidence(evidence).values(standing.metric.name, range(len(standing.rungs)))
        for state in (RungState.FAST, RungState.SLOW):
            rungs = [rung for rung, there in enumerate(standing.rungs) if there.state is state]
            groups[state] = tuple(value for rung in rungs for value in values.get(rung, ()))
    if standing.metric is None or min(map(len, groups.values())) < 2:
        raise ConfigError(
            f"search {run.id} has not booted both fast and slow kernels: there is nothing to be like",
            remedy="Let it go on (`kab bisect --resume`), or name an A/B run that ended as faster or slower.",
        )
    return KnownSides(
        run=run,
        metric=metrics[standing.metric.name],
        fast=groups[RungState.FAST],
        slow=groups[RungState.SLOW],
    )


def check_conditions(like: KnownSides, conditions: Mapping[str, str]) -> None:
    """Raise ConfigError where boots of now cannot be compared with those of the stored run."""
    stored = like.run.conditions
    differing = [
        f"{name} was {stored[name]}, is {conditions[name]}"
        for name in stored
        if name in conditions and name not in _FREE_CONDITIONS and stored[name] != conditions[name]
    ]
    # Templates as they were first have no such condition.
    if (JOB_CONDITION in stored) != (JOB_CONDITION in conditions):
        differing.append("the job that the workload's template renders to is another one")
    if differing:
        raise ConfigError(
            f"boots of now cannot be compared with run {like.run.id}: {'; '.join(differing)}",
            remedy="Measure a run to be like again, under the conditions of now.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is stored of the question."""

    experiment: Experiment
    conditions: Mapping[str, str]
    host: Mapping[str, str]
    command: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifyLoop:
    """Boots a kernel until it is told which side it is like."""

    runner: Runner
    error: float
    max_boots: int

    def execute(
        self, like: KnownSides, kernel: Kernel, *, spec: str, conditions: Mapping[str, str], host: Mapping[str, str],
        command: tuple[str, ...],
    ) -> tuple[Run, Decision]:  # fmt: skip
        """The closed run and its decision: SAME as the fast side, SLOWER, or INCONCLUSIVE. Raises HostError."""
        experiment = replace(like.run.experiment, candidate=spec, metric=like.metric.name, error=self.error)
        digest = experiment_digest(
            experiment, baseline_digest=like.run.id, candidate_digest=kernel.digest, conditions=conditions
        )
        asked = _Asked(experiment=experiment, conditions=conditions, host=host, command=command, digest=digest)
        # The stored run's seed is not taken over: these are other boots.
        run = self.runner.new_run("test", asked, baseline=like.run.baseline, candidate=record_of(kernel), seed=None)
        self.runner.store.create_run(run)
        self.runner.progress.run_started(run, resumed_trials=0)
        boots: Boots[RungPlace] = Boots(runner=self.runner, run=run, trials=[], resumable=False)
        while (decision := self._decide(like, boots.trials)) is None:
            boots.make(experiment, search_spec(run.seed, 0, len(boots.trials)), kernel)
        self.runner.progress.decided(decision)
        self.runner.store.finish(run.id, decision)
        return boots.whole(), decision

    def _decide(self, like: KnownSides, trials: list[Trial[RungPlace]]) -> Decision | None:
        """None: another boot."""
        fault = next(iter(faults_of(trials, confirm=self.runner.confirm).values()), None)
        failed = [trial for trial in trials if trial.outcome not in {Outcome.OK, Outcome.LOST}]
        if fault is not None:
            return self._decision(like, Verdict.INCONCLUSIVE, fault_words(fault))
        if len(failed) >= _MAX_UNLIKE:
            return self._decision(like, Verdict.INCONCLUSIVE, unlike_words(len(failed)))
        ran = [trial for trial in trials if trial.outcome is Outcome.OK]
        medians = tuple(value for trial in ran if (value := boot_value(trial, like.metric.name)) is not None)
        if len(medians) < len(ran):
            return self._decision(like, Verdict.INCONCLUSIVE, lacking_words(like.metric.name))
        references, values = like.references(medians)
        slow = classify(references, values, self.error)
        if slow is None and len(ran) < self.max_boots:
            return None
        verdict = Verdict.INCONCLUSIVE if slow is None else Verdict.SLOWER if slow else Verdict.SAME
        odds = math.exp(min(abs(log_odds(references, values)), 30.0))
        told = likeness_words(like.metric.name, medians, fast=like.fast, slow=like.slow, is_slow=slow, odds=odds)
        return self._decision(like, verdict, told)

    def _decision(self, like: KnownSides, verdict: Verdict, reason: str) -> Decision:
        choice = Choice(kind=ChoiceKind.REFERENCE, run=like.run.id)
        decision = Decision(verdict=verdict, metric=like.metric.name, how="", reason=reason, final=True, choice=choice)
        return worded(decision, {})
