"""The scripts of examples/, as they are: what the documents show works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ExitCode
from harness.host.paths import default_paths
from harness.store import SqlStore

pytestmark = [pytest.mark.guest, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]


def test_a_script_compares_two_kernels(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "KAB_STATE_DIR": str(tmp_path / "state"),
        "KAB_CACHE_DIR": str(default_paths().cache),
        "KAB_SETTINGS": str(tmp_path / "settings.yaml"),
    }
    script = ROOT / "examples" / "compare.py"
    done = subprocess.run(
        [sys.executable, script, "debian:6.12", "debian:7.2", "max_boots=2", "set=runtime=1s", "seed=5"],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    # Two boots are too few for a verdict.
    assert done.returncode == ExitCode.CANNOT_TELL, done.stderr
    assert "the cap of 2 boots is reached" in " ".join(done.stdout.split())
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        (run,) = store.runs()
        assert len(store.run(run.id).trials) == 2
    assert run.command == (
        "kab", "ab", "debian:6.12", "debian:7.2", "--set", "runtime=1s", "--max-boots", "2", "--seed", "5",
    )  # fmt: skip
    assert not list((tmp_path / "state" / "scratch").glob("*"))
