"""What fio's report yields: speeds, and one witness."""

from collections.abc import Iterable

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

METRICS: tuple[Metric, ...] = (
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
)
