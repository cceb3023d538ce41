"""Kinds, probes, and the metrics that they yield: complete and honest."""

from dataclasses import replace

import pytest

from harness.config.workloads import load_workloads
from harness.errors import ConfigError
from harness.model.workload import Direction
from harness.workloads.registry import KINDS, METRICS, PROBES, kind_named, metric_table, union

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


def test_speeds_come_first_whoever_yields_them():
    fast, slow = METRICS["write_iops"], METRICS["read_iops"]
    shown = METRICS["queue_depth"]
    assert list(union([shown, fast, slow])) == ["write_iops", "read_iops", "queue_depth"]


def test_one_name_means_one_metric():
    metric = METRICS["write_iops"]
    assert list(union([metric, metric])) == ["write_iops"]
    with pytest.raises(ValueError, match="write_iops is declared in two ways"):
        union([metric, replace(metric, unit="1/h")])


def test_kinds_and_probes_go_by_their_names():
    for table in (KINDS, PROBES):
        assert all(name == entry.name for name, entry in table.items())
    assert kind_named("fio") is KINDS["fio"]
    with pytest.raises(ConfigError, match=r"x\.yaml:3: unknown kind of workload 'foi'") as caught:
        kind_named("foi", where="x.yaml:3")
    assert "Did you mean fio?" in caught.value.remedy


def test_every_metric_is_listed_with_its_sources():
    rows = {row.name: row for row in metric_table()}
    assert list(rows) == list(METRICS)
    assert all(row.sources and row.title for row in rows.values())
    depth = rows["queue_depth"]
    assert (depth.direction, depth.role, depth.sources) == ("higher", "witness", ("procfs",))
    assert (rows["write_iops"].unit, rows["write_iops"].role, rows["write_iops"].sources) == (
        "1/s", "deciding", ("fio",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("witness", "decides", "role"),
    [
        (False, True, "deciding"),
        (True, True, "witness"),
        (True, False, "witness, never deciding"),
        (False, False, "shown only"),
    ],
)
def test_roles(witness, decides, role):
    assert replace(METRICS["write_iops"], witness=witness, decides=decides).role == role
