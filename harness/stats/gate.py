"""Where a gate stands: for every cell, whether the candidate is worse, and which cell's next block decides most.

Pure, and a fold: asked again with the same trials it says the same, after every block without harm to the errors.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.model.experiment import Arm, BlockPlace
from harness.model.matrix import CellVerdict, FailKind, GatePolicy, MetricVerdict
from harness.model.trial import Outcome, Trial
from harness.model.verdict import ArmFault
from harness.model.workload import Metric
from harness.stats.blocks import complete_blocks, pairs_of
from harness.stats.compare import compare
from harness.stats.faults import Fault, faulty_arms, healthy_arms, signature_of
from harness.stats.margins import margins_of
from harness.stats.newwarnings import NewWarning, new_warnings
from harness.stats.noninferiority import (
    Levels,
    Looks,
    blocks_until,
    holm,
    largest_divisor,
    look_at,
    loss_beyond,
    shows_not_worse,
)
from harness.stats.sequential import MIN_BLOCKS

__all__ = [
    "CellEvidence",
    "CellStanding",
    "Gate",
    "GateReason",
    "GateReasonKind",
    "GateStanding",
    "gate_standing",
    "margins_of",
    "next_cell",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellEvidence:
    """A cell's boots, and what is demanded of it."""

    # In the order they were stored.
    trials: Sequence[Trial[BlockPlace]]
    # Metric -> how much worse it may be, a fraction: see margins_of.
    margins: Mapping[str, float]
    # Cap on the cell's blocks.
    max_blocks: int


class GateReasonKind(StrEnum):
    """Why a cell of a gate stands where it does."""

    # More blocks may decide.
    OPEN = "open"
    # All metrics that count are known to be not worse; `metrics` are known to be worse.
    CLEARED = "cleared"
    WORSE = "worse"
    # The candidate fails in a way that the policy names: `faults`, `warnings`.
    FAILS = "fails"
    # It fails in a way that the policy does not name, or in one that the baseline has shown, too: not to be measured.
    FAILS_UNNAMED = "fails-unnamed"
    FAILS_ALIKE = "fails-alike"
    # The baseline fails (both may), or its data check failed: nothing to be measured against.
    BASELINE_FAILS = "baseline-fails"
    BASELINE_DATA = "baseline-data"
    # No boot gave a metric that counts; or boots of one arm alone gave `metrics`.
    NO_METRIC = "no-metric"
    ONE_SIDED = "one-sided"
    # All blocks are made: `metrics` are open, or `warnings` are.
    CAP = "cap"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReason:
    """Why a cell of a gate stands where it does, with what it takes to say it."""

    kind: GateReasonKind
    metrics: tuple[str, ...] = ()
    faults: tuple[ArmFault, ...] = ()
    warnings: tuple[NewWarning, ...] = ()
    blocks: int = 0
    max_blocks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellStanding:
    """What is known of a cell by now."""

    # NOT_WORSE, SLOWER, INCONCLUSIVE (while it is open, too) or FAULTY.
    verdict: CellVerdict
    # Those that count, in the order of the evidence's margins.
    metrics: tuple[MetricVerdict, ...]
    # How the candidate fails, of what the policy names.
    fails: tuple[FailKind, ...]
    why: GateReason
    # No further block of it is wanted. Its verdict stays, but that Holm's procedure may yet call a cell slower that
    # is inconclusive at its cap, when others are.
    final: bool
    # Complete blocks.
    blocks: int
    # Blocks expected until it is final; None while nothing is known, 0 where it is.
    blocks_left: int | None
    # All warnings that the candidate has and the baseline has not, also those that prove nothing.
    warnings: tuple[NewWarning, ...] = ()
    # Metrics asked for that no boot of either arm gave: they do not count.
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStanding:
    """What is known of all cells by now, in the order they were given in."""

    cells: Mapping[str, CellStanding]
    # Hypotheses "this metric of this cell is worse than its margin", which share the policy's error.
    hypotheses: int

    @property
    def final(self) -> bool:
        """Whether every cell is."""
        return all(cell.final for cell in self.cells.values())


def gate_standing(
    cells: Mapping[str, CellEvidence], policy: GatePolicy, metrics: Mapping[str, Metric], *, confirm: bool
) -> GateStanding:
    """Where a gate stands, from its trials alone. `cells`: every cell of the gate, those without a boot too.

    - A metric is `not-worse` once a repeated interval showed that at `policy.miss`, and a cell is when all its metrics
      are. Each has to be shown, so that a cell with any metric beyond its margin is cleared with a probability of
      policy.miss at most (intersection-union test: Berger, Technometrics 24, 1982); no correction is needed.
    - A metric is `slower` by Holm's procedure at `policy.error` over all metrics of all cells (see
      harness.stats.noninferiority); a cell is when any of its metrics is. A cell that is cleared stays so, unless a
      metric of it is worse at the strictest of Holm's levels.
    - Failures and new warnings of the candidate (harness.stats.faults, harness.stats.newwarnings) count whatever the
      speed. The error of warnings is shared by cells, too, apart from that of speeds. A cell is not cleared while a
      warning that every boot of the candidate shows is neither proven nor refuted.

    ``confirm`` as in harness.plan.next_trial. To ask after every block, keep a `Gate`: cells without a new trial cost
    it nothing.
    """
    return Gate(policy, metrics, confirm=confirm).standing(cells)


def next_cell(standing: GateStanding, *, without: Collection[str] = (), blocks: int | None = None) -> str | None:
    """The cell whose next block decides most, of those that are not final and not in `without`; None: there is none.

    First every cell gets the blocks that nothing is decided without, in turn: a candidate that fails somewhere is
    known early. Then the cell that is expected to be final with the fewest further blocks gets the next one.

    ``blocks`` is what the budget leaves; None: as many as the cells allow. Where the first round would take more than
    half of it, cells are begun one by one instead: more of them are decided then, and the others not measured at all.
    """
    open_cells = {name: cell for name, cell in standing.cells.items() if not cell.final and name not in without}
    if not open_cells:
        return None
    wanted = sum(max(MIN_BLOCKS - cell.blocks, 0) for cell in open_cells.values())
    everywhere = blocks is None or 2 * wanted <= blocks

    def turn(name: str) -> tuple[bool, int, int]:
        cell = open_cells[name]
        begun = cell.blocks >= MIN_BLOCKS
        if everywhere and not begun:
            return False, cell.blocks, 0
        left = cell.blocks_left if begun and cell.blocks_left is not None else _UNKNOWN_BLOCKS - cell.blocks
        return True, left, -cell.blocks

    # Of equals the first in the order of the plan.
    return min(open_cells, key=turn)


# What a cell takes of which nothing is known yet, where cells are begun one by one: a cell that is expected to be final
# with fewer goes before. How many does not matter much (benchmarks/gate_sim.py was played with 4 to 20).
_UNKNOWN_BLOCKS = 2 * MIN_BLOCKS
# Nothing is expected from fewer.
_CHOOSE_FROM_BLOCKS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failing:
    """What failures say of a cell: its verdict and reason where they end it."""

    verdict: CellVerdict
    fails: tuple[FailKind, ...]
    why: GateReason


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a cell by itself, whatever the others show; kept while it gets no new trial."""

    evidence: CellEvidence
    trials: tuple[Trial[BlockPlace], ...]
    hypotheses: int
    cells: int
    blocks: int
    looks: Mapping[str, Looks]
    levels: Levels
    missing: tuple[str, ...]
    one_sided: tuple[str, ...]
    failing: _Failing | None
    warnings: tuple[NewWarning, ...]

    @property
    def cleared(self) -> bool:
        """Whether all metrics are, and none is worse at the strictest level."""
        return (
            bool(self.looks)
            and not self.one_sided
            and all(
                looks.cleared_after is not None and looks.withstands < self.levels.hypotheses
                for looks in self.looks.values()
            )
        )

    def is_of(self, evidence: CellEvidence, *, hypotheses: int, cells: int) -> bool:
        """Whether it was made from the same trials under the same demands."""
        return (
            len(self.trials) == len(evidence.trials)
            and all(mine is other for mine, other in zip(self.trials, evidence.trials, strict=True))
            and self.evidence.margins == evidence.margins
            and (self.evidence.max_blocks, self.hypotheses, self.cells) == (evidence.max_blocks, hypotheses, cells)
        )


class Gate:
    """Tells where a gate stands, and remembers what it worked out of each cell: nothing else is kept between calls."""

    def __init__(self, policy: GatePolicy, metrics: Mapping[str, Metric], *, confirm: bool) -> None:
        self._policy = policy
        self._metrics = metrics
        self._confirm = confirm
        self._known: dict[str, _Known] = {}
        self._standings: dict[str, tuple[_Known, tuple[str, ...], CellStanding]] = {}

    def standing(self, cells: Mapping[str, CellEvidence]) -> GateStanding:
        """As `gate_standing`."""
        # What no boot gives is no hypothesis. A cell without a block may yet give all, so the number only falls.
        hypotheses = sum(len(_counting(evidence)[0]) for evidence in cells.values())
        for name, evidence in cells.items():
            known = self._known.get(name)
            if known is None or not known.is_of(evidence, hypotheses=hypotheses, cells=len(cells)):
                self._known[name] = self._know(evidence, hypotheses=hypotheses, cells=len(cells))
        worse = self._worse(tuple(cells), hypotheses)
        return GateStanding(
            cells={name: self._cell(name, worse.get(name, ())) for name in cells}, hypotheses=hypotheses
        )

    def _worse(self, names: Sequence[str], hypotheses: int) -> Mapping[str, tuple[str, ...]]:
        """Metrics that are worse, by cell."""
        judged = [
            (name, metric, looks.withstands)
            for name in names
            if self._known[name].failing is None and not self._known[name].cleared
            for metric, looks in self._known[name].looks.items()
        ]
        found: dict[str, tuple[str, ...]] = {}
        for (name, metric, _), rejected in zip(judged, holm([one[2] for one in judged], hypotheses), strict=True):
            if rejected:
                found[name] = (*found.get(name, ()), metric)
        return found

    def _know(self, evidence: CellEvidence, *, hypotheses: int, cells: int) -> _Known:
        policy, trials = self._policy, evidence.trials
        levels = Levels(
            error=policy.error, miss=policy.miss, hypotheses=max(hypotheses, 1), max_blocks=evidence.max_blocks
        )
        counting, missing, one_sided = _counting(evidence)
        warnings = new_warnings(trials, error=policy.error / cells)
        return _Known(
            evidence=evidence,
            trials=tuple(trials),
            hypotheses=hypotheses,
            cells=cells,
            blocks=len(complete_blocks(trials)),
            looks={
                name: look_at(self._metrics[name], pairs_of(trials, name), evidence.margins[name], levels)
                for name in counting
            },
            levels=levels,
            missing=missing,
            one_sided=one_sided,
            failing=_failing(trials, warnings, policy, confirm=self._confirm),
            warnings=warnings,
        )

    def _cell(self, name: str, worse: tuple[str, ...]) -> CellStanding:
        known = self._known[name]
        before = self._standings.get(name)
        if before is not None and before[0] is known and before[1] == worse:
            return before[2]
        standing = self._conclude(known, worse)
        self._standings[name] = (known, worse, standing)
        return standing

    def _conclude(self, known: _Known, worse: tuple[str, ...]) -> CellStanding:
        """The standing of a cell, given which of its metrics are worse."""
        verdict, final = CellVerdict.INCONCLUSIVE, True
        fails: tuple[FailKind, ...] = ()
        named = FailKind.WARNING in self._policy.fails
        pending = tuple(warning for warning in known.warnings if warning.pending and named)
        capped = known.blocks >= known.evidence.max_blocks
        unsettled = tuple(name for name, looks in known.looks.items() if looks.cleared_after is None)
        if known.failing is not None:
            verdict, fails, why = known.failing.verdict, known.failing.fails, known.failing.why
        elif worse:
            verdict, why = CellVerdict.SLOWER, GateReason(kind=GateReasonKind.WORSE, metrics=worse)
        elif known.blocks and not known.looks:
            why = GateReason(kind=GateReasonKind.NO_METRIC, metrics=known.missing)
        elif known.cleared and not pending:
            verdict, why = CellVerdict.NOT_WORSE, GateReason(kind=GateReasonKind.CLEARED, metrics=tuple(known.looks))
        elif known.one_sided and known.blocks >= MIN_BLOCKS:
            why = GateReason(kind=GateReasonKind.ONE_SIDED, metrics=known.one_sided)
        elif capped:
            why = GateReason(kind=GateReasonKind.CAP, metrics=unsettled, warnings=pending)
        else:
            final, why = False, GateReason(kind=GateReasonKind.OPEN, metrics=unsettled, warnings=pending)
        return CellStanding(
            verdict=verdict,
            metrics=tuple(
                self._metric(name, looks, known.levels, worse=name in worse) for name, looks in known.looks.items()
            ),
            fails=fails,
            why=replace(why, blocks=known.blocks, max_blocks=known.evidence.max_blocks),
            final=final,
            blocks=known.blocks,
            blocks_left=0 if final else self._blocks_left(known),
            warnings=known.warnings,
            missing=known.missing,
        )

    def _metric(self, name: str, looks: Looks, levels: Levels, *, worse: bool) -> MetricVerdict:
        """The metric's verdict, with the interval that shows it: of all blocks, or else of those that first did."""
        metric, verdict, error, shown = self._metrics[name], CellVerdict.INCONCLUSIVE, levels.miss, None
        if worse:
            verdict, error, shown = CellVerdict.SLOWER, levels.error / looks.withstands, looks.worse_after
        elif looks.cleared_after is not None:
            verdict, shown = CellVerdict.NOT_WORSE, looks.cleared_after
        pairs = looks.pairs
        if shown is not None and looks.estimate is not None:
            beyond = loss_beyond(metric, looks.estimate, looks.margin)
            holds = (
                largest_divisor(looks.estimate, beyond, levels) >= looks.withstands
                if worse
                else shows_not_worse(looks.estimate, beyond, levels)
            )
            pairs = pairs if holds else pairs[:shown]
        comparison = compare(
            metric, pairs, error=2 * error, margin=looks.margin, max_blocks=levels.max_blocks, same_error=error
        )
        return MetricVerdict(metric=name, margin=looks.margin, verdict=verdict, comparison=comparison)

    def _blocks_left(self, known: _Known) -> int | None:
        """Blocks expected until a cell is final, from where its metrics are now."""
        if known.blocks < _CHOOSE_FROM_BLOCKS:
            return None
        levels, left = known.levels, []
        worse = known.evidence.max_blocks - known.blocks
        for name, looks in known.looks.items():
            if looks.estimate is None:
                left.append(worse)
                continue
            worse = min(worse, blocks_until(self._metrics[name], looks, levels, worse=True))
            if looks.cleared_after is None:
                left.append(blocks_until(self._metrics[name], looks, levels, worse=False))
        return max(min(worse, max(left, default=1)), 1)


def _counting(evidence: CellEvidence) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Metrics that count, those that no boot gave, and those that boots of one arm alone gave, after a block.

    A workload that only writes gives no latency of reads. What a kernel makes disappear is another thing.
    """
    blocks = complete_blocks(evidence.trials).values()
    if not blocks:
        return tuple(evidence.margins), (), ()
    given = {arm: {name for arms in blocks for name in arms[arm].samples if arms[arm].samples[name]} for arm in Arm}
    either = given[Arm.BASELINE] | given[Arm.CANDIDATE]
    both = given[Arm.BASELINE] & given[Arm.CANDIDATE]
    return (
        tuple(name for name in evidence.margins if name in either),
        tuple(name for name in evidence.margins if name not in either),
        tuple(name for name in evidence.margins if name in either - both),
    )


def _failing(
    trials: Sequence[Trial[BlockPlace]], warnings: Sequence[NewWarning], policy: GatePolicy, *, confirm: bool
) -> _Failing | None:
    """What failures and new warnings make of a cell; None while they say nothing."""
    faults = faulty_arms(trials, confirm=confirm)
    corrupted = {trial.place.arm for trial in trials if trial.outcome is Outcome.CORRUPTED}
    told = tuple(_arm_fault(arm, fault) for arm, fault in sorted(faults.items()))

    def inconclusive(kind: GateReasonKind) -> _Failing:
        return _Failing(verdict=CellVerdict.INCONCLUSIVE, fails=(), why=GateReason(kind=kind, faults=told))

    if Arm.BASELINE in corrupted:
        return inconclusive(GateReasonKind.BASELINE_DATA)
    if Arm.BASELINE in faults:
        return inconclusive(GateReasonKind.BASELINE_FAILS)
    counted = tuple(warning for warning in warnings if warning.counts)
    kinds = set()
    if Arm.CANDIDATE in faults:
        if Arm.BASELINE not in healthy_arms(trials):
            # Whether it fails where the baseline does not is known after a boot of that.
            return None
        if Arm.CANDIDATE in corrupted:
            kinds.add(FailKind.DATA)
        fault = faults[Arm.CANDIDATE]
        if fault.outcome is not Outcome.CORRUPTED:
            alike = any(
                trial.place.arm is Arm.BASELINE
                and trial.outcome is not Outcome.OK
                and signature_of(trial) == fault.signature
                for trial in trials
            )
            if alike and not kinds:
                return inconclusive(GateReasonKind.FAILS_ALIKE)
            if not alike:
                kinds.add(FailKind.FAULT)
    if counted:
        kinds.add(FailKind.WARNING)
    fails = tuple(kind for kind in FailKind if kind in kinds and kind in policy.fails)
    if fails:
        why = GateReason(kind=GateReasonKind.FAILS, faults=told, warnings=counted)
        return _Failing(verdict=CellVerdict.FAULTY, fails=fails, why=why)
    return inconclusive(GateReasonKind.FAILS_UNNAMED) if told else None


def _arm_fault(arm: Arm, fault: Fault) -> ArmFault:
    return ArmFault(arm=arm, outcome=fault.outcome, failed=fault.failed, boots=fault.boots, message=fault.message)
