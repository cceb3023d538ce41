"""Which waiver covers what, and how long."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.matrix import Waiver
from harness.stats.waivers import idle, is_over, upstream, waiver_of, waiver_of_failures

pytestmark = pytest.mark.unit

PLAIN = Waiver(cells="*", metrics="*", bound=None, owner="o", reason="r", until=date(2027, 1, 31))
TODAY = date(2026, 11, 25)


def test_of_several_the_one_that_bears_most_covers() -> None:
    waivers = [
        replace(PLAIN, cells="wal/*", bound=0.1),
        replace(PLAIN, cells="wal/ext4", metrics="*p99*", bound=0.3),
        replace(PLAIN, cells="wal/ext4/nvme", metrics="write_iops", bound=0.2),
        replace(PLAIN, cells="wal/ext4/nvme", metrics="write_iops", bound=0.2, owner="second"),
    ]
    assert waiver_of(waivers, "wal/ext4/nvme", "write_iops") is waivers[2]
    assert waiver_of(waivers, "wal/ext4", "write_clat_p99") is waivers[1]
    # A star takes a slash.
    assert waiver_of(waivers, "wal/btrfs/nvme", "write_clat_p99") is waivers[0]
    assert waiver_of(waivers, "WAL/btrfs", "write_iops") is None
    assert waiver_of([*waivers, PLAIN], "wal/ext4/nvme", "write_iops") is PLAIN


def test_only_a_waiver_for_all_and_without_a_bound_covers_failures() -> None:
    assert waiver_of_failures([replace(PLAIN, bound=0.5), replace(PLAIN, metrics="write_*")], "a") is None
    assert waiver_of_failures([replace(PLAIN, cells="b*"), PLAIN], "a") is PLAIN


def test_what_fits_nothing_is_found() -> None:
    counted = {"wal/ext4": frozenset({"write_iops"}), "read/ext4": frozenset({"read_iops"})}
    good = [PLAIN, replace(PLAIN, cells="read/*", metrics="read_*")]
    bad = [replace(PLAIN, cells="wal"), replace(PLAIN, cells="wal/*", metrics="read_*")]
    assert idle([good[0], bad[0], good[1], bad[1]], counted) == tuple(bad)


def test_a_waiver_holds_up_to_and_with_its_day() -> None:
    assert not is_over(PLAIN, today=date(2027, 1, 31), versions=["7.4-1"])
    assert is_over(PLAIN, today=date(2027, 2, 1))


@pytest.mark.parametrize(
    ("until", "version", "over"),
    [
        ("7.4", "7.3.12-1", False),
        ("7.4", "7.4-1", True),
        ("7.4", "7.4.1-1~bpo13+1", True),
        ("7.4", "7.4~rc3-1~exp1", False),
        ("7.4", "7.4.0-rc3-00012-gabcdef", False),
        ("7.4", "v7.4-rc7", False),
        ("7.4", "7.4.0", True),
        ("7.4", "v7.4-12-gabcdef", True),
        ("7.4", "7.10.2", True),
        ("7.4", "10.0", True),
        ("7.4-rc3", "7.4~rc2-1", False),
        ("7.4-rc3", "7.4~rc3-1", True),
        ("7.4-rc3", "7.4~rc10-1", True),
        ("7.4-rc3", "7.4.0", True),
        ("6.12.40", "6.12.39+deb13-cloud-amd64", False),
        ("6.12.40", "6.12.40-1", True),
        ("6.12.40", "6.13~rc1", True),
    ],
)
def test_a_waiver_holds_before_its_version(until: str, version: str, over: bool) -> None:
    waiver = replace(PLAIN, until=None, until_version=until)
    assert is_over(waiver, today=TODAY, versions=[version]) is over
    assert is_over(waiver, today=TODAY, versions=["6.1", version]) is over
    # While no candidate is known, nothing is over.
    assert not is_over(waiver, today=TODAY)


@pytest.mark.parametrize("version", ["", "next-20261120", "trixie", "-rc1"])
def test_a_version_that_cannot_be_read_is_no_guess(version: str) -> None:
    with pytest.raises(ValueError, match="no kernel version"):
        is_over(replace(PLAIN, until=None, until_version="7.4"), today=TODAY, versions=[version])


RELEASES = st.tuples(st.integers(2, 20), st.integers(0, 40), st.integers(0, 300), st.none() | st.integers(1, 12))


@given(RELEASES, RELEASES)
def test_versions_are_ordered_as_they_come_out(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    def text(release: tuple[int, ...]) -> str:
        major, minor, patch, candidate = release
        return f"{major}.{minor}~rc{candidate}" if candidate else f"{major}.{minor}.{patch}"

    def place(release: tuple[int, ...]) -> tuple[int, ...]:
        major, minor, patch, candidate = release
        return (major, minor, -1, candidate) if candidate else (major, minor, patch, 0)

    assert (upstream(text(first)) < upstream(text(second))) is (place(first) < place(second))
