"""JSON that a guest printed, read field by field: any text gives values of the right kind or a WorkloadError.

Where nobody looks, a report may hold what it likes (fio has printed NaN for a deviation); where a value is read, it is
absent, or it is what it must be.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import WorkloadError

# Of unsigned 64 bits. Python refuses numbers of 4300 digits, and is slow before that.
_MOST_DIGITS = 20
_LARGEST = 2.0**64


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of a report."""

    # Whose report it is, and where in it this object is ("fio", "jobs.write"): for messages.
    program: str
    place: str
    _values: Mapping[str, Any]

    def number(self, key: str) -> float | None:
        """A number from 0 to 2^64; None where it is missing or null. Raises WorkloadError."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, f"{_kind(value)}, not a number")
        if not 0 <= value <= _LARGEST:
            raise self._wrong(key, f"{value}: out of range")
        return float(value)

    def count(self, key: str) -> int:
        """A whole number; 0 where it is missing or null. Raises WorkloadError."""
        return int(self.number(key) or 0)

    def text(self, key: str, *, limit: int = 100) -> str:
        """A text, cut to `limit` characters; "" where it is missing. Raises WorkloadError."""
        value = self._values.get(key)
        if not isinstance(value, str | None):
            raise self._wrong(key, f"{_kind(value)}, not a text")
        # JSON's escapes can name half a character, which no file and no database takes.
        return (value or "")[:limit].encode(errors="replace").decode()

    def part(self, key: str) -> "Fields":
        """An object inside; one without fields where it is missing or null. Raises WorkloadError."""
        value = self._values.get(key)
        if not isinstance(value, dict | None):
            raise self._wrong(key, f"{_kind(value)}, not an object")
        return Fields(self.program, self._inside(key), value or {})

    def parts(self, key: str) -> list["Fields"]:
        """A list of objects; an empty one where it is missing or null. Raises WorkloadError."""
        values = self._values.get(key)
        if not isinstance(values, list | None):
            raise self._wrong(key, f"{_kind(values)}, not a list")
        for value in values or []:
            if not isinstance(value, dict):
                raise self._wrong(key, f"a list that holds {_kind(value)}, not objects only")
        return [Fields(self.program, self._inside(key), value) for value in values or []]

    def _inside(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def _wrong(self, key: str, said: str) -> WorkloadError:
        return WorkloadError(f"{self.program}'s report is malformed: {self._inside(key)} is {said}")


def read_report(program: str, text: str, start: int = 0) -> Fields:
    """The JSON object that begins at `start`, whatever follows it. Raises WorkloadError."""
    decoder = json.JSONDecoder(parse_int=_whole)
    try:
        report, _ = decoder.raw_decode(text, start)
    except RecursionError:
        raise WorkloadError(f"{program}'s report is malformed: nested too deep") from None
    except ValueError as error:
        raise WorkloadError(f"{program}'s report is cut short or malformed: {error}") from error
    if not isinstance(report, dict):
        raise WorkloadError(f"{program}'s report is malformed: {_kind(report)}, not an object")
    return Fields(program, "", report)


def _whole(text: str) -> float:
    return int(text) if len(text) <= _MOST_DIGITS else math.copysign(math.inf, -1 if text.startswith("-") else 1)


def _kind(value: object) -> str:
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null" if value is None else "a number")
