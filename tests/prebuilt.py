"""A small git history whose commits are not built: each is mapped to a kernel of Debian's that stands for it.

The file NOSEC says whether the fast path is there, the file CACHE changes nothing that matters; the builder knows a
kernel for each pair of them. Fast: 6.1, and from 7.2 on. Slow: 6.12 up to 6.12.107, later ones may have the fix of
stable.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from debian.debian_support import Version

from harness.kernels.debian.catalogue import in_series
from harness.kernels.debian.flavours import default_flavour
from harness.model.kernel import AvailableKernel

BROKEN = "does not build"

_BUILDER = """\
#!/bin/sh
# What `builder=FILE` calls: $1 is the work tree at the commit, $2 a folder for what the build leaves.
set -eu
test -d "$2"
if [ -e "$1/BROKEN" ]; then
	echo "main.c:1:1: error: expected identifier" >&2
	exit 2
fi
case "$(cat "$1/NOSEC") $(cat "$1/CACHE")" in
{table}
*) echo "no kernel for this" >&2; exit 2 ;;
esac
"""

_LAST_SLOW = "6.12.108"
_DATE = 1_700_000_000
_AUTHOR = {"GIT_AUTHOR_NAME": "Ada Writer", "GIT_AUTHOR_EMAIL": "ada@example.org"}
_COMMITTER = {"GIT_COMMITTER_NAME": "Ada Writer", "GIT_COMMITTER_EMAIL": "ada@example.org"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrebuiltKernels:
    """Specs, two of each stretch where there are two."""

    fast: str
    slow: tuple[str, str]
    restored: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrebuiltHistory:
    """The repository, its builder, and the commits that a test asks for."""

    repository: Path
    builder: Path
    # By title; the merge and the side branch's commits included.
    commits: dict[str, str]

    @property
    def base(self) -> str:
        return self.commits["start"]

    @property
    def removed(self) -> str:
        return self.commits["btrfs: simplify the mount path"]

    @property
    def restored(self) -> str:
        return self.commits["btrfs: set the flags that mount lost"]

    @property
    def broken(self) -> str:
        return self.commits["mm: rename a function"]

    @property
    def merge(self) -> str:
        return self.commits["Merge branch 'side'"]

    def spec(self, revisions: str) -> str:
        """`git:` spec of a revision, or of a range as `kab bisect` takes it."""
        return f"git:{self.repository}@{revisions},builder={self.builder}"


def choose_kernels(available: Sequence[AvailableKernel]) -> PrebuiltKernels:
    """Kernels on offer that are cached, or soon fetched."""
    cloud = [kernel for kernel in available if kernel.flavour == default_flavour()]
    fast = [kernel for kernel in cloud if in_series(kernel.version, "6.1")]
    slow = [
        kernel
        for kernel in cloud
        if in_series(kernel.version, "6.12") and Version(kernel.version) < Version(_LAST_SLOW)
    ]
    restored = [kernel for kernel in cloud if Version(kernel.version) >= Version("7.2")]
    return PrebuiltKernels(fast=_cheapest(fast)[0], slow=_two(slow), restored=_two(restored))


def make_history(folder: Path, kernels: PrebuiltKernels) -> PrebuiltHistory:
    """Make the repository below `folder`; the same kernels give the same hashes."""
    builder = folder / "builder"
    kernels_by_files = {
        "yes small": kernels.fast,
        "no small": kernels.slow[0],
        "no large": kernels.slow[1],
        "yes large": kernels.restored[0],
        "yes medium": kernels.restored[1],
    }
    table = "\n".join(f"'{files}') echo '{spec}' ;;" for files, spec in kernels_by_files.items())
    builder.write_text(_BUILDER.format(table=table))
    builder.chmod(0o755)
    repository = folder / "tree"
    writer = _Writer(repository)
    git(repository.parent, "init", "--quiet", "--initial-branch=main", str(repository))
    writer.commit("start", NOSEC="yes", CACHE="small", README="a tree\n")
    writer.commit("README: say more", README="a tree of a kernel\n")
    git(repository, "branch", "side")
    writer.commit("net: reword a message", net="message\n")
    writer.commit("mm: rename a function", BROKEN=BROKEN)
    writer.commit("mm: rename its callers", BROKEN="", mm="callers\n")
    writer.commit("btrfs: simplify the mount path", NOSEC="no")
    writer.commit("block: fix a comment", block="comment\n")
    git(repository, "switch", "--quiet", "side")
    writer.commit("docs: describe the tree", docs="described\n")
    writer.commit("docs: describe it better", docs="well described\n")
    git(repository, "switch", "--quiet", "main")
    writer.merge("Merge branch 'side'", "side")
    writer.commit("mm: keep more in the cache", CACHE="large")
    writer.commit("block: fix another comment", block="comments\n")
    writer.commit("btrfs: set the flags that mount lost", NOSEC="yes")
    writer.commit("README: say less", README="a tree\n")
    writer.commit("mm: keep less in the cache", CACHE="medium")
    return PrebuiltHistory(repository=repository, builder=builder, commits=writer.commits)


def git(folder: Path, *words: str, date: int = _DATE) -> str:
    """Run git without the user's configuration; what it prints."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        **_AUTHOR,
        **_COMMITTER,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_DATE": f"{date} +0000",
        "GIT_COMMITTER_DATE": f"{date} +0000",
    }
    done = subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


class _Writer:
    """Commits files (without content: their end) to a repository, a minute apart, and remembers what it made."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.commits: dict[str, str] = {}

    def commit(self, title: str, **files: str) -> None:
        for name, content in files.items():
            path = self._repository / name
            if content:
                path.write_text(content if content.endswith("\n") else f"{content}\n")
            else:
                path.unlink()
        git(self._repository, "add", "--all")
        self._made(title, "commit", "--quiet", "-m", title)

    def merge(self, title: str, branch: str) -> None:
        self._made(title, "merge", "--quiet", "--no-ff", "-m", title, branch)

    def _made(self, title: str, *words: str) -> None:
        git(self._repository, *words, date=_DATE + 60 * len(self.commits))
        self.commits[title] = git(self._repository, "rev-parse", "HEAD")


def _two(kernels: Sequence[AvailableKernel]) -> tuple[str, str]:
    """Two different ones, the older first."""
    specs = _cheapest(kernels)[:2]
    order = [f"debian:{kernel.release}" for kernel in sorted(kernels, key=lambda kernel: Version(kernel.version))]
    first, second = sorted(specs, key=order.index)
    return first, second


def _cheapest(kernels: Sequence[AvailableKernel]) -> list[str]:
    ranked = sorted(kernels, key=lambda kernel: (not kernel.cached, kernel.size_bytes, kernel.release))
    return [f"debian:{kernel.release}" for kernel in ranked]
