"""Numbers for people: three digits that count, one unit for both arms, ratios and percentages."""

import math

# Unit -> (from which value on, divided by what, shown as).
_LARGER: dict[str, tuple[float, float, str]] = {
    "us": (10_000.0, 1000.0, "ms"),
    "ms": (10_000.0, 1000.0, "s"),
    "MiB/s": (10_240.0, 1024.0, "GiB/s"),
}
NOTHING = "-"


def scale_for(unit: str, *values: float | None) -> tuple[float, str]:
    """What to divide by, and the unit then, so that `values` read well in one and the same unit."""
    threshold, factor, larger = _LARGER.get(unit, (math.inf, 1.0, unit))
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    return (factor, larger) if largest >= threshold else (1.0, unit)


def number(value: float | None, digits: int = 3) -> str:
    """`value` with `digits` significant ones and no exponent up to a million: 0.0123, 1.02, 22.1, 297, 1004."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -6 or magnitude > 9:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - magnitude, 0)}f}"


def ratio(value: float | None) -> str:
    """x3.38: candidate over baseline."""
    return NOTHING if value is None else f"x{_fold(value, _decimals(value))}"


def interval(low: float | None, high: float | None) -> str:
    """3.01 to 3.79."""
    if low is None or high is None:
        return NOTHING
    decimals = max(_decimals(low), _decimals(high))
    return f"{_fold(low, decimals)} to {_fold(high, decimals)}"


def percent(value: float) -> str:
    """+238 % of the ratio 3.38."""
    change = (value - 1.0) * 100.0
    if abs(change) >= 9.95:
        return f"{change:+.0f} %"
    return "0.0 %" if abs(change) < 0.05 else f"{change:+.1f} %"


def level(error: float) -> str:
    """Confidence level of an error rate, to three digits of that: 99 %, 99.75 %, 98.33 %, 99.9975 %."""
    digits = 2 - math.floor(math.log10(error * 100.0)) if error > 0 else 0
    text = f"{(1.0 - error) * 100.0:.{max(digits, 1)}f}"
    return f"{text.rstrip('0').rstrip('.')} %"


def seconds(value: float) -> str:
    """0.3 s, 12.6 s, 4 min 10 s."""
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def _decimals(value: float) -> int:
    """Near 1 a third one counts."""
    return 3 if 0.9 <= value <= 1.1 else 2


def _fold(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return "inf"
    return number(value) if value < 0.1 or value >= 100 else f"{value:.{decimals}f}"
