"""How much measured values speak for a kernel being on one side of an edge or the other.

A kernel is in one of two states: "first" is that of the ladder's first end, "other" is the one it may change to. Values
(logs of a metric, one per boot) are Gaussian around the mean of their state. Either the noise is known, or means and
spread are learned: integrated out under every hypothesis with its own assignment of kernels to states (in closed form;
predictives are Student's t). Far values count less.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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
    """Means and one common spread are unknown; where the means lie does not matter, only how far apart they are.

    The overall mean is flat, spread^2 ~ inverse gamma, and the difference D of the means has the moment prior
    D^2 N(0, (scale spread)^2), mixed over scales: an edge without a difference is no edge, so such explanations weigh
    little, and small differences are expected more often than great ones, which a few lucky boots may feign.
    """

    # A spread to begin with, and how many values it is worth: little, for it is seen in values that count anyway.
    spread: float
    freedom: float = 0.1
    # Scales of the difference in spreads (it is likeliest at 1.4 of them), with their weights.
    scales: tuple[float, ...] = (0.9, 2.5, 8.0)
    weights: tuple[float, ...] = (0.9, 0.08, 0.02)

    def log_marginal(self, first: Sums, other: Sums) -> Floats:
        """Marginal over the overall mean, the difference, the spread and the scale of the difference."""
        return np.asarray(np.logaddexp.reduce(self._log_scales(self._fit(first, other)), axis=0))

    def predictive(self, first: Sums, other: Sums, boots: int) -> tuple[Predictive, Predictive]:
        """Student's t with the moments that the difference would have under a plain normal prior of these scales."""
        fit = self._fit(first, other)
        log_scales = self._log_scales(fit)
        share = np.exp(log_scales - np.logaddexp.reduce(log_scales, axis=0))
        variance = fit.squares / fit.freedom
        found = []
        for away in (-other.count / fit.count, first.count / fit.count):
            location = fit.mean + away * fit.apart * fit.kept
            mixed = (share * location).sum(axis=0)
            width = variance * (1 / boots + 1 / fit.count + away**2 * fit.kept) + (location - mixed) ** 2
            scale = np.sqrt((share * width).sum(axis=0))
            found.append(Predictive(location=mixed, scale=scale, freedom=fit.freedom))
        return found[0], found[1]

    def _log_scales(self, fit: "_Fit") -> Floats:
        """Log weight of each scale of the difference, after the values."""
        wide = _column(self.scales, fit.count) ** 2
        log_normal = 0.5 * np.log(fit.kept / wide) - fit.freedom / 2 * np.log(fit.squares / 2)
        # Mean of (D / (scale spread))^2 under the posterior of the normal prior.
        moment = ((fit.apart * fit.kept) ** 2 * fit.freedom / fit.squares + fit.kept) / wide
        return np.asarray(np.log(_column(self.weights, fit.count)) + log_normal + np.log(moment))

    def _fit(self, first: Sums, other: Sums) -> "_Fit":
        whole = first + other
        mean = whole.total / whole.count
        apart = other.total - other.count * mean
        wide = _column(self.scales, whole.count) ** 2
        kept = wide / (1 + first.count * other.count / whole.count * wide)
        around = whole.squares - whole.count * mean**2 - apart**2 * kept
        return _Fit(
            count=whole.count,
            mean=mean,
            apart=apart,
            kept=kept,
            squares=self.freedom * self.spread**2 + np.maximum(around, 0),
            freedom=self.freedom + whole.count - 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Values of both states against a normal prior of the difference; `kept` and `squares` have a row per scale."""

    count: Floats
    mean: Floats
    # Sum of the other state's values, each less the mean of all; times `kept` the expected difference.
    apart: Floats
    # Variance of the difference after the values, in spreads^2.
    kept: Floats
    # Sum of squares left, priors included, and the freedom that it has.
    squares: Floats
    freedom: Floats


def _column(values: tuple[float, ...], like: Floats) -> Floats:
    """One row per value, over arrays shaped like this one."""
    return np.reshape(np.asarray(values, dtype=np.float64), (-1, *[1] * np.ndim(like)))


def density(predictive: Predictive, values: Floats) -> Floats:
    """Probability densities, (hypotheses, values)."""
    z = (values - predictive.location[:, np.newaxis]) / predictive.scale[:, np.newaxis]
    freedom = predictive.freedom
    if not np.isfinite(freedom).all():
        gaussian: Floats = np.exp(-0.5 * z**2) / (math.sqrt(2 * math.pi) * predictive.scale[:, np.newaxis])
        return gaussian
    log_norm = _log_gamma_ratio(freedom) - 0.5 * np.log(freedom * math.pi)
    log_density = (log_norm - np.log(predictive.scale))[:, np.newaxis] - (freedom[:, np.newaxis] + 1) / 2 * np.log1p(
        z**2 / freedom[:, np.newaxis]
    )
    student: Floats = np.exp(log_density)
    return student


def _log_gamma_ratio(freedom: Floats) -> Floats:
    """ln(gamma((f + 1) / 2) / gamma(f / 2)); a few values, many times.

    By the standard library: SciPy's function takes longer to import than `kab bisect status` to answer.
    """
    values, places = np.unique(freedom, return_inverse=True)
    ratios = [math.lgamma((value + 1) / 2) - math.lgamma(value / 2) for value in values.tolist()]
    return np.asarray(ratios)[places]


def weights_of(distances: Floats, spread: float) -> Floats:
    """Weight of values by their distance from where they may well lie: 1 up to three spreads, then its inverse square.

    A value of a heavy tail then says nearly nothing about the state, instead of more than all the others.
    """
    weights: Floats = np.minimum(1.0, (FAR / np.maximum(distances / spread, FAR)) ** 2)
    return weights
