"""What a matrix came to, in words for who releases: one claim, how many cells of each kind, and which metric leads."""

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.errors import ExitCode
from harness.model.matrix import CellResult, CellVerdict, MatrixOutcome, MatrixView, MetricVerdict, Waiver
from harness.model.run import KernelRecord
from harness.model.workload import Direction, Metric
from harness.parse.units import fraction_text
from harness.report.wording import counted

# Verdict -> what stands for it beside its colour.
SIGNS: Mapping[CellVerdict, str] = {
    CellVerdict.FASTER: "▲",
    CellVerdict.SAME: "=",
    CellVerdict.SLOWER: "▼",
    CellVerdict.NOT_WORSE: "✓",
    CellVerdict.INCONCLUSIVE: "?",
    CellVerdict.FAULTY: "✕",
    CellVerdict.UNMEASURED: "○",
}
# Verdict -> how pages colour it.
KINDS: Mapping[CellVerdict, str] = {
    CellVerdict.FASTER: "better",
    CellVerdict.SAME: "same",
    CellVerdict.SLOWER: "worse",
    CellVerdict.NOT_WORSE: "fine",
    CellVerdict.INCONCLUSIVE: "unclear",
    CellVerdict.FAULTY: "worse",
    CellVerdict.UNMEASURED: "none",
}
# In the order in which a reader wants to see them.
URGENCY = (
    CellVerdict.FAULTY,
    CellVerdict.SLOWER,
    CellVerdict.UNMEASURED,
    CellVerdict.INCONCLUSIVE,
    CellVerdict.FASTER,
    CellVerdict.SAME,
    CellVerdict.NOT_WORSE,
)


def verdict_words(verdict: CellVerdict) -> str:
    """``not worse``."""
    return str(verdict).replace("-", " ")


def is_bad(result: CellResult) -> bool:
    """Whether the cell fails, and no waiver covers it."""
    return result.exit_code is ExitCode.BAD


def goodness(ratio: float, metric: Metric | None) -> float:
    """How much better the candidate is as a factor, whichever way the metric is good."""
    return 1.0 / ratio if metric is not None and metric.direction is Direction.LOWER and ratio > 0 else ratio


def leading(result: CellResult, metrics: Mapping[str, Metric]) -> MetricVerdict | None:
    """The metric that the cell is judged by: the worst beside its margin of those that say what the cell says.

    Where the cell is fine, its first one.
    """
    able = [one for one in result.metrics if one.comparison.ratio]
    if not able:
        return None
    if result.verdict in {CellVerdict.SAME, CellVerdict.NOT_WORSE}:
        return able[0]
    alike = [one for one in able if one.verdict is result.verdict] or able

    def margins_lost(one: MetricVerdict) -> float:
        better = goodness(one.comparison.ratio or 1.0, metrics.get(one.metric))
        return (1.0 - better) / (one.margin or 1.0)

    return min(alike, key=margins_lost) if result.verdict is CellVerdict.FASTER else max(alike, key=margins_lost)


def shared_kernels(view: MatrixView) -> tuple[KernelRecord, KernelRecord] | None:
    """Baseline and candidate, where all measured cells have the same two."""
    pairs = {
        (one.result.baseline.digest, one.result.candidate.digest): (one.result.baseline, one.result.candidate)
        for one in view.cells
        if one.result.baseline is not None and one.result.candidate is not None
    }
    return next(iter(pairs.values())) if len(pairs) == 1 else None


def claim(view: MatrixView) -> str:
    """What the matrix came to, in one sentence without a full stop."""
    results = [one.result for one in view.cells]
    kernels = shared_kernels(view)
    against = f"candidate {kernels[1].name} against baseline {kernels[0].name}" if kernels else view.plan.title
    cells = counted(len(results), "cell")
    if view.open:
        known = sum(result.verdict not in {CellVerdict.INCONCLUSIVE, CellVerdict.UNMEASURED} for result in results)
        return f"{against}: {known} of {cells} decided, the matrix is open"
    bad = [result for result in results if is_bad(result)]
    match view.outcome.exit_code:
        case ExitCode.BAD:
            kinds = " and ".join(_many(bad, verdict) for verdict in URGENCY[:2] if _of(bad, verdict))
            word = "fails" if _gates(view) else "is worse"
            return f"{against} {word}: {kinds} of {cells}"
        case ExitCode.HOST | ExitCode.USAGE:
            lost = _many(results, CellVerdict.UNMEASURED)
            return f"{against} is not told as a whole: {lost} of {cells}"
        case ExitCode.CANNOT_TELL:
            return f"{against} cannot be told yet: {_many(results, CellVerdict.INCONCLUSIVE)} of {cells}"
        case _:
            waived = sum(is_waived(result) for result in results)
            by_waiver = f", {waived} of them by a waiver" if waived else ""
            if _gates(view):
                return f"{against} passes: not worse in any of {cells}{by_waiver}"
            return f"{against}: slower in none of {cells}{by_waiver}"


def word(view: MatrixView) -> tuple[str, str, str]:
    """The verdict as a word, a sign and the kind that a page colours it by."""
    return word_of(view.outcome, gates=_gates(view), is_open=view.open)


def word_of(outcome: MatrixOutcome, *, gates: bool, is_open: bool) -> tuple[str, str, str]:
    """As `word`, of an outcome alone."""
    if is_open:
        return "open", "…", "open"
    said = code_word(outcome.exit_code, gates=gates)
    match outcome.exit_code:
        case ExitCode.BAD:
            return said, "✕" if gates else "▼", "slower"
        case ExitCode.HOST | ExitCode.USAGE:
            return said, "○", "inconclusive"
        case ExitCode.CANNOT_TELL:
            return said, "?", "inconclusive"
        case _:
            return said, "✓", "faster"


def code_word(code: ExitCode, *, gates: bool) -> str:
    """The verdict of a matrix that is over, as a word; `gates`: of a gate."""
    match code:
        case ExitCode.BAD:
            return "fail" if gates else "worse"
        case ExitCode.HOST | ExitCode.USAGE:
            return "not measured"
        case ExitCode.CANNOT_TELL:
            return "inconclusive"
        case _:
            return "pass" if gates else "good"


def counts(view: MatrixView) -> tuple[tuple[str, int], ...]:
    """How many cells of each verdict, most urgent first, and how many of them are waived."""
    return counts_of([one.result for one in view.cells])


def counts_of(results: Sequence[CellResult]) -> tuple[tuple[str, int], ...]:
    """As `counts`, of results alone."""
    found = Counter(result.verdict for result in results)
    waived = sum(is_waived(result) for result in results)
    told = tuple((verdict_words(verdict), found[verdict]) for verdict in URGENCY if found[verdict])
    return (*told, ("waived", waived)) if waived else told


def is_waived(result: CellResult) -> bool:
    """Whether a waiver covers something of it."""
    return result.waiver is not None or any(one.waiver is not None for one in result.metrics)


def waivers_of(result: CellResult) -> tuple[Waiver, ...]:
    """The waivers that cover something of it, each once."""
    found = [result.waiver, *(one.waiver for one in result.metrics)]
    return tuple(dict.fromkeys(waiver for waiver in found if waiver is not None))


def waiver_words(waiver: Waiver) -> str:
    """``up to 12 % worse is accepted until 2027-01-31 by ANNA: REASON (FILE:LINE)``."""
    bound = "any failure" if waiver.bound is None else f"up to {fraction_text(waiver.bound)} worse"
    end = f" until {waiver.until:%Y-%m-%d}" if waiver.until else f" before {waiver.until_version}"
    where = f" ({waiver.where})" if waiver.where else ""
    return f"{bound} is accepted{end} by {waiver.owner}: {waiver.reason}{where}"


def _gates(view: MatrixView) -> bool:
    return view.plan.policy is not None


def _of(results: Sequence[CellResult], verdict: CellVerdict) -> int:
    return sum(result.verdict is verdict for result in results)


def _many(results: Sequence[CellResult], verdict: CellVerdict) -> str:
    return f"{_of(results, verdict)} {verdict_words(verdict)}"
