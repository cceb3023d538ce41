"""What `kab ab` spends outside of guests, and the most memory that it takes.

    python benchmarks/overhead.py [BASELINE CANDIDATE] [--max-boots 12]

Runs `kab ab` once with warm caches, and takes the boots' own stage times from its JSON. Start-up, resolution, disks,
statistics, database and report are kab's; boot, connection, set-up, workload, check and power-off are the guest's.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.host import process

_SAMPLE_S = 0.1
# Stages in which the guest, not kab, takes the time.
_GUEST_STAGES = frozenset({"boot", "connect", "prepare", "warm-up", "measure", "check", "collect", "shutdown"})


def peak_memory_kib(pid: int) -> int:
    """The most that a process has had in memory so far; 0 when it is gone.

    Not the rusage of wait4(2): that is of the largest process below it too, which is QEMU.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", default=["debian:6.12", "debian:7.2"])
    parser.add_argument("--max-boots", type=int, default=12)
    options = parser.parse_args()
    with TemporaryDirectory(prefix="kab-bench-") as folder:
        result = Path(folder) / "result.json"
        argv = [sys.executable, "-m", "harness", "ab", *options.kernels, "--new", "--max-boots", str(options.max_boots)]
        argv += ["--json", str(result), "--html", str(Path(folder) / "report.html")]
        started = time.monotonic()
        peak_kib = 0
        with process.spawn(argv, stdout=sys.stdout.buffer, stderr=sys.stderr.buffer) as running:
            while running.poll() is None:
                peak_kib = max(peak_kib, peak_memory_kib(running.pid))
                time.sleep(_SAMPLE_S)
        wall_s = time.monotonic() - started
        code = running.returncode
        if not result.exists():
            sys.exit(f"kab ab ended with status {code} and no result")
        trials = json.loads(result.read_text())["trials"]
    guest_s = sum(seconds for trial in trials for stage, seconds in trial["stage_s"].items() if stage in _GUEST_STAGES)
    print(f"kab ab, {len(trials)} boots, exit status {code}")
    print(f"  wall time               {wall_s:8.1f} s")
    print(f"  guests                  {guest_s:8.1f} s")
    print(f"  outside of guests       {wall_s - guest_s:8.1f} s  {100 * (wall_s - guest_s) / wall_s:.1f} %")
    print(f"  peak memory of kab      {peak_kib / 1024:8.1f} MiB")


if __name__ == "__main__":
    main()
