"""`kab export` on the command line: every format of every kind of run, to files and streams that may be broken."""

import csv
import io
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import factories
import jsonschema
import matrices
import pytest
from kcidb_io.schema import V5_3
from ladders import World, loop, request
from tap.parser import Parser

from harness.cli.errors import run_command
from harness.errors import ExitCode
from harness.export.formats import ExportFormat
from harness.model.matrix import MatrixView
from harness.report.compare.json import json_schema
from harness.report.matrix.json import matrix_json_schema
from harness.report.search.json import search_json_schema
from harness.store import SqlStore

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.delenv("KCIDB_REST", raising=False)


@pytest.fixture
def store(tmp_path: Path):
    with SqlStore(tmp_path / "state" / "results.sqlite") as opened:
        yield opened


def keep(store: SqlStore, view: MatrixView) -> str:
    """Store a matrix, finished unless it is open."""
    store.matrices.create(view.run, view.plan)
    for cell in view.cells:
        if cell.run is not None:
            store.create_run(cell.run)
            assert cell.decision is not None
            store.finish(cell.run.id, cell.decision)
    if not view.open:
        store.matrices.finish(view.run.id, view.outcome)
    return view.run.id


def exported(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run_command(["export", *words]) == ExitCode.GOOD, capsys.readouterr().err
    return capsys.readouterr().out


def test_a_gate_in_every_format(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    keep(store, matrices.gate())
    tests = ElementTree.fromstring(exported(capsys, "last", "--format", "junit")).iter("testcase")
    assert len(list(tests)) == 18
    results = Parser().parse_text(exported(capsys, "--format", "ktap"))
    assert [line.ok for line in results if line.category == "test"] == [
        True, False, False, True, True, False, False, False,
    ]  # fmt: skip
    report = V5_3.validate(json.loads(exported(capsys, "last", "--format", "kcidb")))
    assert {test["origin"] for test in report["tests"]} == {"kab"}
    jsonschema.validate(json.loads(exported(capsys, "last", "--format", "json")), matrix_json_schema())
    assert exported(capsys, "last", "--format", "mail").startswith("Subject: [kab] gate release gate: FAILED")
    cells = list(csv.DictReader(io.StringIO(exported(capsys, "last", "--format", "csv"))))
    assert {row["cell"] for row in cells} == {cell.name for cell in matrices.cells()}
    boots = list(csv.DictReader(io.StringIO(exported(capsys, "last", "--format", "csv", "--what", "boots"))))
    assert {row["arm"] for row in boots} == {"baseline", "candidate"}


@pytest.mark.parametrize("kind", ExportFormat)
def test_a_hostile_one_in_every_format(
    kind: ExportFormat, store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, matrices.hostile())
    target = tmp_path / "results"
    exported(capsys, "last", "--format", kind.value, "-o", str(target))
    assert len(target.read_text(encoding="utf-8")) > 2000


def test_an_ab_run_alone_is_a_matrix_of_one_cell(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    trials = factories.blocks(4)
    run = factories.run(trials)
    store.create_run(run)
    store.finish(run.id, factories.decide(trials))
    for kind in ("junit", "ktap", "kcidb", "mail", "csv"):
        assert "write_iops" in exported(capsys, run.id[:10], "--format", kind)
    jsonschema.validate(json.loads(exported(capsys, "last", "--format", "json")), json_schema())


def test_a_search_has_those_formats_that_fit(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = loop(store, World()).execute(request(max_boots=60))
    jsonschema.validate(json.loads(exported(capsys, run.id, "--format", "json")), search_json_schema())
    assert exported(capsys, run.id, "--format", "mail").startswith("Subject: ")
    rows = list(csv.DictReader(io.StringIO(exported(capsys, run.id, "--format", "csv"))))
    # Boots of the search, and of the A/B runs inside it.
    assert {row["cell"].partition(" ")[0] for row in rows} >= {"", "ends", "proof"}
    for kind in ("junit", "ktap", "kcidb"):
        assert run_command(["export", run.id, "--format", kind]) == ExitCode.USAGE
        assert "Formats that fit it: csv, json, mail." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["last"], "--format"),
        (["last", "--format", "xml"], "junit"),
        (["nothing", "--format", "csv"], "nothing"),
        (["last", "--format", "junit", "--what", "boots"], "no table"),
        (["last", "--format", "junit", "--submit"], "not submitted"),
        (["last", "--format", "csv", "-o", "{folder}"], "is a folder"),
        (["last", "--format", "kcidb", "--submit"], "KCIDB_REST names no host"),
    ],
)
def test_wrong_usage_is_129(
    store: SqlStore, words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, matrices.gate())
    assert run_command(["export", *(word.replace("{folder}", str(tmp_path)) for word in words)]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


def test_a_file_is_written_whole_or_not_at_all(
    store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, matrices.gate())
    target = tmp_path / "new" / "results.xml"
    assert exported(capsys, "last", "--format", "junit", "-o", str(target)) == ""
    assert ElementTree.parse(target).getroot().tag == "testsuites"
    before = target.read_bytes()
    # An export that cannot be leaves what was there.
    assert run_command(["export", "last", "--format", "csv", "--what", "boots", "-o", "/dev/full"]) == ExitCode.HOST
    assert run_command(["export", "nothing", "--format", "junit", "-o", str(target)]) == ExitCode.USAGE
    assert target.read_bytes() == before
    assert [path.name for path in target.parent.iterdir()] == ["results.xml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_said_before_anything(
    store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, matrices.gate())
    (tmp_path / "closed").mkdir(mode=0o500)
    words = ["export", "last", "--format", "junit", "-o", str(tmp_path / "closed" / "results.xml")]
    assert run_command(words) == ExitCode.USAGE
    assert "cannot write --output" in capsys.readouterr().err


def test_a_place_that_takes_no_files(store: SqlStore, capsys: pytest.CaptureFixture[str]) -> None:
    keep(store, matrices.gate())
    assert run_command(["export", "last", "--format", "junit", "-o", "/proc/kab/results.xml"]) != ExitCode.GOOD
    assert "cannot write --output /proc/kab/results.xml" in capsys.readouterr().err


def test_what_is_not_finished_says_so_and_is_not_submitted(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, matrices.unfinished())
    assert run_command(["export", "last", "--format", "junit"]) == ExitCode.GOOD
    assert "is not finished" in capsys.readouterr().err
    # Nobody listens there: it is refused before that.
    monkeypatch.setenv("KCIDB_REST", "http://secret@127.0.0.1:9")
    assert run_command(["export", "last", "--format", "kcidb", "--submit"]) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert "KCIDB keeps what it is told" in said
    assert "secret" not in said


def test_the_origin_is_that_of_the_settings(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(store, matrices.gate())
    monkeypatch.setenv("KAB_KCIDB_ORIGIN", "distribution_qa")
    report = json.loads(exported(capsys, "last", "--format", "kcidb"))
    assert {test["origin"] for test in report["tests"]} == {"distribution_qa"}
    monkeypatch.setenv("KAB_KCIDB_ORIGIN", "Distribution QA")
    assert run_command(["export", "last", "--format", "kcidb"]) == ExitCode.USAGE
    assert "cannot be an origin" in capsys.readouterr().err
