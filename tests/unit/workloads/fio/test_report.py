"""workloads.fio.report against what real fio versions printed (tests/data/fio: recorded on a host, `json+`)."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import WorkloadError
from harness.workloads.fio.report import parse_fio
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[3] / "data" / "fio"
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
    assert result.thread_s == raw["job_runtime"] / 1000
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


def edited(change: Callable[[dict[str, Any]], None], name: str = "database-pages") -> str:
    """A recorded report whose job was changed."""
    report = json.loads(recorded("3.39", name))
    change(report["jobs"][0])
    return json.dumps(report)


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    """Remove fields of the job and of its sides."""

    def change(job: dict[str, Any]) -> None:
        for part in (job, job["read"], job["write"], job["sync"]):
            for name in names:
                part.pop(name, None)

    return change


def test_fio_3_1_tells_bandwidth_in_kib_and_no_run_time():
    whole = parse_fio(recorded("3.39", "database-pages")).metrics
    old = parse_fio(edited(without("bw_bytes", "job_runtime"))).metrics
    assert set(old) == set(whole) - {"cpu_per_io"}
    assert old["write_bandwidth"] == pytest.approx(whole["write_bandwidth"], rel=0.001)
    assert old["job_switches_per_io"] == whole["job_switches_per_io"]


@pytest.mark.parametrize(
    ("names", "gone"),
    [
        (["clat_ns"], WRITES | READS),
        (["ctx"], {"job_switches_per_io"}),
        (["usr_cpu"], {"cpu_per_io"}),
        (["iops"], {"read_iops", "write_iops"}),
        (["bw_bytes", "bw"], {"read_bandwidth", "write_bandwidth"}),
        (["lat_ns"], SYNCS),
    ],
)
@pytest.mark.parametrize("null", [False, True])
def test_a_missing_or_null_field_costs_its_metric_only(names, gone, null):
    def change(job: dict[str, Any]) -> None:
        for part in (job, job["read"], job["write"], job["sync"]):
            part.update(dict.fromkeys(set(names) & set(part)))

    whole = set(parse_fio(recorded("3.39", "database-pages")).metrics)
    kept = set(parse_fio(edited(change if null else without(*names))).metrics)
    assert kept < whole
    assert whole - kept <= gone


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("iops", "NaN"),
        ("iops", "Infinity"),
        ("iops", "-Infinity"),
        ("iops", "1e999"),
        ("iops", "-5"),
        ("iops", "9" * 10000),
        ("iops", "true"),
        ("iops", '"many"'),
        ("iops", "[1]"),
        ("bw_bytes", "{}"),
        ("clat_ns", "[]"),
        ("clat_ns", '{"mean": NaN}'),
        ("clat_ns", '{"mean": 5, "percentile": ["x"]}'),
        ("total_ios", "1e400"),
    ],
)
def test_a_value_that_is_no_figure_is_named(field, text):
    report = edited(lambda job: job["write"].update({field: "HERE"})).replace('"HERE"', text)
    with pytest.raises(WorkloadError, match=rf"malformed: jobs\.write\.{field}"):
        parse_fio(report)


def test_half_a_character_is_not_handed_on():
    report = edited(lambda job: None).replace('"fio-3.39"', '"fio-\\ud800"')
    assert parse_fio(report).version == "fio-?"
    with pytest.raises(WorkloadError) as raised:
        parse_fio('{"jobs": [{"error": 5, "jobname": "\\udfff"}]}')
    assert raised.value.message.encode()


def test_a_nan_that_nobody_reads_is_no_matter():
    text = edited(lambda job: job["write"].update(bw_dev="HERE", slat_ns="HERE")).replace('"HERE"', "NaN")
    assert parse_fio(text).metrics == parse_fio(recorded("3.39", "database-pages")).metrics


@pytest.mark.parametrize(
    "text",
    [
        '{"jobs": ' + "[" * 100_000,
        '{"jobs": ' + '{"a":' * 100_000,
        '{"jobs": ["a", "b"]}',
        '{"jobs": ["a"]}',
        '{"jobs": [null]}',
        '{"jobs": "a"}',
        '{"jobs": {"a": 1}}',
        '{"jobs": null}',
        '{"jobs": []}',
        '{"jobs": [{}]}',
        '{"jobs": [{"error": "x"}]}',
        '{"jobs": [{"error": 5, "jobname": ["x"]}]}',
        '{"jobs": [{"read": null, "write": null}]}',
        "{}",
        "{",
        '{"a": ' + "9" * 10000 + "}",
        '{"fio version": 3, "jobs": [{"read": {"total_ios": 1}}]}',
    ],
)
def test_a_malformed_report_is_the_workloads_failure(text):
    with pytest.raises(WorkloadError):
        parse_fio(text)


def test_mixed_figures_are_no_figures_of_either():
    def unified(job: dict[str, Any]) -> None:
        job["mixed"] = job.pop("read")
        del job["write"]

    with pytest.raises(WorkloadError, match="reads and writes as one") as raised:
        parse_fio(edited(unified))
    assert "unified_rw_reporting" in raised.value.remedy
    # "both" reports them as one, too, and loses nothing.
    both = parse_fio(edited(lambda job: job.update(mixed=job["read"])))
    assert both.metrics == parse_fio(recorded("3.39", "database-pages")).metrics


def test_a_job_that_only_trims_is_told_so():
    def trim(job: dict[str, Any]) -> None:
        job["trim"] = job["write"]
        job["write"] = job["read"] = {"total_ios": 0}

    with pytest.raises(WorkloadError, match=r"completed \d+ trims, and no read or write"):
        parse_fio(edited(trim))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["read", "write", "total_ios", "iops", "clat_ns", "mean", "percentile"]), inner
        )
    ),
    max_leaves=10,
)


@given(path=st.lists(st.integers(0, 30), min_size=1, max_size=5), value=VALUES)
def test_whatever_stands_in_a_report(path, value):
    report = json.loads(recorded("3.39", "shared-dio"))
    inside: Any = report
    for step in path:
        where = inside
        keys = list(where) if isinstance(where, dict) else range(len(where))
        key = keys[step % len(keys)]
        inside = where[key]
        if not isinstance(inside, dict | list) or not inside:
            break
    where[key] = value
    reads(json.dumps(report))


@given(text=st.text() | st.text().map("{{\n".__add__) | VALUES.map(json.dumps))
def test_whatever_is_printed(text):
    reads(text)
    reads(f'{{"jobs": [{{"read": {text}}}]}}')


def reads(text: str) -> None:
    """It gives finite figures, or says that the workload failed."""
    try:
        result = parse_fio(text)
    except WorkloadError:
        return
    assert result.ios > 0
    assert all(math.isfinite(value) and value >= 0 for value in result.metrics.values())
