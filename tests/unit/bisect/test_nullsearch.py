"""Like kernels: what a search may have missed, and where it looks on."""

import math

import numpy as np
import pytest

from harness.bisect.noise import Noise, Sums
from harness.bisect.nullsearch import KnownStep, Values, listen, look, unseen
from harness.bisect.posterior import EdgePrior
from harness.bisect.search import EdgeSearch, Observation, Rules
from harness.report.search.reasons import missed_text

pytestmark = pytest.mark.unit

COUNTS = {0: 0.3, 1: 0.2, 2: 0.4, 3: 0.1}


@pytest.mark.parametrize(
    ("prior", "now", "named", "expected"),
    [
        ({1: 0.75, 3: 0.25}, {1: 0.9, 3: 0.1}, 1, 1 / 3),
        # However few searches were held to have three edges: as many of these would have ended so.
        ({1: 0.99, 3: 0.01}, {1: 297 / 298, 3: 1 / 298}, 1, 1 / 3),
        ({1: 0.4, 2: 0.4, 3: 0.2}, {1: 0.95, 2: 0.0, 3: 0.05}, 1, 0.05 / 0.95 * 2),
        ({0: 0.5, 2: 0.5}, {0: 0.5, 2: 0.5}, 0, 1.0),
        ({1: 0.5, 3: 0.5}, {1: 0.1, 3: 0.9}, 1, 1.0),
        ({1: 0.4, 2: 0.4, 3: 0.2}, {1: 0.0, 2: 1.0, 3: 0.0}, 2, 0.0),
        ({1: 1.0}, {1: 1.0}, 1, 0.0),
    ],
)
def test_what_was_missed_does_not_rest_on_what_was_held_likely(
    prior: dict[int, float], now: dict[int, float], named: int, expected: float
) -> None:
    assert unseen(prior, now, named) == pytest.approx(expected)


def test_looked_at_kernels_leave_stretches_that_lie_between_them() -> None:
    for differs in (0.5, 0.9):
        found = look(EdgePrior(np.ones(8), {0: 1 - differs, 2: differs}), [0, 4, 8], (), 0.05)
        # Of 28 pairs of edges those are missed that lie in one half: 6 and 6.
        assert found.missed == pytest.approx(12 / 28)
        assert found.counts[2] / found.counts[0] == pytest.approx(12 / 28 * differs / (1 - differs))
        assert found.kernel in {2, 6}


def sums(values: np.ndarray) -> Sums:
    return Sums(
        count=np.array([float(len(values))]), total=np.array([values.sum()]), squares=np.array([(values**2).sum()])
    )


def test_known_step_is_least_squares_around_a_mean_that_is_not_known() -> None:
    rng = np.random.default_rng(3)
    first, other = rng.normal(5.0, 0.5, 6), rng.normal(6.0, 0.5, 4)
    noise = KnownStep(step=1.2, spread=0.5)
    levelled = np.r_[first, other - 1.2]
    residue = float(((levelled - levelled.mean()) ** 2).sum())
    assert noise.log_marginal(sums(first), sums(other))[0] == pytest.approx(-0.5 * residue / 0.25)
    for here, there in zip(noise.predictive(sums(first), sums(other), 2), (0.0, 1.2), strict=True):
        assert here.location[0] == pytest.approx(levelled.mean() + there)
        assert here.scale[0] == pytest.approx(0.5 * math.sqrt(1 / 2 + 1 / 10))


def noisy(noise: Noise, values: Values) -> EdgeSearch:
    search = EdgeSearch(EdgePrior(np.ones(39), COUNTS), Rules(noise=noise))
    return search.replay(Observation(kernel=kernel, value=one) for kernel, made in values.items() for one in made)


@pytest.mark.parametrize("seed", [1, 2, 4, 5])
def test_like_kernels_with_noise_are_listened_to_until_little_is_missed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {end: list(rng.normal(0, 0.1, 4)) for end in (0, 39)}
    found = listen(noisy, values, 0.05, like=0.9)
    assert found is not None
    assert found.missed > 0.5
    boots = 0
    while found.missed > 0.1:
        boots += 1
        values.setdefault(found.kernel, []).append(float(rng.normal(0, 0.1)))
        found = listen(noisy, values, 0.05, like=0.9)
        assert found is not None
    assert 10 <= boots <= 70
    assert listen(noisy, values, 0.05, like=0.4) is None
    # A few spreads, and not the margin: noise hides that.
    assert 0.08 <= found.step <= 0.4


def test_kernels_that_differ_are_no_longer_listened_to() -> None:
    rng = np.random.default_rng(1)
    values = {kernel: list(rng.normal(0, 0.1, 4)) for kernel in (0, 10, 20, 30, 39)}
    assert listen(noisy, values, 0.05, like=0.9) is not None
    values[20] = [value - 0.6 for value in values[20]]
    assert listen(noisy, values, 0.05, like=0.9) is None


def test_a_wild_boot_neither_hides_a_step_nor_shows_one() -> None:
    rng = np.random.default_rng(1)
    values = {kernel: list(rng.normal(0, 0.1, 4)) for kernel in (0, 10, 20, 30, 39)}
    calm = listen(noisy, values, 0.05, like=0.9)
    values[20].append(3.0)
    found = listen(noisy, values, 0.05, like=0.9)
    assert calm is not None
    assert found is not None
    assert found.missed == pytest.approx(calm.missed)
    assert found.step == pytest.approx(calm.step)
    values[20] = [value - 0.6 for value in values[20]]
    assert listen(noisy, values, 0.05, like=0.9) is None


def test_what_was_not_looked_for_is_not_said_to_have_been_missed() -> None:
    assert missed_text(0.0002) == ""
    assert missed_text(0.08) == "a further stretch, if there is one, has been missed with probability 0.08"
    assert missed_text(0.98) == "further stretches between the ends were not looked for"
