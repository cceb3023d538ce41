"""fio's JSON, of any fio 3.x, into metrics."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import WorkloadError

_MIB = 1024 * 1024
_NS_PER_US = 1000.0
# Metric suffix -> fio's name of the percentile.
_PERCENTILES = {"p50": "50.000000", "p99": "99.000000", "p99_9": "99.900000"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FioResult:
    """One fio process's report on its only group of jobs."""

    # "fio-3.33".
    version: str
    # Metric name -> value in metric units (see harness.model.metrics); only what the job did.
    metrics: Mapping[str, float]
    # Reads and writes completed, and bytes written.
    ios: int
    written_bytes: int


def parse_fio(text: str) -> FioResult:
    """Read the output of ``fio --output-format=json`` (or ``json+``), whatever fio printed around it.

    Raises WorkloadError when there is no report in it, when fio reports an error, or when it completed no I/O.
    """
    report = _report(text)
    jobs = report.get("jobs") or []
    if len(jobs) != 1:
        raise WorkloadError(
            f"fio reported {len(jobs)} groups of jobs instead of one",
            remedy="The workload's template must set group_reporting=1 and must not set new_group.",
        )
    job = jobs[0]
    if job.get("error"):
        raise WorkloadError(f"fio's job {job.get('jobname', '?')} failed with errno {job['error']}{_tail(text)}")
    ios = sum(int(job.get(side, {}).get("total_ios", 0)) for side in ("read", "write"))
    if ios == 0:
        raise WorkloadError(f"fio completed no I/O{_tail(text)}")
    metrics: dict[str, float] = {}
    for side in ("write", "read"):
        metrics.update(_side_metrics(side, job.get(side, {})))
    metrics.update(_sync_metrics(job.get("sync", {})))
    metrics.update(_cpu_metrics(job, ios))
    return FioResult(
        version=str(report.get("fio version", "")),
        metrics=metrics,
        ios=ios,
        written_bytes=int(job.get("write", {}).get("io_bytes", 0)),
    )


def _report(text: str) -> dict[str, Any]:
    """The JSON object in `text`: it begins at the first line that is an opening brace."""
    start = 0 if text.startswith("{") else text.find("\n{") + 1
    if text[start : start + 1] != "{":
        raise WorkloadError(f"fio printed no report{_tail(text)}")
    try:
        report, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise WorkloadError(f"fio's report is cut short or malformed: {error}") from error
    assert isinstance(report, dict)
    return report


def _tail(text: str) -> str:
    """What fio said before its report, for the end of a message."""
    said = text.partition("\n{")[0].strip() if not text.startswith("{") else ""
    return f": {said[-1000:]}" if said else ""


def _side_metrics(side: str, data: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of "read" or "write"; none when the job did not do it."""
    if not data.get("total_ios"):
        return {}
    metrics = {
        f"{side}_iops": float(data["iops"]),
        f"{side}_bandwidth": float(data["bw_bytes"]) / _MIB,
    }
    latency = data.get("clat_ns", {})
    if latency.get("N", 1):
        metrics[f"{side}_clat_mean"] = float(latency["mean"]) / _NS_PER_US
        metrics.update(_percentiles(f"{side}_clat", latency))
    return metrics


def _percentiles(prefix: str, latency: Mapping[str, Any]) -> dict[str, float]:
    percentiles = latency.get("percentile", {})
    return {
        f"{prefix}_{suffix}": float(percentiles[key]) / _NS_PER_US
        for suffix, key in _PERCENTILES.items()
        if key in percentiles
    }


def _sync_metrics(data: Mapping[str, Any]) -> dict[str, float]:
    """Latency of fsync and fdatasync calls, when the job made any."""
    if not data.get("total_ios"):
        return {}
    latency = data["lat_ns"]
    metrics = {"sync_latency_mean": float(latency["mean"]) / _NS_PER_US}
    p99 = _percentiles("sync_latency", latency).get("sync_latency_p99")
    return metrics if p99 is None else metrics | {"sync_latency_p99": p99}


def _cpu_metrics(job: Mapping[str, Any], ios: int) -> dict[str, float]:
    """CPU time and context switches of fio's threads per I/O.

    fio's percentages are of ``job_runtime``, the sum of all threads' run times in milliseconds (stat.c).
    """
    cpu_us = (float(job["usr_cpu"]) + float(job["sys_cpu"])) / 100.0 * float(job["job_runtime"]) * 1000.0
    return {"cpu_per_io": cpu_us / ios, "job_switches_per_io": float(job["ctx"]) / ios}
