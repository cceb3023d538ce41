"""Why a cell of a gate stands where it does: every kind has its sentence."""

import pytest

from harness.model.experiment import Arm
from harness.model.trial import FindingKind, Outcome
from harness.model.verdict import ArmFault
from harness.report.matrix.gatewords import gate_reason
from harness.stats.gate import GateReason, GateReasonKind
from harness.stats.newwarnings import NewWarning

pytestmark = pytest.mark.unit

CRASH = ArmFault(arm=Arm.CANDIDATE, outcome=Outcome.CRASHED, failed=2, boots=3, message="Oops")
CRASHED = "the candidate crashed in 2 of 3 boots (Oops)"
NEW = "new in the candidate's log, in 4 of 5 boots: WARNING:"


def warning(number: int) -> NewWarning:
    return NewWarning(
        kind=FindingKind.WARNING, signature=f"w{number}", message=f"WARNING: {number}", boots=4, blocks=5, counts=True,
        pending=False,
    )  # fmt: skip


SENTENCES = {
    GateReasonKind.OPEN: "3 of at most 10 blocks, a and b not decided",
    GateReasonKind.CLEARED: "a and b shown to be not worse than allowed",
    GateReasonKind.WORSE: "a and b shown to be worse than allowed",
    GateReasonKind.FAILS: CRASHED,
    GateReasonKind.FAILS_UNNAMED: f"{CRASHED}: speed cannot be compared, and the policy does not name such failures",
    GateReasonKind.FAILS_ALIKE: f"{CRASHED}, as the baseline did: that says nothing of the candidate",
    GateReasonKind.BASELINE_FAILS: f"{CRASHED}: there is nothing to be measured against",
    GateReasonKind.BASELINE_DATA: f"{CRASHED}: that is nothing to be measured against",
    GateReasonKind.NO_METRIC: "no boot gave a metric that counts (a and b)",
    GateReasonKind.ONE_SIDED: "boots of one kernel alone gave a and b",
    GateReasonKind.CAP: "all 10 blocks are made, a and b not decided",
}


@pytest.mark.parametrize("kind", GateReasonKind)
def test_every_kind_has_its_sentence(kind: GateReasonKind) -> None:
    why = GateReason(kind=kind, metrics=("a", "b"), faults=(CRASH,), blocks=3, max_blocks=10)
    assert gate_reason(why) == SENTENCES[kind]


def test_warnings_are_told_and_not_without_end() -> None:
    why = GateReason(kind=GateReasonKind.FAILS, warnings=tuple(map(warning, range(5))))
    assert gate_reason(why) == f"{NEW} 0; {NEW} 1; {NEW} 2; 2 more new warnings"


def test_what_is_open_for_a_warning_alone_says_so() -> None:
    why = GateReason(kind=GateReasonKind.OPEN, warnings=(warning(1),), blocks=3, max_blocks=10)
    assert gate_reason(why) == "3 of at most 10 blocks, whether this is new is not proven: WARNING: 1"


def test_metrics_that_nobody_gave_are_named() -> None:
    assert "(read_iops)" in gate_reason(GateReason(kind=GateReasonKind.NO_METRIC), missing=("read_iops",))
