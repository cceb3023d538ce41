"""Revisions that nobody committed: merges, picks and reverts, made without a work tree, with hashes that repeat."""

from dataclasses import dataclass

from harness.errors import ConfigError, DoesNotApplyError
from harness.git.command import Git
from harness.model.source import Operation, OperationKind
from harness.parse.foreign import printable

# Two people who derive the same revision get the same hash.
PERSON = {
    "GIT_AUTHOR_NAME": "kab",
    "GIT_AUTHOR_EMAIL": "kab@localhost.invalid",
    "GIT_COMMITTER_NAME": "kab",
    "GIT_COMMITTER_EMAIL": "kab@localhost.invalid",
}
_NAMED_FILES = 5


def derive(git: Git, base: str, operations: tuple[Operation, ...]) -> str:
    """The commit that `operations` make of the commit `base`, one after the other; their revisions are full hashes.

    What changes nothing gives the commit itself. Raises DoesNotApplyError naming the files in conflict, ConfigError
    where a clone lacks what is needed.
    """
    for operation in operations:
        match operation.kind:
            case OperationKind.MERGE:
                base = _merge(git, base, operation.revision)
            case OperationKind.PICK | OperationKind.REVERT:
                base = _change(git, base, operation.revision, operation.kind)
    return base


def is_ancestor(git: Git, older: str, newer: str) -> bool:
    """Whether the history of `newer` contains `older`."""
    done = git.run("merge-base", "--is-ancestor", older, newer, check=False)
    if done.status not in {0, 1}:
        raise git.failure(done)
    return done.status == 0


def commit_tree(git: Git, tree: str, parents: tuple[str, ...], message: str, **person: str) -> str:
    """Commit `tree`; dated as the newest of `parents`, since git expects dates to grow along a history."""
    newest = max((_seconds(git, parent) for parent in parents), default=0)
    dates = {"GIT_AUTHOR_DATE": f"@{newest} +0000", "GIT_COMMITTER_DATE": f"@{newest} +0000"}
    flags = [word for parent in parents for word in ("-p", parent)]
    return git.text("commit-tree", tree, *flags, stdin=message.encode(), variables={**PERSON, **dates, **person})


def _merge(git: Git, base: str, other: str) -> str:
    if is_ancestor(git, other, base):
        return base
    if is_ancestor(git, base, other):
        return other
    tree = _merged(git, base, other, f"merging {other[:12]} into {base[:12]}")
    return commit_tree(git, tree, (base, other), f"Merge {other[:12]} into {base[:12]}\n")


def _change(git: Git, base: str, commit: str, kind: OperationKind) -> str:
    change = _change_of(git, commit)
    before, after = (change.before, change.after) if kind is OperationKind.PICK else (change.after, change.before)
    doing = "applying" if kind is OperationKind.PICK else "reverting"
    old = git.text("rev-parse", f"{base}^{{tree}}")
    # A merge of two commits made up for it: `before` is what they share.
    shared = commit_tree(git, before, (), "before\n")
    ours = commit_tree(git, old, (shared,), "ours\n")
    theirs = commit_tree(git, after, (shared,), "theirs\n")
    tree = _merged(git, ours, theirs, f'{doing} {commit[:12]} ("{printable(change.title)}") on {base[:12]}')
    if tree == old:
        return base
    message = (
        f"{change.title}\n\n(cherry picked from commit {commit})\n"
        if kind is OperationKind.PICK
        else f'Revert "{change.title}"\n\nThis reverts commit {commit}.\n'
    )
    return commit_tree(git, tree, (base,), message)


@dataclass(frozen=True, slots=True)
class _Change:
    # Trees.
    before: str
    after: str
    title: str


def _change_of(git: Git, commit: str) -> _Change:
    """What `commit` did to its first parent."""
    if git.clone is not None and commit in git.clone.boundary:
        raise git.clone.cut(commit, "what this commit changed is not known")
    # Not stripped: a root has no parents, and its first line is empty.
    parents, after, title = git.run("log", "-1", "--format=%P%n%T%n%s", commit).stdout.split("\n", 2)
    before = git.text("rev-parse", f"{parents.split()[0]}^{{tree}}") if parents else git.text("mktree")
    return _Change(before, after, title.strip())


def _merged(git: Git, ours: str, theirs: str, doing: str) -> str:
    """The tree of the two commits' merge."""
    done = git.run(
        "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", "--allow-unrelated-histories", ours, theirs,
        check=False,
    )  # fmt: skip
    if done.status not in {0, 1}:
        raise git.failure(done)
    tree, *files = [part for part in done.stdout.split("\0") if part]
    if done.status == 1:
        raise DoesNotApplyError(f"{doing} conflicts in {some(files)}")
    return tree


def some(files: list[str]) -> str:
    """A list of files for a message, not all of a long one."""
    more = f" and {len(files) - _NAMED_FILES} more" if len(files) > _NAMED_FILES else ""
    return ", ".join(printable(file) for file in files[:_NAMED_FILES]) + more


def _seconds(git: Git, commit: str) -> int:
    return int(git.text("log", "-1", "--format=%ct", commit))


def full_hash(git: Git, revision: str) -> str | None:
    """The commit that `revision` names in this repository, or None. Raises ConfigError where a prefix is ambiguous."""
    if revision.startswith("-"):
        return None
    # What follows ":/" is all a text to look for, and what is found is a commit.
    peeled = revision if revision.startswith(":/") else f"{revision}^{{commit}}"
    done = git.run("rev-parse", "--verify", peeled, check=False)
    if done.status == 0:
        return done.stdout.strip()
    if "is ambiguous" in done.stderr:
        known = [line.removeprefix("hint:").strip() for line in done.stderr.splitlines() if line.startswith("hint:  ")]
        raise ConfigError(
            f"`{printable(revision)}` is ambiguous: several objects of {printable(str(git.folder))} start so",
            remedy="\n".join(["Write more digits:", *map(printable, known)]),
        )
    if "dubious ownership" in done.stderr:
        raise git.failure(done)
    return None
