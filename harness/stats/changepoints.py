"""Where a nightly series may have changed: a loose screen, whose candidates an interleaved A/B confirms or refutes.

No detector of change points holds its error on real series (docs/explanation/alarms.md has figures), so this one is
asked to miss little, and each false candidate costs one A/B of two kernels. Two screens look at the log medians of
nights under equal conditions:

- the newest one to three nights against those before them, by a score like Student's, so that a step is seen soon;
- all of a segment by penalised least squares (PELT: Killick, Fearnhead, Eckley, J. Am. Stat. Assoc. 107, 2012; the
  implementation is KernelCPD of ruptures), penalty 5 ln n, so that a small lasting step is seen in the end.

Both measure in units of one robust scale of the series: night-to-night differences, never below what the boots of a
night say.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from harness.model.alarm import Asked, Change, Night
from harness.model.experiment import Experiment
from harness.model.verdict import Decision, Verdict
from harness.model.workload import Direction, Metric
from harness.stats.sequential import RESOLUTION

# Standard deviation of Gaussian noise / median absolute deviation.
_MAD = 1.4826
# Variance of a median / variance of the mean, of many Gaussian values: pi / 2.
_MEDIAN = math.pi / 2
# The newest screen: up to so many nights against so many before them, from this score on.
NEWEST, _BEFORE, THRESHOLD = 3, 20, 3.5
# The screen of whole segments: penalty / ln n, nights between two changes, and the shortest segment it looks at.
_PENALTY, _LEAST_NIGHTS, _SHORTEST = 5.0, 2, 6
# Differences of nights from which on they tell the scale.
_FEW = 8
# Twice the drop of the log likelihood within which another night may be the first: 95 % of a chi square of one degree.
_PLACE = 3.84
# A change that an A/B refuted is asked for again once it shows so many times more clearly.
AGAIN = 1.5
# Least change of interest / a cell's margin; error and least cap on boots of a confirming A/B.
_PART, _ERROR, _BOOTS = 0.5, 0.01, 40
# Without a floor of the metric, values that are not positive are raised to this part of the largest one.
_RELATIVE_FLOOR = 0.01


def screen(
    nights: Sequence[Night],
    metric: Metric,
    *,
    minimal: float,
    told: Collection[int] = (),
    asked: Collection[Asked] = (),
    since: int = 0,
) -> tuple[Change, ...]:
    """Suspected changes of a series, oldest first; never across a break of conditions.

    `nights`: oldest first. `minimal`: least effect of interest, a fraction. `told`: nights that are the first after a
    change that is known, at which the series is split. `asked`: suspicions of this series that were put to an A/B;
    what one of them covers comes again only when it shows much more clearly. `since`: changes at an earlier night are
    left out, though their nights count.
    """
    usable = [index for index, night in enumerate(nights) if night.values]
    if not usable:
        return ()
    logs = dict(zip(usable, _levels([nights[index] for index in usable], metric), strict=True))
    segments = _segments(nights, usable, told)
    scale = _scale(nights, segments, logs, metric)
    series = _Series(nights=nights, metric=metric, logs=logs, scale=scale, minimal=math.log1p(minimal))
    found: list[Change] = []
    for segment in segments:
        pieces = [*_pieces([logs[index] / scale for index in segment])]
        changes = [series.change(segment, start, end) for start, _, end in pieces]
        if segment[-1] == usable[-1]:
            # What is newer than the last change of the segment.
            changes.append(series.newest(segment, pieces[-1][1] if pieces else 0))
        found += [change for change in changes if change is not None]
    kept = [change for change in found if change.index >= since and not _covered(change, nights, asked)]
    return tuple(sorted(kept, key=lambda change: change.index))


def minimal_effect(experiment: Experiment) -> float:
    """Least change of interest, a fraction: half of what counts as the same in a comparison of two kernels."""
    return _PART * experiment.margin


def confirmation(experiment: Experiment, metric: str) -> Experiment:
    """The A/B that a suspected change of a cell is put to; the kernels are the caller's to name.

    By the changed metric alone, at an error of at most 1 %, and with the least effect of interest as its margin: else
    a change of less than the cell's margin would be called the same. A cell's few boots a night do not bind it.
    """
    return replace(
        experiment,
        metric=metric,
        margin=minimal_effect(experiment),
        error=min(experiment.error, _ERROR),
        max_boots=max(experiment.max_boots, _BOOTS),
        seed=None,
    )


def confirmed(change: Change, decision: Decision) -> bool:
    """Whether an A/B of both kernels, by the changed metric alone, says the same direction at its own error."""
    return decision.final and decision.verdict is (Verdict.SLOWER if change.worse else Verdict.FASTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """A series with the log median of each usable night."""

    nights: Sequence[Night]
    metric: Metric
    logs: dict[int, float]
    # Standard deviation of a night's log median.
    scale: float
    # Least log ratio of interest.
    minimal: float

    def newest(self, segment: Sequence[int], start: int) -> Change | None:
        """The newest nights of a segment against those before them, from `start` on: the clearest split, if any is."""
        best: tuple[float, tuple[int, int, int]] | None = None
        for count in range(1, min(NEWEST, len(segment) - start - 1) + 1):
            split = len(segment) - count
            piece = (max(split - _BEFORE, start), split, len(segment))
            score = self._score(segment, *piece)
            if score >= THRESHOLD and (best is None or score > best[0]):
                best = (score, piece)
        return self.change(segment, best[1][0], best[1][2]) if best else None

    def change(self, segment: Sequence[int], start: int, end: int) -> Change | None:
        """The change of a segment's nights [start, end) where they divide best; None where it is none.

        That is where it is below the least effect, or both sides of it are one kernel.
        """
        first, split, last = self._places(segment, start, end)
        effect = self._effect(segment, start, split, end)
        if abs(effect) < self.minimal:
            return None
        before, after = self.nights[segment[first - 1]].kernel, self.nights[segment[last]].kernel
        if before.digest == after.digest:
            return None
        return Change(
            index=segment[split],
            before=before,
            after=after,
            ratio=math.exp(effect),
            worse=(effect < 0) is (self.metric.direction is Direction.HIGHER),
            score=round(self._score(segment, start, split, end), 3),
        )

    def _effect(self, segment: Sequence[int], start: int, split: int, end: int) -> float:
        """Log ratio of the medians of both sides."""
        old, new = ([self.logs[index] for index in segment[one:other]] for one, other in ((start, split), (split, end)))
        return statistics.median(new) - statistics.median(old)

    def _score(self, segment: Sequence[int], start: int, split: int, end: int) -> float:
        variance = sum((1.0 if count < NEWEST else _MEDIAN) / count for count in (split - start, end - split))
        return abs(self._effect(segment, start, split, end)) / (self.scale * math.sqrt(variance))

    def _places(self, segment: Sequence[int], start: int, end: int) -> tuple[int, int, int]:
        """First, best and last place of [start, end) that it may divide at, by the sum of squares on both sides."""
        base = self.logs[segment[start]]
        logs = [(self.logs[index] - base) / self.scale for index in segment[start:end]]
        whole, left = math.fsum(logs), 0.0
        # What a division takes off the sum of squares, but for a constant.
        gains = []
        for place, value in enumerate(logs[:-1], 1):
            left += value
            gains.append(left**2 / place + (whole - left) ** 2 / (len(logs) - place))
        best = max(gains)
        as_good = [place for place, gain in enumerate(gains, start + 1) if gain >= best - _PLACE]
        return as_good[0], start + 1 + gains.index(best), as_good[-1]


def _squares(values: Sequence[float]) -> float:
    middle = math.fsum(values) / len(values)
    return math.fsum((value - middle) ** 2 for value in values)


def _levels(nights: Sequence[Night], metric: Metric) -> list[float]:
    """Log of each night's median over boots; what is below the metric's floor counts as that."""
    medians = [statistics.median(night.values) for night in nights]
    floor = _floor(medians, metric)
    return [math.log(max(value, floor)) for value in medians]


def _floor(values: Sequence[float], metric: Metric) -> float:
    if metric.floor > 0:
        return metric.floor
    largest = max(values)
    return min(_RELATIVE_FLOOR * largest if largest > 0 else 1.0, min(value for value in (*values, 1.0) if value > 0))


def _segments(nights: Sequence[Night], usable: Sequence[int], told: Collection[int]) -> list[list[int]]:
    """Nights that can be compared, each group oldest first; the groups by their first night.

    Nights under equal conditions are one group wherever they stand, so that a series whose nights go to two hosts in
    turn is two series; a known change divides all of them.
    """
    groups: dict[tuple[frozenset[tuple[str, str]], int], list[int]] = defaultdict(list)
    for index in usable:
        passed = sum(index >= place for place in told)
        groups[frozenset(nights[index].conditions), passed].append(index)
    return list(groups.values())


def _scale(nights: Sequence[Night], segments: Sequence[Sequence[int]], logs: dict[int, float], metric: Metric) -> float:
    """Standard deviation of a night's log median: from differences of neighbours, not below what boots say.

    Of few nights a step would be most of the differences: there the boots alone say it.
    """
    steps = [abs(logs[other] - logs[one]) for segment in segments for one, other in pairwise(segment)]
    between = _MAD * statistics.median(steps) / math.sqrt(2) if steps else 0.0
    inside = [error for index in logs if (error := _night_error(nights[index], metric)) is not None]
    if inside and len(steps) < _FEW:
        between = 0.0
    return max(between, statistics.median(inside) if inside else 0.0, RESOLUTION)


def _night_error(night: Night, metric: Metric) -> float | None:
    """Standard error of a night's log median, from its boots; None of fewer than three."""
    if len(night.values) < 3:
        return None
    floor = _floor(night.values, metric)
    values = [math.log(max(value, floor)) for value in night.values]
    return math.sqrt(_squares(values) / (len(values) - 1) * _MEDIAN / len(values))


def _pieces(scaled: Sequence[float]) -> Iterator[tuple[int, int, int]]:
    """(start, split, end) at each change of a segment whose noise is of unit scale."""
    if len(scaled) < _SHORTEST:
        return
    # Here, because it takes a second or more; what only tells of a series need not wait.
    import numpy as np
    from ruptures import KernelCPD

    values = np.asarray(scaled, dtype=np.float64).reshape(-1, 1)
    found = KernelCPD(kernel="linear", min_size=_LEAST_NIGHTS).fit(values).predict(pen=_PENALTY * math.log(len(scaled)))
    bounds = [0, *(int(place) for place in found)]
    yield from zip(bounds, bounds[1:], bounds[2:], strict=False)


def _covered(change: Change, nights: Sequence[Night], asked: Collection[Asked]) -> bool:
    """Whether an A/B answered it: between the kernels it compared, in the same direction, and not much clearer now."""
    places = {night.kernel.digest: index for index, night in enumerate(nights)}
    for earlier in asked:
        first = places.get(earlier.change.before.digest)
        last = places.get(earlier.change.after.digest)
        if first is None or last is None or change.worse is not earlier.change.worse:
            continue
        if first < change.index <= last and change.score < AGAIN * earlier.change.score:
            return True
    return False
