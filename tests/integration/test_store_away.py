"""A PostgreSQL server that is stopped, stands still and comes back while kab stores: nothing is lost or doubled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import factories
import pytest
from daemons import PostgresServer, no_postgres_server, postgres

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
