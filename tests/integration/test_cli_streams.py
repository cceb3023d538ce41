"""Whatever stdin, stdout and stderr are, the exit status is the one that the command has."""

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from factories import blocks, decide
from factories import run as make_run
from streams import STATES, statuses

from harness.errors import ExitCode
from harness.model.verdict import Verdict
from harness.store import SqlStore

pytestmark = pytest.mark.integration

VERDICTS = (Verdict.FASTER, Verdict.SLOWER, Verdict.INCONCLUSIVE)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with a run of each verdict, named by it; kab's folders are there."""
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    trials = blocks(2)
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        for verdict in VERDICTS:
            some = replace(make_run(), id=str(verdict), digest=str(verdict))
            store.create_run(some)
            for one in trials:
                store.append_trial(some.id, one)
            store.finish(some.id, replace(decide(trials), verdict=verdict))
    return tmp_path


def test_no_state_of_a_stream_makes_a_status(stored: Path) -> None:
    """Only a full stdout changes it: the result is lost, and that is the host's trouble."""
    every = [*itertools.product(("null",), STATES, STATES), ("closed",) * 3, ("closed", "null", "null")]
    alike = [("null",) * 3, ("closed",) * 3, ("gone",) * 3, ("null", "full", "full")]
    commands = [
        (("report", "slower"), 1, every),
        (("report", "inconclusive"), 125, alike),
        (("report", "faster"), 0, alike),
        (("runs",), 0, alike),
        (("report", "no-such-run"), 129, alike),
        (("bisect", "replay", "-"), 129, alike),
    ]
    cases = [(argv, streams, status) for argv, status, states in commands for streams in states]
    found = statuses([(argv, streams) for argv, streams, _ in cases])
    wrong = [
        (argv, streams, status, got)
        for (argv, streams, status), got in zip(cases, found, strict=True)
        if got != (ExitCode.HOST if streams[1] == "full" and status in {0, 1, 125} else status)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("report inconclusive | true", 125),
        ("report inconclusive 2>&1 | head -1 >/dev/null", 125),
        ("report slower >&-", 1),
        ("report slower 2>/dev/full", 1),
        ("report faster >/dev/full", 131),
        ("report faster >&- 2>&- <&-", 0),
        ("test debian:7.2 --like nope 2>/dev/full", 129),
        (r"report $'\xff'", 129),
        (r"test K --like $'\xed\xa0\x80'", 129),
    ],
)
def test_a_shell_gets_the_status_of_the_command(words: str, status: int, stored: Path) -> None:
    program = f"{sys.executable} -m harness {words}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_stdout_is_no_ones_file(stored: Path) -> None:
    """The first file that a process opens gets the lowest free number: it must not be the database."""
    database = stored / "state" / "results.sqlite"
    before = database.read_bytes()
    program = f"{sys.executable} -m harness report slower >&- 2>&- <&-"
    assert subprocess.run(["bash", "-c", program], check=False).returncode == 1
    assert database.read_bytes() == before


@pytest.mark.parametrize("limit_kib", [100_000, 200_000, 300_000])
def test_little_memory_is_the_hosts_trouble_at_once(limit_kib: int, stored: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v {limit_kib}; exec {sys.executable} -m harness ab debian:6.12 debian:7.2"],
        capture_output=True, text=True, check=False, timeout=10,
    )  # fmt: skip
    assert done.returncode == ExitCode.HOST, done.stderr
    assert "ulimit -v" in done.stderr
