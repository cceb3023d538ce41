"""Worse than a margin, or not: one metric of one cell over its blocks, and Holm's procedure over all of them.

Two one-sided claims are made from the repeated intervals of harness.stats.sequential: "worse than the margin" where the
interval lies beyond it, "not worse than the margin" where it lies on the good side of it. A one-sided claim at level x
takes the two-sided interval at 2x, whose ends miss the true ratio with x each: exchanging the arms' names mirrors the
interval, so that with noise of one law in both arms, whatever the law, neither end is likelier to be wrong. Where
the arms' noise differs the calibration's reserve is left (see `nominal_level`): of Gaussian runs the whole interval
at 2x misses with at most x.

When boots fall on two humps, n blocks look like a sure loss with probability 4^-n (see `first_look`). That takes at
most an eighth of a claim's level, since the levels of many hypotheses are small, and so are the reserves of t intervals
there: `first_look(2 * level)` would leave nothing for later looks, and half is too much with 200 hypotheses
(benchmarks/gate_sim.py).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model.workload import Direction, Metric
from harness.stats.blocks import BlockPair
from harness.stats.compare import log_values
from harness.stats.sequential import MIN_BLOCKS, Estimate, first_look


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """One-sided errors of both claims, as fractions, and how many hypotheses share the first."""

    # That any of `hypotheses` is called worse; that one metric is called not worse.
    error: float
    miss: float
    hypotheses: int
    # Cap on the cell's blocks.
    max_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """What all looks at a metric have shown, after each block from the first on: a claim once shown stays shown."""

    pairs: tuple[BlockPair, ...]
    margin: float
    # The last look; None below two blocks.
    estimate: Estimate | None
    # Blocks after which it was first known to be not worse; None while it is not.
    cleared_after: int | None
    # The largest k for which "worse" was shown at error / k, of at most Levels.hypotheses; 0: at no level.
    withstands: int
    # Blocks after which it was first shown at that k.
    worse_after: int | None


def loss(metric: Metric, log_ratio: float) -> float:
    """A log ratio, candidate to baseline, with the sign turned so that positive is worse."""
    return -log_ratio if metric.direction is Direction.HIGHER else log_ratio


def loss_beyond(metric: Metric, estimate: Estimate, margin: float) -> float:
    """By how much (log) a metric's loss is beyond its margin as far as is known; negative on the good side."""
    return loss(metric, estimate.mean) - math.log1p(margin)


def look_at(metric: Metric, pairs: Sequence[BlockPair], margin: float, levels: Levels) -> Looks:
    """All looks at one metric, one after each block; pairs in any order."""
    ordered = tuple(sorted(pairs, key=lambda pair: pair.block))
    baseline, candidate, _ = log_values(metric, ordered)
    cleared_after = worse_after = None
    withstands = 0
    for blocks in range(MIN_BLOCKS, len(ordered) + 1):
        estimate = Estimate.of(baseline[:blocks], candidate[:blocks])
        beyond = loss_beyond(metric, estimate, margin)
        if cleared_after is None and shows_not_worse(estimate, beyond, levels):
            cleared_after = blocks
        shown = largest_divisor(estimate, beyond, levels)
        if shown > withstands:
            withstands, worse_after = shown, blocks
    return Looks(
        pairs=ordered,
        margin=margin,
        estimate=Estimate.of(baseline, candidate) if len(ordered) >= 2 else None,
        cleared_after=cleared_after,
        withstands=withstands,
        worse_after=worse_after,
    )


def first_claim(level: float) -> int:
    """Blocks that a one-sided claim at this level needs at least: 4^-blocks is an eighth of it at most."""
    return first_look(level / 4)


def one_sided_width(estimate: Estimate, level: float, max_blocks: int) -> float:
    """How far from its mean a ratio may lie on one side, but for an error of `level`; infinite on too few blocks."""
    if estimate.blocks < first_claim(level):
        return math.inf
    return estimate.half_width(2 * level, max_blocks)


def shows_not_worse(estimate: Estimate, beyond: float, levels: Levels) -> bool:
    """Whether a loss that is `beyond` the margin (log; negative on the good side) is surely on the good side of it."""
    return beyond < 0 and beyond + one_sided_width(estimate, levels.miss, levels.max_blocks) <= 0


def largest_divisor(estimate: Estimate, beyond: float, levels: Levels) -> int:
    """The largest k, up to the number of hypotheses, for which "worse" is shown at error / k; 0 for none."""
    if beyond <= 0:
        return 0
    shown, open_from = 0, levels.hypotheses + 1
    while open_from - shown > 1:
        k = (shown + open_from) // 2
        if one_sided_width(estimate, levels.error / k, levels.max_blocks) < beyond:
            shown = k
        else:
            open_from = k
    return shown


def holm(withstands: Sequence[int], hypotheses: int) -> tuple[bool, ...]:
    """Which of some hypotheses are rejected ("worse than its margin" is claimed), by Holm's procedure over all looks.

    `withstands` as of Looks, of those that may be rejected, which are among `hypotheses`. The first is rejected at
    error / hypotheses, the next at error / (hypotheses - 1), and so on (Holm, Scand. J. Stat. 6, 1979).

    That this may be asked at any time: each true hypothesis i is shown at error / k at any look whatever with
    probability error / k at most, since the intervals hold at all looks together. With T true ones, the probability
    that any of them is ever shown at error / T is at most error. Where none is, none is ever rejected: the first
    true one to be rejected, at whatever time, would have at most hypotheses - T false ones rejected before it, hence
    would have to be shown at error / T or a smaller level. This needs no independence between hypotheses, nor does
    it matter when or why each of them was looked at. Claims only become more: looks add to `withstands`, never take
    away.
    """
    rejected = [False] * len(withstands)
    for count, index in enumerate(sorted(range(len(withstands)), key=lambda index: -withstands[index])):
        if withstands[index] < hypotheses - count:
            break
        rejected[index] = True
    return tuple(rejected)


def blocks_until(metric: Metric, looks: Looks, levels: Levels, *, worse: bool) -> int:
    """Blocks until a claim is shown if location and spread stay what they are; up to the cap where it is not till then.

    `worse` asks for "worse", at error / hypotheses; else for "not worse". Needs an estimate.
    """
    estimate = looks.estimate
    assert estimate is not None
    beyond = loss_beyond(metric, estimate, looks.margin)
    left = max(levels.max_blocks - estimate.blocks, 0)
    if (beyond > 0) is not worse:
        return left
    level = levels.error / levels.hypotheses if worse else levels.miss
    for blocks in range(estimate.blocks + 1, levels.max_blocks):
        if one_sided_width(estimate.after(blocks), level, levels.max_blocks) < abs(beyond):
            return blocks - estimate.blocks
    return left
