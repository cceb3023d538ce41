"""How long the report of a matrix of 500 cells takes, in each form, how much memory, and how large it is.

    python benchmarks/report_matrix.py [--cells 500] [--rounds 3]

Each row is a `kab report` in a process of its own, over a database with 10 boots and 9 metrics a cell. On a busy
machine the processor's time says more than the wall's, and both are printed. Exit status 1 if a limit is not held.
"""

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.host import process
from harness.model.run import RunState
from harness.store import SqlStore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
matrices: Any = import_module("matrices")

MOST_S, MOST_MIB = 3.0, 5.0
_FATES = (matrices.NOT_WORSE, matrices.SLOWER, matrices.NOT_WORSE, matrices.WAIVED)
_CHILD = """
import json, resource, sys
from harness.cli.errors import run_command
run_command(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024}), file=sys.stderr)
"""


def fill(database: Path, cells: int) -> None:
    """Store a gate that is over."""
    view = matrices.large(cells, fates=_FATES)
    with SqlStore(database) as store:
        store.matrices.create(replace(view.run, state=RunState.OPEN, finished=None), view.plan)
        for cell in view.cells:
            if cell.run is not None and cell.decision is not None:
                store.create_run(cell.run)
                store.finish(cell.run.id, cell.decision)
        store.matrices.finish(view.run.id, view.outcome)


def measured(state: Path, words: tuple[str, ...], rounds: int) -> dict[str, float]:
    """Medians over processes."""
    environment = {**os.environ, "KAB_STATE_DIR": str(state), "KAB_SETTINGS": str(state / "settings.yaml")}
    found = []
    for _ in range(rounds):
        since = time.perf_counter()
        done = process.run([sys.executable, "-c", _CHILD, *words], timeout_s=600, env=environment)
        wall_s = time.perf_counter() - since
        found.append({**json.loads(done.stderr.splitlines()[-1]), "wall_s": wall_s})
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"Wanted: {MOST_S:g} s of the processor, and {MOST_MIB:g} MiB of HTML. Medians of {options.rounds}.\n")
    print("| report | wall, s | processor, s | memory, MiB | size, MiB |\n| --- | --- | --- | --- | --- |")
    held = True
    with TemporaryDirectory() as folder:
        state = Path(folder)
        fill(state / "results.sqlite", options.cells)
        for name in ("text", "html", "json", "mail"):
            file = state / f"report.{name}"
            words = ("report", "last", *(() if name == "text" else (f"--{name}", str(file))))
            one = measured(state, words, options.rounds)
            size_mib = file.stat().st_size / 2**20 if file.exists() else 0.0
            held = held and one["cpu_s"] <= MOST_S and size_mib <= MOST_MIB
            print(
                f"| {name} | {one['wall_s']:.2f} | {one['cpu_s']:.2f} | {one['mib']:.0f} | {size_mib:.1f} |", flush=True
            )
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
