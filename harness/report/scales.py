"""Axes: values to positions, and ticks at round numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.numbers import number

# A linear axis starts at zero unless all values lie in the upper part of it.
_ZERO_BELOW = 0.6

# Values closer together than this part of them, or to zero than this, are drawn as equal.
_ALIKE, _TINY = 1e-6, 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled position on an axis, in pixels."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From the interval [low, high] of values to [start, end] in pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Position of `value`, cut at the ends of the axis, in pixels to a tenth."""
        low, high, value = self._scaled(self.low), self._scaled(self.high), self._scaled(value)
        part = min(max((value - low) / (high - low), 0.0), 1.0)
        return round(self.start + part * (self.end - self.start), 1)

    def _scaled(self, value: float) -> float:
        return math.log(max(value, 1e-300)) if self.logarithmic else value

    def ticks(self, most: int = 6) -> tuple[Tick, ...]:
        """At most about `most` ticks at 1, 2, 5 times powers of ten."""
        values = _log_values(self.low, self.high, most) if self.logarithmic else _values(self.low, self.high, most)
        return tuple(Tick(at=self.at(value), label=_label(value)) for value in values)


def linear_axis(values: Sequence[float], *, start: float, end: float) -> Axis:
    """An axis for `values` with some room, from zero where that does not hide their differences."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low >= 0 and low < _ZERO_BELOW * high:
        low = 0.0
    largest = max(abs(low), abs(high))
    if largest < _TINY:
        low, high = (0.0 if low >= 0 else -1.0), 1.0
    elif high - low < _ALIKE * largest:
        low, high = low - 0.1 * largest, high + 0.1 * largest
    room = 0.08 * (high - low)
    return Axis(low=low if low == 0 else low - room, high=high + room, start=start, end=end)


def log_axis(values: Sequence[float], *, start: float, end: float, least: float = 1.5) -> Axis:
    """A logarithmic axis for positive `values`, at least the factor `least` wide, with some room."""
    usable = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    low, high = min(usable), max(usable)
    if high / low < least:
        middle = math.sqrt(low * high)
        low, high = middle / math.sqrt(least), middle * math.sqrt(least)
    room = (high / low) ** 0.06
    return Axis(low=low / room, high=high * room, start=start, end=end, logarithmic=True)


def _values(low: float, high: float, most: int) -> list[float]:
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _log_values(low: float, high: float, most: int) -> list[float]:
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for factors in ((1, 1.1, 1.2, 1.3, 1.5, 1.7, 2, 2.5, 3, 4, 5, 6, 7, 8, 9, 9.5), (1, 1.5, 2, 3, 5, 7), (1, 2, 5)):
        found = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(found) <= most:
            return found
    found = [10.0**power for power in powers if low <= 10.0**power <= high]
    return found[:: max(1, math.ceil(len(found) / most))]


def _label(value: float) -> str:
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
