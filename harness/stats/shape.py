"""Shapes of boot-to-boot noise that a reader should know about: two humps, drift."""

import math
from collections.abc import Sequence

import numpy as np

from harness.stats import student

# Fewer boots than this show no shape.
_MIN_HUMP_BOOTS = 8
_MIN_DRIFT_BOOTS = 10
# Share of the sum of squares left after the best split of n boots in two, _RESIDUE - _FEW / n at most for two humps.
# Gaussian boots leave 0.36 in the long run, and less than this in under 0.5 % of samples of any size.
_RESIDUE, _FEW = 0.2, 1.25
_SMALLEST_HUMP = 0.2
_DRIFT_ERROR = 0.001


def two_humped(values: Sequence[float]) -> bool:
    """Whether boots of one kernel fall into two groups, as when a boot picks one of two layouts."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n < _MIN_HUMP_BOOTS or ordered[0] == ordered[-1]:
        return False
    sums, squares = np.cumsum(ordered - ordered.mean()), np.cumsum((ordered - ordered.mean()) ** 2)
    sizes = np.arange(1, n)
    # Sum of squares within both parts, for a cut after each value; the values are centred, so the parts' sums cancel.
    within = squares[-1] - sums[:-1] ** 2 * (1 / sizes + 1 / (n - sizes))
    smallest = max(2, math.ceil(_SMALLEST_HUMP * n))
    return bool(within[smallest - 1 : n - smallest].min() < (_RESIDUE - _FEW / n) * squares[-1])


def drifts(values: Sequence[float]) -> bool:
    """Whether boots of one kernel, in the order they were made, rise or fall (Spearman, error rate 0.1 %)."""
    n = len(values)
    if n < _MIN_DRIFT_BOOTS or len(set(values)) < n // 2:
        return False
    ranks = np.argsort(np.argsort(values))
    correlation = float(np.corrcoef(ranks, np.arange(n))[0, 1])
    if abs(correlation) >= 1:
        return True
    t = abs(correlation) * math.sqrt((n - 2) / (1 - correlation**2))
    return 2 * student.probability(n - 2, -t) < _DRIFT_ERROR
