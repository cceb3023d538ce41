"""Posterior over the set of edges of a line of kernels: none, one, two or three, at every possible place.

Edge e (1 <= e < n) lies between kernels e - 1 and e. Hypotheses that put their edges between the same measured kernels
share their evidence, so they are kept as one class: a tuple of gaps. With t measured kernels there are O(t^K) classes
for K edges, each evaluated in O(1) from prefix sums, whatever the length of the ladder.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.bisect.noise import Floats, Noise, Sums

Ints = NDArray[np.int64]

MAX_EDGES = 3


class EdgePrior:
    """Prior over edge sets: a probability per number of edges, a weight per place, and a law of widths for pairs.

    ``weights[e - 1]`` belongs to edge e. K edges have a probability proportional to the product of their weights;
    with ``log_uniform_width`` the inner stretch of two edges has a width whose logarithm is uniform instead.
    """

    def __init__(
        self, weights: Sequence[float] | Floats, counts: dict[int, float], *, log_uniform_width: bool = False
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        if len(self.weights) < 1 or (self.weights <= 0).any():
            raise ValueError("every edge needs a positive weight")
        self.weights = self.weights / self.weights.mean()
        total = sum(counts.values())
        self.counts = {edges: share / total for edges, share in counts.items() if share > 0}
        self._powers = np.stack([np.r_[0.0, np.cumsum(self.weights**power)] for power in (1, 2, 3)])
        self._width_sums: Floats | None = None
        if log_uniform_width:
            by_width = np.r_[0.0, 1 / np.arange(1, self.places)]
            by_width[1:] /= self.places - np.arange(1, self.places)
            # Twice summed: a rectangle of pairs (first edge, second edge) is a difference of four values.
            self._width_sums = np.cumsum(np.cumsum(by_width))

    @property
    def places(self) -> int:
        """Number of places for an edge: kernels - 1."""
        return len(self.weights)

    def between(self, kernels: Ints) -> Floats:
        """Weight of the edges between each kernel and the next of these."""
        return np.diff(self._powers[0, kernels])

    def symmetric(self, start: Ints, stop: Ints) -> Floats:
        """Elementary symmetric polynomials e1, e2, e3 of the weights of edges start < e <= stop; shape (3, ...)."""
        s, q, r = self._powers[:, stop] - self._powers[:, start]
        pairs, triples = (s**2 - q) / 2, (s**3 - 3 * s * q + 2 * r) / 6
        return np.stack([s, np.maximum(pairs, 0), np.maximum(triples, 0)])

    def log_masses(self, edges: int, gaps: Ints, bounds: Ints) -> Floats:
        """Log prior of each class: ``gaps`` (edges, classes) index the gaps bounds[g] < e <= bounds[g + 1]."""
        with np.errstate(divide="ignore"):
            if edges == 2 and self._width_sums is not None:
                masses = self._width_masses(gaps, bounds)
                return np.asarray(np.log(np.maximum(masses, 0)) - np.log(masses.sum() / self.counts[edges]))
            sums = np.log(self.symmetric(bounds[:-1], bounds[1:]))
            whole = np.log(self.symmetric(np.array(0), np.array(self.places)))
        if edges == 0:
            return np.full(1, np.log(self.counts[0]))
        log_mass = np.zeros(gaps.shape[1])
        done = np.zeros(gaps.shape[1], dtype=np.int64)
        for k in range(edges):
            # The last edge of a run in one gap takes the whole run's polynomial.
            done += 1
            last = np.ones(gaps.shape[1], dtype=bool) if k == edges - 1 else gaps[k] != gaps[k + 1]
            log_mass += np.where(last, sums[done - 1, gaps[k]], 0)
            done = np.where(last, 0, done)
        return np.asarray(log_mass - whole[edges - 1] + np.log(self.counts[edges]))

    def _width_masses(self, gaps: Ints, bounds: Ints) -> Floats:
        """Mass of pairs with the first edge in one gap and the second in another (or the same)."""
        assert self._width_sums is not None
        table = np.r_[0.0, self._width_sums]

        def summed(distance: Ints) -> Floats:
            # table[d + 1] = sum over widths up to d of their cumulated masses.
            return np.asarray(table[np.clip(distance + 1, 0, len(table) - 1)])

        low1, high1, low2, high2 = bounds[gaps[0]], bounds[gaps[0] + 1], bounds[gaps[1]], bounds[gaps[1] + 1]
        rectangle = summed(high2 - low1 - 1) - summed(high2 - high1 - 1) - summed(low2 - low1 - 1)
        same_gap = gaps[0] == gaps[1]
        return np.asarray(np.where(same_gap, summed(high1 - low1 - 1), rectangle + summed(low2 - high1 - 1)))


@lru_cache(maxsize=512)
def _tuples(edges: int, gaps: int) -> Ints:
    """All non-decreasing tuples of gaps, (edges, classes)."""
    if edges == 0:
        return np.zeros((0, 1), dtype=np.int64)
    if edges == 1:
        return np.arange(gaps)[np.newaxis]
    if edges == 2:
        return np.stack(np.triu_indices(gaps))
    return np.array(list(itertools.combinations_with_replacement(range(gaps), edges)), dtype=np.int64).T


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """Hypotheses that share their evidence, with their posterior; arrays run over classes."""

    # Number of edges, and the gap of each (rows beyond the number are -1).
    edges: Ints
    gaps: Ints
    # Posterior probability; sums to 1.
    mass: Floats
    # Values made in each state under this class.
    first: Sums
    other: Sums
    # Gap g holds the edges bounds[g] < e <= bounds[g + 1]; the bounds are the measured kernels.
    bounds: Ints

    def heaviest(self, share: float, at_most: int) -> "Classes":
        """The fewest classes that hold a share of the posterior, renormalised."""
        order = np.argsort(-self.mass)
        needed = int(np.searchsorted(np.cumsum(self.mass[order]), share)) + 1
        kept = order[: min(needed, at_most)]
        return Classes(
            edges=self.edges[kept],
            gaps=self.gaps[:, kept],
            mass=self.mass[kept] / self.mass[kept].sum(),
            first=self.first.take(kept),
            other=self.other.take(kept),
            bounds=self.bounds,
        )


def classes_of(
    prior: EdgePrior, noise: Noise, bounds: Ints, sums: Sums, tied: Sequence[tuple[int, int]] = ()
) -> Classes:
    """The posterior: ``bounds`` are the measured kernels in order, both ends among them; ``sums`` their values.

    ``tied`` are pairs of indices into ``bounds``: one kernel at two places, so that their states are equal.
    """
    zero = np.zeros(1)
    prefix = Sums(
        count=np.r_[zero, np.cumsum(sums.count)],
        total=np.r_[zero, np.cumsum(sums.total)],
        squares=np.r_[zero, np.cumsum(sums.squares)],
    )
    whole = prefix.take(slice(-1, None))
    parts: list[tuple[Ints, Ints, Floats, Sums]] = []
    for edges in prior.counts:
        gaps = _tuples(edges, len(bounds) - 1)
        log_prior = prior.log_masses(edges, gaps, bounds)
        # Gap g begins behind measured kernel g, so kernels up to g are in the state before the edge.
        other = _between(prefix, whole, gaps)
        padded = np.full((MAX_EDGES, gaps.shape[1]), -1, dtype=np.int64)
        padded[:edges] = gaps
        parts.append((np.full(gaps.shape[1], edges), padded, log_prior, other))
    other = Sums(
        count=np.concatenate([part[3].count for part in parts]),
        total=np.concatenate([part[3].total for part in parts]),
        squares=np.concatenate([part[3].squares for part in parts]),
    )
    first = whole - other
    log_mass = np.concatenate([part[2] for part in parts]) + noise.log_marginal(first, other)
    gaps = np.concatenate([part[1] for part in parts], axis=1)
    for one, place in tied:
        between = ((gaps >= min(one, place)) & (gaps < max(one, place))).sum(axis=0)
        log_mass = np.where(between % 2 == 1, -np.inf, log_mass)
    return Classes(
        edges=np.concatenate([part[0] for part in parts]),
        gaps=gaps,
        mass=np.exp(log_mass - np.logaddexp.reduce(log_mass)),
        first=first,
        other=other,
        bounds=bounds,
    )


def _between(prefix: Sums, whole: Sums, gaps: Ints) -> Sums:
    """Sums over the kernels in the other state: from each odd edge to the next, or to the end."""
    edges, classes = gaps.shape
    nothing = np.zeros(classes)
    other = Sums(count=nothing, total=nothing, squares=nothing)
    for k in range(0, edges, 2):
        stop = prefix.take(gaps[k + 1] + 1) if k + 1 < edges else whole
        other = other + (stop - prefix.take(gaps[k] + 1))
    return other


def probability_other(prior: EdgePrior, classes: Classes, kernels: Ints) -> Floats:
    """P(kernel is in the other state | class), (kernels, classes): all that selection needs of the history's shape.

    The state is the parity of the edges up to the kernel. Edges in gaps before the kernel's count in full; r edges in
    its own gap, split by it into two parts, leave an odd number on the left with a probability of the polynomials.
    """
    gap = np.clip(np.searchsorted(classes.bounds, kernels, side="left") - 1, 0, len(classes.bounds) - 2)
    low, high = classes.bounds[gap], classes.bounds[gap + 1]
    left, right = prior.symmetric(low, kernels), prior.symmetric(kernels, high)
    both = np.maximum(prior.symmetric(low, high), np.finfo(np.float64).tiny)
    odd = np.stack(
        [
            np.zeros(len(kernels)),
            left[0] / both[0],
            left[0] * right[0] / both[1],
            (left[0] * right[1] + left[2]) / both[2],
        ]
    )
    present = classes.gaps >= 0
    before = (present[:, np.newaxis] & (classes.gaps[:, np.newaxis] < gap[:, np.newaxis])).sum(axis=0)
    inside = (classes.gaps[:, np.newaxis] == gap[:, np.newaxis]).sum(axis=0)
    odd_inside = np.clip(odd[inside, np.arange(len(kernels))[:, np.newaxis]], 0, 1)
    other: Floats = np.where(before % 2 == 1, 1 - odd_inside, odd_inside)
    return other
