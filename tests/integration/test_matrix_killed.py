"""`kill -9` into a gate and into a plain matrix, again and again: nothing is lost, doubled or moved."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.store import SqlStore

pytestmark = pytest.mark.integration

MATRIX = """\
title: mine
baseline: debian:6.1.192-2
candidate: debian:6.12.43-1
margin: 30%
axes:
  fs: [btrfs, ext4, xfs]
gate:
  metrics: {write_iops: 40%}
"""
# A boot takes a moment, so that some kills fall into it.
PROGRAM = """\
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from labs import InventedLab
from ladders import World
from harness.cli.errors import run_command
from harness.model.guest import Accelerator

class Slow(World):
    def __call__(self, *asked):
        print("boot", flush=True)
        time.sleep(0.02)
        return super().__call__(*asked)

print("ready", flush=True)
words = [*sys.argv[2:], "--seed", "5", "--progress", "none"]
raise SystemExit(run_command(words, make_lab=InventedLab.of(Slow(), accelerator=Accelerator.KVM)))
"""
TESTS = Path(__file__).parents[1]


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    environment = {
        **os.environ,
        "KAB_STATE_DIR": str(folder / "state"),
        "KAB_CACHE_DIR": str(folder / "cache"),
        "KAB_SETTINGS": str(folder / "settings.yaml"),
    }
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(TESTS), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def stored(folder: Path) -> tuple[str, dict[str, list[object]]]:
    """State of the only matrix, and of each cell its boots in the order they were stored."""
    with SqlStore(folder / "state" / "results.sqlite") as store:
        (matrix,) = [run for run in store.runs(1000) if run.parent is None]
        cells = {name: store.run(run_id) for name, run_id in store.matrices.cells(matrix.id).items()}
    return matrix.state, {
        name: [(trial.spec, trial.outcome, trial.samples) for trial in run.trials] for name, run in cells.items()
    }


@pytest.mark.parametrize("verb", ["gate", "run"])
def test_killed_again_and_again_it_is_the_same_matrix(verb: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    file = tmp_path / "mine.yaml"
    file.write_text(MATRIX)
    with start(whole, verb, str(file)) as running:
        out, err = running.communicate(timeout=120)
    wanted = running.returncode
    assert wanted in {0, 1, 125}, out + err
    boots = out.count("boot\n")
    assert boots > 12
    draw = random.Random(verb)
    kills = 0
    for _ in range(6):
        with start(killed, verb, str(file)) as running:
            assert running.stdout is not None
            # So many boots of this process are begun; then a moment more.
            for _ in range(1 + draw.randrange(1, 4)):
                running.stdout.readline()
            time.sleep(draw.uniform(0.0, 0.05))
            running.send_signal(signal.SIGKILL)
            running.communicate(timeout=30)
        kills += running.returncode == -signal.SIGKILL
    assert kills >= 3
    assert stored(killed)[0] == "open"
    with start(killed, verb, str(file)) as running:
        out, err = running.communicate(timeout=120)
    assert running.returncode == wanted, out + err
    assert stored(killed) == stored(whole)
