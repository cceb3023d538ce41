"""Which changes are one, and where a series is another one since."""

from dataclasses import replace

import pytest
from nightly import ALARM, kernel, nights

from harness.model.alarm import Change
from harness.stats.nights import places_of, same_change, told_places

pytestmark = pytest.mark.unit

# The alarm is between kernels 29 and 30.
PLACES = places_of(nights(60))


def change(before: int, after: int, *, worse: bool = True) -> Change:
    return Change(index=after, before=kernel(before), after=kernel(after), ratio=0.95, worse=worse, score=5.0)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [(29, 30, True), (28, 31, True), (30, 31, True), (27, 29, True), (31, 32, False), (27, 28, False)],
)
def test_kernels_that_overlap_or_touch_are_one_change(before: int, after: int, same: bool) -> None:
    assert same_change(ALARM, change(before, after), PLACES) is same
    assert not same_change(ALARM, change(before, after, worse=False), PLACES)


def test_without_their_nights_only_the_same_kernels_are() -> None:
    assert same_change(ALARM, change(29, 30), {})
    assert not same_change(ALARM, change(29, 31), {})


def test_a_kernel_of_several_nights_stands_at_its_last() -> None:
    twice = nights(6, kernels=lambda night: kernel(night // 2))
    assert places_of(twice) == {kernel(number).digest: 2 * number + 1 for number in range(3)}


def test_a_series_is_another_one_from_the_first_night_after_a_change() -> None:
    series = nights(40)
    later = replace(ALARM, before=kernel(34), after=kernel(36))
    elsewhere = replace(ALARM, after=kernel(99))
    assert told_places((later, ALARM, elsewhere), series) == (30, 36)
    assert told_places((), series) == ()
