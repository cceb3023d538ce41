"""The history between two commits, read from git in one go."""

import itertools
from collections.abc import Sequence

from harness.errors import ConfigError
from harness.git.clone import Clone
from harness.git.command import Git
from harness.git.derive import is_ancestor
from harness.model.source import Commit
from harness.parse.foreign import printable

_SIGNERS = "%(trailers:key=Signed-off-by,valueonly=true,unfold=true,separator=%x01)"
_FIELDS = ("%H", "%P", "%T", "%s", "%an", "%ae", "%cI", _SIGNERS)
# In the messages of commits that are meant for stable kernels, or that stable kernels took.
_STABLE = (
    r"^Cc:.*stable@(vger\.)?kernel\.org",
    r"^\[? ?commit [0-9a-f]{40} upstream",
    r"^\[? ?Upstream commit [0-9a-f]{40}",
)
# So many commits take some 6 MB; without paths the whole history of Linux would be listed.
MOST_LISTED = 50_000
_FORMAT = "--format=" + "%x00".join(_FIELDS)


def read_commit(git: Git, sha: str) -> Commit:
    """One commit."""
    return _read(git, "--no-walk", sha)[0]


def read_history(git: Git, older: str, newer: str) -> tuple[Commit, ...]:
    """All commits of `newer` that `older` does not contain, parents first.

    Raises ConfigError when `older` is not an ancestor of `newer`, or a shallow clone cuts the history between them.
    """
    check_related(git, older, newer)
    range_ = ("--topo-order", "--reverse", newer, f"^{older}")
    _check_whole(git, older, newer)
    return tuple(_read(git, *range_))


def read_subjects(git: Git, older: str, newer: str, paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Hash and subject of the newest ``MOST_LISTED`` commits of `newer` that `older` does not contain, newest first.

    Only those that change something below `paths`, where there are any, and no merges. Raises ConfigError where a
    shallow clone cuts the history between the two.
    """
    _check_whole(git, older, newer)
    words = ("--full-history", "--no-merges", f"--max-count={MOST_LISTED}", "--format=%H %s")
    done = git.run("log", *words, newer, f"^{older}", "--", *paths)
    listed = (line.partition(" ") for line in done.stdout.splitlines())
    return tuple((sha, subject) for sha, _, subject in listed)


def _check_whole(git: Git, older: str, newer: str) -> None:
    """Raise ConfigError where a shallow clone cuts the history between the two."""
    if git.clone is None or not git.clone.boundary:
        return
    # A commit without its parents is a root there; on either side it hides where the two have parted.
    roots = git.text("rev-list", "--max-parents=0", f"{older}...{newer}").splitlines()
    cut = next((sha for sha in roots if sha in git.clone.boundary), None)
    if cut is not None:
        raise git.clone.cut(cut, f"the history between {older[:12]} and {newer[:12]} is incomplete")


def read_touching(git: Git, older: str, newer: str, paths: Sequence[str]) -> frozenset[str]:
    """Which commits of `newer` that `older` does not contain change something below `paths` (git's pathspecs).

    Of merges those that differ, there, from each of their parents. Raises ConfigError when there are none.
    """
    # Full history: git would leave out what was changed and later changed back, which may be both edges.
    done = git.run("log", "--full-history", "--format=%H %P", newer, f"^{older}", "--", *paths, check=False)
    if done.status != 0 and ("pathspec" in done.stderr or "outside repository" in done.stderr):
        raise ConfigError(
            f"git cannot use these paths: {printable(done.stderr.strip(), lines=True)}",
            remedy="Name paths from the top of the tree.",
        )
    if done.status != 0:
        raise git.failure(done)
    listed = [line.split() for line in done.stdout.splitlines()]
    # Sha and one parent, or none.
    found = {words[0] for words in listed if len(words) <= 2}
    found |= _own_changes(git, [words[0] for words in listed if len(words) > 2], paths)
    if not found:
        raise ConfigError(
            f"nothing between {older[:12]} and {newer[:12]} changes {', '.join(map(printable, paths))}",
            remedy="Check the paths (from the top of the tree), or leave them out.",
        )
    return frozenset(found)


def _own_changes(git: Git, merges: Sequence[str], paths: Sequence[str]) -> set[str]:
    words = ("diff-tree", "--stdin", "-r", "-c", "--name-only", "-z", "--", *paths)
    said = git.run(*words, stdin="".join(f"{sha}\n" for sha in merges).encode()).stdout.split("\0")
    # Each merge's hash, and after it the files that differ from all of its parents, if there are any.
    known = set(merges)
    return {word for word, after in itertools.pairwise(said) if word in known and after and after not in known}


def check_related(git: Git, older: str, newer: str) -> None:
    """Raise ConfigError unless `newer` contains `older` and more."""
    if older == newer:
        raise ConfigError(
            f"both ends are the commit {older[:12]}: there is nothing between them", remedy="Name two revisions."
        )
    if is_ancestor(git, older, newer):
        return
    if is_ancestor(git, newer, older):
        raise ConfigError(
            f"the ends are the wrong way round: {newer[:12]} is older than {older[:12]}",
            remedy="Write the older one first; which of them is slow, the measurement says.",
        )
    shared = fork(git, older, newer)
    raise ConfigError(
        f"{newer[:12]} does not contain {older[:12]}: they are on branches that parted at {shared[:12]}",
        remedy=f"Compare {shared[:12]} with both ends (`kab ab`), then search the branch that differs: "
        f"{shared[:12]}..{newer[:12]} or {shared[:12]}..{older[:12]}.",
    )


def fork(git: Git, one: str, other: str) -> str:
    """The newest commit that both contain. Raises ConfigError when there is none, or none in a shallow clone."""
    done = git.run("merge-base", one, other, check=False)
    if done.status not in {0, 1}:
        raise git.failure(done)
    shared = done.stdout.strip()
    if shared:
        return shared
    if git.clone is not None and git.clone.boundary:
        raise _shallow(git.clone, one, other)
    raise ConfigError(
        f"{one[:12]} and {other[:12]} are unrelated: their histories share no commit",
        remedy="Are both from the same tree?",
    )


def _shallow(clone: Clone, older: str, newer: str) -> ConfigError:
    return ConfigError(
        f"{older[:12]} and {newer[:12]} share no commit in {clone.tree}, which is a shallow clone",
        remedy=f"Fetch the rest of the history; kab never fetches by itself: {clone.deepen}",
    )


def _read(git: Git, *revisions: str) -> list[Commit]:
    """The commits that `git log` lists for `revisions`, in its order."""
    greps = [f"--grep={pattern}" for pattern in _STABLE]
    stable = set(git.text("log", "--format=%H", "-i", "-E", *greps, *revisions).split())
    fields = git.run("log", "-z", "--no-show-signature", _FORMAT, *revisions).stdout.split("\0")
    width = len(_FIELDS)
    return [
        Commit(
            sha=sha,
            parents=tuple(parents.split()),
            tree=tree,
            title=title,
            author=author,
            email=email,
            date=date,
            signers=tuple(dict.fromkeys(signer for signer in signers.split("\x01") if signer)),
            stable=sha in stable,
        )
        for sha, parents, tree, title, author, email, date, signers in (
            fields[start : start + width] for start in range(0, len(fields) - 1, width)
        )
    ]
