"""Migrations under kill -9, in several processes, in a folder that may not be written, and on a server."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from olddatabases import dumped, put_old, read_then

from harness.store import SqlStore

pytestmark = pytest.mark.integration

OPEN = """
import sys
from harness.store import SqlStore
with SqlStore(sys.argv[1], note=print) as store:
    print(len(store.runs(1000)))
"""
# Kills itself before the statement of that number, counted from the first that writes; 0: before the commit.
KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event
from harness.store import SqlStore
wanted, found = int(sys.argv[2]), 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

@event.listens_for(Engine, "before_cursor_execute")
def executed(connection, cursor, statement, *_):
    global found
    if statement.split()[0] in {"INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP"}:
        found += 1
        if found == wanted:
            die()

@event.listens_for(Engine, "commit")
def committed(connection):
    if found and not wanted:
        die()

SqlStore(sys.argv[1], note=lambda message: print(found)).close()
"""


def python(code: str, *words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_killed_anywhere_it_leaves_the_old_database(tmp_path: Path) -> None:
    """A kab of before reads it, and the next start migrates it."""
    whole = python(KILLED, put_old(2, tmp_path / "whole.sqlite"), 10_000)
    statements = int(whole.communicate(timeout=60)[0])
    assert statements > 15
    points = [0, 1, 2, 3, 5, 8, statements // 2, statements - 2, statements - 1, statements]
    for number in points:
        path = put_old(2, tmp_path / f"{number}.sqlite")
        before = dumped(path)
        killed = python(KILLED, path, number)
        killed.communicate(timeout=60)
        assert killed.returncode == -9
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("pragma integrity_check").fetchone() == ("ok",)
            assert raw.execute("select version from kab_schema").fetchall() == [(2,)]
        assert dumped(path) == before
        with SqlStore(path) as store:
            assert len(store.runs(1000)) == len(read_then(2)["runs"])
        copies = sorted(one.name for one in tmp_path.glob(f"{number}.sqlite.*"))
        assert copies == [f"{number}.sqlite.schema-2.backup", f"{number}.sqlite.schema-2.backup-2"]


def test_killed_while_it_copies(tmp_path: Path) -> None:
    path = put_old(2, tmp_path / "results.sqlite")
    # Large enough that the copy takes a while.
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("insert into blobs select 'ballast', 1, randomblob(100000000)")
        raw.execute("pragma wal_checkpoint(truncate)")
    part = path.with_name("results.sqlite.schema-2.backup.part")
    killed = python(OPEN, path)
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    killed.kill()
    killed.communicate(timeout=60)
    assert part.exists()
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("select version from kab_schema").fetchall() == [(2,)]
    with SqlStore(path) as store:
        assert len(store.runs(1000)) == len(read_then(2)["runs"])
    assert [one.name for one in tmp_path.glob("*.sqlite.*")] == ["results.sqlite.schema-2.backup"]


def test_several_at_once_migrate_once(tmp_path: Path) -> None:
    path = put_old(2, tmp_path / "results.sqlite")
    openers = [python(OPEN, path) for _ in range(6)]
    said = []
    for opener in openers:
        output, errors = opener.communicate(timeout=120)
        assert opener.returncode == 0, errors
        said.append(output.splitlines())
    assert [lines[-1] for lines in said] == [str(len(read_then(2)["runs"]))] * 6
    assert sorted(map(len, said)) == [1, 1, 1, 1, 1, 2]
    assert [one.name for one in tmp_path.glob("*.backup*")] == ["results.sqlite.schema-2.backup"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a folder again, read-only, in a mount namespace of its own")
@pytest.mark.parametrize("words", [("runs",), ("report", "last"), ("bisect", "status")])
def test_a_folder_that_may_not_be_written(tmp_path: Path, words: tuple[str, ...]) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    path = put_old(2, folder / "results.sqlite")
    before = dumped(path)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c",
         'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"', "sh",
         str(folder), sys.executable, "-m", "harness", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={
            **os.environ,
            "KAB_STATE_DIR": str(tmp_path / "state"),
            "KAB_CACHE_DIR": str(tmp_path / "cache"),
            "KAB_SETTINGS": str(tmp_path / "none.yaml"),
            "KAB_DATABASE": f"sqlite:///{path}",
        },
    )  # fmt: skip
    assert done.returncode == 131, done.stderr
    assert f"the results database {path}" in done.stderr
    assert "writable for this user" in done.stderr
    assert "Traceback" not in done.stderr
    assert dumped(path) == before
