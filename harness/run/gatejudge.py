"""What a gate says of its cells, from stored trials alone: margins, waivers, and results for people.

A waiver's bound takes the place of the margin. Up to there the metric may be worse, and that it is not worse than that
is shown as everything else is, at the same error: a waiver for 12 % does not pass what nobody has looked at closely
enough to tell 12 % from 25 %. What is worse than its own margin and not worse than the bound is told as worse, and
waived.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.errors import ConfigError
from harness.model.experiment import BlockPlace
from harness.model.matrix import Cell, CellResult, CellVerdict, GatePolicy, MatrixPlan, MetricVerdict, Waiver
from harness.model.run import Run
from harness.model.trial import Trial
from harness.parse.foreign import printable
from harness.parse.units import fraction_text
from harness.report.matrix.gatewords import gate_reason
from harness.stats.gate import CellEvidence, CellStanding, Gate, GateStanding, margins_of
from harness.stats.waivers import waiver_of, waiver_of_failures
from harness.workloads.registry import METRICS, metrics_of

# A waiver without a bound: worse by whatever factor can be measured.
_WITHOUT_BOUND = 1e6
_LONGEST_REASON = 600

Trials = Mapping[str, Sequence[Trial[BlockPlace]]]


def checked_margins(plan: MatrixPlan) -> dict[str, Mapping[str, float]]:
    """Cell -> the metrics that count there, and how much worse each may be; nothing for a plan without a policy.

    Raises ConfigError that names the cell.
    """
    if plan.policy is None:
        return {}
    found = {}
    for cell in plan.cells:
        try:
            found[cell.name] = margins_of(cell.experiment, metrics_of(cell.experiment.workload), plan.policy)
        except ConfigError as error:
            raise ConfigError(f"cell {cell.name}: {error.message}", remedy=error.remedy) from error
    return found


@dataclass(frozen=True, slots=True)
class _Judged:
    """A result, and what it was made of."""

    standing: CellStanding
    strict: CellStanding | None
    boots: int
    result: CellResult


class GateJudge:
    """Tells where a gate stands and what came of its cells; what it works out, it remembers."""

    def __init__(self, plan: MatrixPlan, names: Iterable[str], *, confirm: bool) -> None:
        """`names`: the cells that are measured; `confirm` as Runner.confirm. Raises ConfigError as checked_margins."""
        self._policy = plan.policy or GatePolicy()
        self._cells: dict[str, Cell] = {cell.name: cell for cell in plan.cells}
        margins = checked_margins(plan)
        self._margins = {name: margins[name] for name in names}
        self._plan = plan
        self._waivers: dict[tuple[str, str], Waiver] = {
            (name, metric): waiver
            for name, counted in self._margins.items()
            for metric in counted
            if (waiver := waiver_of(plan.waivers, name, metric)) is not None
        }
        self._gate = Gate(self._policy, METRICS, confirm=confirm)
        # As if there were no waivers: what is worse than its own margin.
        self._strict = Gate(self._policy, METRICS, confirm=confirm) if self._waivers else None
        self._judged: dict[str, _Judged] = {}

    def standing(self, trials: Trials, order: Sequence[str] | None = None) -> GateStanding:
        """Where the gate stands with waivers; `order`: which of cells alike comes first."""
        return self._gate.standing({name: self._evidence(name, trials) for name in order or self._margins})

    def results(
        self, standing: GateStanding, runs: Mapping[str, Run], trials: Trials, *, ended: Mapping[str, str] | None = None
    ) -> dict[str, CellResult]:
        """What came of the cells that are measured; `ended`: why cells that are not final get no more boots."""
        strict = None
        if self._strict is not None:
            strict = self._strict.standing({name: self._evidence(name, trials, waived=False) for name in self._margins})
        results = {}
        for name, cell in standing.cells.items():
            own = strict.cells[name] if strict is not None else None
            made = trials.get(name, ())
            known = self._judged.get(name)
            if known is None or known.standing is not cell or known.strict is not own or known.boots != len(made):
                known = _Judged(cell, own, len(made), self._result(name, cell, own, runs.get(name), len(made)))
                self._judged[name] = known
            result = known.result
            if not cell.final and ended and name in ended:
                result = replace(result, reason=printable(f"{ended[name]}; {result.reason}", limit=_LONGEST_REASON))
            results[name] = result
        return results

    def _evidence(self, name: str, trials: Trials, *, waived: bool = True) -> CellEvidence:
        margins = self._margins[name]
        if waived:
            margins = {metric: self._allowed(name, metric, margin) for metric, margin in margins.items()}
        return CellEvidence(
            trials=trials.get(name, ()),
            margins=margins,
            max_blocks=self._cells[name].experiment.max_boots // 2,
        )

    def _allowed(self, name: str, metric: str, margin: float) -> float:
        waiver = self._waivers.get((name, metric))
        if waiver is None:
            return margin
        return max(margin, _WITHOUT_BOUND if waiver.bound is None else waiver.bound)

    def _result(
        self, name: str, cell: CellStanding, strict: CellStanding | None, run: Run | None, boots: int
    ) -> CellResult:
        own = {found.metric: found for found in strict.metrics} if strict is not None else {}
        metrics = tuple(self._metric(name, found, own.get(found.metric)) for found in cell.metrics)
        verdict, waiver = cell.verdict, None
        reason = gate_reason(cell.why, missing=cell.missing)
        if verdict is CellVerdict.FAULTY:
            waiver = waiver_of_failures(self._plan.waivers, name)
        elif verdict is CellVerdict.NOT_WORSE:
            # Not worse than waivers allow; beside its own margins it may be something else.
            for kind in (CellVerdict.SLOWER, CellVerdict.INCONCLUSIVE):
                excused = [found for found in metrics if found.verdict is kind]
                if excused:
                    verdict, waiver = kind, excused[0].waiver
                    reason = f"a waiver bears with it: {', '.join(map(_within, excused))}"
                    break
        return CellResult(
            cell=name,
            verdict=verdict,
            reason=printable(reason, limit=_LONGEST_REASON),
            metrics=metrics,
            run_id=run.id if run else None,
            baseline=run.baseline if run else None,
            candidate=run.candidate if run else None,
            boots=boots,
            fails=cell.fails,
            waiver=waiver,
        )

    def _metric(self, name: str, found: MetricVerdict, own: MetricVerdict | None) -> MetricVerdict:
        """A metric beside its waiver, `own` beside its own margin.

        Worse than the bound: nothing covers it. Else it is told beside its own margin where that decides (or nobody
        wants to know), and beside the bound where only that does.
        """
        waiver = self._waivers.get((name, found.metric))
        if waiver is None or own is None:
            return found
        if found.verdict is CellVerdict.SLOWER:
            return found
        if own.verdict is CellVerdict.NOT_WORSE:
            return own
        if own.verdict is CellVerdict.SLOWER and found.verdict is CellVerdict.NOT_WORSE:
            return replace(own, waiver=waiver)
        if waiver.bound is None:
            return replace(own, waiver=waiver)
        return replace(found, waiver=waiver)


def _within(found: MetricVerdict) -> str:
    bound = found.waiver.bound if found.waiver else None
    return f"{found.metric}, " + (
        "however much worse it is" if bound is None else f"not worse than {fraction_text(bound)}"
    )
