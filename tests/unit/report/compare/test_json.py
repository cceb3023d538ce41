"""The JSON report has everything, is valid, and is documented field by field."""

import json
from dataclasses import replace

import factories
import jsonschema
import pytest

from harness.model.experiment import Arm
from harness.model.run import Parent, SubrunRole
from harness.model.trial import Outcome, Stage
from harness.model.verdict import Verdict
from harness.report.compare.json import json_schema, to_json
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

FOUR = factories.blocks(4)
FAILED = factories.failed(
    factories.block_spec(4, 0, Arm.CANDIDATE, attempt=1), Outcome.CRASHED, "it panicked", (factories.PANIC,)
)


def valid(document):
    text = json.dumps(document, allow_nan=False)
    validator = jsonschema.Draft202012Validator(
        json_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert list(validator.iter_errors(json.loads(text))) == []
    return json.loads(text)


@pytest.mark.parametrize("trials", [(), (FAILED,), FOUR[:1], (*FOUR, FAILED)], ids=["none", "failed", "one", "many"])
@pytest.mark.parametrize("decided", [True, False])
def test_it_is_valid(trials, decided: bool) -> None:
    valid(to_json(factories.run(trials), factories.decide(trials) if decided else None, trials, METRICS))


def test_the_schema_is_one_and_is_not_for_everything() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    document = to_json(factories.run(FOUR), factories.decide(FOUR), FOUR, METRICS)
    for break_it in (
        lambda found: found.pop("trials"),
        lambda found: found.update(verdict="better"),
        lambda found: found["trials"][0].update(outcome="fine"),
        lambda found: found["trials"][0]["samples"].update(write_iops=["many"]),
        lambda found: found.update(schema="kab/ab-0"),
        lambda found: found["kernels"].pop("baseline"),
    ):
        broken = json.loads(json.dumps(document))
        break_it(broken)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, json_schema())


def test_a_run_inside_a_search_names_it() -> None:
    parent = Parent(run_id="20261122-0103-x9f2", role=SubrunRole.PROOF, place="3-4")
    inside = valid(to_json(factories.run(FOUR, parent=parent), None, FOUR, METRICS))
    assert inside["run"]["parent"] == {"run_id": "20261122-0103-x9f2", "role": "proof", "place": "3-4"}
    assert valid(to_json(factories.run(FOUR), None, FOUR, METRICS))["run"]["parent"] is None


def test_everything_is_in_it() -> None:
    trials = (*FOUR, FAILED)
    document = valid(to_json(factories.finished(factories.run(trials)), factories.decide(trials), trials, METRICS))
    assert (document["verdict"], document["exit_code"], document["run"]["state"]) == ("faster", 0, "finished")
    assert document["comparisons"][0]["metric"] == "write_iops"
    assert len(document["trials"]) == 9
    for trial, told in zip(trials, document["trials"], strict=True):
        assert told["samples"] == {name: list(values) for name, values in trial.samples.items()}
        assert told["stage_s"] == {str(stage): took_s for stage, took_s in trial.stage_s.items()}
        assert told["counted"] == (trial is not FAILED)
        assert told["environment"] == trial.environment
    assert document["trials"][-1]["findings"][0]["kind"] == "panic"
    assert document["experiment"]["disk"] == {
        "bus": "nvme", "backend": "nbd", "size_bytes": 2**30, "latency_s": 0.002, "device": "",
    }  # fmt: skip
    assert document["kernels"]["candidate"]["digest"] == "cd" * 32
    assert set(document["metrics"]) == set(factories.CENTRES)
    [queue] = [found for found in document["comparisons"] if found["metric"] == "queue_depth"]
    assert "serialised" in queue["reading"]


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.FASTER, 0), (Verdict.SAME, 0), (Verdict.SLOWER, 1), (Verdict.INCONCLUSIVE, 125)],
)
def test_exit_codes(verdict: Verdict, code: int) -> None:
    decision = replace(factories.decide(FOUR), verdict=verdict)
    assert valid(to_json(factories.run(FOUR), decision, FOUR, METRICS))["exit_code"] == code


def test_what_json_lacks_becomes_null() -> None:
    trial = replace(FOUR[0], samples={"write_iops": (float("nan"), float("inf"), 2.0)})
    decision = factories.decide(FOUR)
    found = replace(decision.comparisons["write_iops"], high=float("inf"))
    decision = replace(decision, comparisons={"write_iops": found})
    document = valid(to_json(factories.run(), decision, (trial,), METRICS))
    assert document["trials"][0]["samples"]["write_iops"] == [None, None, 2.0]
    assert document["comparisons"][0]["high"] is None


def test_the_schema_knows_every_value_that_the_model_has() -> None:
    trial = json_schema()["properties"]["trials"]["items"]["properties"]
    assert set(trial["outcome"]["enum"]) == set(Outcome)
    assert set(trial["stage_s"]["propertyNames"]["enum"]) == set(Stage)
    assert set(trial["arm"]["enum"]) == set(Arm)
    assert set(json_schema()["properties"]["verdict"]["enum"]) == {*Verdict, None}
