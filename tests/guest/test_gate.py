"""`kab gate` end to end: two cells on two real kernels, killed in the middle, and gone on with."""

import json
from pathlib import Path

import pytest
from endtoend import kab, kill_all_of, start

from harness.errors import ExitCode
from harness.report.matrix.json import matrix_json_schema
from harness.store import SqlStore

jsonschema = pytest.importorskip("jsonschema")

pytestmark = [pytest.mark.guest, pytest.mark.timeout(600)]

MATRIX = """\
title: two cells
baseline: debian:6.12
candidate: debian:7.2
set: {runtime: 1s, iterations: 2, warmup: 0s, file_size: 16MiB}
max_boots: 8
axes:
  fs: {nodatacow: "btrfs,mount=nodatacow", ext4: ext4}
# One block: too few to tell anything, and the gate must say so.
adjust: [{when: {fs: ext4}, max_boots: 2}]
gate: {metrics: {write_iops: 30%}}
"""


def test_a_gate_is_killed_and_gone_on_with(environment: dict[str, str], tmp_path: Path) -> None:
    file, page, result = tmp_path / "two.yaml", tmp_path / "gate.html", tmp_path / "gate.json"
    file.write_text(MATRIX)
    words = ("gate", str(file), "--seed", "1", "--progress", "json", "--html", str(page), "--json", str(result))
    with start(environment, *words) as running:
        assert running.stderr is not None
        stored = 0
        # Into the workload of the fourth boot: both cells are begun.
        for line in running.stderr:
            event = json.loads(line)
            stored += event["event"] == "trial-finished"
            if stored == 3 and event["event"] == "stage" and event["stage"] == "measure":
                break
        kill_all_of(running, tmp_path)
    status, out, _ = kab(environment, "report", "last")
    assert status == ExitCode.CANNOT_TELL
    assert ": OPEN\n" in out
    status, out, err = kab(environment, *words)
    assert status == ExitCode.CANNOT_TELL
    events = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    assert sum(event["event"] == "trial" for event in events) == 7
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        (gate,) = [run for run in store.runs() if run.parent is None]
        cells = {name: store.run(run_id) for name, run_id in store.matrices.cells(gate.id).items()}
    assert set(cells) == {"nodatacow", "ext4"}
    places = [(name, trial.place) for name, run in cells.items() for trial in run.trials]
    assert len(places) == len(set(places)) == 10
    assert {name: len(run.trials) for name, run in cells.items()} == {"nodatacow": 8, "ext4": 2}
    assert {str(trial.outcome) for run in cells.values() for trial in run.trials} == {"ok"}
    assert "nodatacow" in cells["nodatacow"].trials[0].environment["mount"]
    document = json.loads(result.read_text())
    jsonschema.validate(document, matrix_json_schema())
    verdicts = {cell["name"]: cell["verdict"] for cell in document["cells"]}
    # Three times as fast is not worse after four blocks.
    assert verdicts == {"nodatacow": "not-worse", "ext4": "inconclusive"}
    assert page.read_text().startswith("<!DOCTYPE html>")
