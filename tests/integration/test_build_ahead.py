"""Builds ahead of a search: they stand still while a guest measures, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prebuilt import git

from harness.kbuild.ahead import BuildAhead

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

# Builds for as long as it takes, and says all the while that it does: a child, as compilers are.
SLOW_BUILDER = """\
#!/bin/sh
( while [ ! -e "{folder}/finish" ]; do echo x >> "{folder}/beats"; sleep 0.02; done )
echo {spec}
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"KAB_{name}_DIR", str(tmp_path / name.lower()))
    repository = tmp_path / "tree"
    repository.mkdir()
    git(repository, "init", "--quiet", "--initial-branch=main")
    for name in ("one", "two"):
        (repository / name).touch()
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "-m", name)
    builder = tmp_path / "builder"
    builder.write_text(SLOW_BUILDER.format(folder=tmp_path, spec=f"file:{tmp_path}/none"))
    builder.chmod(0o755)
    return repository


def spec(tree: Path, revision: str = "main") -> str:
    return f"git:{tree}@{revision},builder={tree.parent / 'builder'}"


def beats(tree: Path) -> int:
    path = tree.parent / "beats"
    return path.stat().st_size if path.exists() else 0


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 120.0) -> None:
    # At the lowest priority even an interpreter takes long to start beside other tests.
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def builders(tree: Path) -> list[int]:
    """Processes of the build."""
    mark = str(tree.parent).encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and mark in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def goes_on(tree: Path) -> bool:
    before = beats(tree)
    time.sleep(0.5)
    return beats(tree) > before


def test_a_build_stands_still_while_a_guest_measures(tree: Path) -> None:
    with BuildAhead() as ahead:
        ahead.want([spec(tree)])
        wait_for(lambda: beats(tree) > 0)
        ahead.hold()
        time.sleep(0.1)
        assert not goes_on(tree)
        ahead.release()
        wait_for(lambda: goes_on(tree))
    wait_for(lambda: builders(tree) == [])


def test_nothing_is_begun_while_a_guest_measures(tree: Path) -> None:
    with BuildAhead() as ahead:
        ahead.hold()
        ahead.want([spec(tree)])
        time.sleep(0.5)
        assert beats(tree) == 0
        ahead.release()
        wait_for(lambda: beats(tree) > 0)


def test_what_is_wanted_now_is_finished_and_all_else_ended(tree: Path) -> None:
    with BuildAhead() as ahead:
        ahead.want([spec(tree), spec(tree, "main~1")])
        wait_for(lambda: beats(tree) > 0)
        (tree.parent / "finish").touch()
        ahead.make_way(spec(tree))
        assert builders(tree) == []
        (tree.parent / "finish").unlink()
        ahead.want([spec(tree, "main~1")])
        wait_for(lambda: goes_on(tree))
        ahead.make_way(spec(tree))
        wait_for(lambda: builders(tree) == [])


def test_it_dies_with_kab_even_while_it_stands_still(tree: Path) -> None:
    script = (
        "import sys, time\n"
        "from harness.kbuild.ahead import BuildAhead\n"
        "ahead = BuildAhead()\n"
        "ahead.want([sys.argv[1]])\n"
        "print('begun', flush=True)\n"
        "sys.stdin.readline()\n"
        "ahead.hold()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    argv = [sys.executable, "-c", script, spec(tree)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        owner.stdout.readline()
        wait_for(lambda: beats(tree) > 0)
        owner.stdin.write("\n")
        owner.stdin.flush()
        assert owner.stdout.readline() == "held\n"
        owner.send_signal(signal.SIGKILL)
    wait_for(lambda: builders(tree) == [])
