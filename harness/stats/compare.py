"""One metric of candidate against baseline: ratio, interval and verdict, from log ratios inside blocks."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

from harness.model.experiment import Arm
from harness.model.verdict import Caution, CautionKind, Comparison, Verdict
from harness.model.workload import Direction, Metric
from harness.stats.blocks import BlockPair
from harness.stats.sequential import MIN_BLOCKS, RESOLUTION, Estimate, first_look
from harness.stats.shape import drifts, two_humped

# Without a floor in the catalogue, values that are not positive are raised to this part of the largest one.
_RELATIVE_FLOOR = 0.01


def log_values(metric: Metric, pairs: Sequence[BlockPair]) -> tuple[np.ndarray, np.ndarray, float]:
    """Logs of baseline and candidate per block, and the floor that smaller values were raised to (0: none was)."""
    values = np.array([(pair.baseline, pair.candidate) for pair in pairs], dtype=np.float64).reshape(-1, 2)
    floor = metric.floor
    if values.size and values.min() <= 0 and floor <= 0:
        # No boot above zero at all: any floor will do, the arms are equal.
        floor = _RELATIVE_FLOOR * float(values.max()) if values.max() > 0 else 1.0
    if not values.size or values.min() >= floor:
        floor = 0.0
    raised = np.log(np.maximum(values, floor) if floor else values)
    return raised[:, 0], raised[:, 1], floor


def location(differences: np.ndarray) -> float:
    """Hodges-Lehmann location: the median of all pairwise means, each value paired with itself too."""
    rows, columns = np.triu_indices(len(differences))
    return float(np.median((differences[rows] + differences[columns]) / 2))


def verdict_for(metric: Metric, low: float, high: float, margin: float) -> Verdict:
    """Verdict from an interval of the log ratio: inside the margin, beyond zero, or neither."""
    limit = math.log1p(margin)
    if -limit <= low and high <= limit:
        return Verdict.SAME
    if low > 0 or high < 0:
        larger_is_better = metric.direction is Direction.HIGHER
        return Verdict.FASTER if (low > 0) == larger_is_better else Verdict.SLOWER
    return Verdict.INCONCLUSIVE


def same_level(error: float) -> float:
    """Two-sided error of the interval that shows equivalence at `error`: twice that.

    A ratio outside the margin lies beyond one of its ends only, so only one end of the interval can be wrong (two
    one-sided tests: Schuirmann, J. Pharmacokin. Biopharm. 15, 1987).
    """
    return 2 * error


def compare(
    metric: Metric,
    pairs: Sequence[BlockPair],
    *,
    error: float,
    margin: float,
    max_blocks: int,
    same_error: float | None = None,
) -> Comparison:
    """Compare one metric over complete blocks.

    ``error`` bounds the probability that the verdict is ever wrong, looked at after each of at most ``max_blocks``
    blocks: faster or slower while the ratio is 1 or on the other side, same (at ``same_error`` where given) while the
    ratio is outside ``[1 / (1 + margin), 1 + margin]``. The interval and its error are those that gave the verdict.
    """
    ordered = sorted(pairs, key=lambda pair: pair.block)
    baseline, candidate, floor = log_values(metric, ordered)
    differences = candidate - baseline
    n = len(ordered)
    low = high = spread = None
    ratio = math.exp(location(differences)) if n else None
    verdict = Verdict.INCONCLUSIVE
    if n >= 2:
        spread = float(np.std(differences, ddof=1))
    if n >= first_look(error):
        estimate = Estimate.of(baseline, candidate)
        width = estimate.half_width(error, max_blocks)
        verdict = verdict_for(metric, estimate.mean - width, estimate.mean + width, margin)
        if verdict is Verdict.INCONCLUSIVE:
            level = same_level(error if same_error is None else same_error)
            narrower = estimate.half_width(level, max_blocks)
            if verdict_for(metric, estimate.mean - narrower, estimate.mean + narrower, margin) is Verdict.SAME:
                verdict, width, error = Verdict.SAME, narrower, level
        low, high = math.exp(estimate.mean - width), math.exp(estimate.mean + width)
        ratio = min(max(math.exp(location(differences)), low), high)
    return Comparison(
        metric=metric.name,
        blocks=n,
        baseline=statistics.median(pair.baseline for pair in ordered) if ordered else None,
        candidate=statistics.median(pair.candidate for pair in ordered) if ordered else None,
        ratio=ratio,
        low=low,
        high=high,
        error=error,
        spread=spread,
        verdict=verdict,
        # Only reports word them: harness.report.decisions.
        cautions=_cautions(ordered, differences, floor),
    )


def _cautions(pairs: Sequence[BlockPair], differences: np.ndarray, floor: float) -> tuple[Caution, ...]:
    """What a reader should know before trusting the interval."""
    found = []
    if floor:
        found.append(Caution(kind=CautionKind.FLOOR, value=floor))
    if len(pairs) >= MIN_BLOCKS and float(np.std(differences, ddof=1)) < RESOLUTION:
        found.append(Caution(kind=CautionKind.RESOLUTION, value=RESOLUTION))
    for arm, values in (
        (Arm.BASELINE, [pair.baseline for pair in pairs]),
        (Arm.CANDIDATE, [pair.candidate for pair in pairs]),
    ):
        if two_humped(values):
            found.append(Caution(kind=CautionKind.TWO_GROUPS, arm=arm))
        if drifts(values):
            found.append(Caution(kind=CautionKind.DRIFT, arm=arm))
    return tuple(found)
