"""A user's git repository, read but never written, and what is derived from it in a repository of our own."""

import difflib
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import ConfigError
from harness.git import checkout, derive, history, own, series
from harness.git.clone import Clone
from harness.git.command import Git
from harness.model.source import Commit, Operation
from harness.parse.foreign import printable


class Repository:
    """Reads history in the user's repository; merges, picks, reverts, patches and work trees are in our own."""

    def __init__(self, user: Git, clone: Clone, own_git: Git) -> None:
        """Made by ``open``."""
        self._user = user
        self._clone = clone
        self._own = own_git

    @classmethod
    def open(cls, tree: Path, folder: Path) -> "Repository":
        """The repository at `tree`: a work tree's top, a linked work tree or a bare one; our own is below `folder`.

        Raises ConfigError when `tree` is none of them or git refuses to read it; HostError.
        """
        user, clone = own.look_at(tree)
        return cls(user, clone, own.prepare(clone, folder))

    @property
    def tree(self) -> Path:
        """The user's work tree or bare repository."""
        return self._clone.tree

    @property
    def name(self) -> str:
        """A file name that stands for the user's repository, the same for all of its work trees."""
        return self._own.folder.name.removesuffix(".git")

    @property
    def git_dir(self) -> Path:
        """Our own repository, which sees all of the user's objects."""
        return self._own.folder

    def resolve(self, revision: str) -> str:
        """The full hash of the commit that `revision` names to the user, or of one derived here.

        Raises ConfigError when there is none (with near names), or several.
        """
        found = derive.full_hash(self._user, revision) or derive.full_hash(self._own, revision)
        if found is not None:
            return found
        refs = self._user.text("for-each-ref", "--format=%(refname:short)").splitlines()
        near = difflib.get_close_matches(revision, refs, n=3)
        hints = (
            [f"Did you mean {' or '.join(map(printable, near))}?"]
            if near
            else ["See `git log`, `git tag` and `git branch`."]
        )
        if self._clone.boundary:
            hints.append(f"This is a shallow clone; what is missing comes with: {self._clone.deepen}")
        raise ConfigError(
            f"{printable(str(self.tree))} has no revision `{printable(revision)}`", remedy=" ".join(hints)
        )

    def tagged(self, tag: str) -> str | None:
        """The full hash of the commit that the user's tag of this name is on; None where there is no such tag."""
        return derive.full_hash(self._user, f"refs/tags/{tag}")

    @property
    def fetch_tags(self) -> str:
        """The command that fetches all tags, with the history below them where the clone is shallow."""
        return self._clone.deepen if self._clone.boundary else f"git -C {shlex.quote(str(self.tree))} fetch --tags"

    def commit(self, sha: str) -> Commit:
        """The commit with this full hash."""
        return history.read_commit(self._own, sha)

    def text(self, sha: str, path: str) -> str | None:
        """What the file `path` holds at the commit `sha`; None when there is no such file."""
        done = self._own.run("cat-file", "blob", f"{sha}:{path}", check=False)
        return done.stdout if done.status == 0 else None

    def files(self, sha: str) -> Iterator[tuple[str, str]]:
        """Each file at the commit `sha`: the hash of its content, and its path."""
        for line in self._own.text("ls-tree", "-r", "--format=%(objectname) %(path)", sha).splitlines():
            blob, _, path = line.partition(" ")
            yield blob, path

    def dirty(self) -> bool:
        """Whether tracked files of the user's work tree differ from its HEAD; never of a bare repository.

        No filter of the user's runs: a file whose time has changed is compared as it lies there.
        """
        if self._user.text("rev-parse", "--is-inside-work-tree") != "true":
            return False
        words = ("--porcelain", "--untracked-files=no", "--no-renames", "--ignore-submodules=all")
        return bool(own.unfiltered(self._user).text("status", *words))

    def derive(self, sha: str, operations: Sequence[Operation]) -> str:
        """The commit that `operations`, one after the other, make of `sha`; always the same one.

        What is contained already, or changes nothing, gives `sha` itself. Raises DoesNotApplyError naming the files in
        conflict; ConfigError for revisions as ``resolve``, and where the clone lacks what is needed.
        """
        resolved = (replace(operation, revision=self.resolve(operation.revision)) for operation in operations)
        return derive.derive(self._own, sha, tuple(resolved))

    def checkout(self, worktree: Path, sha: str) -> None:
        """Make `worktree`, a work tree of our own (made where missing), exactly the tree of `sha`.

        Only files that differ are written, whatever happened to the checkout before. Untracked files stay. One caller
        at a time. Raises HostError, and ConfigError where the clone lacks files.
        """
        checkout.check_out(self._own, worktree.absolute(), sha)

    def commits(self, older: str, newer: str) -> tuple[Commit, ...]:
        """All commits of `newer` that `older` does not contain, parents first, `newer` last (full hashes).

        Raises ConfigError when `older` is not an ancestor of `newer`, or a shallow clone cuts the history between them.
        """
        return history.read_history(self._own, older, newer)

    def touching(self, older: str, newer: str, paths: Sequence[str]) -> frozenset[str]:
        """Which of ``commits(older, newer)`` change something below `paths`.

        Of merges those that differ, there, from each of their parents. Raises ConfigError when there are none.
        """
        return history.read_touching(self._own, older, newer, paths)

    def subjects(self, older: str, newer: str, paths: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Hash and subject of commits of `newer` that `older` does not contain; raises as ``history.read_subjects``."""
        return history.read_subjects(self._own, older, newer, paths)

    def fork(self, one: str, other: str) -> str:
        """The newest commit that both contain (full hashes). Raises ConfigError when there is none."""
        return history.fork(self._own, one, other)

    def add_series(
        self,
        base: str,
        source: str | Path,
        *,
        version: tuple[int, ...] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> tuple[str, ...]:
        """One commit for each patch of `source`, the first on top of `base`; the same ones each time.

        `source` is a folder of mails or patches, a quilt folder (with its file ``series``), a Maildir, a mailbox, or a
        Message-ID; `version` that of the series, the newest where it is None. `say` hears what was left out. Raises
        DoesNotApplyError naming the patch and its files; ConfigError when there is no whole series.
        """
        if say is None:
            return series.add_series(self._own, base, str(source), version=version)
        return series.add_series(self._own, base, str(source), version=version, say=say)
