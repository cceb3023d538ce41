"""The JSON report of a matrix has everything but boots, is valid, and is documented field by field."""

import json
from dataclasses import replace

import jsonschema
import matrices
import pytest

from harness.model.matrix import CellVerdict, Ending, FailKind, MatrixView
from harness.model.trial import Outcome
from harness.report.matrix.json import matrix_json_schema, matrix_to_json

pytestmark = pytest.mark.unit


def valid(view: MatrixView):
    text = json.dumps(matrix_to_json(view), allow_nan=False)
    validator = jsonschema.Draft202012Validator(
        matrix_json_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert list(validator.iter_errors(json.loads(text))) == []
    return json.loads(text)


@pytest.mark.parametrize(
    "make", [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]
)
def test_it_is_valid(make) -> None:
    view = make()
    told = valid(view)
    assert [cell["name"] for cell in told["cells"]] == [cell.cell.name for cell in view.cells]
    assert told["exit_code"] == view.exit_code
    assert sum(told["counts"].values()) == len(view.cells)
    assert (told["run"]["state"] == "open") == view.open


def test_the_schema_is_one_and_is_not_for_everything() -> None:
    jsonschema.Draft202012Validator.check_schema(matrix_json_schema())
    for break_it in (
        lambda found: found.pop("cells"),
        lambda found: found.update(exit_code=2),
        lambda found: found["cells"][0].update(verdict="better"),
        lambda found: found["cells"][0]["metrics"][0].pop("margin"),
        lambda found: found["cells"][0]["metrics"][0]["comparison"].update(ratio="many"),
        lambda found: found["cells"][4]["waiver"].update(until="some day"),
        lambda found: found["cells"][0]["kernels"].pop("baseline"),
        lambda found: found.update(schema="kab/matrix-0"),
    ):
        broken = json.loads(json.dumps(matrix_to_json(matrices.gate())))
        break_it(broken)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(
                broken, matrix_json_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
            )


def test_a_cell_says_what_came_of_it_and_what_it_rests_on() -> None:
    told = {cell["name"]: cell for cell in valid(matrices.gate())["cells"]}
    slower = told["shared-dio/btrfs/virtio"]
    assert (slower["verdict"], slower["exit_code"], slower["run_id"]) == ("slower", 1, "20261124-2311-c001")
    iops, tail = slower["metrics"]
    assert (iops["metric"], iops["verdict"], iops["margin"]) == ("write_iops", "slower", 0.05)
    assert iops["comparison"]["ratio"] == pytest.approx(0.76)
    assert tail["verdict"] == "not-worse"
    assert {found["metric"] for found in slower["others"]} >= {"queue_depth", "write_clat_p50"}
    assert slower["axes"] == {"workload": "shared-dio", "fs": "btrfs", "disk": "virtio"}
    waived = told["database-pages/btrfs/nvme"]
    assert (waived["exit_code"], waived["waiver"]["owner"]) == (0, "storage@distribution.example")
    faulty = told["database-pages/btrfs/virtio"]
    assert faulty["fails"] == ["fault", "warning"]
    assert faulty["outcomes"]["candidate"] == {"ok": 1, "crashed": 2}
    assert any("panic" in line for line in faulty["findings"])
    gone = told["database-pages/ext4/virtio"]
    assert (gone["trouble"], gone["run_id"], gone["kernels"]["candidate"]) == (129, None, None)


def test_what_json_lacks_becomes_null() -> None:
    view = matrices.alone()
    [cell] = view.cells
    metric = cell.result.metrics[0]
    result = replace(
        cell.result,
        metrics=(replace(metric, comparison=replace(metric.comparison, high=float("inf"), ratio=float("nan"))),),
    )
    told = valid(replace(view, cells=(replace(cell, result=result),)))
    comparison = told["cells"][0]["metrics"][0]["comparison"]
    assert (comparison["high"], comparison["ratio"]) == (None, None)


def test_the_schema_knows_every_value_that_the_model_has() -> None:
    schema = matrix_json_schema()
    cell = schema["$defs"]["cell"]["properties"]
    assert set(cell["verdict"]["enum"]) == set(CellVerdict)
    assert set(cell["fails"]["items"]["enum"]) == set(FailKind)
    assert set(cell["outcomes"]["properties"]["candidate"]["propertyNames"]["enum"]) == set(Outcome)
    assert set(schema["properties"]["ending"]["enum"]) == set(Ending)
