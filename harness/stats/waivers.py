"""What a gate is asked to bear with: which waiver covers what, and which has had its time."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase

from debian.debian_support import Version

from harness.model.matrix import Waiver

# Of a waiver that covers a cell as a whole.
EVERYTHING = "*"
_UPSTREAM = re.compile(r"v?(?P<numbers>\d{1,9}(?:\.\d{1,9})*)(?:\.?[-~]rc(?P<candidate>\d{1,9}))?(?!\d)", re.ASCII)


def fits(waiver: Waiver, cell: str, metric: str) -> bool:
    """Whether a waiver speaks of a metric of a cell. Its patterns are a shell's, whose `*` takes a `/`, too."""
    return fnmatchcase(cell, waiver.cells) and fnmatchcase(metric, waiver.metrics)


def waiver_of(waivers: Sequence[Waiver], cell: str, metric: str) -> Waiver | None:
    """The waiver for a metric of a cell: of several that fit the one that bears most, the first one among equals."""
    fitting = [waiver for waiver in waivers if fits(waiver, cell, metric)]
    return max(fitting, key=lambda waiver: float("inf") if waiver.bound is None else waiver.bound, default=None)


def waiver_of_failures(waivers: Sequence[Waiver], cell: str) -> Waiver | None:
    """The first waiver for whatever fails in a cell, crashes too: one for all metrics, without a bound."""
    whole = (waiver for waiver in waivers if waiver.bound is None and waiver.metrics == EVERYTHING)
    return next((waiver for waiver in whole if fnmatchcase(cell, waiver.cells)), None)


def idle(waivers: Sequence[Waiver], counted: Mapping[str, Collection[str]]) -> tuple[Waiver, ...]:
    """Those that fit nothing. `counted`: cell -> the metrics that count there."""
    # Cells with the same metrics are many; a pattern is tried on each metric once.
    found = []
    for waiver in waivers:
        metrics: dict[frozenset[str], bool] = {}
        for cell, names in counted.items():
            key = names if isinstance(names, frozenset) else frozenset(names)
            if key not in metrics:
                metrics[key] = any(fnmatchcase(name, waiver.metrics) for name in key)
            if metrics[key] and fnmatchcase(cell, waiver.cells):
                break
        else:
            found.append(waiver)
    return tuple(found)


def is_over(waiver: Waiver, *, today: date, versions: Collection[str] = ()) -> bool:
    """Whether a waiver holds no more: its day is past, or one of the candidates is of its version or a newer one.

    `versions`: of candidates, as they or their packages call it ("7.4~rc2-1~exp1", "7.4.0-rc2"). Release candidates
    are before their release. Raises ValueError where one of them, or that of the waiver, cannot be read.
    """
    if waiver.until is not None and today > waiver.until:
        return True
    return waiver.until_version is not None and any(
        upstream(version) >= upstream(waiver.until_version) for version in versions
    )


def upstream(version: str) -> Version:
    """The upstream version of a kernel, to compare with others: "7.4~rc2" of "v7.4-rc2" and of "7.4.0-rc2-1-cloud".

    Ordered by Debian's rules, where a tilde sorts before the end. Raises ValueError.
    """
    found = _UPSTREAM.match(version)
    if found is None:
        raise ValueError(f"{version!r} is no kernel version")
    # The kernel calls the first release of a series 7.4.0, its tag and packages 7.4.
    numbers = re.sub(r"^(\d+\.\d+)\.0$", r"\1", found["numbers"])
    return Version(numbers + (f"~rc{found['candidate']}" if found["candidate"] else ""))
