"""Identities of what ships with kab, as kab 0.1's first runs have them (tests/data/identity): open runs go on."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import build_experiment, load_experiment, load_workloads, request_from_options
from harness.model.experiment import Experiment
from harness.parse.experimentjson import experiment_from_json, experiment_to_json
from harness.plan import JOB_CONDITION, experiment_digest
from harness.render.jobidentity import job_condition, job_digest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "data" / "identity"
EXPERIMENTS = json.loads((RECORDED / "experiments.json").read_text(encoding="utf-8"))
WORKLOADS = json.loads((RECORDED / "workloads.json").read_text(encoding="utf-8"))
# A user's own workload, as a stored run has it.
STORED = (RECORDED / "stored.json").read_text(encoding="utf-8").rstrip("\n")


def identity(experiment: Experiment) -> dict[str, str]:
    def digest(**conditions: str) -> str:
        return experiment_digest(experiment, baseline_digest="a" * 64, candidate_digest="b" * 64, conditions=conditions)

    return {
        "digest": digest(qemu="10.0.2", accelerator="tcg", **job_condition(experiment.workload)),
        "digest_of_another_job": digest(qemu="10.0.2", **{JOB_CONDITION: "0123456789abcdef"}),
        "stored_sha256": hashlib.sha256(experiment_to_json(experiment).encode()).hexdigest(),
        "job": job_digest(experiment.workload),
    }


def of_file(name: str) -> dict[str, str]:
    path = ROOT / "configs" / "experiments" / f"{name}.yaml"
    return identity(build_experiment(load_experiment(path), load_workloads()))


def of_workload(name: str) -> dict[str, str]:
    request = request_from_options({"baseline": "debian:6.12", "candidate": "debian:7.2", "workload": name})
    return identity(build_experiment(request, load_workloads()))


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_an_experiment_that_ships_is_the_run_that_it_was(name: str) -> None:
    assert of_file(name) == EXPERIMENTS[name]


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_workload_that_ships_is_the_run_that_it_was(name: str) -> None:
    assert of_workload(name) == WORKLOADS[name]


def test_a_stored_experiment_is_written_as_it_was_read() -> None:
    experiment = experiment_from_json(STORED)
    assert experiment.workload.name == "mine"
    assert experiment_to_json(experiment) == STORED


def test_a_workload_of_the_users_own_is_the_run_that_it_was() -> None:
    experiment = experiment_from_json(STORED)
    digest = experiment_digest(
        experiment, baseline_digest="a", candidate_digest="b", conditions={JOB_CONDITION: "0123456789abcdef"}
    )
    assert digest == (RECORDED / "stored.sha256").read_text(encoding="utf-8").strip()


def test_a_field_that_came_later_counts_once_it_says_something() -> None:
    experiment = experiment_from_json(STORED)
    later = replace(experiment, workload=replace(experiment.workload, kind="other", own={"key": ("a", "b")}))
    assert experiment_from_json(experiment_to_json(later)) == later
    assert identity_of(later) != identity_of(experiment)
    # At its default it says nothing, written out or not.
    assert identity_of(replace(experiment, workload=replace(experiment.workload, kind="fio", own={}))) == identity_of(
        experiment
    )


def identity_of(experiment: Experiment) -> str:
    return experiment_digest(experiment, baseline_digest="a", candidate_digest="b", conditions={})
