"""One search for the edges of a ladder: a fold over what was measured that says which kernel to boot next."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.bisect.noise import FAR, Floats, LearnedNoise, Noise, Sums, weights_of
from harness.bisect.posterior import Classes, EdgePrior, Ints, classes_of, probability_other
from harness.bisect.select import Choice, select
from harness.model.bisection import Doubt
from harness.stats.sequential import RESOLUTION
from harness.stats.shape import two_humped

# How far a kernel that cannot boot casts doubt on its neighbours: halved with every kernel between.
_SKIP_SHADOW = 0.5
# Two-sample t statistic of the ends from which they are taken to lie apart: searching between ends that overlap needs a
# noise that is well known.
_CLEAR_T = 2.5
# Boots of one kernel that tell a spread (a median of two lies between them), and how far few of them are distrusted.
_MIN_REPEATS = 2
_GUESS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One step of a search: a boot of a kernel with its value (log of the metric), or None: it cannot be tested."""

    kernel: int
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a search is run by."""

    # The search is over when one set of edges has this posterior probability.
    confidence: float = 0.99
    # Boots of each end before anything else, at least, and at most while the ends overlap; they teach the noise.
    calibration: int = 2
    calibration_overlapping: int = 8
    # What fetching or building a kernel costs before its first boot, in boots.
    build_cost: float = 0.0
    # None: means and spread are learned.
    noise: Noise | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFound:
    """One edge: the state changes after kernel ``before`` and not later than kernel ``after``.

    They are neighbours, unless nothing between them can be tested.
    """

    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a search believes."""

    # Most probable set of edges that can be told apart, in order, and its posterior probability.
    edges: tuple[EdgeFound, ...]
    probability: float
    decided: bool
    # Posterior probability of each number of edges.
    counts: dict[int, float]
    doubts: tuple[Doubt, ...] = ()


class EdgeSearch:
    """A search in progress. The same records in the same order give the same search: resuming is replaying."""

    def __init__(self, prior: EdgePrior, rules: Rules) -> None:
        self.prior = prior
        self.rules = rules
        self.records: list[Observation] = []
        self._values: dict[int, list[float]] = {}
        self._skipped: set[int] = set()
        # Kernel -> the first one that it is identical to.
        self._same: dict[int, int] = {}
        self._classes: Classes | None = None

    @property
    def kernels(self) -> int:
        """Length of the ladder."""
        return self.prior.places + 1

    @property
    def ends(self) -> tuple[int, int]:
        """First and last kernel."""
        return 0, self.prior.places

    def record(self, step: Observation) -> None:
        """Take in one step. Raises ValueError for a kernel outside the ladder, or an end that cannot be tested."""
        if not 0 <= step.kernel < self.kernels:
            raise ValueError(f"kernel {step.kernel} is not on a ladder of {self.kernels}")
        if step.value is None:
            if step.kernel in self.ends:
                raise ValueError("an end of the ladder cannot be skipped")
            self._skipped.add(step.kernel)
        else:
            if not math.isfinite(step.value):
                raise ValueError(f"the value of kernel {step.kernel} is not a finite number")
            self._skipped.discard(step.kernel)
            self._values.setdefault(step.kernel, []).append(step.value)
        self.records.append(step)
        self._classes = None

    def tie(self, kernel: int, same: int) -> None:
        """Two kernels of the ladder are one and the same: their states are equal, and a boot of one is one of both.

        Raises ValueError for a kernel outside the ladder, and where both ends would be one kernel.
        """
        if not 0 <= min(kernel, same) <= max(kernel, same) < self.kernels:
            raise ValueError(f"kernels {kernel} and {same} are not both on a ladder of {self.kernels}")
        kernel, same = self._own(kernel), self._own(same)
        if {kernel, same} == set(self.ends):
            raise ValueError("both ends of the ladder are the same kernel")
        if kernel != same:
            # An end keeps its boots: they teach the noise.
            if kernel in self.ends:
                kernel, same = same, kernel
            for other, own in self._same.items():
                if own == kernel:
                    self._same[other] = same
            self._same[kernel] = same
            self._classes = None

    def _own(self, kernel: int) -> int:
        """The kernel that stands for it and all that are identical with it."""
        return self._same.get(kernel, kernel)

    def _untestable(self) -> list[int]:
        """Kernels that cannot be tested, and builds identical with them."""
        return [*self._skipped, *(kernel for kernel, same in self._same.items() if same in self._skipped)]

    def replay(self, steps: Iterable[Observation]) -> "EdgeSearch":
        """Take in many steps; the search itself, for chaining."""
        for step in steps:
            self.record(step)
        return self

    @property
    def skipped(self) -> tuple[int, ...]:
        """Kernels that cannot be tested, in order."""
        return tuple(sorted(self._skipped))

    @property
    def calibrated(self) -> bool:
        """Whether both ends have been booted as often as the rules ask before anything else."""
        first, last = (self._values.get(end, []) for end in self.ends)
        fewest = min(len(first), len(last))
        if fewest < self.rules.calibration:
            return False
        if self.rules.noise is not None or fewest < 2 or fewest >= self.rules.calibration_overlapping:
            return True
        gap = abs(float(np.mean(first)) - float(np.mean(last)))
        return gap * math.sqrt(fewest / 2) >= _CLEAR_T * self._end_spread()

    def next(self) -> Choice | None:
        """The kernel to boot next; None when the search is over, or no kernel left tells anything."""
        if not self.calibrated:
            end = min(self.ends, key=lambda end: len(self._values.get(end, ())))
            built = bool(self._values.get(end))
            cost = 1 + (0 if built else self.rules.build_cost)
            return Choice(kernel=end, bits=0.0, boots=1, cost=cost, probability_other=0.0)
        if self.result().decided:
            return None
        choice = select(self.prior, self._noise(), self.classes(), costs=self._costs(), bootable=self._bootable())
        return choice and replace(choice, kernel=self._own(choice.kernel))

    def after(self, choice: Choice) -> tuple[int, ...]:
        """Kernels chosen after `choice`, should it show the one state or the other; the likelier one first."""
        measured = np.array(sorted(self._values), dtype=np.int64)
        states = self.probability_of(measured) > 1 / 2
        found: list[int] = []
        for state in sorted((False, True), reverse=choice.probability_other > 1 / 2):
            values = [value for kernel in measured[states == state] for value in self._values[int(kernel)]]
            if not values:
                continue
            expected = Observation(kernel=choice.kernel, value=float(np.median(values)))
            later = EdgeSearch(self.prior, self.rules).replay([*self.records, expected])
            for kernel, same in self._same.items():
                later.tie(kernel, same)
            upcoming = later.next()
            if upcoming is not None and upcoming.kernel not in found:
                found.append(upcoming.kernel)
        return tuple(found)

    def classes(self) -> Classes:
        """The posterior; both ends must have been measured, unless the noise is known."""
        if self._classes is None:
            bounds = np.array(sorted({*self._values, *self.ends, *self._same, *self._same.values()}), dtype=np.int64)
            at = {int(kernel): index for index, kernel in enumerate(bounds)}
            tied = [(at[kernel], at[same]) for kernel, same in self._same.items()]
            self._classes = classes_of(self.prior, self._noise(), bounds, self._sums(bounds), tied)
        return self._classes

    def probability_other(self) -> Floats:
        """P(kernel is not in the first end's state) for the whole ladder."""
        return self.probability_of(np.arange(self.kernels))

    def probability_of(self, kernels: Ints) -> Floats:
        """P(kernel is not in the first end's state) for some kernels."""
        classes = self.classes().heaviest(1 - 1e-9, 10_000)
        other: Floats = probability_other(self.prior, classes, kernels) @ classes.mass
        return other

    def result(self) -> Result:
        """The most probable edges so far."""
        if self.rules.noise is None and any(end not in self._values for end in self.ends):
            return Result(edges=(), probability=0.0, decided=False, counts=dict(self.prior.counts))
        classes = self.classes()
        testable = np.setdiff1d(np.arange(self.kernels), np.array(self._untestable(), dtype=np.int64))
        starts, steps = np.searchsorted(testable, classes.bounds), self.prior.between(testable)
        # Largest share of each gap's prior that lies between two neighbouring testable kernels.
        shares = np.maximum.reduceat(steps, starts[:-1]) / np.add.reduceat(steps, starts[:-1])
        told = classes.mass * np.where(classes.gaps >= 0, shares[classes.gaps], 1.0).prod(axis=0)
        # Two edges between the same measured kernels have not been told apart.
        told = told * ~((classes.gaps[1:] >= 0) & (classes.gaps[1:] == classes.gaps[:-1])).any(axis=0)
        best = int(np.argmax(told))
        edges = []
        for gap in classes.gaps[:, best][classes.gaps[:, best] >= 0]:
            at = starts[gap] + int(np.argmax(steps[starts[gap] : starts[gap + 1]]))
            edges.append(EdgeFound(before=int(testable[at]), after=int(testable[at + 1])))
        return Result(
            edges=tuple(edges),
            probability=float(told[best]),
            decided=self.calibrated and bool(told[best] >= self.rules.confidence),
            counts={count: float(classes.mass[classes.edges == count].sum()) for count in self.prior.counts},
            doubts=self._doubts() if told[best] >= self.rules.confidence else (),
        )

    def _noise(self) -> Noise:
        if self.rules.noise is not None:
            return self.rules.noise
        return LearnedNoise(spread=self._end_spread())

    def _end_spread(self) -> float:
        """Pooled standard deviation of both ends' boots, not below the resolution of a measurement."""
        ends = [np.asarray(self._values[end]) for end in self.ends]
        freedom = sum(len(values) for values in ends) - len(ends)
        squares = sum(float(((values - values.mean()) ** 2).sum()) for values in ends)
        return max(math.sqrt(squares / freedom) if freedom else 0.0, RESOLUTION)

    def _sums(self, bounds: Ints) -> Sums:
        """Weighted sums of each measured kernel's values."""
        boots = [np.asarray(self._values.get(int(kernel), ()), dtype=np.float64) for kernel in bounds]
        place = np.repeat(np.arange(len(bounds)), [len(values) for values in boots])
        values = np.concatenate(boots)
        weights = self._weights(boots)
        sums = [np.bincount(place, weights * values**power, minlength=len(bounds)) for power in (0, 1, 2)]
        count, total, squares = (np.asarray(found, dtype=np.float64) for found in sums)
        return Sums(count=count, total=total, squares=squares)

    def _weights(self, boots: Sequence[Floats]) -> Floats:
        """Weight of each value, by its distance from the nearest level: of an end, or of a kernel that boots agree on.

        A state that neither end shows is thus believed as soon as a second boot of the same kernel confirms it, and
        is then known for every other kernel.
        """
        whole = np.concatenate(boots)
        if self.rules.noise is not None:
            return np.ones(len(whole))
        own, residuals = [np.full(len(values), math.inf) for values in boots], [np.empty(0)]
        for place, values in enumerate(boots):
            if len(values) >= _MIN_REPEATS:
                own[place] = np.abs(values - np.median(values))
                # A median lies too near to the few values that it is of.
                residuals.append(own[place] * math.sqrt(len(values) / (len(values) - 1)))
        pooled = np.concatenate(residuals)
        if not len(pooled):
            return np.ones(len(whole))
        # Consistent for Gaussian values; wider while it is a guess.
        spread = max(1.4826 * float(np.median(pooled)) * (1 + _GUESS / len(pooled)), RESOLUTION)
        levels = [np.median(self._values[end]) for end in self.ends]
        for values, distances in zip(boots, own, strict=True):
            if np.count_nonzero(distances <= FAR * spread) >= _MIN_REPEATS:
                levels.append(np.median(values))
        nearest = np.abs(whole[:, np.newaxis] - np.array(levels)).min(axis=1)
        return weights_of(np.minimum(nearest, np.concatenate(own)), spread)

    def _costs(self) -> Floats:
        costs = np.full(self.kernels, self.rules.build_cost)
        costs[[*self._values, *self._same]] = 0.0
        return costs

    def _bootable(self) -> Floats:
        """Probability that a kernel boots: rare failures, but they come in runs; 0 for those that did not."""
        bootable = np.full(self.kernels, (1.0 + len(self._values)) / (1.0 + len(self._values) + len(self._skipped)))
        for kernel in self._skipped:
            shadow = _SKIP_SHADOW ** np.abs(np.arange(self.kernels) - kernel)
            bootable *= 1 - _SKIP_SHADOW * shadow
        bootable[[*self._values, *self._same]] = 1.0
        bootable[self._untestable()] = 0.0
        return bootable

    def _doubts(self) -> tuple[Doubt, ...]:
        residuals: list[float] = []
        other = self.probability_of(np.array(sorted(self._values), dtype=np.int64)) > 1 / 2
        for state in (False, True):
            kernels = [kernel for kernel, found in zip(sorted(self._values), other, strict=True) if found == state]
            values = [value for kernel in kernels for value in self._values[kernel]]
            residuals += [value - float(np.mean(values)) for value in values]
        if two_humped(residuals):
            return (Doubt.TWO_GROUPS,)
        return ()


def uniform_prior(kernels: int, counts: dict[int, float], weights: Sequence[float] | None = None) -> EdgePrior:
    """Every place alike, or by weight (one per edge, as many as kernels less one)."""
    return EdgePrior(np.ones(kernels - 1) if weights is None else weights, counts)
