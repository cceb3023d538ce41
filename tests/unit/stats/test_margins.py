"""Which metrics count in a gate, by policy, workload and experiment."""

from dataclasses import replace

import pytest
from factories import experiment

from harness.errors import ConfigError
from harness.model.matrix import GatePolicy
from harness.stats.margins import margins_of
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit


def test_without_a_policy_the_speeds_that_the_workload_lets_decide_at_the_cells_margin() -> None:
    asked = experiment(margin=0.08)
    assert "queue_depth" in asked.workload.deciding
    assert margins_of(asked, METRICS, GatePolicy()) == {"write_iops": 0.08}


def test_without_a_policy_a_metric_that_the_cell_names() -> None:
    assert margins_of(experiment(metric="write_clat_p99"), METRICS, GatePolicy()) == {"write_clat_p99": 0.05}
    with pytest.raises(ConfigError, match="unknown metric 'clat'"):
        margins_of(experiment(metric="clat"), METRICS, GatePolicy())


def test_a_full_name_goes_before_patterns_and_the_first_pattern_before_later_ones() -> None:
    policy = GatePolicy(margins={"write_clat*": 0.2, "*_p99": 0.1, "write_clat_mean": 0.03})
    found = margins_of(experiment(), METRICS, policy)
    assert found["write_clat_mean"] == 0.03
    assert found["write_clat_p99"] == 0.2
    assert found["read_clat_p99"] == 0.1
    assert "write_iops" not in found
    assert list(found) == [name for name in METRICS if name in found]


def test_a_witness_counts_where_it_is_named_only() -> None:
    everything = margins_of(experiment(), METRICS, GatePolicy(margins={"*": 0.1}))
    assert not [name for name in everything if METRICS[name].witness]
    assert margins_of(experiment(), METRICS, GatePolicy(margins={"queue_depth": 0.1})) == {"queue_depth": 0.1}


def test_a_policy_that_fits_nothing_is_refused_with_what_would_fit() -> None:
    with pytest.raises(ConfigError, match="no metric of workload shared-file fits iopss") as refused:
        margins_of(experiment(), METRICS, GatePolicy(margins={"iopss": 0.1}))
    assert "write_iops" in refused.value.remedy


def test_what_never_decides_cannot_count() -> None:
    shown = {**METRICS, "write_iops": replace(METRICS["write_iops"], decides=False)}
    with pytest.raises(ConfigError, match="write_iops never decides"):
        margins_of(experiment(), shown, GatePolicy(margins={"write_iops": 0.1}))
    assert "write_iops" not in margins_of(experiment(), shown, GatePolicy(margins={"write_*": 0.1}))
    with pytest.raises(ConfigError, match="lets no speed decide"):
        margins_of(experiment(), shown, GatePolicy())
