"""What is said of an edge's suspects: which they are, what they were picked from, and what is listed nowhere."""

import shlex
from collections.abc import Iterator

from harness.history.changelog import still_missing
from harness.history.suspects import merge
from harness.model.bisection import Edge
from harness.model.history import Change, Gap, GapKind, Suspect
from harness.report import wording
from harness.report.search.gaps import gap_sentence, names_text, read_gap

# Of a commit's hash.
_DIGITS = 12


def suspects_of(edge: Edge) -> tuple[Suspect, ...]:
    """The likeliest first, from changelogs and the user's git tree."""
    return merge(edge.suspects, edge.tree.suspects if edge.tree else ())


def picked_from(edge: Edge) -> str:
    """``12 changes that the changelog lists and 340 commits of v6.18.15..v7.2.6 to fs/btrfs, block``; or empty."""
    parts = [f"{wording.counted(edge.changes, 'change')} that the changelog lists"] if edge.changes else []
    tree = edge.tree
    if tree is not None and tree.commits:
        below = f" to {', '.join(tree.paths)}" if tree.paths else ""
        parts.append(f"{wording.counted(tree.commits, 'commit')} of {tree.older}..{tree.newer}{below}")
    return " and ".join(parts)


def missing(edge: Edge) -> tuple[Gap, ...]:
    """What is listed neither by changelogs nor in the user's git tree."""
    tree, gaps = edge.tree, tuple(map(read_gap, edge.gaps))
    return still_missing(gaps, exact=tree.exact) if tree is not None and tree.newer else gaps


def heading(edge: Edge) -> str:
    """What the suspects were picked from, and whether the culprit must be among it; without a last colon.

    ``Suspects, the likeliest first, of 12 changes that the changelog lists``; or, where others are listed nowhere,
    ``Suspects: 10 of 240 changes that the changelog lists; not listed are those of new upstream releases 6.19, 7.0``.
    """
    source, gaps, found = picked_from(edge), missing(edge), suspects_of(edge)
    if not found:
        return f"Suspects: none of {source} fits the workload" if source else "Suspects: no change is listed"
    if not gaps:
        return f"Suspects, the likeliest first, of {source}"
    return f"Suspects: {len(found)} of {source}; not listed are {' and '.join(map(_unlisted, gaps))}"


def _unlisted(gap: Gap) -> str:
    """``those of new upstream releases 6.19, 7.0``, all or most of them."""
    names = names_text(gap.names)
    match gap.kind:
        case GapKind.RELEASES:
            return f"those of new upstream releases {names}"
        case GapKind.UPDATES:
            return f"those of stable updates {names}"
        case GapKind.BEGINS:
            return f"those between {gap.older} and {gap.at}"
        case GapKind.FORKED:
            return f"those that only {gap.older} had taken since {gap.at}"
        case GapKind.NO_CHANGELOG | GapKind.ABSENT:
            return f"those of {gap.newer}"
        case GapKind.NEWEST:
            return f"those older than the newest {gap.at}"
        case GapKind.TOLD:
            return f"others ({gap.text.rstrip('.')})"


def notes(edge: Edge) -> list[str]:
    """Sentences: what is not listed, where the heading does not say it, and what the user's git tree lacks."""
    gaps = () if suspects_of(edge) else missing(edge)
    return [*map(gap_sentence, gaps), *(edge.tree.notes if edge.tree else ())]


def commands(edge: Edge, run_id: str) -> Iterator[tuple[str, str]]:
    """(What for, command) of what tells more."""
    tree = edge.tree
    if tree is None and missing(edge):
        yield "`--tree` lists what is missing, from a clone of Linux", f"kab bisect report {run_id} --tree ~/linux"
    if tree is not None and tree.commits:
        # The search goes on, commit by commit, where the one over packages ended.
        yield (
            "To go on, commit by commit",
            shlex.join(["kab", "bisect", f"git:{tree.tree}", "--from-run", run_id, "--", *tree.paths]),
        )


def why_suspected(suspect: Suspect) -> str:
    """What of the workload it names."""
    return ", ".join(suspect.matched) or "its words"


def suspect_line(suspect: Suspect) -> str:
    """A suspect with its points."""
    revert = "revert of " if suspect.revert else ""
    source = source_of(suspect.change)
    return f"{suspect.score:>2}  {revert}{suspect.change.subject} ({source}; {why_suspected(suspect)})"


def source_of(change: Change) -> str:
    """``6.12.77, 3a1b2c3d4e5f``: the release that brought a change, and its commit; one of them where that is known."""
    if change.commit and not change.point_release:
        return change.commit[:_DIGITS]
    brought = change.point_release or change.version
    return f"{brought}, {change.commit[:_DIGITS]}" if change.commit else brought
