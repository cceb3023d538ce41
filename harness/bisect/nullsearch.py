"""A search as long as all measured kernels are like the ends: where a slow stretch may still hide, and how likely.

The engine of harness.bisect.search tells states apart; while there is but one, it would chase noise, and effects as
small as one likes. Here only differences worth naming are looked for. Of a calm metric each boot shows whether it is
one: a stretch is missed only when it lies between two measured kernels, so kernels are measured where that is
likeliest. Of a noisy metric differences of some spreads are looked for, with the engine's own means.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.bisect.metric import spread_of
from harness.bisect.noise import Floats, Noise, Predictive, Sums
from harness.bisect.posterior import EdgePrior
from harness.bisect.search import EdgeSearch

# Probability of having missed a stretch, were there one, at which it is no longer looked for, but said.
GIVE_UP = 0.1

# Boots of one kernel: logs of the metric.
Values = Mapping[int, Sequence[float]]

# Smallest difference that is looked for, in spreads between boots of one kernel.
_STEP = 1.75
# Probability that all are alike below which they are not taken to be.
_DOUBT = 0.01
# Probability of that by the engine, which knows of smaller differences, below which they are not left alone either.
_LIKE = 0.5
# Spreads, of those that few boots tell, from which a boot is wild.
_WILD = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NullSearch:
    """What is left to look for."""

    # Probability that a stretch, were there one, would not have been seen.
    missed: float
    # The kernel to measure next; None when none tells more.
    kernel: int | None
    # Posterior probability of each number of edges.
    counts: Mapping[int, float]
    # Smallest difference that is looked for, log ratio.
    step: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownStep:
    """Noise of harness.bisect.noise: the other state is `step` away from the first, wherever that is."""

    step: float
    spread: float

    def log_marginal(self, first: Sums, other: Sums) -> Floats:
        """Gaussian log likelihood, the first state's mean integrated out."""
        count, total, squares = self._levelled(first, other)
        log_likelihood: Floats = np.asarray(-0.5 * (squares - total**2 / count) / self.spread**2)
        return log_likelihood

    def predictive(self, first: Sums, other: Sums, boots: int) -> tuple[Predictive, Predictive]:
        """Gaussians around the mean of all values, and a step from it."""
        count, total, _ = self._levelled(first, other)
        mean, scale = total / count, self.spread * np.sqrt(1 / boots + 1 / count)
        freedom = np.full(np.shape(count), math.inf)
        return (
            Predictive(location=mean, scale=scale, freedom=freedom),
            Predictive(location=mean + self.step, scale=scale, freedom=freedom),
        )

    def _levelled(self, first: Sums, other: Sums) -> tuple[Floats, Floats, Floats]:
        """Count, sum and sum of squares of all values, those of the other state less the step."""
        moved = self.step * other.count
        squares = other.squares - 2 * self.step * other.total + self.step * moved
        return first.count + other.count, first.total + other.total - moved, first.squares + squares


def is_null(values: Values, margin: float) -> bool:
    """Whether all kernels' medians (of logs) lie within the margin of the ends'."""
    ends = [value for end in (min(values), max(values)) for value in values[end]]
    middle = float(np.median(ends))
    return all(abs(float(np.median(one)) - middle) <= math.log1p(margin) for one in values.values())


def look(prior: EdgePrior, measured: Sequence[int], unbootable: Collection[int], margin: float) -> NullSearch:
    """Where to look next; ``measured`` are all kernels with a value, in order, both ends among them."""
    bounds = np.array(measured)
    hidden = prior.symmetric(bounds[:-1], bounds[1:])[1]
    whole = float(prior.symmetric(np.array(0), np.array(prior.places))[1])
    missed = float(hidden.sum()) / max(whole, 1e-300)
    like, differs = prior.counts[0], prior.counts.get(2, 0.0) * missed
    counts = {0: like / (like + differs), 2: differs / (like + differs)}
    found = NullSearch(missed=missed, kernel=None, counts=counts, step=math.log1p(margin))
    for gap in np.argsort(-hidden, kind="stable"):
        inside = [kernel for kernel in range(bounds[gap] + 1, bounds[gap + 1]) if kernel not in unbootable]
        if inside and hidden[gap] > 0:
            at = np.array(inside)
            left = prior.symmetric(np.full_like(at, bounds[gap]), at)[1]
            right = prior.symmetric(at, np.full_like(at, bounds[gap + 1]))[1]
            return replace(found, kernel=int(at[np.argmin(left + right)]))
    return found


def listen(
    search: Callable[[Noise, Values], EdgeSearch], values: Values, margin: float, *, like: float
) -> NullSearch | None:
    """Where to look next among noisy kernels: what a search for a step up or one for a step down has missed so far.

    ``search`` makes a search of boots, ``values`` are all that were made, ``like`` is the probability that the engine
    gives to no edges at all. None where either names edges and doubts that all are alike, and where nothing is left but
    to ask the engine, which doubts it.
    """
    kept = _without_outliers(values, margin)
    spread = spread_of(kept, margin)
    found: list[NullSearch] = []
    for step in (_STEP * spread, -_STEP * spread):
        known = search(KnownStep(step=step, spread=spread), kept)
        result = known.result()
        if result.edges and result.counts[0] < _DOUBT:
            return None
        choice, missed = known.next(), unseen(known.prior.counts, result.counts, 0)
        kernel = choice.kernel if choice else None
        found.append(NullSearch(missed=missed, kernel=kernel, counts=result.counts, step=abs(step)))
    worse = max(found, key=lambda one: one.missed)
    return None if worse.missed <= GIVE_UP and like < _LIKE else worse


def _without_outliers(values: Values, margin: float) -> Values:
    """Boots that other boots of the same kernel do not contradict: one wild boot must not hide a step, nor show one."""
    distances = {kernel: np.abs(np.asarray(one) - np.median(one)) for kernel, one in values.items()}
    # A median lies too near to the few values that it is of.
    repeated = [one * math.sqrt(len(one) / (len(one) - 1)) for one in distances.values() if len(one) > 1]
    if not repeated:
        return values
    wild = _WILD * max(1.4826 * float(np.median(np.concatenate(repeated))), math.log1p(margin) / 2)
    kept = {
        kernel: [value for value, distance in zip(one, distances[kernel], strict=True) if distance <= wild]
        for kernel, one in values.items()
    }
    return {kernel: one for kernel, one in kept.items() if one}


def unseen(prior: Mapping[int, float], now: Mapping[int, float], named: int) -> float:
    """How likely a search would have come to the same, at most, had there been more edges than the `named` ones.

    `prior` and `now` are probabilities of each number of edges, before the first boot and after the last. Odds against
    `named` edges, now by then, say how much of what was seen speaks for more: that does not rest on how many edges were
    held likely, and of searches among more edges no greater share ends like this one, whenever it stops.
    """
    likely = now.get(named, 0.0) / prior[named]
    odds = [now.get(count, 0.0) / share / max(likely, 1e-300) for count, share in prior.items() if count > named]
    return min(max(odds, default=0.0), 1.0)
