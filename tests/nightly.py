"""Invented nightly series: a kernel a night, boots with noise, hosts that change."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from harness.model.alarm import Alarm, AlarmEvent, AlarmState, Night, SeriesName
from harness.model.run import KernelRecord
from harness.model.verdict import Comparison, Verdict

FIRST_NIGHT = datetime(2026, 1, 1, 2, 30, tzinfo=UTC)
SERIES = SeriesName(matrix="nightly", cell="shared-dio/btrfs", series="debian:6.12", metric="write_iops")


def kernel(number: int) -> KernelRecord:
    """The kernel of a night: Debian's 6.12.NUMBER."""
    return KernelRecord(
        spec="debian:6.12",
        release=f"6.12.{number}+deb13-cloud-amd64",
        version=f"6.12.{number}-1",
        source="debian",
        digest=f"{number:064x}",
    )


def nights(
    count: int,
    level: Callable[[int], float] = lambda _night: 1000.0,
    *,
    noise: float = 0.02,
    boots: int = 10,
    host: Callable[[int], str] = lambda _night: "EPYC 7763",
    kernels: Callable[[int], KernelRecord] = kernel,
    seed: int = 1,
) -> tuple[Night, ...]:
    """So many nights: `level` is the true value of a night, in metric units, `noise` the spread of a boot's log."""
    rng = np.random.default_rng(seed)
    return tuple(
        Night(
            run_id=f"2026-night-{index:03}",
            created=FIRST_NIGHT + timedelta(days=index),
            kernel=kernels(index),
            conditions=tuple(conditions(host(index)).items()),
            values=tuple(float(value) for value in level(index) * np.exp(rng.normal(0, noise, boots))),
        )
        for index in range(count)
    )


def conditions(host: str) -> Mapping[str, str]:
    """What is told of a host."""
    return {"host CPU": host, "QEMU": "10.0.2", "image": "trixie-fio 4fd1c0", "accelerator": "kvm"}


COMPARISON = Comparison(
    metric="write_iops", blocks=9, baseline=1000.0, candidate=950.0, ratio=0.951, low=0.93, high=0.972, error=0.01,
    spread=0.02, verdict=Verdict.SLOWER,
)  # fmt: skip
ALARM = Alarm(
    id="a1b2c3d4",
    name=SERIES,
    before=kernel(29),
    after=kernel(30),
    confirmed_by="20260131-0230-ab-1",
    comparison=COMPARISON,
    worse=True,
    events=(AlarmEvent(state=AlarmState.NEW, at=FIRST_NIGHT + timedelta(days=30)),),
    others=(replace(COMPARISON, metric="write_clat_p99", baseline=20_000.0, candidate=22_000.0, ratio=1.1, low=1.05,
                    high=1.15),),
)  # fmt: skip
