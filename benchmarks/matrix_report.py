"""How long a report of a large matrix takes, and how large it is; and a site of it.

    python benchmarks/matrix_report.py [--cells 500] [--blocks 5]

Makes a gate of so many cells on five axes in a store of its own, in all eight ways that a cell can end in turn (each
eighth fails with consoles, an eighth each was lost by the host or could not be had), with the figures and artifacts of
tests/factories.py; then reads it back and tells it. Seconds are processor time of one process, which other work on
the machine changes little; the best of three. Prints a table.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

from harness.config import Settings
from harness.host.paths import Paths
from harness.lab.lab import Lab
from harness.lab.reports import MatrixReport
from harness.model.guest import FilesystemSpec
from harness.model.matrix import MatrixPlan

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import matrices  # type: ignore[import-not-found]
import sites  # type: ignore[import-not-found]

_AXES = {"workload": 5, "fs": 5, "disk": 5, "guest": 2, "machine": 2}
_TIMES = 3


def gate(cells: int, blocks: int) -> Any:
    """A view of a gate of so many cells."""
    eight = matrices.cells()
    labels = product(*[[f"{axis}-{number}" for number in range(count)] for axis, count in _AXES.items()])
    many = [
        replace(
            eight[place % 8],
            name="/".join(chosen),
            axes=dict(zip(_AXES, chosen, strict=True)),
            experiment=replace(
                eight[place % 8].experiment, filesystem=FilesystemSpec(mount_options=("nodatacow", f"x={place}"))
            ),
        )
        for place, chosen in enumerate(islice(labels, cells))
    ]
    plan = MatrixPlan(title="large", cells=tuple(many), policy=matrices.gate().plan.policy)
    # Boots that came to nothing have their places behind those of the blocks.
    fates = [fate if fate.broken or fate.trouble else replace(fate, blocks=blocks) for fate in matrices.GATE]
    return matrices.view(plan, [fates[place % 8] for place in range(cells)], verb="gate")


def best_s(told: Callable[[], object]) -> float:
    """Seconds of the fastest of some times."""
    took = []
    for _ in range(_TIMES):
        began = time.process_time()
        told()
        took.append(time.process_time() - began)
    return min(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=500)
    parser.add_argument("--blocks", type=int, default=5, help="of each cell: two boots each")
    asked = parser.parse_args()
    rows: list[tuple[str, float, float | None]] = []
    with tempfile.TemporaryDirectory(prefix="kab-matrix-") as folder:
        paths = Paths(cache=Path(folder) / "cache", state=Path(folder) / "state")
        with Lab(settings=Settings(), paths=paths) as lab:
            view = sites.stored(lab, gate(asked.cells, asked.blocks))
            told = lab.report(view.run.id)
            assert isinstance(told, MatrixReport)
            rows.append(("read from SQLite, boots and all", best_s(lambda: lab.report(view.run.id)), None))
            for name, make in (("page", told.html), ("text", told.text), ("JSON", told.json), ("PNG", told.png)):
                made = make()
                size = len(made.encode() if isinstance(made, str) else made) / 2**20
                rows.append((f"{name}, from what was read", best_s(make), size))

            def whole() -> object:
                return lab.report(view.run.id).html()

            rows.append((f"`kab report --html` of {asked.cells} cells, all of it", best_s(whole), None))
            site = Path(folder) / "site"
            began = time.process_time()
            made_site = lab.site(site)
            first_s = time.process_time() - began
            size = sum(path.stat().st_size for path in site.rglob("*.html")) / 2**20
            rows.append((f"`kab site`, {made_site.published.written} pages", first_s, size))
            rows.append(("`kab site` again, nothing changed", best_s(lambda: lab.site(site)), None))
    print("| what | seconds | MiB |")
    print("| --- | --- | --- |")
    for what, took_s, size_mib in rows:
        print(f"| {what} | {took_s:.2f} | {f'{size_mib:.2f}' if size_mib is not None else ''} |")


if __name__ == "__main__":
    main()
