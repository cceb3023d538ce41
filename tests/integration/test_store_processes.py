"""The store under several processes, under kill -9 and on a full disk."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import factories
import pytest
from sqlalchemy import text

from harness.store import SqlStore

pytestmark = pytest.mark.integration

# A writer in a process of its own: opens the store, appends trials for ever (or COUNT of them), says which are stored.
WRITER = """
import os, random, sys
from dataclasses import replace
import factories
from harness.store import SqlStore
path, run_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
rng = random.Random(os.getpid())
with SqlStore(path) as store:
    block = len(store.run(run_id).trials)
    while count:
        trial = factories.trial(factories.Arm.BASELINE, block, 0, rng=rng)
        noise = rng.randbytes(60_000)
        trial = replace(trial, artifacts={"fio-0.json": noise, "console.log": noise[::-1], **trial.artifacts})
        store.append_trial(run_id, trial)
        print(block, flush=True)
        block, count = block + 1, count - 1
"""


def start_writer(path: Path, run_id: str, count: int = -1) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(Path(factories.__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), run_id, str(count)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def assert_whole(path: Path, run_id: str) -> list[int]:
    """Blocks stored; each of their trials must have all of its samples and artifacts."""
    with SqlStore(path) as store:
        with store._engine.connect() as connection:
            assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
            assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        run = store.with_artifacts(store.run(run_id))
        for trial in run.trials:
            assert {name: len(values) for name, values in trial.samples.items()} == dict.fromkeys(factories.CENTRES, 3)
            assert sorted(trial.artifacts) == ["console.log", "domain.xml", "fio-0.json", "fio-job"]
        return [trial.place.block for trial in run.trials]


def test_kill_at_any_moment_leaves_whole_trials(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        store.create_run(factories.run(id="one"))
    rng = random.Random(7)
    told: list[int] = []
    for _ in range(10):
        writer = start_writer(path, "one")
        assert writer.stdout is not None
        told.append(int(writer.stdout.readline()))
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        # A line that the kill cut in two has no newline.
        told += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        stored = assert_whole(path, "one")
        assert stored == list(range(len(stored))), "none lost, none doubled, in order"
        assert set(told) <= set(stored), "what append_trial has returned for is there"
    assert len(told) >= 10


def test_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        for number in range(3):
            store.create_run(factories.run(id=f"run-{number}"))
    writers = [start_writer(path, f"run-{number}", 25) for number in range(3)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    for number in range(3):
        assert assert_whole(path, f"run-{number}") == list(range(25))


def test_the_same_place_twice_is_refused_across_processes(tmp_path: Path) -> None:
    path = tmp_path / "results.sqlite"
    with SqlStore(path) as store:
        store.create_run(factories.run(id="one"))
    writers = [start_writer(path, "one") for _ in range(2)]
    deadline = time.monotonic() + 60
    while all(writer.poll() is None for writer in writers) and time.monotonic() < deadline:
        time.sleep(0.01)
    refused = [writer for writer in writers if writer.poll() is not None]
    for writer in writers:
        writer.kill()
    errors = {writer: writer.communicate(timeout=60)[1] for writer in writers}
    assert any("Two processes seem to work on this run" in errors[writer] for writer in refused)
    blocks = assert_whole(path, "one")
    assert len(blocks) == len(set(blocks))


def test_many_open_a_new_database_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.sqlite"
    code = "import sys, pathlib, harness.store as s; s.SqlStore(pathlib.Path(sys.argv[1])).close()"
    openers = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    for opener in openers:
        _, errors = opener.communicate(timeout=120)
        assert opener.returncode == 0, errors
    with SqlStore(path) as store:
        assert store.runs() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs in a mount namespace of its own")
def test_a_full_disk(tmp_path: Path) -> None:
    """On a disk of 1 MiB: the message says so, what was stored before stays, and room makes it work again."""
    script = tmp_path / "fill.py"
    script.write_text(
        """
import os, sys
from dataclasses import replace
from pathlib import Path
import factories
from harness.errors import HostError
from harness.store import SqlStore
folder = Path(sys.argv[1])
ballast = folder / "ballast"
ballast.write_bytes(bytes(300_000))
with SqlStore(folder / "results.sqlite") as store:
    store.create_run(factories.run(id="one"))
    stored = 0
    for number, trial in enumerate(factories.blocks(40)):
        trial = replace(trial, artifacts={"noise": os.urandom(30_000)})
        try:
            store.append_trial("one", trial)
            stored += 1
        except HostError as error:
            print(error)
            break
    assert len(store.run("one").trials) == stored > 0
    ballast.unlink()
    store.append_trial("one", trial)
    assert len(store.with_artifacts(store.run("one")).trials) == stored + 1
"""
    )
    mount = tmp_path / "small"
    mount.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m none "$1" && "$2" "$3" "$1"', "sh",
         str(mount), sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(factories.__file__).parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "cannot grow: its disk is full" in done.stdout
    assert "Make room there" in done.stdout
