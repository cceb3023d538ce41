"""Which kernel to boot next: the one whose boots tell most about the edges for what they cost."""

from dataclasses import dataclass

import numpy as np

from harness.bisect.noise import Floats, Noise, density
from harness.bisect.posterior import Classes, EdgePrior, Ints, probability_other

# Classes that selection looks at: the heaviest that hold this much of the posterior, and not more than that many.
_SHARE = 0.9995
_MOST_CLASSES = 400
# Points that a value's predictive densities are compared on, and how far out they reach.
_POINTS = 48
_REACH = 4.5
# Places tried inside a gap, as parts of its prior weight.
_FEW_SPLITS = np.array([0.5])
_MANY_SPLITS = np.arange(1, 16) / 16
_HEAVY = 0.02
# Boots of one newly built kernel that are weighed against its cost.
_BOOTS = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A kernel to boot, and why."""

    kernel: int
    # Information expected about the edges, bits, from `boots` boots.
    bits: float
    # Boots that were reckoned with; after each the choice is made anew.
    boots: int
    # Cost of those boots and of the build, in boots.
    cost: float
    # Posterior probability that the kernel is in the other state than the first end.
    probability_other: float


def information(noise: Noise, classes: Classes, other: Floats, boots: int) -> Floats:
    """Bits that ``boots`` boots of each kernel tell about the edges; ``other`` is (kernels, classes).

    I(Y; edges) = H(Y) - H(Y | edges), every class with its own predictive: where means and spread are still
    unknown, classes disagree about what a fast kernel looks like, and even an end may be worth another boot.
    """
    first, second = noise.predictive(classes.first, classes.other, boots)
    grid = _grid(classes.mass, first.location, first.scale, second.location, second.scale)
    step = np.gradient(grid)
    p_first, p_second = density(first, grid), density(second, grid)
    mixed = (other * classes.mass) @ p_second + ((1 - other) * classes.mass) @ p_first
    h_first, h_second = _entropy(p_first, step), _entropy(p_second, step)
    conditional = (other * classes.mass) @ h_second + ((1 - other) * classes.mass) @ h_first
    bits: Floats = np.maximum(_entropy(mixed, step) - conditional, 0) / np.log(2)
    return bits


def _grid(mass: Floats, *shapes: Floats) -> Floats:
    """Points that cover the predictives of all classes of weight."""
    heavy = mass > 1e-3 * mass.max()
    locations = np.concatenate([shape[heavy] for shape in shapes[::2]])
    scales = np.concatenate([shape[heavy] for shape in shapes[1::2]])
    reach = _REACH * np.minimum(scales, 4 * np.median(scales))
    return np.linspace((locations - reach).min(), (locations + reach).max(), _POINTS)


def _entropy(densities: Floats, step: Floats) -> Floats:
    """Differential entropy of each row, nats."""
    entropy: Floats = -np.sum(densities * np.log(np.maximum(densities, 1e-300)) * step, axis=-1)
    return entropy


def candidates(prior: EdgePrior, classes: Classes) -> Ints:
    """Kernels worth a look: all measured ones, and some inside every gap that may hold an edge."""
    weight = np.zeros(len(classes.bounds) - 1)
    for row in classes.gaps:
        present = row >= 0
        np.add.at(weight, row[present], classes.mass[present])
    cumulative = np.r_[0.0, np.cumsum(prior.weights)]
    found = [classes.bounds]
    for splits, gaps in (
        (_MANY_SPLITS, np.flatnonzero(weight > _HEAVY)),
        (_FEW_SPLITS, np.flatnonzero((weight <= _HEAVY) & (weight > _HEAVY**2))),
    ):
        low, high = cumulative[classes.bounds[gaps]], cumulative[classes.bounds[gaps + 1]]
        wanted = low[:, np.newaxis] + (high - low)[:, np.newaxis] * splits
        inside = np.searchsorted(cumulative, wanted.ravel())
        found.append(np.clip(inside, 0, prior.places))
    return np.unique(np.concatenate(found))


def select(prior: EdgePrior, noise: Noise, classes: Classes, *, costs: Floats, bootable: Floats) -> Choice | None:
    """The kernel with the most expected information per cost; None when no bootable kernel tells anything.

    ``costs`` is what a kernel costs before its first boot, in boots (0 once it is built), ``bootable`` the
    probability that it will boot at all; both run over the whole ladder.
    """
    kernels = candidates(prior, classes)
    kernels = _replace_unbootable(kernels, bootable)
    heavy = classes.heaviest(_SHARE, _MOST_CLASSES)
    other = probability_other(prior, heavy, kernels)
    best: Choice | None = None
    best_rate = 0.0
    for boots in _BOOTS:
        if boots > 1 and not costs[kernels].any():
            break
        bits = information(noise, heavy, other, boots)
        spent = costs[kernels] + boots
        rate = bits * bootable[kernels] / spent
        top = int(np.argmax(rate))
        if rate[top] > best_rate:
            best_rate = float(rate[top])
            best = Choice(
                kernel=int(kernels[top]),
                bits=float(bits[top]),
                boots=boots,
                cost=float(spent[top]),
                probability_other=float(other[top] @ heavy.mass),
            )
    return best


def _replace_unbootable(kernels: Ints, bootable: Floats) -> Ints:
    """Kernels with those that cannot boot replaced by their nearest neighbours inside the same gap that may."""
    alive = np.flatnonzero(bootable > 0)
    dead = kernels[bootable[kernels] <= 0]
    if not len(dead):
        return kernels
    at = np.searchsorted(alive, dead)
    near = np.concatenate([alive[np.clip(at - 1, 0, len(alive) - 1)], alive[np.clip(at, 0, len(alive) - 1)]])
    return np.unique(np.concatenate([kernels[bootable[kernels] > 0], near]))
