"""What `kab ab` spends outside of guests, and the most memory that it takes.

    python benchmarks/overhead.py [BASELINE CANDIDATE] [--max-boots 8]

Runs `kab ab` once with warm caches, and takes the boots' own stage times from its JSON. Start-up, resolution, disks,
statistics, database and report are kab's; boot, connection, set-up, workload, check and power-off are the guest's.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

# Stages in which the guest, not kab, takes the time.
_GUEST_STAGES = frozenset({"boot", "connect", "prepare", "warm-up", "measure", "check", "collect", "shutdown"})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", default=["debian:6.12", "debian:7.2"])
    parser.add_argument("--max-boots", type=int, default=8)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="kab-bench-") as folder:
        result = Path(folder) / "result.json"
        argv = [sys.executable, "-m", "harness", "ab", *options.kernels, "--new", "--max-boots", str(options.max_boots)]
        argv += ["--json", str(result), "--html", str(Path(folder) / "report.html")]
        started = time.monotonic()
        pid = os.posix_spawn(argv[0], argv, os.environ)
        _, status, usage = os.wait4(pid, 0)
        wall_s = time.monotonic() - started
        code = os.waitstatus_to_exitcode(status)
        if not result.exists():
            sys.exit(f"kab ab ended with status {code} and no result")
        trials = json.loads(result.read_text())["trials"]
    guest_s = sum(seconds for trial in trials for stage, seconds in trial["stage_s"].items() if stage in _GUEST_STAGES)
    print(f"kab ab, {len(trials)} boots, exit status {code}")
    print(f"  wall time               {wall_s:8.1f} s")
    print(f"  guests                  {guest_s:8.1f} s")
    print(f"  outside of guests       {wall_s - guest_s:8.1f} s  {100 * (wall_s - guest_s) / wall_s:.1f} %")
    print(f"  peak memory of kab      {usage.ru_maxrss / 1024:8.1f} MiB")


if __name__ == "__main__":
    main()
