"""The screen for change points: steps are suspected soon, noise, hosts and drift seldom, and nothing twice."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
from factories import experiment
from nightly import FIRST_NIGHT, SERIES, kernel, nights

from harness.model.alarm import Asked, Change
from harness.model.verdict import Decision, Verdict
from harness.model.workload import Direction, Metric
from harness.stats.changepoints import AGAIN, confirmation, confirmed, minimal_effect, screen
from harness.stats.nights import breaks

pytestmark = pytest.mark.unit

IOPS = Metric(name="write_iops", unit="1/s", direction=Direction.HIGHER, title="")
LATENCY = replace(IOPS, name="clat_p99", direction=Direction.LOWER)


def step(at: int, factor: float = 0.95):
    return lambda night: 1000.0 * (factor if night >= at else 1.0)


def asked(change: Change, *, says: bool = False) -> Asked:
    return Asked(name=SERIES, change=change, run_id="ab-1", at=FIRST_NIGHT, confirmed=says)


@pytest.mark.parametrize("known", [1, 3, 30])
def test_a_step_is_suspected_on_its_third_night_at_the_latest(known: int) -> None:
    """At 2 % noise and 10 boots, whatever was seen before it; how often exactly: benchmarks/changepoint_sim.py."""
    seen = 0
    for seed in range(20):
        series = nights(known + 3, step(known), seed=seed)
        seen += any(
            change.worse and abs(change.index - known) <= 1
            for night in range(3)
            for change in screen(series[: known + 1 + night], IOPS, minimal=0.025)
        )
    assert seen >= 19


def test_what_is_said_of_a_step() -> None:
    [change] = screen(nights(40, step(30, 0.9)), IOPS, minimal=0.025)
    assert (change.index, change.before, change.after) == (30, kernel(29), kernel(30))
    assert change.ratio == pytest.approx(0.9, abs=0.01)
    assert change.worse
    assert change.score > 10
    [other] = screen(nights(40, step(30, 0.9)), LATENCY, minimal=0.025)
    assert not other.worse
    [better] = screen(nights(40, step(30, 1.1)), IOPS, minimal=0.025)
    assert not better.worse
    assert better.ratio == pytest.approx(1.1, abs=0.015)


def test_where_a_small_step_is_remains_open() -> None:
    """Both kernels lie outside of where it may be: an A/B of two neighbours might be of the same side."""
    widths = []
    for seed in range(20):
        for change in screen(nights(60, step(30, 0.97), noise=0.04, seed=seed), IOPS, minimal=0.015):
            first, last = (int(found.digest, 16) for found in (change.before, change.after))
            assert first < change.index <= last
            if abs(change.index - 30) < 8:
                widths.append(last - first)
                assert first < 33
                assert last > 27
    assert len(widths) >= 10
    assert max(widths) > 1


def test_small_effects_are_of_no_interest() -> None:
    series = nights(60, step(30, 0.97), noise=0.005)
    assert screen(series, IOPS, minimal=0.025)
    assert not screen(series, IOPS, minimal=0.04)


def test_noise_is_suspected_seldom() -> None:
    assert sum(len(screen(nights(60, seed=seed), IOPS, minimal=0.025)) for seed in range(50)) <= 2


def test_a_break_of_conditions_hides_nothing_and_is_none() -> None:
    def level(night: int) -> float:
        return 1300.0 if night >= 20 else 1000.0

    def host(night: int) -> str:
        return "Xeon 8370C" if night >= 20 else "EPYC 7763"

    series = nights(40, level, host=host)
    assert not screen(series, IOPS, minimal=0.025)
    [found] = breaks(series)
    assert (found.index, found.changed) == (20, (("host CPU", "EPYC 7763", "Xeon 8370C"),))
    # The same without another host is a change.
    assert [change.index for change in screen(nights(40, level), IOPS, minimal=0.025)] == [20]
    # A step beside a break is seen by the nights on its own side.
    [change] = screen(nights(24, lambda night: level(night) * (0.9 if night >= 23 else 1.0), host=host), IOPS,
                      minimal=0.025)  # fmt: skip
    assert (change.index, change.before, change.after) == (23, kernel(22), kernel(23))


def test_a_condition_that_comes_or_goes_is_a_break() -> None:
    one, other = nights(2)
    other = replace(other, conditions=(*other.conditions, ("governor", "performance")))
    assert [found.changed for found in breaks((one, other))] == [(("governor", "", "performance"),)]
    assert [found.changed for found in breaks((other, one))] == [(("governor", "performance", ""),)]


def test_two_hosts_in_turn_are_two_series() -> None:
    def host(night: int) -> str:
        return f"host {night % 2}"

    def level(night: int) -> float:
        return (1000.0, 1500.0)[night % 2] * (0.9 if night >= 30 else 1.0)

    series = nights(40, level, host=host)
    found = screen(series, IOPS, minimal=0.025)
    assert [change.index for change in found] == [30, 31]
    assert len(breaks(series)) == 39


def test_a_change_that_was_told_is_not_found_again() -> None:
    series = nights(40, step(30, 0.9))
    assert not screen(series, IOPS, minimal=0.025, told=[30])
    assert not screen(series, IOPS, minimal=0.025, since=31)


def test_what_an_a_b_refuted_comes_again_only_when_it_is_clearer() -> None:
    series = nights(40, step(30, 0.95))
    [change] = screen(series, IOPS, minimal=0.025)
    assert not screen(series, IOPS, minimal=0.025, asked=[asked(change)])
    fainter = replace(change, score=change.score / AGAIN / 1.01)
    assert screen(series, IOPS, minimal=0.025, asked=[asked(fainter)]) == (change,)
    # What was asked about another direction, or other kernels, answers nothing.
    assert screen(series, IOPS, minimal=0.025, asked=[asked(replace(change, worse=False))]) == (change,)
    elsewhere = replace(change, before=kernel(3), after=kernel(4))
    assert screen(series, IOPS, minimal=0.025, asked=[asked(elsewhere)]) == (change,)


def test_one_kernel_on_both_sides_is_no_change_of_a_kernel() -> None:
    series = nights(40, step(30, 0.9), kernels=lambda _night: kernel(1))
    assert not screen(series, IOPS, minimal=0.025)


@pytest.mark.parametrize("values", [(), (0.0,) * 4, (-1.0, 0.0, 1.0), (5.0,), (1e300, 1e-300, 1.0)])
def test_strange_nights_break_nothing(values: tuple[float, ...]) -> None:
    strange = [replace(night, values=values) for night in nights(8)]
    screen(strange, IOPS, minimal=0.025)
    mixed = [*nights(10), *strange, *nights(10)]
    for change in screen(mixed, IOPS, minimal=0.025):
        assert math.isfinite(change.score)
    assert not screen([], IOPS, minimal=0.025)
    assert not screen(nights(1), IOPS, minimal=0.025)


def test_what_is_below_the_floor_is_no_change() -> None:
    metric = replace(LATENCY, floor=1.0)
    assert not screen(nights(40, lambda night: 0.5 if night >= 30 else 0.1), metric, minimal=0.025)


def test_the_a_b_that_confirms() -> None:
    cell = experiment(error=0.05, margin=0.05, max_boots=10, seed=3)
    asks = confirmation(cell, "write_iops")
    assert (asks.metric, asks.margin, asks.error, asks.max_boots, asks.seed) == ("write_iops", 0.025, 0.01, 40, None)
    assert minimal_effect(cell) == 0.025
    assert confirmation(experiment(error=0.001, max_boots=80), "write_iops").max_boots == 80
    assert confirmation(experiment(error=0.001), "write_iops").error == 0.001


def test_an_a_b_confirms_only_its_own_direction() -> None:
    [change] = screen(nights(40, step(30)), IOPS, minimal=0.025)
    for verdict in Verdict:
        decision = Decision(verdict=verdict, metric="write_iops", how="", reason="", final=True)
        assert confirmed(change, decision) is (verdict is Verdict.SLOWER)
        assert confirmed(replace(change, worse=False), decision) is (verdict is Verdict.FASTER)
        assert not confirmed(change, replace(decision, final=False))


def test_ruptures_is_loaded_only_when_a_segment_is_screened() -> None:
    code = "import sys, harness.stats.changepoints; print('ruptures' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"
