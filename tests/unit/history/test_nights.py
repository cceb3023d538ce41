"""Which kernels are new, and what each is measured against."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.history.nights import Baseline, Choice, Known, Measured, baseline_of, new_kernels

pytestmark = pytest.mark.unit


def kernel(number: int) -> Known:
    return Known(
        name=f"6.12.{number}", version=str(number), identities=frozenset({f"k{number}"}), spec=f"debian:{number}"
    )


def night(number: int, against: int, *, good: bool = True, corrupt: bool = False) -> Measured:
    # What was measured has its digest, too.
    known = replace(kernel(number), identities=frozenset({f"k{number}", f"digest {number}"}))
    return Measured(kernel=known, against=kernel(against), good=good, corrupt=corrupt)


def is_newer(version: str, other: str) -> bool:
    return int(version) > int(other)


def names(kernels: tuple[Known, ...]) -> list[int]:
    return [int(kernel.version) for kernel in kernels]


def new(offered: list[int], past: list[Measured], newest: int = 1) -> tuple[list[int], list[int]]:
    found = new_kernels([kernel(number) for number in offered], past, newest=newest, is_newer=is_newer)
    return names(found.wanted), names(found.passed_over)


def baseline(
    number: int, offered: list[int], past: list[Measured], given: str | None = None, gone: tuple[int, ...] = ()
) -> Baseline:
    return baseline_of(
        kernel(number),
        [kernel(one) for one in offered],
        past,
        given=given,
        there=lambda known: int(known.version) not in gone,
    )


class TestNew:
    def test_first_night(self) -> None:
        assert new([5, 7, 9], []) == ([9], [5, 7])

    def test_several_are_measured_oldest_first(self) -> None:
        assert new([5, 7, 9], [], newest=2) == ([7, 9], [5])
        assert new([5, 7, 9], [], newest=5) == ([5, 7, 9], [])

    def test_the_second_time_nothing_is(self) -> None:
        assert new([5, 7, 9], [night(9, 7)]) == ([], [])

    def test_what_is_older_than_what_was_measured_is_not(self) -> None:
        """It was passed over, or a suite that has it came late."""
        assert new([5, 6, 7, 9, 11], [night(9, 7), night(7, 5)], newest=9) == ([11], [])

    def test_a_mirror_forgets_what_was_measured(self) -> None:
        assert new([5, 7], [night(9, 7)], newest=9) == ([], [])
        assert new([5, 7, 10], [night(9, 7)], newest=9) == ([10], [])

    def test_one_that_a_night_found_bad_was_measured(self) -> None:
        assert new([9], [night(9, 7, good=False)]) == ([], [])

    def test_another_build_of_one_version_is_told_by_its_content(self) -> None:
        """Sources without an order of versions: everything is newer."""
        built = replace(kernel(9), identities=frozenset({"digest of another"}))
        found = new_kernels([built], [night(9, 7)], newest=1, is_newer=lambda _version, _other: True)
        assert found.wanted == (built,)
        same = replace(kernel(9), identities=frozenset({"digest 9"}))
        assert new_kernels([same], [night(9, 7)], newest=1, is_newer=lambda _version, _other: True).wanted == ()


class TestBaseline:
    def test_the_last_good_one(self) -> None:
        past = [night(11, 9, good=False), night(9, 7), night(7, 5)]
        assert baseline(12, [7, 12], past) == Baseline(spec="debian:9", name="6.12.9", choice=Choice.LAST_GOOD)
        # The file's own is for the first night only.
        assert baseline(12, [7, 12], past, given="debian:6.1").spec == "debian:9"

    def test_the_last_good_one_that_can_be_had(self) -> None:
        past = [night(11, 9, good=False), night(9, 7), night(7, 5)]
        assert baseline(12, [12], past, gone=(9,)).spec == "debian:7"

    def test_the_first_night(self) -> None:
        assert baseline(9, [5, 7, 9], [], given="debian:6.1") == Baseline(
            spec="debian:6.1", name="debian:6.1", choice=Choice.FILE
        )
        assert baseline(9, [5, 7, 9], []) == Baseline(spec="debian:7", name="6.12.7", choice=Choice.PREVIOUS)
        assert baseline(5, [5, 7, 9], []) == Baseline(spec="debian:5", name="6.12.5", choice=Choice.ITSELF)

    def test_where_none_was_good_what_the_first_was_measured_against(self) -> None:
        past = [night(9, 5, good=False), night(7, 5, good=False)]
        assert baseline(11, [7, 9, 11], past) == Baseline(spec="debian:5", name="6.12.5", choice=Choice.FIRST)
        assert baseline(11, [7, 9, 11], past, given="debian:6.1").choice is Choice.FILE

    def test_a_bad_one_is_not_taken_because_it_comes_before(self) -> None:
        past = [night(9, 5, good=False)]
        assert baseline(11, [7, 9, 11], past, gone=(5,)) == Baseline(
            spec="debian:7", name="6.12.7", choice=Choice.PREVIOUS
        )
        assert baseline(11, [9, 11], past, gone=(5,)).choice is Choice.ITSELF

    def test_data_that_was_lost_once_is_never_trusted(self) -> None:
        """A waiver may make the cell good, and an earlier night may have seen nothing of it."""
        past = [night(9, 9, corrupt=True), night(9, 7), night(7, 5)]
        assert baseline(11, [11], past).spec == "debian:7"

    def test_one_that_cannot_be_named_again_is_none(self) -> None:
        nameless = night(9, 7)
        past = [replace(nameless, kernel=replace(nameless.kernel, spec=None)), night(7, 5)]
        assert baseline(11, [11], past).spec == "debian:7"

    def test_one_is_not_measured_against_itself_when_it_comes_again(self) -> None:
        """A night that the host lost is made again."""
        assert baseline(9, [7, 9], [night(9, 7), night(7, 5)]).spec == "debian:7"


@given(
    offered=st.lists(st.integers(0, 30), unique=True).map(sorted),
    made=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans(), st.booleans())),
    newest=st.integers(1, 5),
    gone=st.sets(st.integers(0, 30)),
    given_one=st.none() | st.just("debian:given"),
)
def test_whatever_was_measured(
    offered: list[int],
    made: list[tuple[int, int, bool, bool]],
    newest: int,
    gone: set[int],
    given_one: str | None,
) -> None:
    past = [night(number, against, good=good, corrupt=corrupt) for number, against, good, corrupt in made]
    wanted, passed_over = new(offered, past, newest)
    assert len(wanted) == min(newest, len(wanted) + len(passed_over))
    assert [*passed_over, *wanted] == [one for one in offered if all(one > other for other, *_ in made)]
    for number in wanted:
        found = baseline(number, offered, past, given_one, tuple(gone))
        if found.choice is Choice.ITSELF:
            assert found.spec == f"debian:{number}"
            continue
        corrupt = {f"debian:{other}" for other, _, _, bad in made if bad}
        assert found.choice is Choice.FILE or found.spec not in corrupt | {f"debian:{one}" for one in gone}
        assert found.spec != f"debian:{number}"
        if found.choice is Choice.LAST_GOOD:
            assert any(good and f"debian:{other}" == found.spec for other, _, good, _ in made)
        # Once nothing is new, nothing is measured.
    assert new(offered, [*(night(one, one) for one in wanted), *past], newest)[0] == []
