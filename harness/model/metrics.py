"""The catalogue of metrics: every number that a trial may yield, with its unit and which way it is good."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from harness.model.workload import Direction, Metric

_HIGHER, _LOWER = Direction.HIGHER, Direction.LOWER


def _speeds(side: str) -> Iterable[Metric]:
    """What fio says of one side ("read" or "write") of its job."""
    yield Metric(name=f"{side}_iops", unit="1/s", direction=_HIGHER, title=f"{side}s completed per second")
    yield Metric(
        name=f"{side}_bandwidth", unit="MiB/s", direction=_HIGHER, title=f"data {_PARTICIPLES[side]} per second"
    )
    yield Metric(name=f"{side}_clat_mean", unit="us", direction=_LOWER, title=f"mean completion latency of a {side}")
    for suffix, label in (("p50", "median"), ("p99", "99th percentile"), ("p99_9", "99.9th percentile")):
        yield Metric(
            name=f"{side}_clat_{suffix}",
            unit="us",
            direction=_LOWER,
            title=f"completion latency of a {side}, {label}",
        )


_PARTICIPLES = {"read": "read", "write": "written"}

_CATALOGUE: tuple[Metric, ...] = (
    *_speeds("write"),
    *_speeds("read"),
    Metric(name="sync_latency_mean", unit="us", direction=_LOWER, title="mean latency of an fsync or fdatasync"),
    Metric(name="sync_latency_p99", unit="us", direction=_LOWER, title="latency of an fsync, 99th percentile"),
    Metric(
        name="cpu_per_io",
        unit="us",
        direction=_LOWER,
        title="processor time of fio's threads, user and kernel, per I/O",
    ),
    Metric(
        name="job_switches_per_io",
        unit="",
        direction=_LOWER,
        title="context switches of fio's threads per I/O",
        witness=True,
        meaning="1 is a thread that sleeps once for its own I/O; more means that it also sleeps on locks",
    ),
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

METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _CATALOGUE})
"""Every metric by name, speeds first, in the order to show them in."""
