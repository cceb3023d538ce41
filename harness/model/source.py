"""Kernels from source: how a user names a revision and its build, and commits of a history."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MICRO = "micro"
LOCALMOD = "localmod"


class OperationKind(StrEnum):
    """What is done to a revision before it is built."""

    # Merge another revision into it.
    MERGE = "merge"
    # Apply the change of another commit (against its first parent) on top.
    PICK = "pick"
    # Take the change of another commit (against its first parent) out again.
    REVERT = "revert"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One change to a revision."""

    kind: OperationKind
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """How a revision becomes a kernel."""

    # MICRO (kernels/configs/micro.config), LOCALMOD (what this host has loaded), or the path of a .config.
    config: str = MICRO
    # Fragments on top of it, the last one wins.
    fragments: tuple[Path, ...] = ()
    # "gcc-12", "clang", "clang-16"; None: the host's gcc, or one that the tree's era can live with.
    compiler: str | None = None
    # An executable that builds instead of kbuild; see docs/howto/build-a-kernel.md. None: kbuild.
    builder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSpec:
    """``git:TREE@REV[+merge=REV|+pick=REV|+revert=REV]...[,config=..][,fragment=..]...[,cc=..][,builder=..]``."""

    tree: Path
    revision: str
    # In the order in which they are done.
    operations: tuple[Operation, ...] = ()
    build: BuildSettings = BuildSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit of a history."""

    # Full hash, hexadecimal.
    sha: str
    parents: tuple[str, ...]
    # The tree's hash: commits with equal trees are one kernel.
    tree: str
    title: str
    author: str
    email: str
    # Committer's date, ISO 8601.
    date: str
    # Of its Signed-off-by lines, "NAME <ADDRESS>" each.
    signers: tuple[str, ...] = ()
    # Its message asks for stable kernels (Cc: stable@...), or it came from there (commit ... upstream).
    stable: bool = False

    @property
    def short(self) -> str:
        """Twelve digits, as the kernel's Fixes: tags have."""
        return self.sha[:12]
