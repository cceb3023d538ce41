"""How much measured values speak for a kernel being on one side of an edge or the other.

A kernel is in one of two states: "first" is that of the ladder's first end, "other" is the one it may change to. Values
(logs of a metric, one per boot) are Gaussian around the mean of their state. Either the noise is known, or means and
spread are learned: integrated out under every hypothesis with its own assignment of kernels to states (normal-inverse-
gamma priors, so marginals are ratios of gamma functions and predictives are Student's t). Far values count less.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

# Values further than this many spreads from wherever they may lie lose weight with the square of the distance.
FAR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Weighted count, sum and sum of squares of values; arrays of one shape, or scalars."""

    count: Floats
    total: Floats
    squares: Floats

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            count=self.count + other.count, total=self.total + other.total, squares=self.squares + other.squares
        )

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(
            count=self.count - other.count, total=self.total - other.total, squares=self.squares - other.squares
        )

    def take(self, index: NDArray[np.int64] | slice) -> "Sums":
        """The sums at these places."""
        return Sums(count=self.count[index], total=self.total[index], squares=self.squares[index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictive:
    """Student's t per hypothesis for one future value in one state; infinite freedom is the Gaussian."""

    location: Floats
    scale: Floats
    freedom: Floats


class Noise(Protocol):
    """What is assumed of values; arrays run over hypotheses."""

    def log_marginal(self, first: Sums, other: Sums) -> Floats:
        """Log probability of all values, up to a constant, given which were made in which state."""

    def predictive(self, first: Sums, other: Sums, boots: int) -> tuple[Predictive, Predictive]:
        """Predictive of the mean of ``boots`` further values of one kernel, in the first and in the other state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownNoise:
    """Means of both states and spread are told; what the limits of information theory are for."""

    first_mean: float
    other_mean: float
    spread: float

    def log_marginal(self, first: Sums, other: Sums) -> Floats:
        """Gaussian log likelihood."""
        squared = sum(
            sums.squares - 2 * mean * sums.total + mean**2 * sums.count
            for sums, mean in ((first, self.first_mean), (other, self.other_mean))
        )
        log_likelihood: Floats = np.asarray(-0.5 * squared / self.spread**2)
        return log_likelihood

    def predictive(self, first: Sums, other: Sums, boots: int) -> tuple[Predictive, Predictive]:  # noqa: ARG002
        """The same Gaussian under every hypothesis."""
        shape = np.shape(first.count)
        scale, freedom = np.full(shape, self.spread / math.sqrt(boots)), np.full(shape, math.inf)
        return (
            Predictive(location=np.full(shape, self.first_mean), scale=scale, freedom=freedom),
            Predictive(location=np.full(shape, self.other_mean), scale=scale, freedom=freedom),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedNoise:
    """Means and one common spread are unknown: spread^2 ~ inverse gamma, mean | spread ~ N(centre, spread^2 / weight).

    ``centre`` and the prior's spread come from the ends, which are measured before anything else.
    """

    centre: float
    # How many values the prior on each mean is worth: 0.2 expects means some three spreads apart.
    weight: float = 0.2
    # Prior on the spread, worth `freedom` values.
    freedom: float = 1.0
    spread: float = 0.01

    def log_marginal(self, first: Sums, other: Sums) -> Floats:
        """Normal-inverse-gamma marginal."""
        squares = self._squares(first, other)
        shape = (self.freedom + first.count + other.count) / 2
        log_means = -0.5 * (np.log1p(first.count / self.weight) + np.log1p(other.count / self.weight))
        return np.asarray(log_means - shape * np.log(squares / 2))

    def predictive(self, first: Sums, other: Sums, boots: int) -> tuple[Predictive, Predictive]:
        """Student's t around the mean of the state's values."""
        freedom = self.freedom + first.count + other.count
        variance = self._squares(first, other) / freedom
        found = []
        for sums in (first, other):
            known = self.weight + sums.count
            found.append(
                Predictive(
                    location=(self.weight * self.centre + sums.total) / known,
                    scale=np.sqrt(variance * (1 / boots + 1 / known)),
                    freedom=freedom,
                )
            )
        return found[0], found[1]

    def _squares(self, first: Sums, other: Sums) -> Floats:
        """Sum of squares around both means, prior included."""
        squares = np.full(np.shape(first.count), self.freedom * self.spread**2)
        for sums in (first, other):
            known = self.weight + sums.count
            centred = sums.squares - 2 * self.centre * sums.total + self.centre**2 * sums.count
            squares = squares + np.maximum(centred - (sums.total - self.centre * sums.count) ** 2 / known, 0)
        return squares


def density(predictive: Predictive, values: Floats) -> Floats:
    """Probability densities, (hypotheses, values)."""
    z = (values - predictive.location[:, np.newaxis]) / predictive.scale[:, np.newaxis]
    freedom = predictive.freedom
    if not np.isfinite(freedom).all():
        gaussian: Floats = np.exp(-0.5 * z**2) / (math.sqrt(2 * math.pi) * predictive.scale[:, np.newaxis])
        return gaussian
    log_norm = special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2) - 0.5 * np.log(freedom * math.pi)
    log_density = (log_norm - np.log(predictive.scale))[:, np.newaxis] - (freedom[:, np.newaxis] + 1) / 2 * np.log1p(
        z**2 / freedom[:, np.newaxis]
    )
    student: Floats = np.exp(log_density)
    return student


def weights_of(distances: Floats, spread: float) -> Floats:
    """Weight of values by their distance from where they may well lie: 1 up to three spreads, then its inverse square.

    A value of a heavy tail then says nearly nothing about the state, instead of more than all the others.
    """
    weights: Floats = np.minimum(1.0, (FAR / np.maximum(distances / spread, FAR)) ** 2)
    return weights
