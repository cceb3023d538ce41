"""What the user's repository holds, and what it cannot hold: shallow and partial clones."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, HostError, KabError


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """The user's repository."""

    # As the user would name it: a work tree's top, or a bare repository.
    tree: Path
    # What all its work trees share.
    common: Path
    objects: Path
    # "sha1" or "sha256".
    object_format: str
    # Commits whose parents a shallow clone left out.
    boundary: frozenset[str] = frozenset()
    # The remote that a partial clone would fetch missing objects from.
    promisor: str | None = None

    @property
    def deepen(self) -> str:
        """The command that completes a shallow clone."""
        return f"git -C {shlex.quote(str(self.tree))} fetch --unshallow"

    @property
    def fill(self) -> str:
        """The commands that complete a partial clone."""
        git, remote = f"git -C {shlex.quote(str(self.tree))}", shlex.quote(self.promisor or "origin")
        return f"{git} config --unset remote.{remote}.partialCloneFilter; {git} fetch --refetch {remote}"

    def lacks(self, said: str) -> KabError:
        """The error for an object that is not there; `said` is what git said about it."""
        line = next((line for line in said.splitlines() if line.strip()), "an object is missing")
        if self.promisor is not None:
            return ConfigError(
                f"{self.tree} is a partial clone and lacks objects that are needed: {line}",
                remedy=f"Fetch them all; kab never fetches by itself: {self.fill}",
            )
        if self.boundary:
            return ConfigError(
                f"{self.tree} is a shallow clone and lacks history that is needed: {line}",
                remedy=f"Fetch it; kab never fetches by itself: {self.deepen}",
            )
        return HostError(
            f"{self.tree} lacks objects that it should have: {line}",
            remedy=f"It looks damaged; see: git -C {shlex.quote(str(self.tree))} fsck",
        )

    def cut(self, sha: str, why: str) -> ConfigError:
        """The error for a commit at the edge of a shallow clone."""
        return ConfigError(
            f"{self.tree} is a shallow clone, cut off below {sha[:12]}: {why}",
            remedy=f"Fetch the rest; kab never fetches by itself: {self.deepen}",
        )
