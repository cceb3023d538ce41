"""How long planning a matrix of 100,000 cells takes, and how much memory.

    python benchmarks/plan_matrix.py [--rounds 5]

Each row is a process of its own that reads a matrix file, makes its cells, checks all of it and ends. Time is from the
start of Python to its end: on a busy machine the processor's time says more, and both are printed.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.host import process

MOST_S, MOST_MIB = 2.0, 500
_CHILD = """
import json, resource, sys
from pathlib import Path
from harness.config import load_workloads
from harness.config.matrix import load_matrix
plan = load_matrix(Path(sys.argv[1])).plan(catalogue=load_workloads(), gate=sys.argv[2] == "gate")
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cells": len(plan.cells), "cpu_s": used.ru_utime + used.ru_stime, "mib": used.ru_maxrss / 1024}))
"""


def matrix(*, rules: bool) -> str:
    """4 workloads, 5 filesystems, 50 disks and 100 guests; with rules, each kind of them and waivers."""
    disks = "\n".join(f"    d{number}: nvme,backend=nbd,latency={number}ms,size=1GiB" for number in range(50))
    guests = "\n".join(f"    g{number}: {{vcpus: {number + 1}, memory: 2GiB}}" for number in range(100))
    text = f"""\
baseline: debian:6.12
candidate: debian:7.2
axes:
  workload: [shared-dio, database-pages, checkpoint-shared, shared-dio-uring]
  fs: {{nocow: "btrfs,mount=nodatacow", sums: btrfs, ext4: ext4, noatime: "ext4,mount=noatime", xfs: xfs}}
  disk:
{disks}
  guest:
{guests}
"""
    if not rules:
        return text
    return f"""{text}
exclude: [{{workload: shared-dio-uring, fs: sums, disk: "d1?"}}, {{guest: g99, fs: xfs}}]
include: [{{workload: shared-dio, fs: xfs, disk: "virtio-blk,backend=file", guest: g98, seed: 1}}]
adjust:
  - {{when: {{fs: [ext4, noatime]}}, margin: 10%}}
  - {{when: {{workload: database-*, disk: "d4*"}}, max_boots: 60, set: {{jobs: 8}}}}
gate: {{metrics: {{write_iops: 5%, "*clat_p99": 10%}}}}
waivers: waivers.yaml
"""


WAIVERS = """\
- {cells: "database-pages/*", metrics: "*p99*", bound: 20%, owner: a, reason: b, until: 2099-12-31}
- {cells: "*/xfs/d49/g98", owner: a, reason: b, until: v99.1}
"""


def measured(file: Path, kind: str, rounds: int) -> dict[str, float]:
    """Medians over processes."""
    found = []
    for _ in range(rounds):
        since = time.perf_counter()
        done = process.run([sys.executable, "-c", _CHILD, file, kind], timeout_s=600)
        wall_s = time.perf_counter() - since
        found.append({**json.loads(done.stdout), "wall_s": wall_s})
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"Wanted: {MOST_S:g} s and {MOST_MIB} MiB. Medians of {rounds}.\n")
    print("| matrix | cells | wall, s | processor, s | memory, MiB |\n| --- | --- | --- | --- | --- |")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.yaml"
        path.with_name("waivers.yaml").write_text(WAIVERS)
        for name, text, kind in (
            ("one cell", "baseline: debian:6.12\ncandidate: debian:7.2\n", "run"),
            ("4 axes", matrix(rules=False), "run"),
            ("4 axes, rules, a gate and waivers", matrix(rules=True), "gate"),
        ):
            path.write_text(text)
            one = measured(path, kind, rounds)
            print(
                f"| {name} | {one['cells']:.0f} | {one['wall_s']:.2f} | {one['cpu_s']:.2f} | {one['mib']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
