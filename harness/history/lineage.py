"""A history with merges as one line of kernels, each of which contains all that come before it.

The line follows the mainline from the older end to the newer one. What a merge brings is walked through before it,
each commit merged with the mainline as it was: a branch that forked before a change is thus never tested without that
change, and "not yet broken" on it cannot be taken for "fixed".
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.model.source import Commit

# A merge only brings what its sides do not have: the resolution of conflicts.
MERGE_WEIGHT = 0.1
# A commit that changes nothing below the user's paths: the user may be wrong, but hardly is.
OFF_PATH_WEIGHT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A kernel of the line: the mainline's commit `revision`, with `merged` merged into it one after the other."""

    revision: str
    merged: tuple[str, ...]
    # What it adds to the place before it.
    commit: Commit
    # Prior weight of an edge just before it, relative to those of other places.
    weight: float


def linearise(commits: Sequence[Commit], older: Commit, touching: frozenset[str] | None = None) -> tuple[Place, ...]:
    """The line from `older` to the last of `commits`, both included.

    `commits` are all that the last of them contains and `older` does not, parents first. With `touching`, only commits
    of it have places, besides the ends. Linear in commits and parents (times the nesting of merges).

    The mainline is the first-parent chain, except that it never leaves the descendants of `older`: where `older` came
    by a merge's other side, that side is the mainline, and what was the first parent's is merged into it.
    """
    ends = {older.sha, commits[-1].sha}
    known = {commit.sha: commit for commit in (older, *commits)}
    places: list[Place] = []
    dropped = 0
    for revision, merged, sha in _line(known, _mainline(commits, known, older.sha)):
        touched = touching is None or sha in touching
        if not touched and sha not in ends:
            dropped += 1
            continue
        commit = known[sha]
        brought = OFF_PATH_WEIGHT if not touched else MERGE_WEIGHT if len(commit.parents) > 1 else 1.0
        weight = brought + OFF_PATH_WEIGHT * dropped
        places.append(Place(revision=revision, merged=merged, commit=commit, weight=weight))
        dropped = 0
    return tuple(places)


def _mainline(commits: Sequence[Commit], known: Mapping[str, Commit], older: str) -> list[str]:
    """The path from `older` to the last commit that follows first parents wherever they contain `older`."""
    containing = {older}
    for commit in commits:
        if any(parent in containing for parent in commit.parents):
            containing.add(commit.sha)
    path = [commits[-1].sha]
    while path[-1] != older:
        path.append(next(parent for parent in known[path[-1]].parents if parent in containing))
    return path[::-1]


def _line(known: Mapping[str, Commit], mainline: list[str]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Revision, what is merged into it, and the commit that is new, for all commits."""
    placed = {mainline[0]}
    yield mainline[0], (), mainline[0]
    for base, tip in itertools.pairwise(mainline):
        held: tuple[str, ...] = ()
        for side in known[tip].parents:
            if side != base and side in known and side not in placed:
                for merged in _side(known, side, held, placed):
                    yield base, merged, merged[-1]
                held = (*held, side)
        placed.add(tip)
        yield tip, (), tip


def _side(known: Mapping[str, Commit], tip: str, held: tuple[str, ...], placed: set[str]) -> Iterator[tuple[str, ...]]:
    """What is to be merged for each commit of `tip` that is not `placed` yet; the last of each is the commit itself.

    With `held` merged, a kernel contains everything that is `placed`. A stack and not recursion: merges nest deeply.
    """
    left: list[tuple[str, tuple[str, ...], bool]] = [(tip, held, False)]
    while left:
        sha, held, is_place = left.pop()
        if is_place:
            placed.add(sha)
            yield (*held, sha)
        elif sha not in placed:
            left += reversed(_chain(known, sha, held, placed))


def _chain(
    known: Mapping[str, Commit], tip: str, held: tuple[str, ...], placed: set[str]
) -> list[tuple[str, tuple[str, ...], bool]]:
    """The first-parent chain up to `tip`, oldest first: its commits as places, and before each what it merged."""
    chain = []
    sha: str | None = tip
    while sha is not None and sha in known and sha not in placed:
        chain.append(sha)
        sha = next(iter(known[sha].parents), None)
    steps: list[tuple[str, tuple[str, ...], bool]] = []
    below: tuple[str, ...] = ()
    for sha in reversed(chain):
        before = (*held, *below)
        for side in known[sha].parents[1:]:
            if side in known and side not in placed:
                steps.append((side, before, False))
                before = (*before, side)
        steps.append((sha, held, True))
        below = (sha,)
    return steps
