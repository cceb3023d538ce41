"""Patch series as history: one commit for each patch, without a work tree."""

import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness.errors import ConfigError, DoesNotApplyError, HostError, KabError
from harness.git.command import Git
from harness.git.derive import PERSON, commit_tree, some
from harness.git.seriesfiles import read_series
from harness.host import process
from harness.parse.foreign import printable
from harness.parse.patchmail import Patch

_LOG = logging.getLogger(__name__)
_FILES = re.compile(
    r"^(?:error: patch failed: (?P<failed>.+):\d+|error: (?P<file>.+): (?:patch does not apply|does not exist in index"
    r"|already exists in index|does not match index)|U (?P<unmerged>.+))$",
    re.MULTILINE,
)


def add_series(
    git: Git,
    base: str,
    source: str,
    *,
    version: tuple[int, ...] | None = None,
    say: Callable[[str], None] = _LOG.info,
) -> tuple[str, ...]:
    """Commits for the patches of `source`, the first on top of `base`, without a work tree.

    `say` hears what of `source` is not part of the series, and why. Raises DoesNotApplyError naming the patch and the
    files; ConfigError for patches that nobody could apply, and as ``read_series``; HostError.
    """
    commits: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="kab-series-") as scratch:
            series = read_series(source, Path(scratch), version)
            for note in series.notes:
                say(note)
            index = Path(scratch, "index")
            staged = Git(git.folder, {**git.variables, "GIT_INDEX_FILE": str(index)}, git.clone)
            staged.run("read-tree", base)
            for patch in series.patches:
                commits.append(_commit(staged, commits[-1] if commits else base, patch))
    except OSError as error:
        raise HostError(
            f"cannot make a history of {printable(source)}: {error.strerror}",
            remedy="Free some space in the folder for temporary files.",
        ) from error
    if not commits:
        raise ConfigError(f"{printable(source)} holds no patches", remedy="Its file `series` lists none.")
    return tuple(commits)


def _commit(git: Git, parent: str, patch: Patch) -> str:
    refused: KabError | None = None
    for strip in patch.strips:
        words = ("apply", "--cached", "--3way", "--whitespace=nowarn", f"-p{strip}", "-")
        done = git.run(*words, stdin=patch.diff, check=False)
        if done.status == 0:
            break
        refused = refused or _refused(git, parent, patch, done)
        # A merge that failed has left its sides in the index.
        git.run("read-tree", parent)
    else:
        assert refused is not None, "a patch has a number of folders to leave out"
        raise refused
    person = {**PERSON, "GIT_AUTHOR_NAME": patch.author, "GIT_AUTHOR_EMAIL": patch.email}
    person |= {"GIT_AUTHOR_DATE": patch.date} if patch.date else {}
    message = f"{patch.title}\n\n{patch.message}\n" if patch.message else f"{patch.title}\n"
    return commit_tree(git, git.text("write-tree"), (parent,), message, **person)


def _refused(git: Git, parent: str, patch: Patch, done: process.Completed) -> KabError:
    said, name = done.stderr, printable(patch.name)
    files = list(dict.fromkeys(next(filter(None, found.groups())) for found in _FILES.finditer(said)))
    if not files:
        # Not the tree's doing: the patch is cut, or names files that no tree can have.
        return ConfigError(
            f"{name} is damaged: {printable(said.strip()[-500:], lines=True)}", remedy="Get the patch again."
        )
    if git.clone is not None and git.clone.promisor is not None:
        # To `git apply` a file that was not fetched is one that does not match.
        for file in files:
            blob = git.run("rev-parse", "--verify", "--quiet", f"{parent}:{file}", check=False).stdout.strip()
            if blob and git.run("cat-file", "-e", blob, check=False).status != 0:
                return git.clone.lacks(f"{file} as it is in {parent[:12]}")
    return DoesNotApplyError(
        f"the patch {name} does not apply to {parent[:12]}: conflict in {some(files)}",
        remedy="Is it made for another revision? Name the one that the series is based on.",
    )
