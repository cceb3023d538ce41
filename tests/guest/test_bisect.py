"""`kab bisect` and `kab test` on real kernels: a short ladder, both edges, proven, and the log of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ExitCode
from harness.host.paths import default_paths
from harness.store import SqlStore

pytestmark = [pytest.mark.guest, pytest.mark.timeout(2400)]

# The catalogue's workload, in less time: what is tested here is the way, not the figure.
QUICK = ("--set", "runtime=1s", "--set", "iterations=1", "--set", "warmup=0s", "--set", "file_size=16MiB")
QUICK += ("--disk", "virtio-blk,backend=nbd,latency=2ms,size=256MiB")


def kab(tmp_path: Path, *words: str) -> tuple[int, str]:
    """Run kab to its end: status, stdout."""
    environment = {
        **os.environ,
        "KAB_STATE_DIR": str(tmp_path / "state"),
        "KAB_CACHE_DIR": str(default_paths().cache),
        "KAB_SETTINGS": str(tmp_path / "settings.yaml"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=2300,
    )  # fmt: skip
    print(done.stdout, done.stderr, sep="\n")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_the_edge_of_a_short_ladder(tmp_path: Path) -> None:
    """The backports of one suite are slow up to 6.18 and fast from 7.2 on."""
    command = ("bisect", "debian:6.18", "debian:7.2", "--suite", "trixie-backports", "--metric", "queue_depth")
    status, out = kab(tmp_path, *command, *QUICK)
    text = " ".join(out.split())
    assert status == ExitCode.GOOD
    assert "FOUND" in text
    assert "restored between 6.18." in text
    assert "Proof: proven" in text
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        found = store.bisections.newest()
        assert found is not None
        outcome = store.bisections.outcome(found)
        plan = store.bisections.plan(found)
    assert outcome is not None
    assert plan is not None
    (edge,) = outcome.edges
    assert plan.rungs[edge.after].version.startswith("7.2.")
    # The log makes the same search again.
    status, log = kab(tmp_path, "bisect", "log")
    assert status == 0
    (tmp_path / "search.log").write_text(log)
    status, again = kab(tmp_path, "bisect", "replay", str(tmp_path / "search.log"))
    assert status == 0
    assert "restored between 6.18." in again
    # A kernel of the slow side is told by its likeness.
    assert kab(tmp_path, "test", plan.rungs[0].spec, "--like", found)[0] == ExitCode.BAD
