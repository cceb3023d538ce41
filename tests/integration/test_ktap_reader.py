"""The kernel's own reader of KTAP, ``tools/testing/kunit/kunit.py parse``, reads what kab writes, nested tests too.

``KAB_TEST_LINUX`` names where it is taken from: a git repository as TREE@REVISION, or an unpacked source tree.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import matrices
import pytest

from harness.export.ktap import to_ktap
from harness.export.statuses import Status, cell_status, metric_status

pytestmark = pytest.mark.integration

_READER = "tools/testing/kunit"
# What the reader calls each of them; errors are failures to it.
_WORDS = {Status.PASSED: "PASS", Status.WAIVED: "SKIP", Status.NOTED: "SKIP"}


@pytest.fixture(scope="module")
def kunit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("KAB_TEST_LINUX", "")
    tree, _, revision = named.partition("@")
    if not named:
        pytest.skip("KAB_TEST_LINUX names no tree of Linux")
    if not revision:
        return Path(tree) / _READER / "kunit.py"
    packed = subprocess.run(["git", "-C", tree, "archive", revision, _READER], capture_output=True, check=True)
    folder = tmp_path_factory.mktemp("linux")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / _READER / "kunit.py"


@pytest.mark.parametrize(
    "make", [matrices.gate, matrices.matrix_run, matrices.unfinished, matrices.alone, matrices.hostile]
)
def test_it_reads_every_cell_and_metric(make, kunit: Path, tmp_path: Path) -> None:
    view = make()
    log, told = tmp_path / "kab.ktap", tmp_path / "kunit.json"
    log.write_text(to_ktap(view), encoding="utf-8")
    words = [sys.executable, str(kunit), "parse", str(log), f"--json={told}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert "[ERROR]" not in done.stdout, done.stdout
    assert done.returncode == int(view.exit_code != 0), done.stderr
    read = json.loads(told.read_text(encoding="utf-8"))
    groups = {group["name"]: group["test_cases"] for group in read["sub_groups"]}
    alone = {case["name"]: case["status"] for case in read["test_cases"]}
    assert len(groups) + len(alone) == len(view.cells) + view.open
    for cell in view.cells:
        status = cell_status(cell)
        if not cell.result.metrics:
            # A name that KTAP cannot hold has another there.
            assert _WORDS.get(status, "FAIL") == alone.get(cell.cell.name, "FAIL")
        elif cell.cell.name in groups:
            assert [(case["name"], case["status"]) for case in groups[cell.cell.name]] == [
                (found.metric, _WORDS.get(metric_status(found, status), "FAIL")) for found in cell.result.metrics
            ]
