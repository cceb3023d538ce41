"""What a night measures: which kernels of a series are new since the last one, and what each is measured against.

Pure: what is on offer and what came of earlier nights goes in, kernels and their baselines come out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A kernel of a series, on offer or measured."""

    # What people call it.
    name: str
    # In the source's own order.
    version: str
    # Each of them tells it from all others of its series: what is on offer has one, what was measured may have more.
    identities: frozenset[str]
    # Names this very kernel for ever; None where its source has no such names.
    spec: str | None

    def same(self, other: "Known") -> bool:
        """Whether both are one kernel."""
        return not self.identities.isdisjoint(other.identities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of a kernel of a series, in one cell, in one night."""

    kernel: Known
    # What it was measured against.
    against: Known
    # Not worse than that, or a waiver bears with it; and none of its boots failed.
    good: bool
    # What was read back differed from what was written, in any boot.
    corrupt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKernels:
    """Kernels that a cell lacks, oldest first."""

    wanted: tuple[Known, ...]
    # New too, but older than those that are wanted: never measured.
    passed_over: tuple[Known, ...] = ()


class Choice(StrEnum):
    """Why a kernel is what another one is measured against."""

    LAST_GOOD = "the last good one of the series"
    FILE = "the baseline that the file names"
    FIRST = "what the first of the series was measured against: none since was good"
    PREVIOUS = "the one before it on offer"
    ITSELF = "itself (A/A), as there is no other"
    AS_BEGUN = "as the night began that was interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a kernel is measured against, and why."""

    spec: str
    name: str
    choice: Choice


def new_kernels(
    offered: Sequence[Known],
    past: Sequence[Measured],
    *,
    newest: int,
    is_newer: Callable[[str, str], bool],
) -> NewKernels:
    """Of `offered`, oldest first, those newer than all that `past` has: the `newest` last of them are wanted.

    `is_newer` compares versions, be they on offer or not: a mirror forgets what is superseded.
    """
    new = tuple(
        kernel
        for kernel in offered
        if not any(kernel.same(one.kernel) or not is_newer(kernel.version, one.kernel.version) for one in past)
    )
    first = max(len(new) - newest, 0)
    return NewKernels(wanted=new[first:], passed_over=new[:first])


def baseline_of(
    kernel: Known,
    offered: Sequence[Known],
    past: Sequence[Measured],
    *,
    given: str | None,
    there: Callable[[Known], bool],
) -> Baseline:
    """What `kernel` is measured against in a cell; `past` is that of the cell, the newest night first.

    The last good kernel that can still be had (`there`); else, on the first night, `given`, the kernel before it on
    offer, or itself; later, what the first one was measured against. Never one whose data check failed in this cell.
    """
    corrupt = [one.kernel for one in past if one.corrupt]

    def fit(other: Known) -> bool:
        return other.spec is not None and not any(other.same(bad) for bad in corrupt) and there(other)

    for one in past:
        if one.good and not one.kernel.same(kernel) and fit(one.kernel):
            return _baseline(one.kernel, Choice.LAST_GOOD)
    if given is not None:
        return Baseline(spec=given, name=given, choice=Choice.FILE)
    if past and not past[-1].against.same(kernel) and fit(past[-1].against):
        return _baseline(past[-1].against, Choice.FIRST)
    bad = [one.kernel for one in past]
    before = [other for other in _before(kernel, offered) if fit(other) and not any(other.same(one) for one in bad)]
    return _baseline(before[-1], Choice.PREVIOUS) if before else _baseline(kernel, Choice.ITSELF)


def _before(kernel: Known, offered: Sequence[Known]) -> Sequence[Known]:
    """Those that stand before it; none where it is not among them."""
    place = next((place for place, other in enumerate(offered) if other.same(kernel)), 0)
    return offered[:place]


def _baseline(kernel: Known, choice: Choice) -> Baseline:
    assert kernel.spec is not None, "only those are chosen that can be named, and what is measured is"
    return Baseline(spec=kernel.spec, name=kernel.name, choice=choice)
