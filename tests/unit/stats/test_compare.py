"""Comparisons: closed forms, symmetry, degenerate data, error rates."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats as reference

from harness.model.verdict import CautionKind, Verdict
from harness.model.workload import Direction, Metric
from harness.stats.blocks import BlockPair
from harness.stats.compare import compare, location
from harness.stats.sequential import Estimate, first_look, nominal_level
from harness.stats.shape import drifts, two_humped

pytestmark = pytest.mark.unit

SPEED = Metric(name="write_iops", unit="1/s", direction=Direction.HIGHER, title="")
LATENCY = Metric(name="clat", unit="us", direction=Direction.LOWER, title="")
MIRROR = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
VALUES = st.lists(st.tuples(st.floats(0.5, 1e4), st.floats(0.5, 1e4)), min_size=1, max_size=12)


def pairs_of(values) -> list[BlockPair]:
    return [BlockPair(block=i, baseline=a, candidate=b) for i, (a, b) in enumerate(values)]


def compared(values, metric=SPEED, *, error=0.01, margin=0.05, max_blocks=20):
    return compare(metric, pairs_of(values), error=error, margin=margin, max_blocks=max_blocks)


def drawn(ratio: float, sigma: float, blocks: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal([0, math.log(ratio)], sigma, (blocks, 2))) * 300


@given(VALUES)
def test_location_is_the_median_of_all_pairwise_means(values) -> None:
    x = [math.log(b / a) for a, b in values]
    brute = statistics.median((x[i] + x[j]) / 2 for i in range(len(x)) for j in range(i, len(x)))
    assert location(np.array(x)) == pytest.approx(brute, abs=1e-12)


@pytest.mark.parametrize("blocks", [4, 7, 20])
def test_both_p_values_are_those_of_scipy(blocks: int) -> None:
    a, b = np.log(drawn(1.2, 0.3, blocks)).T
    estimate = Estimate.of(a, b)
    paired, welch = reference.ttest_rel(b, a), reference.ttest_ind(b, a, equal_var=False)
    assert estimate.p_value() == pytest.approx(min(paired.pvalue, welch.pvalue), rel=1e-9)
    assert estimate.welch_freedom == pytest.approx(welch.df)


def test_interval_is_the_narrower_t_interval_at_the_nominal_level() -> None:
    values = drawn(1.2, 0.1, 8)
    a, b = np.log(values).T
    level = nominal_level(0.01, 20)
    intervals = (
        reference.ttest_rel(b, a).confidence_interval(1 - level),
        reference.ttest_ind(b, a, equal_var=False).confidence_interval(1 - level),
    )
    expected = min(intervals, key=lambda interval: interval.high - interval.low)
    found = compared(values)
    assert math.log(found.low) == pytest.approx(expected.low)
    assert math.log(found.high) == pytest.approx(expected.high)


@pytest.mark.parametrize("error", [0.2, 0.1, 0.03, 0.01, 0.0025, 0.0004])
def test_nominal_level_pays_for_looking_and_falls_with_the_cap(error: float) -> None:
    levels = [nominal_level(error, cap) for cap in (4, 7, 20, 60, 200)]
    assert all(0 < later <= earlier < error for earlier, later in itertools.pairwise(levels))
    assert nominal_level(error, 20) > nominal_level(error / 2, 20)


def test_first_look_grows_as_the_error_shrinks() -> None:
    assert [first_look(error) for error in (0.05, 0.01, 0.0025, 0.001)] == [4, 4, 5, 6]


@pytest.mark.parametrize(("sigma", "effect", "cap", "error"), [(0.2, 0.0, 20, 0.05), (0.02, 0.0, 10, 0.05)])
def test_arms_that_are_equal_are_called_different_no_more_often_than_stated(sigma, effect, cap, error) -> None:
    rng, runs, wrong = np.random.default_rng(3), 300, 0
    for _ in range(runs):
        values = np.exp(rng.normal(0, sigma, (cap, 2)))
        looks = (compared(values[:n], error=error, max_blocks=cap).verdict for n in range(4, cap + 1))
        wrong += next((verdict for verdict in looks if verdict is not Verdict.INCONCLUSIVE), Verdict.SAME) in MIRROR
    # Binomial bound: more than this would happen once in 10^4 if the rate were the stated one.
    assert wrong <= reference.binom.ppf(1 - 1e-4, runs, error)
    assert wrong < runs * error


def test_a_gap_of_twelve_spreads_is_seen_after_four_blocks() -> None:
    decided = [compared(drawn(math.exp(12 * 0.05), 0.05, 4, seed)).verdict for seed in range(50)]
    assert decided.count(Verdict.FASTER) >= 48


@given(VALUES)
def test_swapped_arms_give_the_mirrored_comparison(values) -> None:
    there, back = compared(values), compared([(b, a) for a, b in values])
    assert back.verdict is MIRROR.get(there.verdict, there.verdict)
    assert back.ratio == pytest.approx(1 / there.ratio, rel=1e-6)
    if there.low is not None:
        assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low), rel=1e-6)


@given(VALUES, st.sampled_from([2.0**-20, 0.125, 1024.0]))
def test_units_change_nothing(values, scale: float) -> None:
    here, there = compared(values), compared([(a * scale, b * scale) for a, b in values])
    assert here.ratio == pytest.approx(there.ratio, rel=1e-9)
    if here.low is not None:
        assert (here.low, here.high) == pytest.approx((there.low, there.high), rel=1e-6)
        edge = math.log1p(0.05)
        assume(all(abs(abs(math.log(x)) - e) > 1e-6 for x in (here.low, here.high) for e in (0.0, edge)))
    assert here.verdict is there.verdict


@given(VALUES, st.randoms(use_true_random=False))
def test_order_of_blocks_changes_nothing(values, random) -> None:
    pairs = pairs_of(values)
    shuffled = random.sample(pairs, len(pairs))
    one, other = (compare(SPEED, found, error=0.01, margin=0.05, max_blocks=20) for found in (pairs, shuffled))
    assert one == other


def test_direction_of_the_metric_turns_the_verdict_round() -> None:
    values = drawn(2.0, 0.03, 6)
    assert compared(values).verdict is Verdict.FASTER
    assert compared(values, LATENCY).verdict is Verdict.SLOWER


def test_a_difference_inside_the_margin_is_same_even_when_it_is_sure() -> None:
    found = compared(drawn(1.02, 0.002, 20))
    assert found.low > 1
    assert found.verdict is Verdict.SAME


@pytest.mark.parametrize(("value", "other", "verdict"), [(1.0, 1.0, Verdict.SAME), (1.0, 3.0, Verdict.FASTER)])
def test_boots_without_any_spread_decide_at_the_first_look(value, other, verdict) -> None:
    assert compared([(value, other)] * 3).verdict is Verdict.INCONCLUSIVE
    found = compared([(value, other)] * 4)
    assert found.verdict is verdict
    assert found.low < found.ratio < found.high
    assert CautionKind.RESOLUTION in {caution.kind for caution in found.cautions}


def test_one_block_and_none_say_nothing() -> None:
    nothing, one = compared([]), compared([(2.0, 3.0)])
    assert (nothing.ratio, nothing.baseline, nothing.low) == (None, None, None)
    assert one.ratio == pytest.approx(1.5)
    assert (one.spread, one.low, one.verdict) == (None, None, Verdict.INCONCLUSIVE)


def test_zeros_and_negative_values_are_raised_to_a_floor_and_said() -> None:
    found = compared([(0.0, 1.0), (-0.01, 1.02), (0.0, 0.99), (0.001, 1.0), (0.0, 1.01)])
    assert found.verdict is Verdict.FASTER
    assert found.ratio == pytest.approx(100, rel=0.05)
    assert CautionKind.FLOOR in {caution.kind for caution in found.cautions}


def test_all_zeros_are_same() -> None:
    assert compared([(0.0, 0.0)] * 6).verdict is Verdict.SAME


def test_catalogue_floor_makes_small_values_equal() -> None:
    metric = Metric(name="dirtied", unit="pages/page", direction=Direction.LOWER, title="", floor=0.02)
    values = [(0.001, 0.01), (0.002, 0.019), (0.0, 0.01), (0.001, 0.02), (0.001, 0.01)]
    assert compared(values, metric).verdict is Verdict.SAME
    assert compared([(a, 1.0) for a, _ in values], metric).verdict is Verdict.SLOWER


def test_one_wild_boot_does_not_move_the_ratio() -> None:
    values = drawn(1.0, 0.01, 12)
    values[5, 1] *= 100
    assert compared(values).ratio == pytest.approx(1, abs=0.02)


def test_two_humps_are_noticed_and_one_is_not() -> None:
    rng = np.random.default_rng(5)
    assert two_humped(np.where(np.arange(12) % 3 == 0, 5.0, 1.0) + rng.normal(0, 0.1, 12))
    assert sum(two_humped(rng.standard_normal(n)) for n in (8, 12, 20) for _ in range(300)) <= 9
    assert not two_humped([1.0] * 12)


def test_drift_is_noticed_and_noise_is_not() -> None:
    rng = np.random.default_rng(6)
    assert drifts(np.arange(14) + rng.normal(0, 1, 14))
    assert drifts(range(10))
    assert sum(drifts(rng.standard_normal(20)) for _ in range(1000)) <= 6
    assert not drifts([1.0] * 20)
