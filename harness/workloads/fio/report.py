"""fio's JSON, of any fio 3.x, into metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import WorkloadError
from harness.parse.guestjson import Fields, read_report

_MIB = 1024 * 1024
_KIB = 1024
_NS_PER_US = 1000.0
_MS_PER_S = 1000.0
# Metric suffix -> fio's name of the percentile.
_PERCENTILES = {"p50": "50.000000", "p99": "99.000000", "p99_9": "99.900000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FioResult:
    """One fio process's report on its only group of jobs."""

    # "fio-3.33".
    version: str
    # Metric name -> value in metric units (see harness.workloads.fio.metrics); only what the job did.
    metrics: Mapping[str, float]
    # Reads and writes completed, and bytes written.
    ios: int
    written_bytes: int
    # Run times of all threads together, seconds; 0 where fio (3.1) does not tell.
    thread_s: float


def parse_fio(text: str) -> FioResult:
    """Read the output of ``fio --output-format=json`` (or ``json+``), whatever fio printed around it.

    A figure that this fio does not report is left out. Raises WorkloadError for any text that has no report in it or a
    malformed one, when fio reports an error, and when it completed no read and no write.
    """
    report = _report(text)
    jobs = report.parts("jobs")
    if len(jobs) != 1:
        raise WorkloadError(
            f"fio reported {len(jobs)} groups of jobs instead of one",
            remedy="The workload's template must set group_reporting=1 and must not set new_group.",
        )
    job = jobs[0]
    if job.number("error"):
        name = job.text("jobname") or "?"
        raise WorkloadError(f"fio's job {name} failed with errno {job.count('error')}{_tail(text)}")
    sides = {side: job.part(side) for side in ("write", "read")}
    ios = sum(data.count("total_ios") for data in sides.values())
    if ios == 0:
        raise _no_io(job, text)
    metrics: dict[str, float] = {}
    for side, data in sides.items():
        metrics.update(_side_metrics(side, data))
    metrics.update(_sync_metrics(job.part("sync")))
    metrics.update(_cpu_metrics(job, ios))
    return FioResult(
        version=report.text("fio version"),
        metrics=metrics,
        ios=ios,
        written_bytes=sides["write"].count("io_bytes"),
        thread_s=(job.number("job_runtime") or 0.0) / _MS_PER_S,
    )


def _report(text: str) -> Fields:
    """The JSON object in `text`: it begins at the first line that is an opening brace."""
    start = 0 if text.startswith("{") else text.find("\n{") + 1
    if text[start : start + 1] != "{":
        raise WorkloadError(f"fio printed no report{_tail(text)}")
    return read_report("fio", text, start)


def _no_io(job: Fields, text: str) -> WorkloadError:
    """Why there is nothing to measure, though fio may have done something."""
    if job.part("mixed").count("total_ios"):
        return WorkloadError(
            "fio reported reads and writes as one, so that neither can be told",
            remedy="The workload's template must not set unified_rw_reporting.",
        )
    if trims := job.part("trim").count("total_ios"):
        return WorkloadError(
            f"fio completed {trims} trims, and no read or write",
            remedy="There are no metrics of trims: the workload's template must read or write.",
        )
    return WorkloadError(f"fio completed no I/O{_tail(text)}")


def _tail(text: str) -> str:
    """What fio said before its report, for the end of a message."""
    said = text.partition("\n{")[0].strip() if not text.startswith("{") else ""
    return f": {said[-1000:]}" if said else ""


def _side_metrics(side: str, data: Fields) -> dict[str, float]:
    """Metrics of "read" or "write"; none when the job did not do it."""
    if not data.count("total_ios"):
        return {}
    found: dict[str, float | None] = {f"{side}_iops": data.number("iops")}
    # fio 3.1 knows KiB/s only.
    bytes_s, kib_s = data.number("bw_bytes"), data.number("bw")
    if bytes_s is None and kib_s is not None:
        bytes_s = kib_s * _KIB
    found[f"{side}_bandwidth"] = None if bytes_s is None else bytes_s / _MIB
    latency = data.part("clat_ns")
    # N is how many were measured; older versions do not say it.
    if latency.number("N") != 0:
        found[f"{side}_clat_mean"] = _microseconds(latency.number("mean"))
        found.update(_percentiles(f"{side}_clat", latency))
    return _known(found)


def _percentiles(prefix: str, latency: Fields) -> dict[str, float | None]:
    percentiles = latency.part("percentile")
    return {f"{prefix}_{suffix}": _microseconds(percentiles.number(key)) for suffix, key in _PERCENTILES.items()}


def _sync_metrics(data: Fields) -> dict[str, float]:
    """Latency of fsync and fdatasync calls, when the job made any."""
    if not data.count("total_ios"):
        return {}
    latency = data.part("lat_ns")
    p99 = _percentiles("sync_latency", latency)["sync_latency_p99"]
    return _known({"sync_latency_mean": _microseconds(latency.number("mean")), "sync_latency_p99": p99})


def _cpu_metrics(job: Fields, ios: int) -> dict[str, float]:
    """CPU time and context switches of fio's threads per I/O.

    fio's percentages are of ``job_runtime``, the sum of all threads' run times in milliseconds (stat.c); fio 3.1 does
    not tell it.
    """
    user, system, runtime_ms = (job.number(key) for key in ("usr_cpu", "sys_cpu", "job_runtime"))
    cpu = None
    if user is not None and system is not None and runtime_ms is not None:
        cpu = (user + system) / 100.0 * runtime_ms * 1000.0 / ios
    switches = job.number("ctx")
    return _known({"cpu_per_io": cpu, "job_switches_per_io": None if switches is None else switches / ios})


def _microseconds(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / _NS_PER_US


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
