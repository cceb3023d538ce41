"""Intervals that may be looked at after every block: repeated confidence intervals for a mean log ratio.

Jennison and Turnbull (J. R. Stat. Soc. B 51, 1989): an interval after every block, all of them right together with
probability 1 - error, up to a cap on blocks. Each is a t interval at one nominal level, lower than the error, so that
looking often is paid for. The spread is unknown and is estimated in two ways: from differences inside blocks
(paired t) and from the boots of each arm (Welch's t). The former holds against whatever is common to a block (another
host, drift), the latter knows nearly twice as much after few blocks. The narrower interval counts; its nominal level
pays for that choice too.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from harness.stats import student

# Nothing is decided on fewer blocks, whatever the error.
MIN_BLOCKS = 4

# Spread of log values that no boot-to-boot comparison is trusted to be better than; also what makes ties harmless.
RESOLUTION = 0.001

# Nominal two-sided level / error: of 10^6 Gaussian runs, looked at from MIN_BLOCKS to the cap, half of the error ever
# pass, or 0.4 of it below 1 % (python benchmarks/ab_sim.py --calibrate). The rest is kept for noise that is not
# Gaussian: with two-humped boots, the worst model of that benchmark, the stated error is just about used up.
_CAPS = (4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 100)
_ERRORS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
_LEVELS = (
    (0.288, 0.292, 0.287, 0.282, 0.346, 0.352, 0.355, 0.362),
    (0.141, 0.152, 0.148, 0.157, 0.197, 0.203, 0.218, 0.232),
    (0.105, 0.098, 0.105, 0.109, 0.141, 0.148, 0.163, 0.177),
    (0.068, 0.068, 0.069, 0.070, 0.097, 0.100, 0.113, 0.126),
    (0.052, 0.051, 0.053, 0.055, 0.076, 0.080, 0.090, 0.102),
    (0.044, 0.044, 0.045, 0.046, 0.063, 0.068, 0.077, 0.088),
    (0.035, 0.034, 0.037, 0.039, 0.053, 0.057, 0.065, 0.075),
    (0.027, 0.027, 0.030, 0.032, 0.043, 0.047, 0.053, 0.062),
    (0.021, 0.022, 0.023, 0.024, 0.034, 0.037, 0.043, 0.050),
    (0.015, 0.017, 0.017, 0.019, 0.026, 0.029, 0.034, 0.039),
    (0.011, 0.013, 0.013, 0.014, 0.020, 0.022, 0.027, 0.031),
)


def first_look(error: float) -> int:
    """Blocks that a decision at this error needs at least.

    When boots fall on one of two humps, all boots of one arm fall on one and all of the other arm on the other with
    probability 2 * 4^-n, and n blocks then look like a sure effect.
    """
    return max(MIN_BLOCKS, math.ceil(math.log(2 / error, 4) - 1e-9))


@lru_cache(maxsize=256)
def nominal_level(error: float, max_blocks: int) -> float:
    """Two-sided nominal level of each look, for an error over all looks up to ``max_blocks``.

    Interpolated between the calibrated errors; below the smallest one the union bound over looks and tests.
    """
    if error < _ERRORS[0]:
        return error / (2 * max(max_blocks - MIN_BLOCKS + 1, 1))
    return error * float(np.interp(math.log(error), np.log(_ERRORS), _row(max_blocks)))


def _row(max_blocks: int) -> tuple[float, ...]:
    """Calibrated ratios for a cap: between two caps those of the larger; beyond the largest, in proportion."""
    row = _LEVELS[min(bisect_left(_CAPS, max_blocks), len(_CAPS) - 1)]
    return tuple(ratio * min(1.0, _CAPS[-1] / max_blocks) for ratio in row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean log ratio with both estimates of its standard error; needs two blocks or more."""

    blocks: int
    mean: float
    # Standard errors of the mean and their degrees of freedom.
    paired_error: float
    welch_error: float
    welch_freedom: float

    @classmethod
    def of(cls, baseline: ArrayLike, candidate: ArrayLike) -> Self:
        """From log values of each arm's boots, in the same order of blocks."""
        first, second = np.asarray(baseline, dtype=np.float64), np.asarray(candidate, dtype=np.float64)
        n = len(first)
        paired = max(float(np.var(second - first, ddof=1)), RESOLUTION**2)
        variances = float(np.var(first, ddof=1)), float(np.var(second, ddof=1))
        welch = max(sum(variances), RESOLUTION**2)
        squares = sum(variance**2 for variance in variances)
        freedom = (n - 1) * sum(variances) ** 2 / squares if squares > 0 else n - 1
        return cls(
            blocks=n,
            mean=float(np.mean(second - first)),
            paired_error=math.sqrt(paired / n),
            welch_error=math.sqrt(welch / n),
            welch_freedom=min(max(freedom, n - 1), 2 * n - 2),
        )

    def after(self, blocks: int) -> Self:
        """What it would be after so many blocks if location and spread stayed what they are."""
        shrink = math.sqrt(self.blocks / blocks)
        return type(self)(
            blocks=blocks,
            mean=self.mean,
            paired_error=self.paired_error * shrink,
            welch_error=self.welch_error * shrink,
            welch_freedom=self.welch_freedom * (blocks - 1) / (self.blocks - 1),
        )

    def half_width(self, error: float, max_blocks: int) -> float:
        """Half-width of the repeated interval for an error over all looks; infinite before the first look."""
        if self.blocks < first_look(error):
            return math.inf
        level = nominal_level(error, max_blocks)
        return min(
            -student.quantile(self.blocks - 1, level / 2) * self.paired_error,
            -student.quantile(self.welch_freedom, level / 2) * self.welch_error,
        )

    def p_value(self) -> float:
        """Smaller of both two-sided p values against "the arms are equal", for one look and one test."""
        return 2 * min(
            student.probability(self.blocks - 1, -abs(self.mean) / self.paired_error),
            student.probability(self.welch_freedom, -abs(self.mean) / self.welch_error),
        )
