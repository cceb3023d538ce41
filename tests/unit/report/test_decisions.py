"""Reasons of verdicts: kinds that the statistics make, worded here; what was stored as a sentence stays that."""

from dataclasses import replace

import factories
import jsonschema
import pytest

from harness.model.experiment import Arm
from harness.model.trial import Outcome
from harness.model.verdict import (
    ArmFault,
    Caution,
    CautionKind,
    Choice,
    ChoiceKind,
    Decision,
    Reason,
    ReasonKind,
    Stop,
    StopKind,
    Verdict,
)
from harness.parse.plainjson import from_plain, to_plain
from harness.report.compare.json import json_schema, to_json
from harness.report.decisions import choice_words, comparison_notes, decision_reason, stop_reason, worded
from harness.stats.decide import decide
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

STORED = factories.decide(factories.blocks(4))
METRIC_OF = {ReasonKind.MOVED: "write_iops", ReasonKind.SAME: "write_iops"}
OTHERS = frozenset({ReasonKind.MOVED, ReasonKind.SAME, ReasonKind.LEANING, ReasonKind.UNTOLD})


def made(kind: ReasonKind) -> Decision:
    """A decision of that kind with its comparisons, as the statistics leave it."""
    reason = Reason(
        kind=kind,
        metric=METRIC_OF.get(kind, ""),
        agree=("write_iops",),
        others=("queue_depth",) if kind in OTHERS else (),
        margin=0.05,
        blocks=3,
        max_blocks=20,
        faults=(ArmFault(arm=Arm.CANDIDATE, outcome=Outcome.HUNG, failed=2, boots=3, message="no answer"),),
        ran=(Arm.BASELINE,),
        stop=Stop(kind=StopKind.LOSSES, count=3, message="disk full"),
    )
    return replace(STORED, reason="", why=reason)


@pytest.mark.parametrize("kind", ReasonKind)
def test_every_kind_is_worded_and_stored(kind: ReasonKind) -> None:
    decision = made(kind)
    assert decision_reason(decision)
    assert from_plain(Decision, to_plain(decision)) == decision


def test_no_two_kinds_are_told_alike() -> None:
    assert len({decision_reason(made(kind)) for kind in ReasonKind}) == len(ReasonKind)


def test_a_stored_sentence_stays() -> None:
    old = {name: value for name, value in to_plain(STORED).items() if name != "why"}
    read = from_plain(Decision, old)
    assert read.why is None
    assert decision_reason(read) == STORED.reason != ""
    assert decision_reason(replace(made(ReasonKind.OPEN), reason="as it was worded then")) == "as it was worded then"


def test_faults_name_arm_failure_and_who_ran() -> None:
    said = "the candidate hung in 2 of 3 boots (no answer); the baseline ran: "
    assert decision_reason(made(ReasonKind.FAULTS)) == f"{said}speed cannot be compared with a kernel that fails"


@pytest.mark.parametrize(
    ("stop", "said"),
    [
        (Stop(kind=StopKind.CAP, count=40), "the cap of 40 boots is reached"),
        (Stop(kind=StopKind.FAULT, arms=(Arm.BASELINE, Arm.CANDIDATE)), "baseline and candidate cannot be measured"),
        (Stop(kind=StopKind.LOSSES, count=3, message="disk full"), "3 boots in a row were lost: disk full"),
        (
            Stop(kind=StopKind.UNSTABLE, count=4, arms=(Arm.CANDIDATE,), message="it hung"),
            "4 boots of the candidate failed, each in another way: it hung",
        ),
    ],
)
def test_why_no_further_boot_is_made(stop: Stop, said: str) -> None:
    assert stop_reason(stop) == said


def test_what_the_statistics_decide_has_a_kind_and_no_words() -> None:
    decision = decide(factories.experiment(metric="queue_depth"), METRICS, factories.blocks(12))
    assert (decision.verdict, decision.reason) == (Verdict.FASTER, "")
    assert decision.why == Reason(kind=ReasonKind.MOVED, metric="queue_depth")
    assert decision_reason(decision).startswith("queue_depth is 3.")


def test_every_choice_of_a_metric_is_worded() -> None:
    """What old kabs stored is shown as it was."""
    told = set()
    for kind in ChoiceKind:
        choice = Choice(kind=kind, candidates=4, error=0.01, run="20261125-1100-abcd")
        told.add(choice_words(replace(STORED, how="", choice=choice)))
    assert len(told) == len(ChoiceKind)
    assert "" not in told
    assert choice_words(replace(STORED, how="as it was worded then", choice=Choice(kind=ChoiceKind.NAMED))) == (
        "as it was worded then"
    )


def test_every_caution_is_worded_with_what_it_is_about() -> None:
    found = replace(
        STORED.comparisons["write_iops"],
        notes=(),
        cautions=tuple(Caution(kind=kind, value=0.05, arm=Arm.CANDIDATE) for kind in CautionKind),
    )
    notes = comparison_notes(found, METRICS["write_iops"])
    assert len(set(notes)) == len(CautionKind)
    assert "values below 0.05 1/s count as that" in notes
    assert "boots of the candidate drift over the run" in notes
    assert comparison_notes(replace(found, notes=("as it was",)), None) == ("as it was",)


def test_what_is_stored_has_sentences_and_kinds() -> None:
    # dirtied_per_page lies below its floor in both arms.
    calm = factories.blocks(6, centres={**factories.CENTRES, "dirtied_per_page": (0.002, 0.002)})
    decision = worded(decide(factories.experiment(), METRICS, calm, confirm=False), METRICS)
    assert decision.how
    assert decision.reason
    assert {bool(one.notes) == bool(one.cautions) for one in decision.comparisons.values()} == {True}
    run = factories.run(trials=calm)
    document = to_json(run, decision, calm, METRICS)
    jsonschema.validate(document, json_schema())
    assert any(one["cautions"] for one in document["comparisons"])
