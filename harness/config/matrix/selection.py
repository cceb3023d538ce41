"""Some cells of a matrix: by their labels (`--only`), and as one share of several hosts (`--shard`)."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from harness.config.matrix.cells import matches
from harness.errors import ConfigError
from harness.parse.suggest import unknown

# More hosts than anybody has; a slip of the keyboard is told.
_MOST_SHARDS = 100_000
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)


class Named(Protocol):
    """A cell, before or after its kernels are fixed."""

    @property
    def name(self) -> str:
        """Unique in its matrix."""

    @property
    def axes(self) -> Mapping[str, str]:
        """Axis -> label."""


_Cell = TypeVar("_Cell", bound=Named)


def select(cells: Sequence[_Cell], only: Sequence[str] = (), shard: str | None = None) -> tuple[_Cell, ...]:
    """The cells that each AXIS=PATTERN of `only` means, and of those the ones of `shard` I/N, in their order.

    Patterns of one axis are alternatives; of several axes, each is demanded. A shard may be empty. Raises ConfigError
    for a pattern or axis that no cell has, and for words that are neither.
    """
    chosen = tuple(cells)
    if only:
        wanted = _wanted(cells, only)
        chosen = tuple(cell for cell in cells if all(cell.axes[axis] in wanted[axis] for axis in wanted))
        if not chosen:
            raise ConfigError(
                f"no cell has all of {', '.join(f'--only {word}' for word in only)}", remedy="Give fewer of them."
            )
    if shard is None:
        return chosen
    index, count = parse_shard(shard)
    return tuple(cell for cell in chosen if shard_of(cell.name, count) == index)


def parse_shard(text: str) -> tuple[int, int]:
    """(I, N) of "I/N", I from 1 to N. Raises ConfigError."""
    found = _SHARD.fullmatch(text.strip())
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count <= _MOST_SHARDS:
        raise ConfigError(f"--shard {text!r} is no share", remedy="Write I/N with I from 1 to N, such as 2/5.")
    return index, count


def shard_of(name: str, count: int) -> int:
    """Which of `count` shards, from 1, has the cell `name`: by sha256 of the name, modulo `count`.

    It depends on nothing else, so that cells that are added or removed move no other one. Another `count` deals anew.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % count + 1


def _wanted(cells: Sequence[Named], only: Sequence[str]) -> dict[str, set[str]]:
    """Axis -> the labels that are meant."""
    labels: dict[str, dict[str, None]] = {}
    for cell in cells:
        for axis, label in cell.axes.items():
            labels.setdefault(axis, {})[label] = None
    wanted: dict[str, set[str]] = {}
    for word in only:
        axis, equals, pattern = word.partition("=")
        if not axis or not equals or not pattern:
            raise ConfigError(f"--only {word!r} is not AXIS=PATTERN", remedy="Such as --only 'workload=shared-dio*'.")
        if axis not in labels:
            raise unknown("axis", axis, labels, where="--only")
        found = {label for label in labels[axis] if matches(label, pattern)}
        if not found:
            raise unknown(f"label of the axis {axis}", pattern, labels[axis], where="--only")
        wanted.setdefault(axis, set()).update(found)
    return wanted
