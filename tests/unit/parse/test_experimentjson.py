"""Experiments survive JSON exactly, and equal experiments give equal text."""

import json
from dataclasses import replace
from types import MappingProxyType

import factories
import pytest
from hypothesis import given
from strategies import experiments

from harness.errors import ConfigError
from harness.model.experiment import Experiment
from harness.parse.experimentjson import experiment_from_json, experiment_to_json
from harness.parse.plainjson import from_plain

pytestmark = pytest.mark.unit


@given(experiments())
def test_round_trip(experiment: Experiment) -> None:
    again = experiment_from_json(experiment_to_json(experiment))
    assert again == experiment
    # == takes 1, 1.0 and True for the same; a fio template does not.
    assert [type(value) for value in again.workload.parameters.values()] == [
        type(experiment.workload.parameters[name]) for name in again.workload.parameters
    ]


def test_equal_experiments_give_equal_text() -> None:
    one = factories.experiment()
    parameters = dict(reversed(one.workload.parameters.items()))
    other = replace(one, workload=replace(one.workload, parameters=MappingProxyType(parameters)))
    assert experiment_to_json(one) == experiment_to_json(other)


def test_text_is_ascii_and_versioned() -> None:
    text = experiment_to_json(factories.experiment(baseline="file:/tmp/b\udcffz"))
    assert text.isascii()
    assert json.loads(text)["version"] == 1
    assert experiment_from_json(text).baseline == "file:/tmp/b\udcffz"


def test_a_field_that_did_not_exist_yet_takes_its_default() -> None:
    document = json.loads(experiment_to_json(factories.experiment(max_boots=12)))
    del document["experiment"]["max_boots"]
    assert experiment_from_json(json.dumps(document)).max_boots == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document.update(version=2), "version 2"),
        (lambda document: document["experiment"].update(surprise=1), "surprise"),
        (lambda document: document["experiment"].update(margin="5%"), "'5%'"),
        (lambda document: document["experiment"]["disk"].update(bus="scsi"), "scsi"),
        (lambda document: document["experiment"].pop("workload"), "workload"),
        (lambda document: document.update(experiment=[]), "does not fit"),
    ],
)
def test_misfits_are_refused(change, message) -> None:
    document = json.loads(experiment_to_json(factories.experiment()))
    change(document)
    with pytest.raises(ConfigError, match=message):
        experiment_from_json(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_malformed_text_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        experiment_from_json(text)


def test_a_bool_does_not_pass_for_a_number() -> None:
    with pytest.raises(ConfigError):
        from_plain(Experiment, {"baseline": "a", "candidate": "b", "workload": {}, "margin": True})
