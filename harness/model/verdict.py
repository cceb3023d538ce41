"""What the statistics say about a pair of kernels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.errors import ExitCode
from harness.model.experiment import Arm
from harness.model.stored import LATER
from harness.model.trial import Outcome


class Verdict(StrEnum):
    """The answer; ``inconclusive`` is an honest one."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> ExitCode:
        """Status for scripts: 0 not slower, 1 slower, 125 cannot tell."""
        if self is Verdict.SLOWER:
            return ExitCode.BAD
        if self is Verdict.INCONCLUSIVE:
            return ExitCode.CANNOT_TELL
        return ExitCode.GOOD


class CautionKind(StrEnum):
    """What to know before an interval is trusted."""

    # Values below a floor count as that.
    FLOOR = "floor"
    # Boots agree better than can be believed: a least spread was assumed.
    RESOLUTION = "resolution"
    # Boots of an arm fall into two groups, or drift over the run.
    TWO_GROUPS = "two-groups"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """What to know before an interval is trusted, with what it takes to say it."""

    kind: CautionKind
    # The floor in metric units, or the least spread as a fraction.
    value: float = 0.0
    arm: Arm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of candidate against baseline, over the complete blocks of a run."""

    metric: str
    # Number of complete blocks (one ok boot of each arm).
    blocks: int
    # Medians over boots of the per-boot medians, in metric units; None where no boot gave the metric.
    baseline: float | None
    candidate: float | None
    # Candidate / baseline: location of the log ratios inside blocks; > 1 means a larger number, not "better".
    ratio: float | None
    # Confidence interval of the ratio, valid at any stopping time, at level 1 - error (as spent on this metric).
    low: float | None
    high: float | None
    # Error rate spent on this metric's interval.
    error: float
    # Standard deviation of the log ratios inside blocks; None below two blocks.
    spread: float | None
    verdict: Verdict
    # Warnings for people: "two-humped", "drift", ...
    # What to mind, in sentences: as it was stored; empty while only `cautions` say it.
    notes: tuple[str, ...] = ()
    # Empty in what was stored before they were.
    cautions: tuple[Caution, ...] = field(default=(), metadata={LATER: True})


class StopKind(StrEnum):
    """Why no further boot is planned."""

    CAP = "cap"
    FAULT = "fault"
    LOSSES = "losses"
    UNSTABLE = "unstable"
    # Of a cell of a matrix: what keeps it from being measured; or its gate needs no more of it.
    TROUBLE = "trouble"
    GATE = "gate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The plan has no next boot."""

    kind: StopKind
    # The cap, boots lost in a row, or boots that failed each in another way.
    count: int = 0
    # What cannot be measured.
    arms: tuple[Arm, ...] = ()
    # What the last of those boots said.
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFault:
    """A failure that counts against an arm's kernel."""

    arm: Arm
    outcome: Outcome
    # Boots that failed so, of so many.
    failed: int
    boots: int
    message: str


class ReasonKind(StrEnum):
    """Why a verdict is what it is."""

    # Kernels fail: speed cannot be compared.
    FAULTS = "faults"
    # No boot gave a metric that may decide; or no block is complete yet.
    NO_METRIC = "no-metric"
    NO_BLOCK = "no-block"
    # The plan has no further boot.
    STOPPED = "stopped"
    # The metric moved; `others` say the opposite.
    MOVED = "moved"
    # It agrees within the margin; `others` cannot confirm it.
    SAME = "same"
    # All boots are made, and nothing is decided.
    CAP = "cap"
    # More boots may decide: `agree` do, `others` lean towards a difference, or cannot be told yet.
    LEANING = "leaning"
    UNTOLD = "untold"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a verdict is what it is, with what it takes to say it beside the decision's comparisons."""

    kind: ReasonKind
    # The metric that it is about, metrics that agree, and others.
    metric: str = ""
    agree: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    # The equivalence margin, a fraction. Where a witness says `same`: what `speeds` can differ by at most.
    margin: float = 0.0
    speeds: tuple[str, ...] = ()
    reach: float = 0.0
    blocks: int = 0
    max_blocks: int = 0
    faults: tuple[ArmFault, ...] = ()
    # Arms that ran where the other failed.
    ran: tuple[Arm, ...] = ()
    stop: Stop | None = None


class ChoiceKind(StrEnum):
    """How a deciding metric was chosen."""

    NAMED = "named"
    NOT_YET = "not-yet"
    # The workload has but one.
    ONLY = "only"
    # It separates the arms best, of all or of the speeds.
    SEPARATES = "separates"
    SEPARATES_SPEEDS = "separates-speeds"
    # Nothing separates the arms; it spreads least.
    CALMEST = "calmest"
    # As in the run that a kernel is compared with.
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """How a deciding metric was chosen, with what it takes to say it."""

    kind: ChoiceKind
    # Metrics that it was chosen from, which share the error.
    candidates: int = 0
    error: float = 0.0
    # The run that a kernel is compared with.
    run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a run has decided so far."""

    verdict: Verdict
    # Name of the deciding metric; None before one could be chosen.
    metric: str | None
    # How it was chosen, in half a sentence: as it was stored; empty while only `choice` says it.
    how: str
    # Why the verdict is what it is, in a sentence: as it was stored; empty while only `why` says it.
    reason: str
    # True when sampling should stop: decided, capped, or cannot go on.
    final: bool
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    # Complete blocks expected until a decision, for the progress display; None if unknown.
    blocks_left: int | None = None
    # None in what was stored before it was.
    why: Reason | None = field(default=None, metadata={LATER: True})
    choice: Choice | None = field(default=None, metadata={LATER: True})
