"""Worse than a margin or not, over all looks; Holm's procedure."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.workload import Direction, Metric
from harness.stats.blocks import BlockPair
from harness.stats.compare import compare
from harness.stats.noninferiority import Levels, Looks, blocks_until, first_claim, holm, look_at

pytestmark = pytest.mark.unit

HIGHER = Metric(name="iops", unit="", direction=Direction.HIGHER, title="")
LOWER = Metric(name="p99", unit="", direction=Direction.LOWER, title="")
LEVELS = Levels(error=0.05, miss=0.05, hypotheses=50, max_blocks=60)


def pairs(blocks: int, ratio: float, spread: float, seed: int = 1) -> list[BlockPair]:
    logs = np.random.default_rng(seed).normal(0, spread, (blocks, 2))
    return [
        BlockPair(block=i, baseline=float(np.exp(a)), candidate=float(ratio * np.exp(b)))
        for i, (a, b) in enumerate(logs)
    ]


def mirrored(found: list[BlockPair]) -> list[BlockPair]:
    """The same boots as figures that are good the other way round."""
    return [BlockPair(block=one.block, baseline=1 / one.baseline, candidate=1 / one.candidate) for one in found]


@pytest.mark.parametrize("ratio", [0.7, 0.9, 1.0, 1.1])
def test_direction_is_all_that_differs_between_a_rate_and_a_time(ratio: float) -> None:
    rate = pairs(20, ratio, 0.03)
    higher, lower = look_at(HIGHER, rate, 0.05, LEVELS), look_at(LOWER, mirrored(rate), 0.05, LEVELS)
    assert (higher.cleared_after, higher.withstands, higher.worse_after) == (
        lower.cleared_after,
        lower.withstands,
        lower.worse_after,
    )


def test_the_order_in_which_pairs_are_handed_over_does_not_matter() -> None:
    found = pairs(20, 0.97, 0.03)
    assert look_at(HIGHER, found[::-1], 0.05, LEVELS) == look_at(HIGHER, found, 0.05, LEVELS)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 500), ratio=st.sampled_from([0.85, 0.93, 0.96, 1.0]))
def test_claims_are_those_of_the_interval_that_is_shown(seed: int, ratio: float) -> None:
    """Against harness.stats.compare, look by look: cleared, and worse at error / k for the k that is said."""
    found = pairs(16, ratio, 0.03, seed)
    looks = look_at(HIGHER, found, 0.05, LEVELS)
    limit, cleared, worse = 1 / 1.05, None, {}
    for blocks in range(4, 17):
        shown = compare(HIGHER, found[:blocks], error=0.1, same_error=0.05, margin=0.05, max_blocks=60)
        if cleared is None and shown.low is not None and shown.low >= limit:
            cleared = blocks
        for k in (1, 10, 50):
            shown = compare(HIGHER, found[:blocks], error=0.1 / k, same_error=0.05 / k, margin=0.05, max_blocks=60)
            if shown.high is not None and shown.high < limit and blocks >= first_claim(0.05 / k):
                worse.setdefault(k, blocks)
    assert looks.cleared_after == cleared
    for k in (1, 10, 50):
        assert (looks.withstands >= k) == (k in worse)
    if looks.withstands == 50:
        assert looks.worse_after == worse[50]


def test_boots_that_all_fall_on_the_bad_hump_prove_nothing_as_often_as_chance_makes_them_do() -> None:
    """With probability 4^-n: an eighth of the claim's level at most."""
    halved = pairs(12, 0.5, 0.001)
    shown = {
        hypotheses: look_at(HIGHER, halved, 0.05, Levels(error=0.05, miss=0.05, hypotheses=hypotheses, max_blocks=60))
        for hypotheses in (1, 2, 6, 7, 25, 26, 102, 103)
    }
    assert {hypotheses: looks.worse_after for hypotheses, looks in shown.items()} == {
        1: 4, 2: 5, 6: 5, 7: 6, 25: 6, 26: 7, 102: 7, 103: 8,
    }  # fmt: skip
    for hypotheses, looks in shown.items():
        assert looks.withstands == hypotheses
        assert looks.worse_after is not None
        assert 4.0**-looks.worse_after <= 0.05 / hypotheses / 8


def test_looks_only_add_to_what_is_known() -> None:
    found = pairs(30, 0.88, 0.05, seed=4)
    seen = [look_at(HIGHER, found[:n], 0.05, LEVELS).withstands for n in range(31)]
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


@given(st.lists(st.integers(0, 8), max_size=8), st.integers(0, 3))
def test_holm_against_its_definition(withstands: list[int], others: int) -> None:
    """Against closed testing with Bonferroni: rejected is what every set that holds it rejects."""
    hypotheses = len(withstands) + others
    ranks = [*withstands, *[0] * others]
    sets = [chosen for size in range(1, hypotheses + 1) for chosen in itertools.combinations(range(hypotheses), size)]
    for index, rejected in enumerate(holm(withstands, hypotheses)):
        assert rejected == all(any(ranks[one] >= len(chosen) for one in chosen) for chosen in sets if index in chosen)


def test_blocks_until_a_claim() -> None:
    def left(ratio: float, spread: float, *, worse: bool) -> int:
        looks: Looks = look_at(HIGHER, pairs(8, ratio, spread), 0.05, LEVELS)
        return blocks_until(HIGHER, looks, LEVELS, worse=worse)

    assert left(1.0, 0.2, worse=False) > left(1.0, 0.06, worse=False) > 1
    assert left(0.8, 0.06, worse=True) < left(0.8, 0.2, worse=True)
    # A claim that the figures speak against is not expected before the cap.
    assert left(1.0, 0.06, worse=True) == 52
    assert left(0.8, 0.06, worse=False) == 52


@pytest.mark.parametrize("beyond", [False, True])
def test_at_the_margin_both_claims_are_seldom_made(beyond: bool) -> None:
    """600 runs of 30 blocks exactly at the margin: at most 5 % of either claim at 5 %, by far."""
    levels, claimed = Levels(error=0.05, miss=0.05, hypotheses=1, max_blocks=30), 0
    ratio = math.exp(-math.log1p(0.05))
    for seed in range(600):
        looks = look_at(HIGHER, pairs(30, ratio, 0.04, seed), 0.05, levels)
        claimed += looks.withstands > 0 if beyond else looks.cleared_after is not None
    assert claimed <= 30
