"""workloads.procfs against counters that real guests printed around fio (tests/data/counters, 4 writers, NBD, 2 ms)."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import WorkloadError
from harness.workloads.fio.report import parse_fio
from harness.workloads.procfs import DiskCounters, Snapshot, parse_snapshot, witnesses
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "counters"


def recorded(name: str) -> tuple[Snapshot, Snapshot]:
    before, after = (DATA / f"{name}.txt").read_text(encoding="utf-8").split("\nafter\n")
    return parse_snapshot(before), parse_snapshot(after)


def of_recording(name: str) -> dict[str, float]:
    fio = parse_fio((DATA / f"{name}.json").read_text(encoding="utf-8"))
    before, after = recorded(name)
    return witnesses(before, after, ios=fio.ios, written_bytes=fio.written_bytes)


def test_snapshot_of_a_real_guest():
    before, _ = recorded("6.12.107-nodatacow")
    assert before.disk == DiskCounters(
        read_ios=43, read_ms=68, write_ios=528, write_sectors=152200, write_ms=1620, busy_ms=1268, queue_ms=1688
    )
    assert before.switches == 6573
    # cpu 83 0 590 725 116 0 29 0
    assert before.idle_ticks == 725 + 116
    assert before.total_ticks == 83 + 590 + 725 + 116 + 29
    assert before.dirtied_pages is not None


def test_witnesses_tell_serialised_from_parallel():
    serialised, parallel = of_recording("6.12.107-nodatacow"), of_recording("7.2.12-nodatacow")
    assert serialised["queue_depth"] == pytest.approx(1.0, abs=0.1)
    assert parallel["queue_depth"] > 3.0
    assert serialised["switches_per_io"] > 2 * parallel["switches_per_io"]
    for found in (serialised, parallel):
        assert found["dirtied_per_page"] < 0.01
        assert 2000 < found["disk_latency"] < 4000
        assert found["disk_bytes_per_byte"] == pytest.approx(1.0, abs=0.01)
        assert 0 < found["cpu_busy"] < 1
        assert set(found) <= set(METRICS)
        assert all(METRICS[name].witness for name in found)


BEFORE = Snapshot(
    disk=DiskCounters(
        read_ios=100, read_ms=10, write_ios=200, write_sectors=1000, write_ms=50, busy_ms=1000, queue_ms=2000
    ),
    dirtied_pages=10,
    switches=1000,
    idle_ticks=100,
    total_ticks=200,
)
AFTER = Snapshot(
    disk=DiskCounters(
        read_ios=100, read_ms=10, write_ios=300, write_sectors=4200, write_ms=250, busy_ms=1100, queue_ms=2350
    ),
    dirtied_pages=410,
    switches=1300,
    idle_ticks=175,
    total_ticks=300,
)


def test_arithmetic():
    found = witnesses(BEFORE, AFTER, ios=100, written_bytes=100 * 16384)
    assert found == pytest.approx(
        {
            "queue_depth": 3.5,
            "disk_latency": 2000.0,
            "disk_bytes_per_byte": 1.0,
            "dirtied_per_page": 1.0,
            "switches_per_io": 3.0,
            "cpu_busy": 0.25,
        }
    )


def test_disk_without_queue_counters_has_no_witness():
    snapshot = parse_snapshot("/sys/block/nullb0/stat: 1 2 3 4 5 6 7 8\n/proc/stat:ctxt 12\n")
    assert snapshot.disk is None
    assert snapshot.switches == 12
    assert snapshot.dirtied_pages is None
    assert "queue_depth" not in witnesses(snapshot, replace(snapshot, switches=22), ios=10, written_bytes=4096)


@pytest.mark.parametrize("counter", ["busy_ms", "write_ios"])
def test_counter_that_stands_still_is_missing_not_zero(counter):
    assert BEFORE.disk is not None
    assert AFTER.disk is not None
    stuck = replace(AFTER, disk=replace(AFTER.disk, **{counter: getattr(BEFORE.disk, counter)}))
    found = witnesses(BEFORE, stuck, ios=100, written_bytes=1638400)
    assert "queue_depth" not in found
    assert "dirtied_per_page" in found


def test_counter_that_goes_backwards_is_missing():
    found = witnesses(BEFORE, replace(AFTER, switches=1, dirtied_pages=None), ios=100, written_bytes=1638400)
    assert "switches_per_io" not in found
    assert "dirtied_per_page" not in found
    assert found["queue_depth"] == pytest.approx(3.5)


def test_reads_only_have_no_dirtied_pages():
    found = witnesses(BEFORE, AFTER, ios=100, written_bytes=0)
    assert "dirtied_per_page" not in found
    assert "disk_bytes_per_byte" not in found


def test_kernels_with_and_without_later_fields_agree():
    words = "1 0 8 4 200 0 3200 400 0 350 404"
    old = parse_snapshot(f"/sys/block/sda/stat: {words}\n")
    new = parse_snapshot(f"/sys/block/sda/stat: {words} 0 0 0 0 5 10\n")
    assert old == new
    assert old.disk is not None
    assert (old.disk.busy_ms, old.disk.queue_ms) == (350, 404)


@pytest.mark.parametrize("word", ["-1", "x", "٣", "1.5", "9" * 10000, "0x10"])
@pytest.mark.parametrize(
    "line", ["/proc/stat:ctxt {}", "/proc/vmstat:nr_dirtied {}", "/proc/stat:cpu 1 2 3 {} 5 6 7 8"]
)
def test_a_counter_that_is_no_number_fails_the_workload(line, word):
    with pytest.raises(WorkloadError, match="not a number"):
        parse_snapshot(line.format(word))


LINES = st.builds(
    "{}:{} {}".format,
    st.sampled_from(["/sys/block/vda/stat", "/proc/stat", "/proc/vmstat", ""]),
    st.sampled_from(["cpu", "ctxt", "nr_dirtied", "7", ""]),
    st.lists(st.integers(-1, 2**64).map(str) | st.text(max_size=3), max_size=17).map(" ".join),
)


@given(texts=st.tuples(*[st.text() | st.lists(LINES, max_size=4).map("\n".join)] * 2), ios=st.integers(1, 2**64))
def test_whatever_the_guest_prints(texts, ios):
    try:
        before, after = map(parse_snapshot, texts)
    except WorkloadError:
        return
    found = witnesses(before, after, ios=ios, written_bytes=ios)
    assert all(math.isfinite(value) and value >= 0 for value in found.values())


def test_a_disk_whose_time_goes_backwards_has_no_queue_depth():
    assert AFTER.disk is not None
    found = witnesses(BEFORE, replace(AFTER, disk=replace(AFTER.disk, queue_ms=1)), ios=100, written_bytes=1638400)
    assert "queue_depth" not in found
    assert found["disk_latency"] == pytest.approx(2000.0)
