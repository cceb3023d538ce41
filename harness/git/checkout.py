"""A work tree of our own, brought from revision to revision; only files that differ are written."""

import logging
import re
import shutil
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.git.command import Git
from harness.host.process import dying_with_us

_LOG = logging.getLogger(__name__)
# In the work tree's administrative folder while files are being written.
_UNFINISHED = "kab-unfinished"
_DAMAGED_INDEX = re.compile(r"index file (corrupt|smaller|.*too short)|bad (signature|index)|unordered stage entries")


def check_out(own: Git, worktree: Path, sha: str) -> None:
    """Make `worktree` exactly the tree of commit `sha`, as far as tracked files go; one caller at a time.

    Untracked files stay (a build may live there), unless the last checkout was killed: then nobody knows what they are,
    and they go. Raises HostError, and ConfigError where a partial clone lacks files.
    """
    try:
        folder = _administration(own, worktree)
        if folder is None:
            folder = _create(own, worktree, sha)
        for left in folder.glob("*.lock"):
            left.unlink()
        marker = folder / _UNFINISHED
        killed = marker.exists()
        marker.touch()
        git = Git(worktree, {"GIT_DIR": str(folder), "GIT_WORK_TREE": str(worktree)}, own.clone)
        _reset(git, folder / "index", sha)
        if killed:
            _LOG.info("the last checkout in %s was killed: removing what it may have left", worktree)
            git.run("clean", "-ffdxq", wrapper=dying_with_us())
        marker.unlink()
    except OSError as error:
        raise HostError(
            f"cannot check out {sha[:12]} in {worktree}: {error.strerror}",
            remedy="Free some space, or mend the folder's permissions.",
        ) from error


def _reset(git: Git, index: Path, sha: str) -> None:
    # A git that outlived the kab that started it would write files under the next one's feet.
    # Not `checkout`: it believes the index about files that it does not switch.
    words = ("reset", "--hard", "--quiet", "--no-recurse-submodules", sha)
    done = git.run(*words, check=False, wrapper=dying_with_us())
    if done.status != 0 and _DAMAGED_INDEX.search(done.stderr):
        _LOG.warning("the index of %s is damaged: writing all files again", git.folder)
        index.unlink(missing_ok=True)
        git.run(*words, wrapper=dying_with_us())
        git.run("clean", "-ffdxq", wrapper=dying_with_us())
    elif done.status != 0:
        raise git.failure(done)


def _administration(own: Git, worktree: Path) -> Path | None:
    """Where git keeps the index and HEAD of `worktree`; None when it is not a whole work tree of our repository."""
    link = worktree / ".git"
    if not link.is_file():
        return None
    folder = Path(link.read_text().removeprefix("gitdir:").strip())
    if folder.parent != own.folder / "worktrees":
        return None
    whole = all((folder / name).is_file() for name in ("HEAD", "commondir", "gitdir"))
    return folder if whole and Path((folder / "gitdir").read_text().strip()) == link else None


def _create(own: Git, worktree: Path, sha: str) -> Path:
    if worktree.is_dir() and any(worktree.iterdir()):
        link = worktree / ".git"
        target = Path(link.read_text().removeprefix("gitdir:").strip()) if link.is_file() else None
        # Ours, killed while it was made, or its repository has been thrown away since.
        if target is None or not (target.is_relative_to(own.folder) or not target.exists()):
            raise ConfigError(f"{worktree} is in the way: it is not a work tree of kab's", remedy="Move it away.")
        shutil.rmtree(worktree)
    worktree.parent.mkdir(parents=True, exist_ok=True)
    # Twice: also where a work tree is registered, and locked, that was killed while it was made.
    own.run("worktree", "add", "--force", "--force", "--detach", "--no-checkout", worktree, sha)
    folder = _administration(own, worktree)
    if folder is None:
        raise HostError(f"git made no work tree of {own.folder} at {worktree}")
    return folder
