"""Numbers with units, as people write them: sizes, durations, fractions, counts. And back, exactly.

Arithmetic is exact (fractions), so that what is rendered parses to the very same number.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

from harness.errors import ConfigError

_NUMBER = re.compile(r"(?P<number>\d{1,18}(?:\.\d{1,40})?)\s*(?P<unit>[A-Za-zµ%]*)", re.ASCII)

# Powers of 1024 only: fio and QEMU read "1k" so, and "kB" means either.
_SIZE_UNITS: Mapping[str, int] = {
    "b": 1,
    "k": 1024,
    "m": 1024**2,
    "g": 1024**3,
    "t": 1024**4,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
    "tib": 1024**4,
}
_SIZE_NAMES = "B, KiB, MiB, GiB, TiB (or k, M, G, T: powers of 1024 too)"

_DURATION_UNITS: Mapping[str, Fraction] = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "ms": Fraction(1, 10**3),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
}
_DURATION_NAMES = "ns, us, ms, s, min, h"


def parse_size(text: str) -> int:
    """Bytes of "64MiB", "512k", "1.5GiB" or "4096". Raises ConfigError."""
    number, unit = _split(text, "size", f"a number with a unit of {_SIZE_NAMES}, such as 64MiB")
    factor = _SIZE_UNITS.get(unit.lower() or "b")
    if factor is None:
        raise ConfigError(f"{text!r} is not a size: unknown unit {unit!r}", remedy=f"Units of size: {_SIZE_NAMES}.")
    size = number * factor
    if size.denominator != 1:
        raise ConfigError(f"{text!r} is not a size: it is not a whole number of bytes")
    return size.numerator


def size_text(size_bytes: int) -> str:
    """The shortest exact text of a size that `parse_size` reads: "1GiB", "1536MiB", "513B"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _SIZE_UNITS[unit.lower()]
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return f"{size_bytes}B"


def parse_duration(text: str) -> float:
    """Seconds of "2ms", "1.5s" or "10min". A bare number is refused (except 0): of what unit? Raises ConfigError."""
    number, unit = _split(text, "duration", f"a number with a unit of {_DURATION_NAMES}, such as 2ms")
    if not unit and number == 0:
        return 0.0
    factor = _DURATION_UNITS.get(unit.replace("µ", "u"))
    if factor is None:
        said = f"unknown unit {unit!r}" if unit else "it has no unit"
        raise ConfigError(f"{text!r} is not a duration: {said}", remedy=f"Units of time: {_DURATION_NAMES}.")
    return float(number * factor)


def duration_text(seconds: float) -> str:
    """A text of a duration in seconds that `parse_duration` reads back as the same float: "2ms", "1.5s", "10min"."""
    # repr is the shortest decimal that is this float; scaling a decimal loses nothing.
    exact = Fraction(Decimal(repr(seconds)))
    if exact == 0:
        return "0s"
    if exact % 60 == 0:
        return f"{exact // 60}min"
    for unit in ("s", "ms", "us"):
        if exact >= _DURATION_UNITS[unit]:
            return f"{_decimal_text(exact / _DURATION_UNITS[unit])}{unit}"
    return f"{_decimal_text(exact / _DURATION_UNITS['ns'])}ns"


def parse_fraction(text: str) -> float:
    """0.05 of "5%" or "0.05"; always above 0 and below 1. Raises ConfigError."""
    number, unit = _split(text, "percentage", "a percentage such as 5%, or a fraction such as 0.05")
    if unit not in {"", "%"}:
        raise ConfigError(f"{text!r} is not a percentage: unknown unit {unit!r}", remedy="Write 5% or 0.05.")
    fraction = number / 100 if unit else number
    if not 0 < fraction < 1:
        raise ConfigError(
            f"{text!r} is out of range: more than 0% and less than 100% is wanted", remedy="Write 5% or 0.05."
        )
    return float(fraction)


def fraction_text(fraction: float) -> str:
    """A text of a fraction that `parse_fraction` reads back as the same float: 0.05 -> "5%"."""
    return f"{_decimal_text(Fraction(Decimal(repr(fraction))) * 100)}%"


def parse_count(text: str, *, minimum: int = 0, maximum: int | None = None) -> int:
    """A whole number from `minimum` to `maximum`. Raises ConfigError."""
    if not re.fullmatch(r"\d{1,18}", text.strip(), re.ASCII):
        raise ConfigError(f"{text!r} is not a whole number")
    count = int(text)
    if count < minimum:
        raise ConfigError(f"{text!r} is too small: at least {minimum} is wanted")
    if maximum is not None and count > maximum:
        raise ConfigError(f"{text!r} is too large: at most {maximum} is wanted")
    return count


def _split(text: str, what: str, wanted: str) -> tuple[Fraction, str]:
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a {what}", remedy=f"Wanted: {wanted}.")
    return Fraction(match["number"]), match["unit"]


def _decimal_text(value: Fraction) -> str:
    # Only called with decimals times powers of ten, whose expansion is finite and short.
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    return f"{Decimal((value * 10**digits).numerator).scaleb(-digits):f}"
