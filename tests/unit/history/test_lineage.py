"""A history with merges as one line."""

import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.history.lineage import MERGE_WEIGHT, OFF_PATH_WEIGHT, Place, linearise
from harness.model.source import Commit

pytestmark = pytest.mark.unit


def commit(sha: str, *parents: str) -> Commit:
    return Commit(sha=sha, parents=parents, tree=f"tree {sha}", title=sha, author="A", email="a@b", date="2026-01-01")


def history(text: str) -> list[Commit]:
    """ "m: a b" is the merge m of a and b; parents first."""
    return [commit(*line.replace(":", " ").split()) for line in text.strip().splitlines()]


def kernels(places: tuple[Place, ...]) -> list[str]:
    return ["+".join((place.revision, *place.merged)) for place in places]


def ancestors(commits: list[Commit]) -> dict[str, frozenset[str]]:
    """Of each commit, itself included; parents outside have none."""
    found: dict[str, frozenset[str]] = {}
    for each in commits:
        found[each.sha] = frozenset({each.sha}).union(*(found.get(parent, frozenset()) for parent in each.parents))
    return found


def between(commits: list[Commit], older: str, newer: str) -> list[Commit]:
    """As git lists it: what `newer` contains and `older` does not."""
    known = ancestors(commits)
    return [c for c in commits if c.sha in known[newer] - known[older]]


def line_of(commits: list[Commit], touching: frozenset[str] | None = None) -> tuple[Place, ...]:
    """The line from the first to the last."""
    return linearise(commits[1:], commits[0], touching)


def test_a_line_without_merges_is_itself() -> None:
    places = line_of(history("a\nb: a\nc: b"))
    assert kernels(places) == ["a", "b", "c"]
    assert [place.weight for place in places] == [1, 1, 1]


def test_commits_of_a_side_are_merged_the_mainline_before_it() -> None:
    places = line_of(history("a\nb: a\ns: a\nt: s\nm: b t\nn: m"))
    assert kernels(places) == ["a", "b", "b+s", "b+t", "m", "n"]
    assert [place.commit.sha for place in places] == ["a", "b", "s", "t", "m", "n"]
    assert places[4].weight == MERGE_WEIGHT


def test_a_side_that_forked_before_the_older_end_is_merged_too() -> None:
    # s is no descendant of a: as it is, it would lack what a has.
    assert kernels(line_of(history("a: z\ns: z\nm: a s"))) == ["a", "a+s", "m"]


def test_an_inner_merge_is_walked_through_on_top_of_what_came_before_it() -> None:
    # On the side s1, s2, s3 is the merge s3 of s2 and i1, i2.
    line = history("a\ns1: a\ns2: s1\ni1: a\ni2: i1\ns3: s2 i2\ns4: s3\nm: a s4")
    assert kernels(line_of(line)) == ["a", "a+s1", "a+s2", "a+s2+i1", "a+s2+i2", "a+s3", "a+s4", "m"]


def test_an_octopus_brings_its_sides_one_after_the_other() -> None:
    assert kernels(line_of(history("a\nb: a\ns: a\nt: a\nu: t\nm: b s u"))) == [
        "a", "b", "b+s", "b+s+t", "b+s+u", "m"
    ]  # fmt: skip


def test_an_older_end_on_a_side_branch_makes_that_branch_the_mainline() -> None:
    # f is the first parent, but does not contain a.
    line = history("a: z\nb: a\nf: z\nm: f b\nn: m")
    assert kernels(line_of(line)) == ["a", "b", "b+f", "m", "n"]


def test_a_side_merged_twice_is_walked_once() -> None:
    line = history("a\ns: a\nt: s\nm: a s\nb: m\nn: b t")
    assert kernels(line_of(line)) == ["a", "a+s", "m", "b", "b+t", "n"]


def test_paths_leave_only_what_touches_them_and_the_ends() -> None:
    line = history("a\nb: a\nc: b\nd: c\ne: d\nf: e")
    places = line_of(line, frozenset({"d"}))
    assert kernels(places) == ["a", "d", "f"]
    assert [place.weight for place in places] == pytest.approx([OFF_PATH_WEIGHT, 1 + 2 * OFF_PATH_WEIGHT, 0.02])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Commit], str, str]:
    """Random histories, several roots and octopuses included, and two ends one of which contains the other."""
    size = draw(st.integers(2, 24))
    commits: list[Commit] = []
    for number in range(size):
        # Near ones mostly: chains with merges, not stars.
        pool = [str(number - back) for back in range(1, min(number, 5) + 1)]
        parents = draw(st.lists(st.sampled_from(pool), min_size=0, max_size=3, unique=True)) if pool else []
        commits.append(commit(str(number), *parents))
    known = ancestors(commits)
    pairs = sorted((old, new) for new in known for old in known[new] if old != new)
    assume(pairs)
    return commits, *draw(st.sampled_from(pairs))


@settings(max_examples=400)
@given(graphs())
def test_any_history_becomes_a_line_in_which_nothing_is_lost_or_untested(graph: tuple[list[Commit], str, str]) -> None:
    commits, older, newer = graph
    range_ = between(commits, older, newer)
    end = next(c for c in commits if c.sha == older)
    places = linearise(range_, end)
    known = ancestors(commits)
    # Every commit once, and no other.
    assert sorted(place.commit.sha for place in places) == sorted([older, *(c.sha for c in range_)])
    assert (places[0].revision, places[0].merged) == (older, ())
    assert (places[-1].revision, places[-1].merged) == (newer, ())
    had: set[str] = set(known[older])
    for place in places:
        holds = known[place.revision].union(*(known[sha] for sha in place.merged))
        had.add(place.commit.sha)
        # All that came before, and what is new is this one commit.
        assert holds == had


@settings(max_examples=200)
@given(graphs(), st.sets(st.integers(0, 24).map(str)))
def test_paths_only_leave_places_out(graph: tuple[list[Commit], str, str], touching: set[str]) -> None:
    commits, older, newer = graph
    range_ = between(commits, older, newer)
    end = next(c for c in commits if c.sha == older)
    whole, limited = linearise(range_, end), linearise(range_, end, frozenset(touching))
    keep = touching | {older, newer}
    assert kernels(limited) == [k for k, place in zip(kernels(whole), whole, strict=True) if place.commit.sha in keep]


def test_a_hundred_thousand_commits_take_seconds() -> None:
    commits = [commit("m0")]
    for number in range(1, 5_000):
        side = [commit(f"s{number}.0", f"m{max(0, number - 50)}")]
        side += [commit(f"s{number}.{place}", f"s{number}.{place - 1}") for place in range(1, 19)]
        commits += [*side, commit(f"m{number}", f"m{number - 1}", side[-1].sha)]
    start = time.perf_counter()
    places = line_of(commits)
    assert len(places) == len(commits)
    assert time.perf_counter() - start < 10


def test_deeply_nested_merges_do_not_exhaust_the_stack() -> None:
    depth = 3_000
    commits = [commit("a"), commit("s0", "a")]
    for number in range(1, depth):
        commits += [commit(f"t{number}", "a"), commit(f"s{number}", f"t{number}", f"s{number - 1}")]
    commits.append(commit("m", "a", f"s{depth - 1}"))
    assert len(line_of(commits)) == len(commits)
