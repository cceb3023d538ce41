"""A PostgreSQL server that is stopped, stands still and comes back while kab stores: nothing is lost or doubled."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import factories
import pytest
from daemons import PostgresServer, no_postgres_server, postgres
from labs import InventedLab
from ladders import VERSIONS, World

from harness.cli.errors import run_command
from harness.model.guest import Accelerator
from harness.model.run import RunState
from harness.store import SqlStore
from harness.store.failures import AwayError
from harness.store.served import ServedStore, open_store

pytestmark = pytest.mark.integration

SOME = factories.blocks(6)

# A process that works on a run: makes it, or goes on with it, and says of each boot that it is stored. Where the server
# is away it does not stop.
WORKER = """
import random, sys, time
from pathlib import Path
import factories
from harness.store.served import open_store
url, outboxes, boots = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
def note(message):
    print("note", message, flush=True)

with open_store(url, outboxes=outboxes, note=note, busy_timeout_s=1) as store:
    run = store.unfinished("d")
    if run is None:
        store.create_run(factories.run(id="one", digest="d"))
        run = store.run("one")
    some = factories.blocks(boots // 2)
    for number in range(len(run.trials), boots):
        store.append_trial("one", some[number])
        print("stored", number, flush=True)
        time.sleep(0.05)
    store.finish("one", factories.decide(some))
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    if no_postgres_server:
        pytest.skip(no_postgres_server)
    with postgres() as running:
        yield running


def opened(server: PostgresServer, folder: Path, notes: list[str] | None = None) -> ServedStore:
    store = open_store(
        server.url.format("postgres"),
        outboxes=folder / "outbox",
        note=(notes if notes is not None else []).append,
        busy_timeout_s=1.0,
    )
    assert isinstance(store, ServedStore)
    return store


def assert_all_there(server: PostgresServer, boots: tuple[object, ...] = SOME) -> None:
    with SqlStore(server.url.format("postgres")) as there:
        run = there.with_artifacts(there.run("one"))
        assert run.trials == boots
        assert run.state is RunState.FINISHED


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_it_is_away_in_mid_run(server: PostgresServer, tmp_path: Path, how: str) -> None:
    notes: list[str] = []
    with opened(server, tmp_path, notes) as store:
        store.create_run(factories.run(id="one", digest="d"))
        for trial in SOME[:3]:
            store.append_trial("one", trial)
        server.stop() if how == "stopped" else server.freeze()
        since = time.monotonic()
        for trial in SOME[3:6]:
            store.append_trial("one", trial)
        assert time.monotonic() - since < 60, "it is not waited for at each boot"
        assert len(store.run("one").trials) == 6
        assert store.waiting().trials == 3
        server.start() if how == "stopped" else server.freeze(signal.SIGCONT)
        store._not_before = 0.0
        for trial in SOME[6:]:
            store.append_trial("one", trial)
        assert store.waiting().trials == 0
        store.finish("one", factories.decide(SOME))
    assert len([note for note in notes if "does not answer" in note]) == 1
    assert len([note for note in notes if "delivered to" in note]) == 1
    assert_all_there(server)


def test_it_comes_back_after_the_run(server: PostgresServer, tmp_path: Path) -> None:
    with opened(server, tmp_path) as store:
        store.create_run(factories.run(id="one"))
        server.stop()
        for trial in SOME:
            store.append_trial("one", trial)
        store.finish("one", factories.decide(SOME))
        with pytest.raises(AwayError):
            store.deliver()
    with opened(server, tmp_path) as store:
        assert (store.waiting().runs, store.waiting().trials) == (1, len(SOME))
        assert store.run("one").trials[-1].spec == SOME[-1].spec
    server.start()
    notes: list[str] = []
    opened(server, tmp_path, notes).close()
    assert [note.partition(": ")[2] for note in notes] == [f"{len(SOME)} boots, 1 runs"]
    assert_all_there(server)


def worker(server: PostgresServer, folder: Path, boots: int) -> "subprocess.Popen[str]":
    path = f"{os.environ.get('PYTHONPATH', '')}:{Path(factories.__file__).parent}"
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, server.url.format("postgres"), str(folder / "outbox"), str(boots)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def until(process: "subprocess.Popen[str]", line: str) -> list[str]:
    """What it says up to that."""
    assert process.stdout is not None
    said = []
    for found in process.stdout:
        said.append(found.rstrip("\n"))
        if said[-1].startswith(line):
            return said
    raise AssertionError((said, process.stderr and process.stderr.read()))


def test_kab_is_killed_while_it_is_away(server: PostgresServer, tmp_path: Path) -> None:
    """Again and again, at any moment; the server comes and goes. What was said to be stored is there once."""
    boots, stored = 40, 3
    for turn in range(4):
        working = worker(server, tmp_path, boots)
        until(working, f"stored {stored}")
        server.stop()
        stored += 6
        until(working, f"stored {stored}")
        working.send_signal(signal.SIGKILL)
        rest = working.communicate(timeout=60)[0].splitlines(keepends=True)
        told = [int(line.split()[1]) for line in rest if line.startswith("stored") and line.endswith("\n")]
        stored = max([stored, *told])
        if turn % 2:
            # Once it goes on without it.
            again = worker(server, tmp_path, boots)
            stored += 2
            until(again, f"stored {stored}")
            again.kill()
            again.communicate(timeout=60)
        server.start()
        stored += 1
    last = worker(server, tmp_path, boots)
    said, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert "delivered to" in said
    assert_all_there(server, factories.blocks(boots // 2))


def test_two_processes_share_an_outbox(server: PostgresServer, tmp_path: Path) -> None:
    """Of two runs; each marks and delivers what the other one left."""
    stores = [opened(server, tmp_path) for _ in range(2)]
    for number, store in enumerate(stores):
        store.create_run(factories.run(id=f"run-{number}"))
    server.stop()
    for trial in SOME[:6]:
        for number, store in enumerate(stores):
            store.append_trial(f"run-{number}", trial)
    server.start()
    for store in stores:
        store._not_before = 0.0
    for trial in SOME[6:]:
        for number, store in enumerate(stores):
            store.append_trial(f"run-{number}", trial)
    with SqlStore(server.url.format("postgres")) as there:
        for number in range(2):
            assert there.with_artifacts(there.run(f"run-{number}")).trials == SOME
    for store in stores:
        assert store.waiting().runs == 0
        store.close()


MATRIX = f"""\
title: mine
baseline: debian:{VERSIONS[0]}
candidate: debian:{VERSIONS[1]}
margin: 30%
seed: 3
axes:
  fs: [btrfs, ext4]
"""


@dataclass
class Restarting(World):
    """A world in which the server stops before a boot, and starts before another one."""

    server: PostgresServer | None = None
    stop_at: int = -1
    start_at: int = -1

    def __call__(self, *words: Any) -> Any:
        assert self.server is not None
        if len(self.made) == self.stop_at:
            self.server.stop()
        if len(self.made) == self.start_at:
            self.server.start()
        return super().__call__(*words)


@pytest.fixture
def verbs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a verb in an invented laboratory, whose results are where the last argument says."""

    def command(*words: str, world: World, database: str) -> int:
        monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / hashlib.sha256(database.encode()).hexdigest()[:8]))
        monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
        monkeypatch.setenv("KAB_DATABASE", database)
        return run_command(list(words), make_lab=InventedLab.of(world, accelerator=Accelerator.KVM))

    return command


def measured(store: SqlStore) -> list[tuple[str | None, list[object], object]]:
    """Of each run inside: its cell, its boots and what they gave, its verdict."""
    found = []
    for run in sorted(store.runs(1000), key=lambda run: run.parent.place if run.parent else ""):
        decision = store.decision(run.id)
        boots: list[object] = [(trial.spec, trial.samples, trial.outcome) for trial in store.run(run.id).trials]
        found.append((run.parent and run.parent.place, boots, decision and decision.verdict))
    return found


def test_a_matrix_over_a_server_that_is_started_anew(
    server: PostgresServer, tmp_path: Path, verbs: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user types it: the same boots and verdicts as in a file, and the server has each once."""
    file = tmp_path / "mine.yaml"
    file.write_text(MATRIX)
    here = f"sqlite:///{tmp_path}/here.sqlite"
    there = server.url.format("postgres").replace("+psycopg", "")
    expected = verbs("run", str(file), world=World(), database=here)
    world = Restarting(server=server, stop_at=5, start_at=12)
    assert verbs("run", str(file), world=world, database=there) == expected
    assert len(world.made) > 12, "it was away in the middle"
    assert "does not answer" in capsys.readouterr().err
    # What the last boots left is brought by any kab.
    assert verbs("runs", world=World(), database=there) == 0
    assert "wait here" not in capsys.readouterr().err
    with SqlStore(here) as one, SqlStore(there) as other:
        assert measured(other) == measured(one)
        assert other.history.series() == one.history.series() != ()
        [matrix] = [run for run in other.runs(100) if run.parent is None]
        assert other.matrices.outcome(matrix.id) is not None
    assert verbs("report", "last", world=World(), database=there) == expected
    assert verbs("doctor", world=World(), database=there) in {0, 131}
    assert "holds 3 runs" in capsys.readouterr().out
