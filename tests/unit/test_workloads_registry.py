"""Kinds, probes, and the metrics that they yield: complete and honest."""

import pytest

from harness.config.workloads import load_workloads
from harness.model.workload import Direction
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit


def test_metrics_are_shown_in_this_order():
    """Tables, and what `auto` takes of equals, depend on it."""
    sides = ("iops", "bandwidth", "clat_mean", "clat_p50", "clat_p99", "clat_p99_9")
    assert list(METRICS) == [
        *(f"write_{name}" for name in sides),
        *(f"read_{name}" for name in sides),
        "sync_latency_mean", "sync_latency_p99", "cpu_per_io", "job_switches_per_io", "queue_depth",
        "dirtied_per_page", "switches_per_io", "disk_latency", "disk_bytes_per_byte", "cpu_busy",
    ]  # fmt: skip


def test_keys_are_names():
    assert all(name == metric.name for name, metric in METRICS.items())


def test_witnesses_and_only_they_explain_themselves():
    for metric in METRICS.values():
        assert bool(metric.meaning) == metric.witness, metric.name


def test_titles_tell_metrics_apart():
    titles = [metric.title for metric in METRICS.values()]
    assert len(set(titles)) == len(titles)
    assert all(titles)


def test_directions():
    assert METRICS["write_iops"].direction is Direction.HIGHER
    assert METRICS["write_clat_p99_9"].direction is Direction.LOWER
    assert METRICS["queue_depth"].direction is Direction.HIGHER
    assert METRICS["dirtied_per_page"].direction is Direction.LOWER


def test_catalogue_cannot_be_changed():
    with pytest.raises(TypeError):
        METRICS["write_iops"] = METRICS["queue_depth"]  # type: ignore[index]


def test_every_workload_decides_by_known_metrics():
    workloads = load_workloads()
    assert len(workloads) >= 7
    for workload in workloads.values():
        assert set(workload.deciding) <= set(METRICS)
        assert not METRICS[workload.deciding[0]].witness, f"{workload.name} is decided by a witness first"
