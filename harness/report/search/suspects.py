"""What is said of an edge's suspects: which they are, what they were picked from, and what is listed nowhere."""

import shlex

from harness.history.changelog import still_missing
from harness.history.suspects import merge
from harness.model.bisection import Edge
from harness.model.history import Change, Suspect, TreeListing
from harness.report import wording

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


def missing(edge: Edge) -> tuple[str, ...]:
    """Sentences: what is listed neither by changelogs nor in the user's git tree."""
    tree = edge.tree
    return still_missing(edge.gaps, exact=tree.exact) if tree is not None and tree.newer else edge.gaps


def source_of(change: Change) -> str:
    """``6.12.77, 3a1b2c3d4e5f``: the release that brought a change, and its commit; one of them where that is known."""
    if change.commit and not change.point_release:
        return change.commit[:_DIGITS]
    brought = change.point_release or change.version
    return f"{brought}, {change.commit[:_DIGITS]}" if change.commit else brought


def search_command(tree: TreeListing, run_id: str) -> str:
    """The command that goes on, commit by commit, where a search over packages ended."""
    return shlex.join(["kab", "bisect", f"git:{tree.tree}", "--from-run", run_id, "--", *tree.paths])
