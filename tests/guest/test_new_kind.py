"""A kind of workload and a probe that are no module of kab's, in a real guest: dd, and the kernel's own tracing."""

import re
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from rig import NODATACOW, NVME, Meddler, Rig, run

from harness.errors import DataError
from harness.model.experiment import Experiment
from harness.model.workload import Direction, Metric, Workload
from harness.workloads import registry
from harness.workloads.kinds import DataCheck, GuestJob, Misfit, Ran, Reading, Step, Templates, WorkDone

pytestmark = pytest.mark.guest

BLOCKS, BLOCK_BYTES, WRITERS = 32, 16384, 4


class Dd:
    """Direct writes of several processes to one file, and a file whose checksum is kept outside of the filesystem."""

    name = "dd"
    metrics = (Metric(name="dd_bandwidth", unit="MiB/s", direction=Direction.HIGHER, title="data written per second"),)
    keys = ()
    artifacts = ("dd-script",)
    output_type = "txt"

    def metrics_of(self, workload: Workload) -> tuple[Metric, ...]:
        return self.metrics

    def misfit(self, workload: Workload) -> Misfit | None:
        return None

    def space_bytes(self, workload: Workload) -> int:
        return 2 * 2**20

    def job(self, workload: Workload, templates: Templates, *, directory: str, seed: int) -> GuestJob:
        script = f"""\
for part in {{1..{WRITERS}}}; do
  dd if=/dev/zero of="$1"/shared bs={BLOCK_BYTES} count={BLOCKS} seek=$((part * {BLOCKS})) oflag=direct conv=notrunc &
done
wait
"""
        return GuestJob(
            iterate=Step(command='bash "$work"/writers "$mnt" 2>&1'),
            prepare='head -c 4M /dev/zero > "$mnt"/shared',
            files={"writers": script},
            artifacts={"dd-script": script},
            identity=(script,),
            check=DataCheck(
                write='{ head -c 1M /dev/urandom > "$mnt"/checked && sha256sum < "$mnt"/checked > "$work"/sum; }',
                read_back='{ sha256sum < "$mnt"/checked | cmp - "$work"/sum; }',
                kept=(("shared", 4 * 2**20), ("checked", 2**20)),
            ),
        )

    def check(self, workload: Workload, job: GuestJob) -> None:
        return None

    def is_named_by_template(self, workload: Workload, templates: Templates) -> bool:
        return False

    def read(self, ran: Ran) -> Reading:
        assert ran.status == 0, ran.output
        seconds = [float(found) for found in re.findall(r"copied, ([\d.]+) s", ran.output)]
        assert len(seconds) == WRITERS, ran.output
        written = WRITERS * BLOCKS * BLOCK_BYTES
        return Reading(
            samples={"dd_bandwidth": written / 2**20 / max(seconds)},
            done=WorkDone(ios=WRITERS * BLOCKS, written_bytes=written, thread_s=sum(seconds)),
        )


class Contention:
    """How often somebody began to wait for a lock, by the kernel's stack (Linux 5.19 and newer)."""

    name = "contention"
    metrics = (
        Metric(
            name="contention_per_io", unit="", direction=Direction.LOWER, title="waits for locks per I/O",
            witness=True, meaning="near 0: nobody waits", decides=False,
        ),
    )  # fmt: skip
    artifact = "contention"
    apart = True

    def start(self, disk: str) -> str:
        return """\
contention_event=/sys/kernel/tracing/events/lock/contention_begin
[ -d "$contention_event" ] || mount -t tracefs none /sys/kernel/tracing
echo 'hist:keys=common_stacktrace if flags != 1' > "$contention_event"/trigger"""

    def stop(self, disk: str) -> str:
        return """\
cat "$contention_event"/hist
echo '!hist:keys=common_stacktrace if flags != 1' > "$contention_event"/trigger"""

    def read(self, before: str, after: str, done: WorkDone) -> Mapping[str, float]:
        inode = sum(
            int(entry[2])
            for entry in re.finditer(r"\{ common_stacktrace:(.*?)\} hitcount: +(\d+)", after, re.DOTALL)
            if "btrfs_inode_lock" in entry[1]
        )
        return {"contention_per_io": inode / done.ios} if "Totals:" in after else {}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "KINDS", MappingProxyType({**registry.KINDS, "dd": Dd()}))
    monkeypatch.setattr(registry, "PROBES", MappingProxyType({**registry.PROBES, "contention": Contention()}))


def experiment() -> Experiment:
    workload = Workload(name="w", title="t", stands_for="s", kind="dd", warmup_s=0, iterations=2)
    return Experiment(baseline="", candidate="", workload=workload, disk=NVME, filesystem=NODATACOW)


def test_the_lock_of_btrfs_is_seen_by_a_probe_that_stands_apart(rig: Rig) -> None:
    serialised = rig.measure("debian:6.12", experiment())
    with rig.boot("debian:7.2", experiment()) as (guest, disk):
        parallel = run(guest, experiment(), disk)
        lose = (
            'mount "$device" "$mnt"; '
            'dd if=/dev/urandom of="$mnt/checked" bs=4k seek=5 count=1 conv=notrunc status=none; umount "$mnt"'
        )
        with pytest.raises(DataError, match="data read back is not what was written: dd ended with status 1"):
            run(Meddler(guest, lose), experiment(), disk)
    for found in (serialised, parallel):
        assert len(found.samples["dd_bandwidth"]) == len(found.samples["queue_depth"]) == 2
        assert len(found.samples["contention_per_io"]) == 1
        assert {"dd-script", "dd-0.txt", "counters-1.txt", "contention-contention.txt"} <= set(found.artifacts)
    assert min(serialised.samples["queue_depth"]) < 1.3
    assert max(parallel.samples["queue_depth"]) > 2
    assert serialised.samples["contention_per_io"][0] > 0.3
    assert parallel.samples["contention_per_io"][0] < 0.1
