"""A stored search over a ladder: its plan, what was marked by hand, its subruns, and its outcome."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from harness.errors import ExitCode
from harness.model.history import Gap, Suspect, TreeListing
from harness.model.kconfig import OptionEffect
from harness.model.run import Parent, SubrunRole
from harness.model.source import Commit, OperationKind
from harness.model.stored import LATER, STORED_AS
from harness.model.trial import Outcome
from harness.model.verdict import Verdict


class RungState(StrEnum):
    """What a kernel of the ladder is taken to be."""

    FAST = "fast"
    SLOW = "slow"
    # Cannot be tested: does not boot, crashes, loses data, or was marked so by hand.
    SKIP = "skip"
    # Not measured.
    UNKNOWN = "unknown"


class EdgeKind(StrEnum):
    """Which way the state changes."""

    REMOVED = "removed"
    RESTORED = "restored"


class EdgeWish(StrEnum):
    """Which edges the user wants found."""

    AUTO = "auto"
    REMOVED = "removed"
    RESTORED = "restored"
    BOTH = "both"


class SkipKind(StrEnum):
    """Why a kernel cannot be tested."""

    # It failed in a way that counts against it.
    FAULT = "fault"
    # Its boots failed, each in another way.
    UNLIKE = "unlike"
    # Marked so: by hand, or because it is no longer to be had.
    MARKED = "marked"
    # It ran, but gave no value of the metric.
    NO_VALUE = "no-value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Why a kernel cannot be tested, with what it takes to say it."""

    kind: SkipKind
    # Of a fault: how its boots ended.
    outcome: Outcome | None = None
    # Boots that failed (so), of so many.
    failed: int = 0
    boots: int = 0
    # What the first of them said; of a mark its reason; the metric that is lacking.
    text: str = ""


class NextWhy(StrEnum):
    """Why a kernel is booted next."""

    # Its last boot failed, and one failure proves nothing.
    FAILED_ONCE = "failed-once"
    # Its boots leave doubt.
    DOUBT = "doubt"
    # It halves what is left.
    HALVES = "halves"
    # It may show another state.
    OTHER_STATE = "other-state"
    # All so far are alike, but another stretch may hide beside this kernel.
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class NextBoot:
    """The kernel to boot next, and why."""

    rung: int
    why: NextWhy
    # Information expected of it.
    bits: float = 0.0
    # Probability that a stretch, were there one, has not been seen; and whether the kernel was booted before.
    missed: float = 0.0
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Why a search cannot go on: an end cannot be measured, or, without one, both cannot be compared."""

    end: int | None = None
    skip: Skip | None = None
    # What A/B said of both ends.
    decided: str = ""


class Doubt(StrEnum):
    """What to doubt of a result."""

    # Boots of one state fall into two groups: the probabilities are too sure.
    TWO_GROUPS = "two-groups"


class Obstacle(StrEnum):
    """Why there is no revert test."""

    DOES_NOT_APPLY = "does-not-apply"
    DOES_NOT_BUILD = "does-not-build"
    # The far kernel cannot be had.
    NO_KERNEL = "no-kernel"
    # The slow stretch has no farther end than the edge's own.
    NO_FAR_END = "no-far-end"
    # The kernel is the same with and without the change.
    CHANGES_NOTHING = "changes-nothing"


class Answer(StrEnum):
    """How a search ended."""

    # Every edge wanted is named, and proven by A/B.
    FOUND = "found"
    # The ends are alike and nothing between them is likely to differ.
    NOTHING = "nothing"
    # The search named edges that A/B did not confirm.
    UNPROVEN = "unproven"
    # The cap was reached, or an end cannot be measured, or nothing left to boot would tell more.
    UNCERTAIN = "uncertain"

    @property
    def exit_code(self) -> ExitCode:
        """0 when the question is answered, 125 when it is not."""
        return ExitCode.GOOD if self in {Answer.FOUND, Answer.NOTHING} else ExitCode.CANNOT_TELL


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRung:
    """A kernel of the ladder as a stored bisection remembers it."""

    # Names this very kernel.
    spec: str
    release: str
    version: str
    suites: tuple[str, ...] = ()
    # The commit that this rung adds to the one before it; None where rungs are packages.
    commit: Commit | None = None
    # What is new on this rung, in half a line, where that is no commit: an option's name.
    title: str = ""
    # Prior weight of an edge before this rung; None: as the versions say.
    weight: float | None = None
    # The kernel that a proof compares this one with, where that is not the rung before; empty: it is.
    parent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectionPlan:
    """What is searched, oldest kernel first; together with experiment and conditions, the bisection's identity."""

    rungs: tuple[PlannedRung, ...]
    edges: EdgeWish = EdgeWish.AUTO
    # The search ends when one set of edges is as probable as this.
    confidence: float = 0.99
    # A kernel that fails counts as slow instead of being skipped.
    crash_is_slow: bool = False
    # Commits one of which is applied to a revision that does not build without it.
    build_fixes: tuple[str, ...] = ()

    @property
    def built(self) -> bool:
        """Whether its kernels are built from source, and not fetched."""
        return self.rungs[-1].commit is not None or bool(self.rungs[-1].title)

    @property
    def of_options(self) -> bool:
        """Whether its kernels differ by options of their configuration, and not by commits."""
        return self.built and self.rungs[-1].commit is None

    @property
    def last(self) -> int:
        """Index of the newer end."""
        return len(self.rungs) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A kernel taken out of the search (or put back), by hand or because it is no longer to be had."""

    rung: int
    skip: bool
    reason: str
    # How many boots of the search were stored when it was made.
    after_trials: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IdenticalBuild:
    """A rung whose kernel turned out to be, bit by bit, that of another rung: their states are one."""

    rung: int
    of: int
    # How many boots of the search were stored when it was found out.
    after_trials: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subrun:
    """An A/B run whose parent is a bisection: where it is on the ladder.

    Of ends and proofs `before` and `after` are the arms. Of a revert test `before` is the far rung, its baseline,
    and `after` the culprit's rung; its candidate is `before` with the culprit reverted or applied.
    """

    role: SubrunRole
    before: int
    after: int
    run_id: str

    @classmethod
    def of(cls, run_id: str, parent: Parent) -> Self:
        """The subrun that a run is by its parent. Raises ValueError for a place that is no two rungs."""
        before, after = (int(rung) for rung in parent.place.split("-"))
        return cls(role=parent.role, before=before, after=after, run_id=run_id)


def place_of(before: int, after: int) -> str:
    """Two rungs as a place inside a search, for `Parent`."""
    return f"{before}-{after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertTest:
    """What the far end of the slow stretch does with the culprit reverted (removed edge) or applied (restored one)."""

    # OperationKind.REVERT or PICK.
    kind: OperationKind
    # The far rung, and the spec of the kernel made from it.
    far: int
    spec: str
    # The A/B run and what it says; None where the change does not apply or the result does not build.
    run: str | None = None
    verdict: Verdict | None = None
    # Why there is no verdict, or the reason of the decision.
    reason: str = ""
    # None where there is a verdict, and in what was stored before this was.
    obstacle: Obstacle | None = field(default=None, metadata={LATER: True})

    @property
    def holds(self) -> bool:
        """Whether undoing the loss, alone, brought the speed back."""
        return self.verdict is Verdict.FASTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A place where the state changes: after rung `before`, not later than rung `after`."""

    before: int
    after: int
    kind: EdgeKind
    # The A/B run of both neighbours, and what it says; None where it was not made.
    proof_run: str | None = None
    verdict: Verdict | None = None
    reason: str = ""
    # The likeliest changes first, of so many.
    suspects: tuple[Suspect, ...] = ()
    changes: int = 0
    # What the changelogs do not list; sentences where versions before this one stored it.
    gaps: tuple[Gap | str, ...] = ()
    # What the user's git tree lists besides; None where none was asked.
    tree: TreeListing | None = None
    # The one commit between the neighbours; None where there are several, or packages.
    culprit: Commit | None = None
    # Between two configurations: what the step between the neighbours did.
    options: OptionEffect | None = None
    revert_test: RevertTest | None = field(default=None, metadata={STORED_AS: "counterproof"})

    @property
    def proven(self) -> bool:
        """Whether A/B found the neighbours to differ the way that the search said."""
        return self.verdict is (Verdict.SLOWER if self.kind is EdgeKind.REMOVED else Verdict.FASTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEdge:
    """An edge that a search names, and which way it goes."""

    before: int
    after: int
    kind: EdgeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchView:
    """Where a search stands, for displays."""

    plan: BisectionPlan
    # One letter per rung: F fast, S slow, ? neither yet, x skipped; f, s believed so without a boot; . unknown.
    strip: str
    # Posterior probability that each rung is slow; None before the ends are known.
    slow: tuple[float | None, ...]
    metric: str | None
    # Boots of ends and search so far, and expected until the edges are named (None: unknown).
    boots: int
    boots_left: int | None
    edges: tuple[FoundEdge, ...]
    probability: float
    # None when the search is over or cannot go on.
    next: NextBoot | None
    blocked: Blocked | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BisectionOutcome:
    """What a search came to."""

    answer: Answer
    # Why, in a sentence.
    reason: str
    metric: str | None = None
    # Posterior probability of the set of edges, before any proof.
    probability: float = 0.0
    # Probability, at most, that more edges than those named would not have been seen, were there any.
    missed: float = 0.0
    edges: tuple[Edge, ...] = ()
