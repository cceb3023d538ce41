"""`kab plan`: what a matrix will take, by what is stored and by what is assumed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from factories import blocks, decide
from factories import run as make_run
from labs import InventedLab
from ladders import World

from harness.cli.errors import run_command
from harness.errors import ExitCode
from harness.lab.lab import Lab
from harness.model.trial import Outcome
from harness.report.planned import plan_schema

pytestmark = pytest.mark.unit

MATRIX = """\
title: both
axes:
  workload: [shared-dio, database-pages]
  fs: [ext4, xfs]
gate: {max_boots: 40}
nightly: {series: [debian:6.12, debian:7.2]}
"""
Plan = Callable[..., ExitCode]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Runs `kab plan` on a file in a laboratory that has nothing, and boots nothing."""
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    benches: list[object] = []

    def command(text: str, *words: str) -> ExitCode:
        Path("matrix.yaml").write_text(text)
        made = InventedLab.of(World(), benches=benches)  # type: ignore[arg-type]
        status = ExitCode(run_command(["plan", "./matrix.yaml", *words], make_lab=made))
        assert not benches
        return status

    return command


def told(tmp_path: Path) -> dict[str, object]:
    document = json.loads((tmp_path / "plan.json").read_text())
    jsonschema.Draft202012Validator(plan_schema()).validate(document)
    return document


def store(changes: float = 0.0, **conditions: str) -> None:
    """Two blocks of a stored run, whose boots take 30 s and a bit; one that was lost took an hour."""
    with Lab() as lab:
        run = make_run()
        run = replace(run, conditions={**run.conditions, **conditions})
        trials = [replace(trial, duration_s=30.0 + changes) for trial in blocks(2)]
        lab.store.create_run(run)
        for trial in trials:
            lab.store.append_trial(run.id, trial)
        lab.store.finish(run.id, decide(trials))


def test_cells_kernels_boots_and_time_are_told(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(MATRIX, "--json", "plan.json", "--baseline", "host") == ExitCode.GOOD
    out = capsys.readouterr().out
    assert out.startswith("both: 4 cells\n")
    assert "kernels: (no candidate yet) against host\n" in out
    assert "series for kab nightly: debian:6.12, debian:7.2\n" in out
    assert "\nfs        ext4 (2), xfs (2)\n" in out
    # 1 % over four metrics wants 5 blocks; a gate looks after 4, and has a budget of its own.
    assert "\nkab run   40 to 160 boots, 14 min 20 s to 57 min 20 s\n" in out
    assert "\nkab gate  32 to 40 boots, " in out
    assert "assumed: no run is stored" in out
    document = told(tmp_path)
    assert [cell["name"] for cell in document["cells"]] == [  # type: ignore[attr-defined]
        "shared-dio/ext4", "shared-dio/xfs", "database-pages/ext4", "database-pages/xfs",
    ]  # fmt: skip
    assert document["space"] == {"disk_files_bytes": 0, "memory_bytes": 2 * 1024**3, "results_bytes": None}


def test_time_is_that_of_stored_boots_of_the_same_accelerator(plan: Plan, tmp_path: Path) -> None:
    store(accelerator="tcg")
    assert plan(MATRIX, "--json", "plan.json") == ExitCode.GOOD
    found = told(tmp_path)["boot_time"]
    # The stored workload: a warm-up of 1 s and 3 iterations of 4 s.
    assert found == {"accelerator": "tcg", "because": "as in the newest stored run", "besides_s": 17.0, "trials": 4}
    assert plan(MATRIX, "--json", "plan.json", "--accel", "kvm") == ExitCode.GOOD
    found = told(tmp_path)["boot_time"]
    assert found == {"accelerator": "kvm", "because": "as asked for", "besides_s": 10.0, "trials": 0}


def test_boots_that_did_not_end_well_tell_no_time(plan: Plan, tmp_path: Path) -> None:
    with Lab() as lab:
        run = replace(make_run(), conditions={"accelerator": "kvm"})
        lab.store.create_run(run)
        for trial, outcome in zip(blocks(2), (Outcome.OK, Outcome.LOST, Outcome.CRASHED, Outcome.OK), strict=True):
            lab.store.append_trial(
                run.id, replace(trial, outcome=outcome, duration_s=20.0 if outcome is Outcome.OK else 3600.0)
            )
    assert plan(MATRIX, "--json", "plan.json") == ExitCode.GOOD
    found = told(tmp_path)
    assert found["boot_time"] == {
        "accelerator": "kvm", "because": "as in the newest stored run", "besides_s": 7.0, "trials": 2,
    }  # fmt: skip
    # Every boot of the plan keeps what a stored one kept: the recorded artifacts, 160 times.
    assert found["space"]["results_bytes"] > 160 * 100  # type: ignore[index]


def test_many_cells_are_not_many_lines(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ", ".join(f"g{number}: {{vcpus: {number + 1}}}" for number in range(200))
    assert plan(f"baseline: host\ncandidate: host\naxes:\n  fs: [ext4, xfs]\n  g: {{{labels}}}\n") == ExitCode.GOOD
    out = capsys.readouterr().out
    assert len(out.splitlines()) < 40
    assert "and 380 more cells; --json FILE writes all" in out
    assert "188 more" in out


def test_what_a_file_says_reaches_no_terminal_as_it_is(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan('baseline: "a\\x1b[31m"\ncandidate: host\n') == ExitCode.GOOD
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a\\x1b[31m" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--only", "fs=ext"), "Did you mean ext4?"),
        (("--shard", "3/2"), "no share"),
        (("--accel", "qemu"), "--accel"),
        (("--only", "fs=ext4", "--only", "workload=wal"), "unknown label"),
    ],
)
def test_wrong_words_are_wrong_usage(
    plan: Plan, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(MATRIX, *words) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_some_cells_and_an_empty_share(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert plan(MATRIX, "--only", "fs=ext4") == ExitCode.GOOD
    assert capsys.readouterr().out.startswith("both: 2 cells of 4\n")
    empty = 0
    for index in range(1, 9):
        assert plan(MATRIX, "--shard", f"{index}/8") == ExitCode.GOOD
        empty += capsys.readouterr().out.startswith("both: 0 cells of 4\n")
    assert empty >= 4


def test_a_waiver_that_has_expired_is_told_before_anything_else(plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    Path("w.yaml").write_text("- {cells: '*', owner: ann, reason: r, until: 2020-01-31}\n")
    assert plan(f"{MATRIX}waivers: w.yaml\n") == ExitCode.USAGE
    assert "w.yaml:1: this waiver of ann has expired: it held until 2020-01-31" in capsys.readouterr().err
