"""How reports name the kernels of a ladder: commits by hash and title, packages by release."""

from harness.model.bisection import BisectionPlan, Edge, PlannedRung
from harness.model.source import Commit, GitSpec
from harness.parse.foreign import printable
from harness.parse.gitspec import parse_git

_GIT = "git:"
_DIGITS = 12
# Enough of a title to know a commit by, in tables.
_TITLE_WIDTH = 56


def has_commits(plan: BisectionPlan) -> bool:
    """Whether the rungs are commits of a history, and not packages."""
    return any(rung.commit is not None for rung in plan.rungs)


def name(rung: PlannedRung) -> str:
    """``3a1b2c3d4e5f``, or the package's release."""
    return rung.commit.short if rung.commit else rung.release


def title(rung: PlannedRung) -> str:
    """What is new on a rung, in half a line: its own title or its commit's; empty where neither is known."""
    return printable(rung.title or (rung.commit.title if rung.commit else ""))


def full_name(rung: PlannedRung) -> str:
    """``3a1b2c3d4e5f ("btrfs: some title")``, or the package's release, and its version where that does not tell it."""
    if title(rung):
        return f'{name(rung)} ("{title(rung)}")'
    # Debian's 6.1.0-56 is upstream's 6.1.192.
    tells = rung.commit is not None or rung.release.startswith(axis_name(rung).partition("~")[0])
    return name(rung) if tells else f"{name(rung)} ({rung.version})"


def short_title(rung: PlannedRung) -> str:
    """The title, cut for a table."""
    text = title(rung)
    return text if len(text) <= _TITLE_WIDTH else f"{text[: _TITLE_WIDTH - 3].rstrip()}..."


def axis_name(rung: PlannedRung) -> str:
    """Shortest name, for the axis of a chart: a version without its package's revision, where it is a package."""
    if title(rung):
        return name(rung)
    return rung.version.rpartition("-")[0] or rung.version


def tag(commit: Commit) -> str:
    """``3a1b2c3d4e5f ("btrfs: some title")``, as a Fixes: line has it."""
    return f'{commit.short} ("{printable(commit.title)}")'


def git_spec(rung: PlannedRung) -> GitSpec | None:
    """The revision that a rung is built from; None for packages and other sources."""
    return parse_git(rung.spec, rung.spec.removeprefix(_GIT)) if rung.spec.startswith(_GIT) else None


def revision(rung: PlannedRung) -> str | None:
    """The commit that git itself knows this rung by; None where it is made by merging, picking or reverting."""
    spec = git_spec(rung)
    return spec.revision if spec is not None and not spec.operations else None


def parent_name(plan: BisectionPlan, edge: Edge) -> str:
    """The kernel that an edge's proof compares its first one with."""
    parent = plan.rungs[edge.after].parent
    if not parent:
        return name(plan.rungs[edge.before])
    return parse_git(parent, parent.removeprefix(_GIT)).revision[:_DIGITS]
