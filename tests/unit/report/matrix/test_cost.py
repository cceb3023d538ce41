"""What a difference costs: hours for a TiB, machines for the same work, and when neither is said."""

import math
from dataclasses import replace

import factories
import pytest

from harness.model.verdict import Comparison, Verdict
from harness.report.matrix.cost import cost_line, cost_of, is_emulated

pytestmark = pytest.mark.unit


def comparison(metric: str, baseline: float, candidate: float, *, width: float = 0.03) -> Comparison:
    ratio = candidate / baseline
    return Comparison(
        metric=metric, blocks=4, baseline=baseline, candidate=candidate, ratio=ratio, low=ratio * math.exp(-width),
        high=ratio * math.exp(width), error=0.01, spread=0.02, verdict=Verdict.SLOWER,
    )  # fmt: skip


def line(*found: Comparison, emulated: bool = False, counting=(), deciding=("write_iops",), parameters=None) -> str:
    work = replace(factories.workload(), deciding=deciding)
    work = work if parameters is None else replace(work, parameters=parameters)
    cost = cost_of(
        factories.experiment(workload=work), {one.metric: one for one in found}, counting=counting, emulated=emulated
    )
    return cost_line(cost) if cost else ""


def test_hours_and_machines() -> None:
    # 2^20 MiB at 100 and at 80 MiB/s are 2.91 and 3.64 hours.
    assert line(comparison("write_bandwidth", 100.0, 80.0)) == (
        "Writing 1 TiB takes 2.91 h on the baseline and 3.64 h on the candidate: the same writes need 1.25 machines "
        "instead of 1 (99 % interval 1.21 to 1.29)."
    )


def test_a_rate_of_requests_counts_by_their_size() -> None:
    # 6400 writes of 16 KiB are 100 MiB.
    assert "takes 2.91 h on the baseline and 3.64 h" in line(comparison("write_iops", 6400.0, 5120.0))


def test_requests_of_unknown_size_need_machines_all_the_same() -> None:
    told = line(comparison("write_iops", 6400.0, 5120.0), parameters={})
    assert told.startswith("The same writes need 1.25 machines instead of 1 (")


def test_reads() -> None:
    told = line(comparison("read_bandwidth", 100.0, 200.0), deciding=("read_bandwidth", "read_iops"))
    assert told.startswith(
        "Reading 1 TiB takes 2.91 h on the baseline and 1.46 h on the candidate: the same reads need"
    )
    assert "0.500 machines" in told


def test_what_decides_says_which_work_it_is() -> None:
    both = (comparison("read_bandwidth", 100.0, 200.0), comparison("write_bandwidth", 100.0, 80.0))
    assert "writes need 1.25" in line(*both)
    assert "reads need 0.500" in line(*both, deciding=("queue_depth", "read_iops", "write_iops"))


def test_the_metric_that_counts_goes_before_the_bandwidth() -> None:
    both = (comparison("write_bandwidth", 100.0, 100.0), comparison("write_iops", 6400.0, 5120.0))
    assert "1.25 machines" in line(*both, counting=("write_iops",))
    assert "no difference" in line(*both)


def test_no_machines_without_a_difference() -> None:
    told = line(comparison("write_bandwidth", 100.0, 98.0))
    assert told == "Writing 1 TiB takes 2.91 h on the baseline and 2.97 h on the candidate; no difference is shown."


def test_under_emulation_only_ratios_hold() -> None:
    told = line(comparison("write_bandwidth", 100.0, 80.0), emulated=True)
    assert told == (
        "The same writes need 1.25 machines instead of 1 (99 % interval 1.21 to 1.29). "
        "Hours are not told: under emulation only ratios hold."
    )
    assert "2.91" not in line(comparison("write_bandwidth", 100.0, 98.0), emulated=True)
    assert is_emulated(factories.run())
    assert not is_emulated(factories.run(conditions={"accelerator": "kvm"}))


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf, -1.0])
def test_figures_that_are_none_give_no_hours(value: float) -> None:
    told = line(replace(comparison("write_bandwidth", 100.0, 80.0), candidate=value))
    assert told.startswith("The same writes need 1.25 machines")


def test_nothing_of_a_workload_that_gave_no_such_speed() -> None:
    assert line(comparison("queue_depth", 1.0, 2.0)) == ""


def test_fast_disks_take_minutes() -> None:
    assert "takes 1.75 min on the baseline" in line(comparison("write_bandwidth", 10_000.0, 9_000.0))
