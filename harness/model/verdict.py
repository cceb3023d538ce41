"""What the statistics say about a pair of kernels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from harness.errors import ExitCode


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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a run has decided so far."""

    verdict: Verdict
    # Name of the deciding metric; None before one could be chosen.
    metric: str | None
    # How it was chosen: "named by the user", "separates the arms best of 4 (error split)", ...
    how: str
    # Why the verdict is what it is, in a sentence.
    reason: str
    # True when sampling should stop: decided, capped, or cannot go on.
    final: bool
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    # Complete blocks expected until a decision, for the progress display; None if unknown.
    blocks_left: int | None = None
