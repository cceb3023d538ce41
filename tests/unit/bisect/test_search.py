"""A search as a fold: what it finds, how it treats kernels that cannot be tested, and resuming."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from harness.bisect.noise import KnownNoise
from harness.bisect.posterior import EdgePrior
from harness.bisect.search import EdgeFound, EdgeSearch, Observation, Rules, uniform_prior

pytestmark = pytest.mark.unit

ONE = {1: 1.0}
INNER = {0: 0.5, 2: 0.5}


def run(
    kernels: int, edges, *, gap=3.0, counts=ONE, dead=(), seed=1, rules=None, cap=400, prior=None, tail=None
) -> EdgeSearch:
    """Search a simulated ladder to its end."""
    rng = np.random.default_rng(seed)
    search = EdgeSearch(prior or uniform_prior(kernels, counts), rules or Rules(confidence=0.95))
    while (choice := search.next()) is not None:
        assert len(search.records) < cap
        if choice.kernel in dead:
            search.record(Observation(kernel=choice.kernel, value=None))
            continue
        noise = rng.standard_normal() if tail is None else tail(rng)
        search.record(
            Observation(kernel=choice.kernel, value=gap * (sum(e <= choice.kernel for e in edges) % 2) + noise)
        )
    return search


def found(search: EdgeSearch) -> list[tuple[int, int]]:
    return [(edge.before, edge.after) for edge in search.result().edges]


def test_both_ends_come_first_and_are_booted_in_turn() -> None:
    search = EdgeSearch(uniform_prior(20, ONE), Rules(build_cost=5))
    assert (search.next().kernel, search.next().cost) == (0, 6)
    search.record(Observation(kernel=0, value=0.0))
    assert search.next().kernel == 19
    search.record(Observation(kernel=19, value=50.0))
    assert (search.next().kernel, search.next().cost) == (0, 1)
    assert search.result().probability < 0.95


def test_ends_that_overlap_are_booted_more_often_first() -> None:
    clear, near = EdgeSearch(uniform_prior(20, ONE), Rules()), EdgeSearch(uniform_prior(20, ONE), Rules())
    for value in (0.0, 1.0):
        for search, gap in ((clear, 9.0), (near, 0.5)):
            search.record(Observation(kernel=0, value=value))
            search.record(Observation(kernel=19, value=value + gap))
    assert clear.calibrated
    assert not near.calibrated


@pytest.mark.parametrize("edge", [1, 2, 37, 98, 99])
def test_one_edge_is_found_wherever_it_is(edge: int) -> None:
    search = run(100, [edge])
    assert found(search) == [(edge - 1, edge)]
    assert search.result().decided
    assert len(search.records) < 40


def test_known_noise_is_as_good_as_the_limit_allows() -> None:
    rules = Rules(confidence=0.95, calibration=0, noise=KnownNoise(first_mean=0.0, other_mean=3.29, spread=1.0))
    runs = [run(1000, [300 + 7 * seed], gap=3.29, seed=seed, rules=rules) for seed in range(40)]
    assert np.mean([len(search.records) for search in runs]) < 1.15 * 12.2
    wrong = sum(found(search) != [(299 + 7 * seed, 300 + 7 * seed)] for seed, search in enumerate(runs))
    assert wrong <= reference.binom.ppf(0.9999, 40, 0.05)


def test_two_edges_between_equal_ends() -> None:
    search = run(60, [20, 45], counts=INNER, gap=4.0)
    assert found(search) == [(19, 20), (44, 45)]
    assert search.result().counts[2] > 0.95


def test_no_edge_at_all_is_said_with_what_may_have_been_missed() -> None:
    prior = EdgePrior(np.ones(29), INNER, log_uniform_width=True)
    result = run(30, [], gap=0.0, prior=prior, rules=Rules(confidence=0.9)).result()
    assert result.edges == ()
    assert result.decided
    assert 0 < result.counts[2] <= 0.1


def test_an_edge_among_dead_kernels_is_reported_as_a_set() -> None:
    search = run(40, [21], dead=range(17, 24))
    assert search.result().edges == (EdgeFound(before=16, after=24),)
    assert search.result().decided


def test_all_inner_kernels_dead() -> None:
    search = run(12, [5], dead=range(1, 11))
    assert found(search) == [(0, 11)]
    assert len(search.skipped) <= 10


def test_a_dead_kernel_keeps_its_probability_and_may_come_back() -> None:
    search = EdgeSearch(uniform_prior(9, ONE), Rules(calibration=2))
    for kernel, value in ((0, 0.0), (8, 9.0), (0, 0.1), (8, 9.1), (4, None), (3, 0.05), (5, 9.05)):
        search.record(Observation(kernel=kernel, value=value))
    assert found(search) == [(3, 5)]
    search.record(Observation(kernel=4, value=9.0))
    assert found(search) == [(3, 4)]
    assert search.skipped == ()


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 49))
def test_a_replayed_search_goes_on_as_the_unbroken_one(seed: int, edge: int) -> None:
    whole = run(50, [edge], seed=seed, gap=2.0, dead=(7, 8, 30))
    for cut in range(0, len(whole.records), 5):
        again = EdgeSearch(whole.prior, whole.rules).replay(whole.records[:cut])
        assert again.next().kernel == whole.records[cut].kernel
    assert EdgeSearch(whole.prior, whole.rules).replay(whole.records).result() == whole.result()


def test_units_of_the_metric_change_nothing() -> None:
    here = run(64, [40], gap=2.5, rules=Rules())
    scaled = [Observation(kernel=r.kernel, value=None if r.value is None else 8 * r.value + 3) for r in here.records]
    there = EdgeSearch(here.prior, here.rules).replay(scaled)
    assert found(there) == found(here)
    assert there.result().probability == pytest.approx(here.result().probability, rel=1e-6)


def test_one_wild_boot_does_not_settle_it() -> None:
    calm = [(0, 0.0), (16, 3.0), (0, 0.4), (16, 3.4), (0, -0.4), (16, 2.6), (0, 0.1), (16, 3.1)]
    search = EdgeSearch(uniform_prior(17, ONE), Rules())
    for kernel, value in (*calm, (8, 40.0), (8, 0.2), (8, -0.1)):
        search.record(Observation(kernel=kernel, value=value))
    assert search.probability_other()[8] < 0.2


@pytest.mark.parametrize(("inner", "believed"), [((-5.0, -5.1), True), ((-5.0, 0.1), False), ((-5.0,), False)])
def test_a_level_that_two_boots_of_a_kernel_agree_on_is_known_for_the_others(
    inner: tuple[float, ...], believed: bool
) -> None:
    calm = [(0, 0.0), (19, 0.3), (0, 0.1), (19, 0.2), (0, 0.02), (19, 0.31), (0, 0.05), (19, 0.25)]
    search = EdgeSearch(uniform_prior(20, {1: 0.4, 2: 0.4, 3: 0.2}), Rules())
    for kernel, value in (*calm, *((9, value) for value in inner), (12, -5.05)):
        search.record(Observation(kernel=kernel, value=value))
    assert (search.probability_other()[12] > 0.99) == believed


def test_posterior_along_the_ladder_rises_for_one_edge() -> None:
    other = run(30, [11], gap=2.0).probability_other()
    assert (np.diff(other) >= -1e-9).all()
    assert other[0] == pytest.approx(0)
    assert other[-1] == pytest.approx(1)


def test_two_humps_are_warned_of_and_one_is_not() -> None:
    def humps(rng):
        return (3.0 if rng.random() < 0.5 else -3.0) + 0.3 * rng.standard_normal()

    warned = [bool(run(200, [61], gap=5.0, seed=seed, tail=humps).result().doubts) for seed in range(12)]
    calm = [bool(run(200, [61], gap=1.5, seed=seed).result().doubts) for seed in range(12)]
    assert sum(warned) >= 7
    assert sum(calm) <= 1


@pytest.mark.parametrize(
    ("kernel", "value"), [(-1, 0.0), (10, 0.0), (0, None), (9, None), (3, float("nan")), (3, float("inf"))]
)
def test_impossible_records_are_refused(kernel: int, value: float | None) -> None:
    search = EdgeSearch(uniform_prior(10, ONE), Rules())
    with pytest.raises(ValueError, match=r"kernel|end"):
        search.record(Observation(kernel=kernel, value=value))
    assert search.records == []


def test_priors_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="positive weight"):
        EdgePrior([1.0, 0.0], ONE)
    with pytest.raises(ValueError, match="positive weight"):
        EdgePrior([], ONE)


def test_a_heavier_place_is_tried_sooner() -> None:
    weights = np.ones(63)
    weights[9] = 1000
    search = run(64, [10], prior=uniform_prior(64, ONE, list(weights)))
    assert found(search) == [(9, 10)]
    assert len(search.records) < len(run(64, [10]).records) + 1
