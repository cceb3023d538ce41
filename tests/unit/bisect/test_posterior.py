"""Posterior over edge sets against brute force over every set, and selection against its definition."""

import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy import stats as reference

from harness.bisect.noise import KnownNoise, LearnedNoise, Predictive, Sums, density, weights_of
from harness.bisect.posterior import Classes, EdgePrior, classes_of, probability_other
from harness.bisect.select import information, select

pytestmark = pytest.mark.unit

KNOWN = KnownNoise(first_mean=0.0, other_mean=1.5, spread=1.0)
LEARNED = LearnedNoise(spread=0.8, freedom=1.0)


def brute_force(prior: EdgePrior, noise, values: dict[int, list[float]]) -> dict[tuple[int, ...], float]:
    """Posterior of every edge set, one by one, with marginals from the definition."""
    found = {}
    places = range(1, prior.places + 1)
    for count, chance in prior.counts.items():
        sets = list(itertools.combinations(places, count))
        mass = np.array([math.prod(prior.weights[e - 1] for e in edges) for edges in sets])
        for edges, share in zip(sets, mass / mass.sum(), strict=True):
            states = {kernel: sum(e <= kernel for e in edges) % 2 for kernel in values}
            groups = [[v for k, vs in values.items() if states[k] == state for v in vs] for state in (0, 1)]
            found[edges] = math.log(chance * share) + marginal(noise, groups)
    log_masses = np.array(list(found.values()))
    masses = np.exp(log_masses - log_masses.max())
    return dict(zip(found, masses / masses.sum(), strict=True))


def marginal(noise, groups) -> float:
    if isinstance(noise, KnownNoise):
        means = (noise.first_mean, noise.other_mean)
        return sum(reference.norm.logpdf(v, m, noise.spread) for g, m in zip(groups, means, strict=True) for v in g)
    return learned_marginal(noise, tuple(map(tuple, groups)))


@functools.lru_cache
def learned_marginal(noise: LearnedNoise, groups: tuple[tuple[float, ...], ...]) -> float:
    """Prior times likelihood, summed over spreads and over differences of the means; the overall mean is flat."""
    values, other = np.array([*groups[0], *groups[1]]), np.repeat([0, 1], [len(group) for group in groups])
    spread = np.exp(np.linspace(math.log(0.02), math.log(20_000), 400))[:, np.newaxis]
    # Steps that are fine near nothing, in spreads.
    t = np.linspace(-5.5, 5.5, 601)
    difference = np.sinh(t)
    prior = sum(
        weight * (difference / scale) ** 2 * reference.norm.pdf(difference, 0, scale)
        for scale, weight in zip(noise.scales, noise.weights, strict=True)
    )
    levelled = values - spread[..., np.newaxis] * difference[:, np.newaxis] * other
    squares = ((levelled - levelled.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    # Inverse gamma of spread^2, per logarithm of the spread, times the values' density with their mean integrated out.
    squares = squares + noise.freedom * noise.spread**2
    power = noise.freedom + len(values) - 1
    density_ = spread**-power * np.exp(-0.5 * squares / spread**2) * prior * np.cosh(t)
    return math.log(density_.sum())


def posterior(prior: EdgePrior, noise, values: dict[int, list[float]]) -> Classes:
    bounds = np.array(sorted(values))
    sums = Sums(
        count=np.array([float(len(values[k])) for k in bounds]),
        total=np.array([math.fsum(values[k]) for k in bounds]),
        squares=np.array([math.fsum(v * v for v in values[k]) for k in bounds]),
    )
    return classes_of(prior, noise, bounds, sums)


def gaps_of(edges, bounds) -> tuple[int, ...]:
    return tuple(int(np.searchsorted(bounds, e, side="left")) - 1 for e in edges)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["known", "learned"]), st.booleans())
def test_classes_hold_the_mass_of_all_their_edge_sets(seed: int, kind: str, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 9))
    weights = rng.uniform(0.2, 3, n - 1) if weighted else np.ones(n - 1)
    prior = EdgePrior(weights, {0: 0.2, 1: 0.4, 2: 0.3, 3: 0.1})
    inner = rng.choice(np.arange(1, n - 1), int(rng.integers(0, 3)), replace=False)
    values = {int(k): list(rng.normal(0, 2, int(rng.integers(1, 4)))) for k in (0, n - 1, *inner)}
    noise, tolerance = (KNOWN, 1e-9) if kind == "known" else (LEARNED, 1e-5)
    classes = posterior(prior, noise, values)
    expected: dict[tuple[int, ...], float] = {}
    slow = np.zeros(n)
    for edges, mass in brute_force(prior, noise, values).items():
        gaps = gaps_of(edges, classes.bounds)
        expected[gaps] = expected.get(gaps, 0.0) + mass
        slow += [mass * (sum(e <= k for e in edges) % 2) for k in range(n)]
    got = {tuple(g for g in column if g >= 0): m for column, m in zip(classes.gaps.T, classes.mass, strict=True)}
    for gaps, mass in expected.items():
        assert got[gaps] == pytest.approx(mass, abs=tolerance)
    other = probability_other(prior, classes, np.arange(n)) @ classes.mass
    np.testing.assert_allclose(other, slow, atol=2 * tolerance)


def test_log_uniform_widths_against_brute_force() -> None:
    n, bounds = 13, np.array([0, 3, 4, 9, 12])
    prior = EdgePrior(np.ones(n - 1), {0: 0.5, 2: 0.5}, log_uniform_width=True)
    classes = posterior(prior, KNOWN, {int(b): [0.7] for b in bounds})
    flat = {k: 1 / k / (n - 1 - k) for k in range(1, n - 1)}
    total = sum(flat[b - a] for a, b in itertools.combinations(range(1, n), 2))
    pairs = classes.gaps[:2, classes.edges == 2]
    got = np.exp(prior.log_masses(2, pairs, bounds))
    for column, mass in zip(pairs.T, got, strict=True):
        inside = [
            flat[b - a] for a, b in itertools.combinations(range(1, n), 2) if gaps_of((a, b), bounds) == tuple(column)
        ]
        assert mass == pytest.approx(0.5 * sum(inside) / total, abs=1e-12)


def test_an_impossible_class_has_no_mass() -> None:
    prior = EdgePrior(np.ones(2), {2: 1.0})
    classes = posterior(prior, KNOWN, {0: [0.0], 1: [1.4], 2: [0.1]})
    assert classes.mass[(classes.gaps[0] == 0) & (classes.gaps[1] == 1)] == pytest.approx(1.0)


def sums_of(*groups: list[float]) -> list[Sums]:
    return [
        Sums(count=np.array([len(g)]), total=np.array([sum(g)]), squares=np.array([sum(v * v for v in g)]))
        for g in groups
    ]


def test_predictives_are_near_those_of_the_marginals() -> None:
    first, other = [0.2, -0.1, 0.4, 0.7, -0.6, 0.1], [1.4, 2.0, 2.6, 1.8]
    y = np.linspace(-40, 40, 20001)
    for state, found in enumerate(LEARNED.predictive(*sums_of(first, other), 1)):
        one = Sums(count=np.ones_like(y), total=y, squares=y**2)
        sums = sums_of(first, other)
        sums[state] = sums[state] + one
        exact = np.exp(LEARNED.log_marginal(*sums))
        exact /= exact.sum()
        near = density(found, y)[0]
        near /= near.sum()
        assert 0.5 * np.abs(exact - near).sum() < 0.08
        assert (exact * y).sum() == pytest.approx(found.location[0], abs=0.15)


def test_several_boots_are_predicted_more_narrowly_around_the_same_mean() -> None:
    one, three = (LEARNED.predictive(*sums_of([0.2, -0.1, 0.4], [1.4, 2.0]), boots)[1] for boots in (1, 3))
    assert three.scale < one.scale
    assert three.location == one.location


@settings(max_examples=30, deadline=None)
@given(st.floats(-50, 50), st.sampled_from([-4.0, 0.25, 3.0]), st.integers(0, 2**32 - 1))
def test_where_the_values_lie_and_in_what_unit_does_not_matter(shift: float, unit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {k: list(rng.normal(k > 3, 0.5, 3)) for k in (0, 2, 5, 8)}
    prior = EdgePrior(np.ones(8), {0: 0.2, 1: 0.4, 2: 0.3, 3: 0.1})
    here = posterior(prior, LEARNED, values)
    moved = {k: [unit * v + shift for v in vs] for k, vs in values.items()}
    there = posterior(prior, replace(LEARNED, spread=abs(unit) * LEARNED.spread), moved)
    np.testing.assert_allclose(there.mass, here.mass, atol=1e-8)


def test_an_edge_without_a_difference_is_no_edge() -> None:
    """Kernels all alike: boots speak for no edge, and more of them louder."""
    prior, rng, shares = EdgePrior(np.ones(8), {0: 0.5, 2: 0.5}), np.random.default_rng(5), []
    for boots in (2, 32):
        found = [posterior(prior, LEARNED, {k: list(rng.normal(0, 0.8, boots)) for k in range(9)}) for _ in range(40)]
        shares.append(np.mean([classes.mass[classes.edges == 0].sum() for classes in found]))
    assert 0.5 < shares[0] < shares[1]
    assert shares[1] > 0.9


def test_density_is_that_of_scipy() -> None:
    y = np.linspace(-3, 3, 7)
    shape = {"location": np.array([0.3]), "scale": np.array([1.7])}
    student = density(Predictive(**shape, freedom=np.array([5.0])), y)
    np.testing.assert_allclose(student[0], reference.t.pdf(y, 5, 0.3, 1.7))
    gaussian = density(Predictive(**shape, freedom=np.array([math.inf])), y)
    np.testing.assert_allclose(gaussian[0], reference.norm.pdf(y, 0.3, 1.7))


def test_far_values_lose_weight_and_others_none() -> None:
    weights = weights_of(np.array([0.0, 2.9, 3.0, 6.0, 30.0]), 1.0)
    np.testing.assert_allclose(weights, [1, 1, 1, 0.25, 0.01])


def test_information_of_known_noise_is_the_mutual_information_of_one_bit() -> None:
    prior = EdgePrior(np.ones(8), {1: 1.0})
    classes = posterior(prior, KNOWN, {0: [0.0], 8: [1.5]})
    kernels = np.array([2, 4])
    got = information(KNOWN, classes, probability_other(prior, classes, kernels), 1)
    for chance, bits in zip(np.array([2, 4]) / 8, got, strict=True):

        def mixed(y: float, p: float = chance) -> float:
            return p * reference.norm.pdf(y, 1.5) + (1 - p) * reference.norm.pdf(y)

        entropy = integrate.quad(lambda y, mixed=mixed: -mixed(y) * math.log2(mixed(y)), -8, 10)[0]
        assert bits == pytest.approx(entropy - 0.5 * math.log2(2 * math.pi * math.e), abs=2e-3)


def test_a_measured_end_tells_nothing_when_noise_is_known_and_something_when_it_is_not() -> None:
    prior = EdgePrior(np.ones(8), {1: 1.0})
    values = {0: [0.0, 0.5, -0.4], 4: [0.9], 8: [1.5, 1.1, 2.2]}
    ends = np.array([0, 8])
    for noise, some in ((KNOWN, False), (LEARNED, True)):
        classes = posterior(prior, noise, values)
        bits = information(noise, classes, probability_other(prior, classes, ends), 1)
        assert ((bits > 1e-3) == some).all(), bits


def test_selection_halves_the_prior_avoids_the_dead_and_weighs_builds() -> None:
    prior = EdgePrior(np.ones(64), {1: 1.0})
    classes = posterior(prior, KNOWN, {0: [0.0], 64: [1.5]})
    free, bootable = np.zeros(65), np.ones(65)
    assert select(prior, KNOWN, classes, costs=free, bootable=bootable).kernel == 32
    bootable[32] = 0
    assert select(prior, KNOWN, classes, costs=free, bootable=bootable).kernel in {31, 33}
    values = {0: [0.0], 32: [0.75], 64: [1.5]}
    classes = posterior(prior, KNOWN, values)
    costs = np.full(65, 20.0)
    costs[list(values)] = 0
    again = select(prior, KNOWN, classes, costs=costs, bootable=np.ones(65))
    assert (again.kernel, again.boots) == (32, 1)


def test_nothing_to_select_when_all_inner_kernels_are_dead() -> None:
    prior = EdgePrior(np.ones(4), {1: 1.0})
    classes = posterior(prior, KNOWN, {0: [0.0], 4: [1.5]})
    bootable = np.array([1.0, 0, 0, 0, 1.0])
    choice = select(prior, KNOWN, classes, costs=np.zeros(5), bootable=bootable)
    assert choice is None or choice.bits < 1e-6
