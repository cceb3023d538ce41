"""A search as long as every kernel measured is like the ends: where a slow stretch may still hide, and how likely.

The engine of harness.bisect.search tells states apart; while there is but one, it would chase noise. Here a stretch is
missed only when it lies between two measured kernels, so kernels are measured where that is likeliest.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.bisect.posterior import EdgePrior


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """What is left to look for."""

    # Probability that a stretch between two measured kernels differs.
    missed: float
    # The kernel to measure next; None when every kernel that can be is.
    kernel: int | None


def is_quiet(values: Mapping[int, Sequence[float]], margin: float) -> bool:
    """Whether all kernels' medians (of logs) lie within the margin of the ends'."""
    ends = [value for end in (min(values), max(values)) for value in values[end]]
    middle = float(np.median(ends))
    return all(abs(float(np.median(one)) - middle) <= math.log1p(margin) for one in values.values())


def look(prior: EdgePrior, measured: Sequence[int], unbootable: Collection[int]) -> Quiet:
    """Where to look next; ``measured`` are all kernels with a value, in order, both ends among them."""
    bounds = np.array(measured)
    hidden = prior.symmetric(bounds[:-1], bounds[1:])[1]
    whole = float(prior.symmetric(np.array(0), np.array(prior.places))[1])
    mass = prior.counts.get(2, 0.0) * float(hidden.sum()) / max(whole, 1e-300)
    missed = mass / max(mass + prior.counts.get(0, 0.0), 1e-300)
    for gap in np.argsort(-hidden, kind="stable"):
        inside = [kernel for kernel in range(bounds[gap] + 1, bounds[gap + 1]) if kernel not in unbootable]
        if inside and hidden[gap] > 0:
            at = np.array(inside)
            left = prior.symmetric(np.full_like(at, bounds[gap]), at)[1]
            right = prior.symmetric(at, np.full_like(at, bounds[gap + 1]))[1]
            return Quiet(missed=missed, kernel=int(at[np.argmin(left + right)]))
    return Quiet(missed=missed, kernel=None)
