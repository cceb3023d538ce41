"""The probe procfs: counters of /proc and /sys around a workload, and the witnesses that their differences are."""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.errors import WorkloadError
from harness.model.workload import Direction, Metric
from harness.parse.sections import lines_of
from harness.workloads.kinds import WorkDone

_HIGHER, _LOWER = Direction.HIGHER, Direction.LOWER

_SECTOR_BYTES = 512
_US_PER_MS = 1000.0
# The kernel's counters have 64 bits.
_COUNTER = re.compile(r"[0-9]{1,20}")


METRICS: tuple[Metric, ...] = (
    Metric(
        name="queue_depth",
        unit="",
        direction=_HIGHER,
        title="mean number of requests at the test disk while it is busy",
        witness=True,
        meaning="near 1: I/O to the file is serialised; near the number of writers: requests run in parallel",
    ),
    Metric(
        name="dirtied_per_page",
        unit="pages/page",
        direction=_LOWER,
        title="pages dirtied in the page cache per page that fio wrote",
        witness=True,
        meaning="near 0: direct writes bypass the page cache; near 1: they fall back to buffered writes",
        # Metadata alone gives up to a few hundredths.
        floor=0.05,
    ),
    Metric(
        name="switches_per_io",
        unit="",
        direction=_LOWER,
        title="context switches of the whole guest per I/O",
        witness=True,
        meaning="grows when writers sleep on locks or hand their I/O to worker threads",
    ),
    Metric(
        name="disk_latency",
        unit="us",
        direction=_LOWER,
        title="mean time that the test disk took for a read or write",
        witness=True,
        meaning="equal in both arms: a difference in speed comes from above the disk; unequal: look at the disk first",
    ),
    Metric(
        name="disk_bytes_per_byte",
        unit="B/B",
        direction=_LOWER,
        title="bytes written to the test disk per byte that fio wrote",
        witness=True,
        meaning="1: only the data; more: metadata, journal or read-modify-write come on top",
    ),
    Metric(
        name="cpu_busy",
        unit="",
        direction=_LOWER,
        title="part of the guest's processor time that was not idle",
        witness=True,
        meaning="near 1: the guest's processors limit the workload, not its locks or its disk",
    ),
)

# With NVMe multipath (Debian has it on) the namespace's node counts no requests in older kernels, such as 6.1; the path
# below it, nvme0c0n1, counts them in all.
_START = """\
procfs_disk={disk}
procfs_counters=/sys/block/$procfs_disk/stat
for procfs_path in /sys/block/"${{procfs_disk%n*}}"c*n"${{procfs_disk##*n}}"/stat; do
  [ ! -e "$procfs_path" ] || procfs_counters=$procfs_path
done
procfs_snapshot() {{ grep -sH '' "$procfs_counters" /proc/stat /proc/vmstat || true; }}
procfs_snapshot"""


class Procfs:
    """Two snapshots of counters that every kernel has; they cost next to nothing."""

    name = "procfs"
    metrics = METRICS
    artifact = "counters"
    apart = False

    def start(self, disk: str) -> str:
        """See `harness.workloads.probes.Probe`."""
        return _START.format(disk=shlex.quote(disk))

    def stop(self, disk: str) -> str:  # noqa: ARG002
        """See `harness.workloads.probes.Probe`."""
        return "procfs_snapshot"

    def read(self, before: str, after: str, done: WorkDone) -> Mapping[str, float]:
        """See `harness.workloads.probes.Probe`."""
        return witnesses(parse_snapshot(before), parse_snapshot(after), ios=done.ios, written_bytes=done.written_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCounters:
    """``/sys/block/DEV/stat`` since boot (Documentation/block/stat.rst), times in milliseconds."""

    read_ios: int
    read_ms: int
    write_ios: int
    write_sectors: int
    write_ms: int
    # Field 10, io_ticks: how long the disk had any request.
    busy_ms: int
    # Field 11, time_in_queue: the same, weighted by the number of requests.
    queue_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the guest's counters said at one moment; None where the kernel has no such counter."""

    disk: DiskCounters | None = None
    # nr_dirtied of /proc/vmstat, pages.
    dirtied_pages: int | None = None
    # ctxt of /proc/stat: context switches of all processors.
    switches: int | None = None
    # Of all processors, in clock ticks: idle and waiting for I/O, and everything together.
    idle_ticks: int | None = None
    total_ticks: int | None = None


def parse_snapshot(text: str) -> Snapshot:
    """Read the output of ``grep -H "" /sys/block/DEV/stat /proc/stat /proc/vmstat``: lines of ``PATH:CONTENT``.

    Whatever else stands there is left out. Raises WorkloadError for a counter that is not a number.
    """
    disk = None
    counters: dict[str, list[str]] = {}
    for path, words in _lines(text):
        if path.startswith("/sys/block/"):
            disk = _disk_counters(words)
        else:
            counters[words[0]] = words[1:]
    # user nice system idle iowait irq softirq steal; guest time, which follows, is in user already.
    ticks = [_counter(word) for word in counters.get("cpu", [])[:8]]
    return Snapshot(
        disk=disk,
        dirtied_pages=_first(counters.get("nr_dirtied")),
        switches=_first(counters.get("ctxt")),
        idle_ticks=sum(ticks[3:5]) if ticks else None,
        total_ticks=sum(ticks) if ticks else None,
    )


def _lines(text: str) -> Iterator[tuple[str, list[str]]]:
    for line in lines_of(text):
        path, colon, content = line.partition(":")
        words = content.split()
        if colon and words:
            yield path, words


def _disk_counters(words: list[str]) -> DiskCounters | None:
    # Kernels grow fields at the end (discards in 4.18, flushes in 5.5); fewer than eleven have no queue time.
    if len(words) < 11:
        return None
    fields = [_counter(word) for word in words[:11]]
    return DiskCounters(
        read_ios=fields[0],
        read_ms=fields[3],
        write_ios=fields[4],
        write_sectors=fields[6],
        write_ms=fields[7],
        busy_ms=fields[9],
        queue_ms=fields[10],
    )


def _first(words: list[str] | None) -> int | None:
    return _counter(words[0]) if words else None


def _counter(word: str) -> int:
    if not _COUNTER.fullmatch(word):
        raise WorkloadError(f"a counter of the guest is not a number: {word[:100]!r}")
    return int(word)


def witnesses(
    before: Snapshot, after: Snapshot, *, ios: int, written_bytes: int, page_bytes: int = 4096
) -> dict[str, float]:
    """Witness name -> value, for a workload of `ios` reads and writes that wrote `written_bytes`.

    What the guest's kernel does not count (a null_blk without I/O statistics) is left out: missing is not zero.
    """
    found = {} if before.disk is None or after.disk is None else _disk_witnesses(before.disk, after.disk, written_bytes)
    dirtied = _difference(before.dirtied_pages, after.dirtied_pages)
    if dirtied is not None and written_bytes > 0:
        found["dirtied_per_page"] = dirtied / (written_bytes / page_bytes)
    switches = _difference(before.switches, after.switches)
    if switches is not None and ios > 0:
        found["switches_per_io"] = switches / ios
    idle = _difference(before.idle_ticks, after.idle_ticks)
    total = _difference(before.total_ticks, after.total_ticks)
    if idle is not None and total and idle <= total:
        found["cpu_busy"] = 1.0 - idle / total
    return found


def _disk_witnesses(before: DiskCounters, after: DiskCounters, written_bytes: int) -> dict[str, float]:
    found: dict[str, float] = {}
    reads, writes = _difference(before.read_ios, after.read_ios), _difference(before.write_ios, after.write_ios)
    if reads is None or writes is None or not (ios := reads + writes):
        return found
    busy_ms, queue_ms = _difference(before.busy_ms, after.busy_ms), _difference(before.queue_ms, after.queue_ms)
    if busy_ms and queue_ms is not None:
        found["queue_depth"] = queue_ms / busy_ms
    read_ms, write_ms = _difference(before.read_ms, after.read_ms), _difference(before.write_ms, after.write_ms)
    if read_ms is not None and write_ms is not None:
        found["disk_latency"] = (read_ms + write_ms) / ios * _US_PER_MS
    sectors = _difference(before.write_sectors, after.write_sectors)
    if sectors is not None and written_bytes > 0:
        found["disk_bytes_per_byte"] = sectors * _SECTOR_BYTES / written_bytes
    return found


def _difference(before: int | None, after: int | None) -> int | None:
    """How far a counter came; None where it is missing or went backwards."""
    return None if before is None or after is None or after < before else after - before
