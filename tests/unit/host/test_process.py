"""Processes of the host: tools are found, failures are told, nothing reads the terminal."""

import os
from pathlib import Path

import pytest

from harness.errors import HostError
from harness.host.process import dying_with_us, find_tool, run, spawn, stop

pytestmark = pytest.mark.unit


def test_tools_for_administration_are_found_for_ordinary_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "usr" / "sbin"
    folder.mkdir(parents=True)
    (folder / "mke2fs").write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert find_tool("mke2fs", tmp_path) is None
    (folder / "mke2fs").chmod(0o755)
    assert find_tool("mke2fs", tmp_path) == folder / "mke2fs"
    # depmod's own folder is no part of this PATH.
    assert "kmod" in run(["depmod", "--version"], timeout_s=5).stdout


def test_output_and_status_come_back() -> None:
    done = run(["sh", "-c", "cat; echo err >&2; exit 3"], timeout_s=5, check=False, stdin=b"in")
    assert (done.status, done.stdout, done.stderr) == (3, "in", "err\n")
    assert run(["cat"], timeout_s=5).stdout == ""
    assert run(["env"], timeout_s=5, env={"A": "b"}).stdout == "A=b\n"


def test_failures_are_the_hosts() -> None:
    with pytest.raises(HostError, match=r"failed with status 1:\nno$"):
        run(["sh", "-c", "echo no >&2; exit 1"], timeout_s=5)
    with pytest.raises(HostError, match=r"did not finish in 0\.1 s"):
        run(["sleep", "5"], timeout_s=0.1)
    with pytest.raises(HostError, match="no such folder: /nowhere"):
        run(["true"], timeout_s=5, cwd=Path("/nowhere"))


@pytest.mark.parametrize("start", [lambda argv: run(argv, timeout_s=5), spawn])
def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, start) -> None:
    monkeypatch.setattr("harness.host.process.find_tool", lambda name: None)
    monkeypatch.setattr(os, "environ", {"PATH": "/nowhere"})
    with pytest.raises(HostError, match="nbdkit is not installed") as caught:
        start(["nbdkit", "--version"])
    assert caught.value.remedy == "Install it: apt-get install nbdkit"


def test_stop_ends_and_kills() -> None:
    assert stop(spawn(["sleep", "60"]), timeout_s=5)
    deaf = spawn(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"], stdout=-1)
    assert deaf.stdout is not None
    assert deaf.stdout.readline() == b"ready\n"
    assert not stop(deaf, timeout_s=0.2)
    assert deaf.poll() == -9
    deaf.stdout.close()


def test_what_dies_with_us_does_not_start_as_an_orphan(tmp_path: Path) -> None:
    """Killed between its fork and its request for the signal, a parent leaves a child that would hear of nothing."""
    ours, orphan = tmp_path / "ours", tmp_path / "orphan"
    assert run(dying_with_us(["touch", ours]), timeout_s=5).status == 0
    assert ours.exists()
    # Its parent is the shell, and not this process, as that of an orphan is another one.
    started = run(["sh", "-c", '"$@"; echo $?', "sh", *dying_with_us(["touch", orphan])], timeout_s=5)
    assert started.stdout == "137\n"
    assert not orphan.exists()
