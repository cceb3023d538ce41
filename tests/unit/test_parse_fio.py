"""parse.fio against what real fio versions printed (tests/data/fio: recorded on a host, `--output-format=json+`)."""

import json
from pathlib import Path

import pytest

from harness.errors import WorkloadError
from harness.model.metrics import METRICS
from harness.parse.fio import parse_fio

pytestmark = pytest.mark.unit

DATA = Path(__file__).parent.parent / "data" / "fio"
VERSIONS = ("3.25", "3.33", "3.39", "3.41")

WRITES = {
    "write_iops",
    "write_bandwidth",
    "write_clat_mean",
    "write_clat_p50",
    "write_clat_p99",
    "write_clat_p99_9",
}
READS = {name.replace("write", "read") for name in WRITES}
ALWAYS = {"cpu_per_io", "job_switches_per_io"}
SYNCS = {"sync_latency_mean", "sync_latency_p99"}


def recorded(version: str, name: str) -> str:
    return (DATA / f"{version}-{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shared-dio", WRITES | ALWAYS),
        ("uring", WRITES | ALWAYS),
        ("database-pages", WRITES | READS | SYNCS | ALWAYS),
    ],
)
def test_every_version_gives_the_same_metrics(version, name, expected):
    result = parse_fio(recorded(version, name))
    assert result.version == f"fio-{version}"
    assert set(result.metrics) == expected
    assert expected <= set(METRICS)
    assert all(value > 0 for value in result.metrics.values())


@pytest.mark.parametrize("version", VERSIONS)
def test_metrics_agree_with_one_another(version):
    """Four writers, each with one 16k write in flight: Little's law ties latency to throughput, units included."""
    metrics = parse_fio(recorded(version, "shared-dio")).metrics
    assert metrics["write_bandwidth"] == pytest.approx(metrics["write_iops"] * 16 / 1024, rel=0.01)
    in_flight = metrics["write_iops"] * metrics["write_clat_mean"] / 1e6
    assert 3.5 < in_flight < 4.0
    assert metrics["write_clat_p50"] < metrics["write_clat_p99"] < metrics["write_clat_p99_9"]
    # Two processors cannot spend more than two seconds a second.
    assert metrics["cpu_per_io"] * metrics["write_iops"] / 1e6 < 2.0


def test_values_of_one_recording():
    result = parse_fio(recorded("3.33", "database-pages"))
    raw = json.loads(recorded("3.33", "database-pages"))["jobs"][0]
    assert result.ios == raw["read"]["total_ios"] + raw["write"]["total_ios"] == 7520
    assert result.written_bytes == 37617664
    assert result.metrics["sync_latency_p99"] == pytest.approx(3162.112)
    cpu_ms = (raw["usr_cpu"] + raw["sys_cpu"]) / 100 * raw["job_runtime"]
    assert result.metrics["cpu_per_io"] == pytest.approx(cpu_ms * 1000 / 7520)
    assert result.metrics["job_switches_per_io"] == pytest.approx(raw["ctx"] / 7520)


def test_text_around_the_report_is_tolerated():
    plain = recorded("3.39", "shared-dio")
    noisy = f"fio: this platform does not support process shared mutexes\nnote: both\n{plain}\nfio: bye\n"
    assert parse_fio(noisy) == parse_fio(plain)


def test_failed_job_is_a_workload_error_that_quotes_fio():
    with pytest.raises(WorkloadError, match=r"errno 28: .*No space left on device"):
        parse_fio(recorded("3.33", "no-space"))


@pytest.mark.parametrize("text", ["", "fio: unrecognized option '--nonsense=1'\n"])
def test_no_report(text):
    with pytest.raises(WorkloadError, match="no report") as raised:
        parse_fio(text)
    assert text.strip() in raised.value.message


def test_report_cut_short():
    with pytest.raises(WorkloadError, match="cut short"):
        parse_fio(recorded("3.33", "uring")[:4000])


def test_no_io_is_no_measurement():
    report = json.loads(recorded("3.33", "shared-dio"))
    report["jobs"][0]["write"]["total_ios"] = 0
    with pytest.raises(WorkloadError, match="no I/O"):
        parse_fio(json.dumps(report))


def test_several_groups_are_refused():
    report = json.loads(recorded("3.33", "shared-dio"))
    report["jobs"] *= 2
    with pytest.raises(WorkloadError, match="2 groups") as raised:
        parse_fio(json.dumps(report))
    assert "group_reporting" in raised.value.remedy
