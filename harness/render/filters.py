"""Filters and tests of Jinja2 that a user's template may use: those whose work is no more than what they are given.

Left out are those that make texts of any width (center, indent, format), draw at random, or reach for attributes.
`sandbox` adds join and replace, whose result must be bounded before it is made.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jinja2.filters import FILTERS as _ALL_FILTERS
from jinja2.tests import TESTS as _ALL_TESTS

# More digits than a float has.
_MOST_DIGITS = 30

_FILTERS = (
    "abs",
    "capitalize",
    "count",
    "d",
    "default",
    "first",
    "float",
    "int",
    "items",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "reverse",
    "select",
    "sort",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
)
_TESTS = (
    *("boolean", "defined", "divisibleby", "even", "false", "float", "integer", "iterable", "mapping", "none"),
    *("number", "odd", "sequence", "string", "true", "undefined"),
    *("==", "!=", "<", "<=", ">", ">=", "eq", "ne", "lt", "le", "gt", "ge", "equalto", "greaterthan", "lessthan", "in"),
)


# Jinja2 has them as "functions", which are not callable to a type checker.
_FILTERS_KNOWN: Mapping[str, Any] = _ALL_FILTERS
_TESTS_KNOWN: Mapping[str, Any] = _ALL_TESTS


def _quote(value: str) -> str:
    return shlex.quote(value)


def _round(value: float, precision: int = 0, method: Literal["common", "ceil", "floor"] = "common") -> float:
    if abs(precision) > _MOST_DIGITS:
        raise ValueError(f"round() to {precision} digits")
    rounded: float = _FILTERS_KNOWN["round"](float(value), precision, method)
    return rounded


FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: _FILTERS_KNOWN[name] for name in _FILTERS},
    "quote": _quote,
    "round": _round,
}
"""Name -> function."""

TESTS: Mapping[str, Callable[..., Any]] = {name: _TESTS_KNOWN[name] for name in _TESTS}
"""Name -> function."""
