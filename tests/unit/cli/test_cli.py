"""The command line: help, exit statuses safe under `git bisect run`, messages for people."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from factories import blocks, decide
from factories import run as make_run

from harness.cli.display import ProgressMode, make_progress
from harness.cli.errors import run_command
from harness.cli.guestshell import exit_status
from harness.cli.live import LiveProgress
from harness.cli.progress import JsonProgress, LineProgress
from harness.errors import ExitCode, HostError
from harness.model.trial import Stage
from harness.store import SqlStore

pytestmark = pytest.mark.unit

VERBS = (
    "ab", "bisect", "build", "clean", "completion", "doctor", "export", "image", "kernels", "report", "runs", "shell",
    "test",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


@pytest.fixture
def stored(tmp_path: Path) -> str:
    """A finished run in the store; returns its id."""
    trials = blocks(4)
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        some = make_run()
        store.create_run(some)
        for one in trials:
            store.append_trial(some.id, one)
        store.finish(some.id, decide(trials))
    return some.id


def test_help_names_every_verb_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    text = capsys.readouterr().out
    for word in (*VERBS, "git bisect run", "125", "131"):
        assert word in text


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([verb, "--help"]) == 0
    assert len(capsys.readouterr().out) > 100


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["abb"], "abb"),
        (["ab", "--nonsense"], "--nonsense"),
        (["ab"], "no baseline kernel is named"),
        (["ab", "debian:6.12"], "no candidate kernel is named"),
        (["ab", "6.12", "debian:7.2"], "debian:6.12"),
        (["ab", "debian:6.12", "debian:7.2", "--workload", "shared-doi"], "shared-dio"),
        (["ab", "debian:6.12", "debian:7.2", "--metric", "write_iop"], "write_iops"),
        (["ab", "debian:6.12", "debian:7.2", "--margin", "5x"], "5x"),
        (["ab", "debian:6.12", "debian:7.2", "--disk", "nvme,latncy=2ms"], "latency"),
        (["ab", "debian:6.12", "debian:7.2", "--disk", "null-blk,backend=nbd"], "null-blk"),
        (["ab", "debian:6.12", "debian:7.2", "--accel", "xen"], "xen"),
        (["ab", "-f", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (["report", "no-such-run"], "no-such-run"),
    ],
)
def test_wrong_usage_is_129_with_one_clear_message(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(argv) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_a_bug_is_128_and_leaves_its_trace_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by us")

    monkeypatch.setattr("harness.store.SqlStore.runs", broken)
    assert run_command(["runs"]) == ExitCode.BUG
    said = capsys.readouterr().err
    assert "a bug in kab" in said
    assert "Traceback" not in said
    (trace,) = (tmp_path / "state" / "bugs").iterdir()
    assert "ZeroDivisionError: by us" in trace.read_text()


@pytest.mark.parametrize(
    ("raised", "status"),
    [(KeyboardInterrupt(), ExitCode.INTERRUPTED), (HostError("no disk", remedy="Buy one."), ExitCode.HOST)],
)
def test_interruptions_and_host_trouble_have_statuses_of_their_own(
    raised: BaseException, status: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("harness.store.SqlStore.runs", failing)
    assert run_command(["runs"]) == status
    if isinstance(raised, HostError):
        assert "kab: no disk\nBuy one.\n" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_a_process_in_order(number: signal.Signals, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from harness.cli import errors\n"
        "from harness.store import SqlStore\n"
        "def slow(*_, **__):\n    print('ready', flush=True)\n    time.sleep(30)\n"
        "SqlStore.runs = slow\n"
        "sys.exit(errors.run_command(['runs']))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.send_signal(number)
        _, said = running.communicate(timeout=20)
    assert running.returncode == ExitCode.INTERRUPTED
    assert b"Traceback" not in said


def test_a_signal_while_a_library_runs_text_as_code_keeps_the_status(tmp_path: Path) -> None:
    """As dataclasses do: CPython notes a KeyboardInterrupt that leaves such code, and ends itself by SIGINT."""
    program = (
        "import os, signal, sys\n"
        "from harness.cli import errors\n"
        "from harness.store import SqlStore\n"
        "def runs(*_, **__):\n    exec('os.kill(os.getpid(), signal.SIGTERM)', globals())\n"
        "SqlStore.runs = runs\n"
        "sys.exit(errors.run_command(['runs']))\n"
    )
    (tmp_path / "interrupted.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    argv = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(argv, env=environment, capture_output=True, timeout=30, check=False)
    assert done.returncode == ExitCode.INTERRUPTED


def test_report_gives_the_verdicts_status_and_all_forms(
    stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "report.html"
    assert run_command(["report", stored[:8], "--html", str(page), "--json", "-"]) == ExitCode.GOOD
    out, err = capsys.readouterr()
    assert json.loads(out)["run"]["id"] == stored
    assert "is faster than" in err
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_runs_lists_what_is_stored(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["runs"]) == 0
    assert stored in capsys.readouterr().out


def test_completion_is_a_script_that_bash_accepts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "_KAB_COMPLETE" in script
    checked = subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize(
    ("status", "own"), [(0, 0), (125, 125), (1, 1), (2, 1), (255, 1), (-1, 1), (126, 129), (127, 129)]
)
def test_guest_commands_have_statuses_that_git_bisect_understands(status: int, own: int) -> None:
    assert exit_status(status) == own


def test_starting_is_quick() -> None:
    """`kab --version` imports neither numpy nor libvirt."""
    program = "import sys; from harness.cli.errors import run_command; run_command(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "libvirt", "paramiko", "sqlalchemy"} & set(done.stdout.split())


class TestProgress:
    """What is written while a run goes on."""

    def feed(self, progress: LineProgress | JsonProgress | LiveProgress) -> None:
        trials = blocks(2)
        with progress:
            progress.run_started(make_run(), resumed_trials=0)
            for one in trials:
                progress.stage(one.spec, Stage.MEASURE, "1/3")
                progress.trial_finished(one)
            progress.decided(decide(trials))

    def test_lines_are_few_and_parsable(self) -> None:
        out = io.StringIO()
        self.feed(LineProgress(out))
        lines = out.getvalue().splitlines()
        assert len(lines) == 1 + 4 + 1
        assert all(line.startswith("kab: ") for line in lines)
        assert re.search(r"trial block=0 arm=\w+ outcome=ok seconds=[\d.]+ value=", lines[1])

    def test_json_lines_are_json(self) -> None:
        out = io.StringIO()
        self.feed(JsonProgress(out))
        events = [json.loads(line) for line in out.getvalue().splitlines()]
        assert [event["event"] for event in events].count("trial-finished") == 4
        assert events[-1]["event"] == "decision"

    def test_a_file_gets_lines_and_a_terminal_a_display(self) -> None:
        assert isinstance(make_progress(ProgressMode.AUTO, io.StringIO()), LineProgress)
        leader, follower = os.openpty()
        with os.fdopen(follower, "w") as terminal:
            assert isinstance(make_progress(ProgressMode.AUTO, terminal), LiveProgress)
        os.close(leader)

    def test_the_display_keeps_the_table_of_boots(self) -> None:
        out = io.StringIO()
        self.feed(LiveProgress(out))
        assert out.getvalue().count("write_iops") >= 4
