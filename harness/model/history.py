"""Histories of kernels: the ladder that a search runs over, and the changes between two of its rungs."""

from dataclasses import dataclass
from enum import StrEnum

from harness.model.kernel import AvailableKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One kernel of a ladder."""

    # Names this very kernel, whatever the suites take in later: "debian:6.12.107+deb13-cloud-amd64".
    spec: str
    kernel: AvailableKernel


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Kernels ordered by version, oldest first; two at least.

    The order is that of version numbers, not of descent: stable branches fork. 6.12.107 may carry a fix that 6.16.3,
    the next rung, lacks, so a state may change once per branch, and a fix in several branches is several edges.
    """

    flavour: str
    rungs: tuple[Rung, ...]
    # Further packages of the same upstream versions (rebuilds for other suites, later revisions).
    left_out: int = 0


class Origin(StrEnum):
    """Who made a change."""

    UPSTREAM = "upstream"
    DEBIAN = "debian"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A commit, or a change of the package, as a package changelog or a git tree names it."""

    # Without marks of architecture, CVE and bug numbers.
    subject: str
    origin: Origin
    # The package version which brought it.
    version: str
    # The upstream release which brought it ("6.12.107", "7.3~rc7"); None for Debian's own changes.
    point_release: str | None = None
    cves: tuple[str, ...] = ()
    # What it is limited to ("arm64", "x86", "!amd64", "rt"); empty: nothing.
    architectures: tuple[str, ...] = ()
    # Full hash in the user's git tree; empty where only a changelog names it.
    commit: str = ""


class GapKind(StrEnum):
    """What no changelog lists of what came between two packages."""

    # The newer package has no changelog; or one that does not hold its own version.
    NO_CHANGELOG = "no-changelog"
    ABSENT = "absent"
    # The changelog begins later than the older version.
    BEGINS = "begins"
    # The newer does not descend from the older: what only the older one had taken is not listed.
    FORKED = "forked"
    # New upstream releases, and stable updates, of which few or no commits are listed.
    RELEASES = "releases"
    UPDATES = "updates"
    # Only so many commits of a history were looked at, the newest.
    NEWEST = "newest"
    # A sentence of an earlier version that is none of these.
    TOLD = "told"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that came between two packages and that the changelog does not list."""

    kind: GapKind
    # Package versions; without a changelog `newer` is the release.
    older: str = ""
    newer: str = ""
    # Where the changelog begins, or the branches fork: a package version. How many commits were looked at.
    at: str = ""
    # Upstream releases ("7.2") or stable updates ("7.2.4"), oldest first.
    names: tuple[str, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is known to have changed from one package version to another, newest first."""

    older: str
    newer: str
    changes: tuple[Change, ...]
    # What else changed that the changelog does not list. Empty when it lists all stable updates.
    gaps: tuple[Gap, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the culprit must be among the changes, as far as a changelog can tell."""
        return not self.gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A change, and how well it fits a workload."""

    change: Change
    score: int
    # Subsystems and words of the workload that its subject names, as the workload writes them.
    matched: tuple[str, ...] = ()
    revert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeListing:
    """What a git tree of the user's lists between two kernels that are named by version."""

    # The work tree or bare repository.
    tree: str
    # The tags that stand for the two: "v6.18.15", or "v6.18" where the tree has no tags of stable updates.
    older: str = ""
    newer: str = ""
    # Whether both tags are the kernels' own, so that what stable updates took is listed, too.
    exact: bool = False
    # Only commits that touch these; empty: all.
    paths: tuple[str, ...] = ()
    # How many there are, merges left out; and of them the likeliest, and those that the changelog's suspects are.
    commits: int = 0
    suspects: tuple[Suspect, ...] = ()
    # Sentences: what is missing, and how to get it.
    notes: tuple[str, ...] = ()
