"""From all trials of a run to its decision: which metric decides, what it says, and whether to go on."""

import math
from collections.abc import Mapping, Sequence

from harness.errors import ConfigError
from harness.model.experiment import Arm, BlockPlace, Experiment
from harness.model.trial import Outcome, Trial
from harness.model.verdict import ArmFault, Choice, ChoiceKind, Comparison, Decision, Reason, ReasonKind, Stop, Verdict
from harness.model.workload import Metric
from harness.stats.blocks import BlockPair, complete_blocks, metrics_of, pairs_of
from harness.stats.compare import compare, log_values, same_level, verdict_for
from harness.stats.faults import Fault, faulty_arms, healthy_arms, must_stop
from harness.stats.sequential import Estimate, first_look

AUTO = "auto"
# A p value of one metric that keeps another one from closing the run with "same".
_LEANING = 0.05
_CHOOSE_FROM_BLOCKS = 2
# Margins within which every speed must be known to lie where a witness says "same".
_COARSE_MARGINS = 3


def decide(
    experiment: Experiment,
    metrics: Mapping[str, Metric],
    trials: Sequence[Trial[BlockPlace]],
    *,
    confirm: bool = False,
    stopped: Stop | None = None,
) -> Decision:
    """Decide from what is stored; may be asked after every trial without harm to the error rate.

    With a named metric all of ``experiment.error`` is spent on it. With "auto" it is split evenly among the
    workload's deciding metrics (Bonferroni), which pays for choosing any of them at any time. Metrics that do not
    decide are compared at the full error each, as supporting evidence. ``confirm`` as in harness.plan.next_trial;
    ``stopped`` says why no further trial will come, if so. Raises ConfigError when the named metric is unknown.
    """
    candidates = _candidates(experiment, metrics)
    present = metrics_of(trials)
    deciding = tuple(name for name in candidates if name in present)
    share = experiment.error / max(len(candidates), 1)
    # A wrong "same" can only come from the metrics that it takes one of.
    speeds = _vouching(candidates, metrics)
    pairs = {name: pairs_of(trials, name) for name in (*deciding, *present) if name in metrics}
    comparisons = {
        name: compare(
            metrics[name],
            pairs[name],
            error=share if name in deciding else experiment.error,
            margin=experiment.margin,
            max_blocks=experiment.max_boots // 2,
            same_error=experiment.error / len(speeds) if name in speeds else None,
        )
        for name in metrics
        if name in pairs
    }
    complete = len(complete_blocks(trials))
    state = _State(experiment, metrics, pairs, comparisons, deciding, candidates=len(candidates), complete=complete)
    if must_stop(trials, confirm=confirm):
        reason = _fault_reason(faulty_arms(trials, confirm=confirm), healthy_arms(trials))
        return state.decision(Verdict.INCONCLUSIVE, state.leader(), reason, final=True)
    # A wrong kernel must never be called faster, not even for the time until the other arm is known to work.
    wrong = any(trial.outcome is Outcome.CORRUPTED for trial in trials)
    return state.conclude(stopped=stopped, wrong=wrong)


def _candidates(experiment: Experiment, metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Metrics that may decide, known ones only, most telling first."""
    if experiment.metric == AUTO:
        return tuple(dict.fromkeys(name for name in experiment.workload.deciding if name in metrics))
    if experiment.metric not in metrics:
        raise ConfigError(f"unknown metric {experiment.metric!r}", remedy=f"Known metrics: {', '.join(metrics)}.")
    return (experiment.metric,)


def _vouching(names: Sequence[str], metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Metrics that `same` is about: the speeds, where there are any.

    A witness shows that the mechanism is the same, not that the speed is, and somebody's release goes out on it. So
    either a speed agrees within the margin, or a witness does and no speed can be off by more than a few margins.
    """
    return tuple(name for name in names if not metrics[name].witness) or tuple(names)


def _fault_reason(faulty: Mapping[Arm, Fault], healthy: frozenset[Arm]) -> Reason:
    """Why failing kernels end the run."""
    faults = (
        ArmFault(arm=arm, outcome=fault.outcome, failed=fault.failed, boots=fault.boots, message=fault.message)
        for arm, fault in sorted(faulty.items())
    )
    return Reason(kind=ReasonKind.FAULTS, faults=tuple(faults), ran=tuple(sorted(healthy - set(faulty))))


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.4g} %"


class _State:
    """What a decision is made from; lives for one call of decide."""

    def __init__(
        self,
        experiment: Experiment,
        metrics: Mapping[str, Metric],
        pairs: Mapping[str, Sequence[BlockPair]],
        comparisons: Mapping[str, Comparison],
        deciding: tuple[str, ...],
        *,
        candidates: int,
        complete: int,
    ) -> None:
        self.candidates = candidates
        self.experiment = experiment
        self.comparisons = comparisons
        self.deciding = deciding
        self.complete = complete
        self.metrics = metrics
        self.vouching = _vouching(deciding, metrics)
        # Metrics that may decide, where there is enough to choose by.
        self.estimates = {
            name: Estimate.of(*log_values(metrics[name], pairs[name])[:2])
            for name in deciding
            if len(pairs[name]) >= _CHOOSE_FROM_BLOCKS
        }

    def conclude(self, *, stopped: Stop | None, wrong: bool) -> Decision:
        """The verdict of healthy arms."""
        capped = self.complete >= self.experiment.max_boots // 2
        over = capped or stopped is not None
        halted = Reason(kind=ReasonKind.STOPPED, stop=stopped) if stopped is not None else None
        if not self.deciding:
            missing = self.complete >= 1
            reason = Reason(kind=ReasonKind.NO_METRIC) if missing else halted or Reason(kind=ReasonKind.NO_BLOCK)
            return self.decision(Verdict.INCONCLUSIVE, None, reason, final=over or missing)
        moved = [name for name in self.deciding if self._verdict(name) in {Verdict.FASTER, Verdict.SLOWER}]
        if moved and not wrong:
            # A speed is what was asked about; a witness speaks where no speed can yet.
            leader = min([name for name in moved if name in self.vouching] or moved, key=self._p_value)
            return self.decision(self._verdict(leader), leader, self._moved_reason(leader), final=True)
        equal = [name for name in self.deciding if self._verdict(name) is Verdict.SAME]
        leaning = [name for name in self.deciding if name not in equal and self._p_value(name) < _LEANING]
        vouching = [name for name in equal if name in self.vouching]
        if not vouching and equal and all(self._reach(name) <= self._coarse for name in self.vouching):
            vouching = equal
        if vouching and not leaning and not wrong:
            leader = min(vouching, key=lambda name: self.estimates[name].paired_error)
            return self.decision(Verdict.SAME, leader, self._same_reason(leader, equal), final=True)
        reason = halted or (self._cap_reason(equal) if capped else self._open_reason(equal, leaning))
        return self.decision(Verdict.INCONCLUSIVE, self.leader(), reason, final=over)

    def decision(self, verdict: Verdict, metric: str | None, why: Reason, *, final: bool) -> Decision:
        """The decision with its comparisons."""
        return Decision(
            verdict=verdict,
            metric=metric,
            # Only reports word these: harness.report.decisions.
            how="",
            reason="",
            why=why,
            choice=self._choice(metric),
            final=final,
            comparisons=self.comparisons,
            blocks_left=0 if final else self._blocks_left(),
        )

    def leader(self) -> str | None:
        """The metric that would decide if the run ended now: most evidence of a difference, else least spread."""
        if not self.deciding or self.experiment.metric != AUTO:
            return self.deciding[0] if self.deciding else None
        if not self.estimates:
            return None
        best = min(self.estimates, key=self._p_value)
        if self._p_value(best) < _LEANING:
            return best
        vouching = [name for name in self.vouching if name in self.estimates] or [*self.estimates]
        return min(vouching, key=lambda name: self.estimates[name].paired_error)

    def _p_value(self, name: str) -> float:
        return self.estimates[name].p_value() if name in self.estimates else 1.0

    @property
    def _coarse(self) -> float:
        """How far, as a log ratio, each speed may reach where a witness says `same`."""
        return math.log1p(_COARSE_MARGINS * self.experiment.margin)

    def _reach(self, name: str, blocks: int | None = None) -> float:
        """Largest log ratio that a speed is not known to be below, now or after so many blocks."""
        if name not in self.estimates:
            return math.inf
        estimate = self.estimates[name] if blocks is None else self.estimates[name].after(blocks)
        level = same_level(self.experiment.error / len(self.vouching))
        return abs(estimate.mean) + estimate.half_width(level, self.experiment.max_boots // 2)

    def _verdict(self, name: str) -> Verdict:
        return self.comparisons[name].verdict

    def _choice(self, metric: str | None) -> Choice:
        if self.experiment.metric != AUTO:
            return Choice(kind=ChoiceKind.NAMED)
        if metric is None:
            return Choice(kind=ChoiceKind.NOT_YET)
        if self.candidates == 1:
            return Choice(kind=ChoiceKind.ONLY)
        kind = ChoiceKind.CALMEST
        if self._p_value(metric) < _LEANING:
            best = metric == min(self.estimates, key=self._p_value)
            kind = ChoiceKind.SEPARATES if best else ChoiceKind.SEPARATES_SPEEDS
        return Choice(kind=kind, candidates=self.candidates, error=self.experiment.error)

    def _moved_reason(self, name: str) -> Reason:
        found = self.comparisons[name]
        opposite = Verdict.SLOWER if found.verdict is Verdict.FASTER else Verdict.FASTER
        against = tuple(other for other in self.deciding if self._verdict(other) is opposite)
        return Reason(kind=ReasonKind.MOVED, metric=name, others=against)

    def _same_reason(self, name: str, equal: Sequence[str]) -> Reason:
        coarse = name not in self.vouching
        return Reason(
            kind=ReasonKind.SAME,
            metric=name,
            agree=tuple(equal),
            others=tuple(other for other in self.deciding if other not in equal),
            margin=self.experiment.margin,
            speeds=self.vouching if coarse else (),
            reach=max(math.expm1(self._reach(speed)) for speed in self.vouching) if coarse else 0.0,
        )

    def _cap_reason(self, equal: Sequence[str]) -> Reason:
        cap = self.experiment.max_boots // 2
        return Reason(kind=ReasonKind.CAP, metric=self.leader() or "", agree=tuple(equal), max_blocks=cap)

    def _open_reason(self, equal: Sequence[str], leaning: Sequence[str]) -> Reason:
        if equal and leaning:
            return Reason(kind=ReasonKind.LEANING, agree=tuple(equal), others=tuple(leaning))
        if equal:
            return Reason(kind=ReasonKind.UNTOLD, agree=tuple(equal), others=self.vouching)
        return Reason(kind=ReasonKind.OPEN, blocks=self.complete, max_blocks=self.experiment.max_boots // 2)

    def _blocks_left(self) -> int | None:
        """Blocks until the first deciding metric decides, if its location and spread stay what they are."""
        expected = [self._blocks_left_of(name, estimate) for name, estimate in self.estimates.items()]
        return min(expected) if expected else None

    def _blocks_left_of(self, name: str, estimate: Estimate) -> int:
        n, cap = estimate.blocks, self.experiment.max_boots // 2
        # A weak mean is taken for noise, which more blocks will average out.
        mean = estimate.mean if self._p_value(name) < _LEANING else 0.0
        error = self.experiment.error / max(self.candidates, 1)
        held = any(self._verdict(other) is Verdict.SAME for other in self.estimates)
        limit = self._coarse if held else math.log1p(self.experiment.margin)
        for blocks in range(max(n + 1, first_look(error)), cap):
            width = estimate.after(blocks).half_width(error, cap)
            verdict = verdict_for(self.metrics[name], mean - width, mean + width, self.experiment.margin)
            if verdict in {Verdict.FASTER, Verdict.SLOWER}:
                return blocks - n
            if name in self.vouching and self._reach(name, blocks) <= limit:
                return blocks - n
        return max(cap - n, 1)
