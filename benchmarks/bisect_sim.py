"""How many boots a search for edges takes, and how often it is wrong. No guests; seeded; one process.

    python benchmarks/bisect_sim.py                      # about a minute: every kind of cell, few searches each
    python benchmarks/bisect_sim.py --only headline --searches 2000
    python benchmarks/bisect_sim.py --full --searches 2000                 # the whole table; hours

One boot of a kernel gives one value: its state's mean (0 or d) plus noise of unit spread. "overlap" f is the share of
boots on the wrong side of the midpoint, d = -2 Phi^-1(f). "limit" is log2(edge sets) / (information of one boot of a
kernel that is fast or slow with probability 1/2). "git_bayesect" (PyPI: git-bayesect, when installed) and majority
votes over `git bisect` see the same values through that midpoint threshold, which is more than a user can know.
"""

import argparse
import itertools
import math
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

# Small matrices: threads of BLAS only get in each other's way.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy import special

from harness.bisect.noise import KnownNoise
from harness.bisect.posterior import EdgePrior
from harness.bisect.search import EdgeSearch, Observation, Rules

OVERLAPS = (0.05, 0.20, 0.30)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row of the table."""

    group: str
    kernels: int = 1000
    edges: int = 1
    # Edge counts that the search holds for possible, with prior probabilities.
    counts: tuple[tuple[int, float], ...] = ((1, 1.0),)
    overlap: float = 0.05
    noise: str = "gaussian"
    known: bool = False
    confidence: float = 0.95
    # Boots of each end before anything else, at least.
    calibration: int = 2
    build_cost: float = 0.0
    unbootable: float = 0.0
    # "kab", "uncertain" (always the most uncertain kernel), "majority K", "git_bayesect".
    rule: str = "kab"
    # Boots after which a search gives up; what it then names is mostly wrong.
    cap: int = 2000


@dataclass(frozen=True, kw_only=True)
class Outcome:
    boots: int
    builds: int
    right: bool
    decided: bool
    warned: bool = False


class World:
    """The truth of one search: where its edges are, which kernels boot, and what each boot gives."""

    def __init__(self, cell: Cell, seed: int, search: int) -> None:
        self._rng = np.random.default_rng([seed, search])
        self.edges = np.sort(self._rng.choice(cell.kernels - 1, cell.edges, replace=False) + 1)
        self.dead = self._rng.random(cell.kernels) < cell.unbootable
        self.dead[[0, -1]] = False
        self.gap = -2 * float(special.ndtri(cell.overlap))
        self._noise = NOISES[cell.noise]
        self._seed = (seed, search)
        self._boots: dict[int, int] = {}
        self._drift = 0.0

    def boot(self, kernel: int) -> float | None:
        """The next boot of a kernel: the n-th gives the same value whatever was booted before (but for drift)."""
        if self.dead[kernel]:
            return None
        nth = self._boots.get(kernel, 0)
        self._boots[kernel] = nth + 1
        noise = self._noise(np.random.default_rng([*self._seed, kernel, nth]))
        if self._noise is drifting:
            self._drift = noise = 0.3 * self._drift + math.sqrt(1 - 0.09) * noise
        return self.gap * float((self.edges <= kernel).sum() % 2) + noise

    def found(self, edges: Sequence[tuple[int, int]]) -> bool:
        """Whether every edge lies where it was said to be."""
        pairs = zip(edges, self.edges, strict=False)
        return len(edges) == len(self.edges) and all(before < edge <= after for (before, after), edge in pairs)


def gaussian(rng: np.random.Generator) -> float:
    return float(rng.standard_normal())


def student(rng: np.random.Generator) -> float:
    return float(rng.standard_t(3)) / math.sqrt(3)


def outliers(rng: np.random.Generator) -> float:
    return float(rng.standard_normal()) * (10 if rng.random() < 0.05 else 1)


def two_humped(rng: np.random.Generator) -> float:
    hump = 1.0 if rng.random() < 0.5 else -1.0
    return hump * math.sqrt(1 - 0.3**2) + 0.3 * float(rng.standard_normal())


def drifting(rng: np.random.Generator) -> float:
    return float(rng.standard_normal())


NOISES: dict[str, Callable[[np.random.Generator], float]] = {
    found.__name__: found for found in (gaussian, student, outliers, two_humped, drifting)
}


def bits_per_boot(gap: float) -> float:
    """Information of one boot of a kernel in either state with probability 1/2."""
    y = np.linspace(-8, gap + 8, 4001)
    densities = [np.exp(-0.5 * (y - mean) ** 2) / math.sqrt(2 * math.pi) for mean in (0.0, gap)]
    mixed = (densities[0] + densities[1]) / 2
    entropy = -np.trapezoid(mixed * np.log2(mixed), y)
    return float(entropy - 0.5 * math.log2(2 * math.pi * math.e))


def limit_of(cell: Cell) -> float:
    sets = math.comb(cell.kernels - 1, cell.edges)
    return math.log2(sets) / bits_per_boot(-2 * float(special.ndtri(cell.overlap)))


def kab(cell: Cell, world: World) -> Outcome:
    noise = KnownNoise(first_mean=0.0, other_mean=world.gap, spread=1.0) if cell.known else None
    calibration = 0 if cell.known else cell.calibration
    rules = Rules(confidence=cell.confidence, calibration=calibration, build_cost=cell.build_cost, noise=noise)
    search = EdgeSearch(EdgePrior(np.ones(cell.kernels - 1), dict(cell.counts)), rules)
    tried: set[int] = set()
    while len(search.records) < cell.cap:
        choice = search.next()
        if choice is None:
            break
        kernel = choice.kernel
        if cell.rule == "uncertain" and search.calibrated:
            chance = np.abs(search.probability_other() - 0.5)
            chance[list(search.skipped)] = 1
            kernel = int(np.argmin(chance))
        tried.add(kernel)
        search.record(Observation(kernel=kernel, value=world.boot(kernel)))
    result = search.result()
    return Outcome(
        boots=len(search.records),
        builds=len(tried),
        right=world.found([(edge.before, edge.after) for edge in result.edges]),
        decided=result.decided,
        warned=bool(result.doubts),
    )


def majority(cell: Cell, world: World, votes: int) -> Outcome:
    low, high, tried, boots = 0, cell.kernels - 1, 0, 0
    while high - low > 1:
        middle, slow, fast = (low + high) // 2, 0, 0
        while max(slow, fast) <= votes // 2:
            is_slow = (world.boot(middle) or 0.0) > world.gap / 2
            slow, fast, boots = slow + is_slow, fast + (not is_slow), boots + 1
        low, high = (low, middle) if slow > fast else (middle, high)
        tried += 1
    return Outcome(boots=boots, builds=tried, right=world.found([(low, high)]), decided=True)


def bayesect(cell: Cell, world: World) -> Outcome:
    """git_bayesect's own engine: index 0 is its newest commit, and it looks for the last index with the new rate."""
    from git_bayesect import Bisector  # type: ignore[import-not-found]

    places = cell.kernels - 1
    search, tried, boots = Bisector(np.ones(places)), set(), 0
    while search.distribution.max() < cell.confidence and boots < cell.cap:
        index = search.select()
        kernel = cell.kernels - 1 - index
        value = world.boot(kernel)
        search.record(index, None if value is None else value > world.gap / 2)
        tried.add(kernel)
        boots += 1
    found = cell.kernels - 1 - int(np.argmax(search.distribution))
    decided = bool(search.distribution.max() >= cell.confidence)
    return Outcome(boots=boots, builds=len(tried), right=world.found([(found - 1, found)]), decided=decided)


def run(cell: Cell, searches: int, seed: int) -> None:
    started = time.monotonic()
    outcomes = []
    for search in range(searches):
        world = World(cell, seed, search)
        if cell.rule.startswith("majority"):
            outcomes.append(majority(cell, world, int(cell.rule.split()[1])))
        elif cell.rule == "git_bayesect":
            outcomes.append(bayesect(cell, world))
        else:
            outcomes.append(kab(cell, world))
    boots = np.array([found.boots for found in outcomes], dtype=np.float64)
    builds = np.array([found.builds for found in outcomes], dtype=np.float64)
    wrong = 1 - float(np.mean([found.right for found in outcomes]))
    decided = [found for found in outcomes if found.decided]
    error = math.sqrt(max(wrong * (1 - wrong), 1 / searches) / searches)
    limit = limit_of(cell)
    silent = np.mean([found.decided and not found.right and not found.warned for found in outcomes])
    said = f"{100 * np.mean([found.right for found in decided]):5.1f}" if decided else "    -"
    print(
        f"{cell.kernels:6} {cell.edges} {100 * cell.overlap:3.0f} {cell.noise:10} "
        f"{'told' if cell.known else 'learned':7} "
        f"{cell.rule:12} {cell.build_cost:3.0f} {100 * cell.unbootable:3.0f}  "
        f"{boots.mean():6.1f} ±{boots.std() / math.sqrt(searches):4.1f} {np.median(boots):6.0f} {builds.mean():6.1f} "
        f"{(boots + cell.build_cost * builds).mean():7.1f} {100 * wrong:6.2f} ±{100 * error:4.2f} "
        f"{100 * cell.confidence:3.0f}:{said} {np.mean([not found.decided for found in outcomes]) * 100:5.1f} "
        f"{100 * np.mean([found.warned for found in outcomes]):5.1f} {100 * silent:5.1f} "
        f"{limit:6.1f} {boots.mean() / max(limit, 1):5.2f} {time.monotonic() - started:5.0f}s",
        flush=True,
    )


def has_bayesect() -> bool:
    try:
        import git_bayesect  # noqa: F401
    except ImportError:
        return False
    return True


def cells() -> Iterator[Cell]:
    """The default table."""
    for overlap in OVERLAPS:
        yield Cell(group="headline", overlap=overlap)
    for overlap, votes in zip(OVERLAPS, (5, 15, 41), strict=True):
        yield Cell(group="rivals", overlap=overlap, rule=f"majority {votes}")
        if has_bayesect():
            yield Cell(group="rivals", overlap=overlap, rule="git_bayesect")
    for overlap in OVERLAPS:
        yield Cell(group="told", overlap=overlap, known=True)
    for overlap in OVERLAPS:
        # Two neighbouring edges are a needle: some five hundred boots each, in one search of a hundred.
        two = Cell(group="two", overlap=overlap, known=True, edges=2, counts=((2, 1.0),))
        yield replace(two, cap=math.ceil(5 * limit_of(two)))
    for overlap in OVERLAPS:
        cost = Cell(group="cost", overlap=overlap, build_cost=10)
        yield cost
        yield replace(cost, rule="uncertain", cap=400)
    for noise in NOISES:
        # As kab does it: the A/B run of the ends makes four boots of each at least.
        yield Cell(group="calibration", overlap=0.2, noise=noise, confidence=0.99, calibration=4)
    yield Cell(group="skips", overlap=0.2, unbootable=0.1)
    none = Cell(group="none", kernels=100, edges=0, counts=((0, 0.5), (2, 0.5)), overlap=0.05)
    yield none
    yield replace(none, edges=2)
    yield Cell(group="three", kernels=100, edges=1, counts=((1, 0.9), (3, 0.1)), overlap=0.05)
    yield Cell(group="three", kernels=100, edges=3, counts=((1, 0.9), (3, 0.1)), overlap=0.05)


def all_cells() -> Iterator[Cell]:
    """The table of issue 3: lengths x overlaps x edges x noises x costs x unbootable kernels."""
    grid = itertools.product((100, 1000, 10000), OVERLAPS, (0, 1, 2), NOISES, (0, 3, 10, 30), (0.0, 0.1))
    for kernels, overlap, edges, noise, cost, unbootable in grid:
        counts = ((1, 1.0),) if edges == 1 else ((0, 0.5), (2, 0.5))
        yield Cell(
            group="full",
            kernels=kernels,
            overlap=overlap,
            edges=edges,
            counts=counts,
            noise=noise,
            build_cost=cost,
            unbootable=unbootable,
        )


def time_selection(seed: int) -> None:
    """One step on a ladder of 10000, for each number of edges."""
    for counts in ({1: 1.0}, {0: 0.5, 2: 0.5}, {1: 0.9, 3: 0.1}):
        search, rng = EdgeSearch(EdgePrior(np.ones(9999), counts), Rules()), np.random.default_rng(seed)
        slow = (2000, 7000) if 2 in counts else (7000, 10000)
        times = []
        for _ in range(40):
            before = time.perf_counter()
            choice = search.next()
            times.append(time.perf_counter() - before)
            if choice is None:
                break
            state = slow[0] <= choice.kernel < slow[1]
            search.record(Observation(kernel=choice.kernel, value=1.05 * state + rng.standard_normal()))
        print(f"selection at n=10000, edges {sorted(counts)}: worst of {len(times)} steps {1000 * max(times):.0f} ms")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=30, help="per row (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", metavar="GROUP", help="headline, rivals, told, two, cost, ...")
    parser.add_argument("--full", action="store_true", help="every cell of the grid")
    arguments = parser.parse_args()
    print((__doc__ or "").splitlines()[0])
    print(f"{arguments.searches} searches per row, seed {arguments.seed}; wrong: not all edges where they were said;")
    print("open: gave up undecided; silent: decided, wrong, and the report did not warn; x: boots / limit\n")
    print(
        "     n K  f% noise      noise   rule        cost dead   boots       median builds   total  wrong %       "
        "said:right open% warn% silent  limit     x"
    )
    group = ""
    for cell in all_cells() if arguments.full else cells():
        if arguments.only and cell.group not in arguments.only:
            continue
        if cell.group != group:
            group = cell.group
            print(f"-- {group}")
        run(cell, arguments.searches, arguments.seed)
    if not arguments.only:
        time_selection(arguments.seed)


if __name__ == "__main__":
    main()
