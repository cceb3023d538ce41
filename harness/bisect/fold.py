"""The fold over what is stored of a bisection: where it stands. The search, its display and its reports share it."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from harness.bisect import metric as metric_choice
from harness.bisect.evidence import Evidence, LadderEvidence, ladder_evidence
from harness.bisect.metric import FollowedWhy, MetricChoice
from harness.bisect.noise import Noise
from harness.bisect.nullsearch import GIVE_UP, NullSearch, Values, is_null, listen, look, unseen
from harness.bisect.prior import cost_of, edge_counts, ladder_prior
from harness.bisect.search import EdgeFound, EdgeSearch, Observation, Result, Rules
from harness.bisect.select import Choice
from harness.bisect.view import RungStanding, Standing
from harness.model.bisection import Blocked, EdgeKind, EdgeWish, FoundEdge, NextBoot, NextWhy, RungState, Skip, SkipKind
from harness.model.experiment import Place
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Verdict
from harness.model.workload import Direction, Metric

AUTO = "auto"
# Boots of each end that the engine needs to know the noise; the A/B of the ends makes more.
_CALIBRATION = 2
# How far below the other kernels one that fails is put where a crash counts as slow, as a log ratio.
_CRASH_STEP = 2.0


def stand(evidence: Evidence, metrics: Mapping[str, Metric], *, ahead: bool = False) -> Standing:
    """Fold what is stored. The same evidence gives the same standing: resuming is no other path.

    With `ahead` it also says which kernels are likely to be wanted after the next.
    """
    findings = ladder_evidence(evidence)
    made: tuple[Trial[Place], ...] = (*evidence.ends, *evidence.trials)
    boots = sum(trial.outcome.booted for trial in made)
    chosen = choose_metric(evidence, metrics)
    if evidence.ends_decision is None or chosen is None:
        return _before_search(evidence, findings, chosen, boots)
    return _Fold(evidence, findings, chosen, metrics[chosen.name], boots).standing(ahead=ahead)


def choose_metric(evidence: Evidence, metrics: Mapping[str, Metric]) -> MetricChoice | None:
    """The metric that the search follows; None before the ends are measured."""
    named = evidence.experiment.metric
    if named != AUTO:
        return MetricChoice(name=named, why=FollowedWhy.NAMED, separation=0.0, settled=True)
    rungs = range(len(evidence.plan.rungs))
    at_ends = ladder_evidence(evidence, inner_boots=0)
    # A kernel may be too old for a metric: one that an end lacks says nothing of that end.
    candidates = [
        name
        for name in evidence.experiment.workload.deciding
        if name in metrics and _measured_ends(evidence, at_ends, name)
    ]
    series = []
    for boots in range(len(evidence.trials) + 1):
        seen = ladder_evidence(evidence, inner_boots=boots)
        series.append({name: seen.values(name, rungs) for name in candidates})
    moved = evidence.ends_decision is not None and evidence.ends_decision.verdict in {Verdict.FASTER, Verdict.SLOWER}
    leader = evidence.ends_decision.metric if evidence.ends_decision is not None and moved else None
    return metric_choice.choose(candidates, metrics, series, margin=evidence.experiment.margin, leader=leader)


def _measured_ends(evidence: Evidence, found: LadderEvidence, metric: str) -> bool:
    """Whether no end that ran lacks the metric, and one at least has it."""
    ends = [end for end in (0, evidence.plan.last) if end not in found.skipped and end in found.boots]
    return bool(ends) and len(found.values(metric, ends)) == len(ends)


def _before_search(evidence: Evidence, findings: LadderEvidence, chosen: MetricChoice | None, boots: int) -> Standing:
    blocked = Blocked(decided=evidence.ends_decision.reason) if evidence.ends_decision is not None else None
    rungs = []
    for rung in range(len(evidence.plan.rungs)):
        made = sum(trial.outcome.booted for trial in findings.boots.get(rung, ()))
        skipped = findings.skipped.get(rung)
        state = RungState.SKIP if skipped else RungState.UNKNOWN
        rungs.append(RungStanding(boots=made, median=None, state=state, slow=None, skip=skipped))
    return Standing(rungs=tuple(rungs), metric=chosen, boots=boots, blocked=blocked)


class _Fold:
    """One evaluation of the engine; lives for one call of stand."""

    def __init__(
        self, evidence: Evidence, findings: LadderEvidence, chosen: MetricChoice, metric: Metric, boots: int
    ) -> None:
        self.evidence, self.findings, self.chosen, self.metric = evidence, findings, chosen, metric
        self.boots = boots
        self.last = evidence.plan.last
        self.rungs = range(self.last + 1)
        self.values = metric_choice.logs(metric, findings.values(chosen.name, self.rungs))
        self.raw = findings.values(chosen.name, self.rungs)
        self.margin = evidence.experiment.margin
        self.sign = 1.0 if metric.direction is Direction.HIGHER else -1.0
        self.identical_builds = {identical.rung: identical.of for identical in evidence.identical_builds}
        self.crashed = self._crashed_as_slow()
        self.skipped = {rung: why for rung, why in findings.skipped.items() if rung not in self.crashed}
        for rung, made in findings.boots.items():
            ran = any(trial.outcome is Outcome.OK for trial in made)
            if ran and rung not in self.values and rung not in self.skipped:
                self.skipped[rung] = self._no_value
        self.measured = {*self.values, *(rung for rung, of in self.identical_builds.items() if of in self.values)}

    @property
    def _no_value(self) -> Skip:
        return Skip(kind=SkipKind.NO_VALUE, text=self.chosen.name)

    def standing(self, *, ahead: bool = False) -> Standing:
        """The standing."""
        unmeasured = [end for end in (0, self.last) if end not in self.values]
        if unmeasured:
            end = unmeasured[0]
            return Standing(
                rungs=tuple(self._rung(rung, None) for rung in self.rungs),
                metric=self.chosen,
                boots=self.boots,
                blocked=Blocked(end=end, skip=self.skipped.get(end, self._no_value)),
            )
        search = self._search()
        null = self._alike(search) if 0 in search.prior.counts and not self.crashed else None
        if null is not None:
            return self._null(null)
        result = search.result()
        slow = self._slow(search.probability_other())
        edges, small = self._edges(result.edges)
        named = len(result.edges)
        more = sum(share for count, share in result.counts.items() if count > named)
        missed = unseen(search.prior.counts, result.counts, named)
        # What only a further stretch could change is said, not searched for to the last. Where kernels are built it is
        # enough that there is hardly one: to be sure takes three times the kernels.
        sure = search.calibrated and result.probability + more >= self.evidence.plan.confidence
        over = result.decided or (sure and (more if self.evidence.plan.built else missed) <= GIVE_UP)
        choice = None if over else search.next()
        if choice is None and len(result.edges) == small:
            # Nothing beyond the margin: one state, whatever is likelier on either side of it.
            slow = np.zeros(len(slow))
        return Standing(
            rungs=tuple(self._rung(rung, float(slow[rung])) for rung in self.rungs),
            metric=self.chosen,
            boots=self.boots,
            result=result,
            missed=missed,
            edges=edges,
            small=small,
            next=self._next(choice),
            ahead=search.after(choice) if choice is not None and ahead else (),
            boots_left=self._boots_left(search, choice),
            doubts=result.doubts,
        )

    def _alike(self, search: EdgeSearch) -> NullSearch | None:
        """What is left to look for while everything measured is like the ends; None where it is not."""
        if not is_null(self.values, self.margin):
            return listen(self._search, self.values, self.margin, like=search.result().counts[0])
        dead = {*self.skipped, *(rung for rung, of in self.identical_builds.items() if of in self.skipped)}
        return look(search.prior, sorted(self.measured), dead, self.margin)

    def _null(self, found: NullSearch) -> Standing:
        """The standing while everything measured is like the ends."""
        upcoming = self._next(None)
        if upcoming is None and found.missed > GIVE_UP and found.kernel is not None:
            upcoming = NextBoot(
                rung=self.identical_builds.get(found.kernel, found.kernel),
                why=NextWhy.HIDDEN,
                missed=found.missed,
                again=found.kernel in self.values,
            )
        return Standing(
            rungs=tuple(self._rung(rung, 0.0 if rung in self.measured else None) for rung in self.rungs),
            metric=self.chosen,
            boots=self.boots,
            result=Result(edges=(), probability=found.counts[0], decided=False, counts=dict(found.counts)),
            missed=found.missed,
            looked_for=math.expm1(found.step),
            next=upcoming,
        )

    def _crashed_as_slow(self) -> frozenset[int]:
        """Rungs whose fault counts as slow; their value is put well below (or above) all others."""
        if not self.evidence.plan.crash_is_slow:
            return frozenset()
        known = [value for values in self.values.values() for value in values]
        worst = min(known, key=lambda value: self.sign * value, default=0.0)
        found = {
            rung
            for rung, fault in self.findings.faults.items()
            # What cannot be built has no symptom to show.
            if fault.outcome.is_kernel_fault and fault.outcome is not Outcome.BUILD_FAILED
        }
        for rung in found:
            self.values[rung] = [worst - self.sign * _CRASH_STEP] * max(2, self.findings.faults[rung].failed)
        return frozenset(found)

    def _search(self, noise: Noise | None = None, values: Values | None = None) -> EdgeSearch:
        plan, values = self.evidence.plan, self.values if values is None else values
        prior = ladder_prior(plan.rungs, self._counts())
        rules = Rules(
            confidence=plan.confidence,
            calibration=_CALIBRATION,
            # A/B has booted the ends often enough; that they overlap is then what it found.
            calibration_overlapping=_CALIBRATION,
            build_cost=cost_of(plan),
            noise=noise,
        )
        search = EdgeSearch(prior, rules)
        for rung in sorted(values):
            search.replay(Observation(kernel=rung, value=value) for value in values[rung])
        search.replay(Observation(kernel=rung, value=None) for rung in sorted(self.skipped) if 0 < rung < self.last)
        for identical in self.evidence.identical_builds:
            search.tie(identical.rung, identical.of)
        return search

    def _counts(self) -> dict[int, float]:
        plan, decision = self.evidence.plan, self.evidence.ends_decision
        assert decision is not None, "see stand"
        ends = {rung: self.raw[rung] for rung in (0, self.last) if rung in self.raw}
        apart = metric_choice.separation(self.metric, ends, self.evidence.experiment.margin)
        if self.crashed & {0, self.last}:
            return edge_counts(plan, Verdict.SLOWER, far_apart=True)
        found = decision.comparisons.get(self.chosen.name)
        verdict = found.verdict if found else None
        if found is not None and found.ratio is not None and abs(math.log(found.ratio)) <= math.log1p(self.margin):
            # Sure to differ, and by less than anybody minds.
            verdict = Verdict.SAME
        return edge_counts(plan, verdict, far_apart=apart >= metric_choice.CLEAR)

    def _slow(self, other: np.ndarray) -> np.ndarray:
        """P(slow) of every rung, from P(not in the first end's state)."""
        weights = {rung: float(other[rung]) * len(values) for rung, values in self.values.items()}
        total = sum(weights.values())
        if total < 0.5:
            # Nothing seen in the other state: whatever is looked for is taken to be slow.
            return other
        mean = sum(weights[rung] * statistics.fmean(values) for rung, values in self.values.items()) / total
        first = statistics.median(self.values[0])
        return other if self.sign * (mean - first) <= 0 else 1 - other

    def _edges(self, found: Sequence[EdgeFound]) -> tuple[tuple[FoundEdge, ...], int]:
        """Edges of the kinds wished for, and how many are smaller than the margin.

        The kind is told by the means of all kernels between an edge and its neighbour edges.
        """
        bounds = [0, *(edge.after for edge in found), self.last + 1]
        means = []
        for start, stop in itertools.pairwise(bounds):
            inside = [value for rung, values in self.values.items() if start <= rung < stop for value in values]
            means.append(self.sign * statistics.fmean(inside) if inside else math.nan)
        wish = self.evidence.plan.edges
        edges, small = [], 0
        for edge, before, after in zip(found, means[:-1], means[1:], strict=True):
            kind = EdgeKind.REMOVED if after < before else EdgeKind.RESTORED
            if abs(after - before) <= math.log1p(self.margin):
                small += 1
            elif wish in {EdgeWish.AUTO, EdgeWish.BOTH} or kind == wish.value:
                edges.append(FoundEdge(before=edge.before, after=edge.after, kind=kind))
        return tuple(edges), small

    def _rung(self, rung: int, slow: float | None) -> RungStanding:
        made = sum(trial.outcome.booted for trial in self.findings.boots.get(rung, ()))
        state = RungState.UNKNOWN
        skip = self.skipped.get(rung)
        if skip is not None:
            state = RungState.SKIP
        elif (rung in self.values or rung in self.identical_builds) and slow is not None:
            state = RungState.SLOW if slow > 0.5 else RungState.FAST
        raw = self.raw.get(rung)
        counts = rung in self.crashed
        return RungStanding(
            boots=made,
            median=statistics.median(raw) if raw else None,
            state=state,
            slow=slow,
            skip=self.findings.skipped[rung] if counts else skip,
            counts=counts,
            same_as=self.identical_builds.get(rung) if skip is None and not counts else None,
        )

    def _next(self, choice: Choice | None) -> NextBoot | None:
        pending = self.findings.pending
        if pending is not None:
            return NextBoot(rung=pending, why=NextWhy.FAILED_ONCE)
        if choice is None:
            return None
        if choice.kernel in self.values:
            why = NextWhy.DOUBT
        else:
            why = NextWhy.HALVES if 0.25 < choice.probability_other < 0.75 else NextWhy.OTHER_STATE
        return NextBoot(rung=choice.kernel, why=why, bits=choice.bits, again=choice.kernel in self.values)

    def _boots_left(self, search: EdgeSearch, choice: Choice | None) -> int | None:
        """Bits still open, at the rate of the next boot."""
        if choice is None:
            return 0
        if choice.bits <= 0:
            return None
        classes = search.classes()
        widths = np.diff(classes.bounds).astype(np.float64)
        places = np.where(classes.gaps >= 0, widths[classes.gaps], 1.0).prod(axis=0)
        mass = np.maximum(classes.mass, 1e-12)
        bits = float(np.sum(mass * (np.log2(places) - np.log2(mass))))
        return max(1, math.ceil(bits / max(choice.bits / choice.boots, 0.2)))
