"""kab as a user runs it: in a process of its own, on a state of its own, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from harness.host.paths import default_paths

# The catalogue's workload, in less time: for tests of the way, not of the figure.
QUICK = ("--set", "runtime=1s", "--set", "iterations=2", "--set", "warmup=0s", "--set", "file_size=16MiB")


def own_state(tmp_path: Path) -> dict[str, str]:
    """Variables for a state of its own, on this user's cache of kernels and images."""
    return {
        **os.environ,
        "KAB_STATE_DIR": str(tmp_path / "state"),
        "KAB_CACHE_DIR": str(default_paths().cache),
        "KAB_SETTINGS": str(tmp_path / "settings.yaml"),
    }


def leftovers(tmp_path: Path) -> list[str]:
    """Processes that name this test's folder, and files that should be gone."""
    found = [f"file {path}" for path in (tmp_path / "state" / "scratch").glob("*")]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path) in words and "pytest" not in words:
            found.append(f"process {words[:200]}")
    return found


def start(environment: Mapping[str, str], *words: str) -> "subprocess.Popen[str]":
    """Start kab."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kab(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    """Run kab to its end: status, stdout, stderr."""
    with start(environment, *words) as running:
        out, err = running.communicate(timeout=1100)
    print(out, err, sep="\n")
    assert "Traceback" not in err
    return running.returncode, out, err


def kill_all_of(running: "subprocess.Popen[str]", tmp_path: Path) -> None:
    """SIGKILL to kab, and wait until what it owned is gone."""
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while leftovers(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert leftovers(tmp_path) == []
