"""Which of two known groups of boots another kernel's boots belong to."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.bisect.noise import LearnedNoise, Sums
from harness.stats.sequential import RESOLUTION

# One boot may be a wild one.
MIN_BOOTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Logs of a metric in boots of kernels known to be fast, and of kernels known to be slow; two of each at least."""

    fast: tuple[float, ...]
    slow: tuple[float, ...]

    @property
    def apart(self) -> float:
        """Distance of the groups, in spreads between boots of one group."""
        return abs(float(np.mean(self.fast)) - float(np.mean(self.slow))) / self.spread

    @property
    def spread(self) -> float:
        """Pooled standard deviation inside the groups."""
        groups = [np.asarray(self.fast), np.asarray(self.slow)]
        freedom = max(sum(len(group) for group in groups) - 2, 1)
        squares = sum(float(((group - group.mean()) ** 2).sum()) for group in groups)
        return max(math.sqrt(squares / freedom), RESOLUTION)


def log_odds(references: References, values: Sequence[float]) -> float:
    """Log odds that boots with these logs are of a slow kernel rather than a fast one; both alike before the first.

    Means and spread are learned from the references and the boots themselves (harness.bisect.noise).
    """
    noise = LearnedNoise(spread=references.spread)
    fast, slow, new = _sums(references.fast), _sums(references.slow), _sums(values)
    return float(noise.log_marginal(fast, slow + new) - noise.log_marginal(fast + new, slow))


def classify(references: References, values: Sequence[float], error: float) -> bool | None:
    """True: like the slow kernels; False: like the fast ones; None: not sure to within the error yet."""
    if len(values) < MIN_BOOTS:
        return None
    odds = log_odds(references, values)
    if abs(odds) < math.log((1 - error) / error):
        return None
    return odds > 0


def _sums(values: Sequence[float]) -> Sums:
    found = np.asarray(values, dtype=np.float64)
    return Sums(
        count=np.asarray(float(len(found))), total=np.asarray(found.sum()), squares=np.asarray((found**2).sum())
    )
