"""How often a gate is wrong, what it finds, and how many boots it takes beside a fixed design. No guests; seeded.

    python benchmarks/gate_sim.py [--gates 2000] [--cells 50] [--max-boots 120] [--sigma 0.04] [--seed 1]

Every row simulates that many gates of that many cells from their boots, as benchmarks/ab_sim.py does: log values with
the named noise of unit spread times sigma, arms in the order that harness.plan gives them, the effect added to
the candidate. An effect is a loss: "10 % worse" is a figure 1.1 times as bad. The rule is the one of
harness.stats.gate, asked after every block, in one sweep of numpy; at the end some gates are played block by block with
harness.stats.gate itself, to see that it is the same rule.

The fixed design beside it answers the same questions with the same errors, looking once: n blocks in each cell, each
a boot of each arm; "slower" by a one-sided test at error / hypotheses (Bonferroni), "not worse" by one at miss. n is
the least with which a cell that is 10 % worse is called slower, and a cell without a difference cleared, with the
probabilities that the gate beside it reached. z: the spread is known; t: it is estimated from the differences inside
blocks (noncentral t, n - 1 degrees of freedom).
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ab_sim import Codes, Floats, Noise, arms, drifting, estimates, gaussian, outliers, skewed, student, two_humped
from numpy.typing import NDArray
from scipy import special, stats

from harness.model.experiment import Arm, BlockPlace
from harness.model.matrix import CellVerdict, GatePolicy
from harness.model.trial import Outcome, Trial
from harness.model.workload import Direction, Metric
from harness.plan import trial_specs
from harness.stats.gate import CellEvidence, Gate, GateStanding, next_cell
from harness.stats.noninferiority import first_claim
from harness.stats.sequential import MIN_BLOCKS, nominal_level


def sharp_humps(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return np.where(rng.random(shape) < 0.5, 1.0, -1.0) * math.sqrt(1 - 0.1**2) + 0.1 * rng.standard_normal(shape)


METRICS = {f"m{i}": Metric(name=f"m{i}", unit="", direction=Direction.LOWER, title="simulated") for i in range(2)}
OPEN, CLEARED, SLOWER = range(3)
VERDICTS = (CellVerdict.INCONCLUSIVE, CellVerdict.NOT_WORSE, CellVerdict.SLOWER)
# Gates swept at once, for the memory's sake.
CHUNK = 100
CORRELATION = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a gate demands and allows."""

    cells: int
    metrics: int
    blocks: int
    error: float
    miss: float
    margin: float

    @property
    def hypotheses(self) -> int:
        return self.cells * self.metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Verdict codes and blocks of cells, (gates, cells) each."""

    codes: Codes
    blocks: Codes

    @property
    def boots(self) -> float:
        """Of a gate, on average."""
        return float(2 * self.blocks.sum(axis=1).mean())


def looks(baseline: Floats, candidate: Floats, design: Design) -> tuple[NDArray[np.bool_], Codes]:
    """After each block (last axis): whether it is known to be not worse, and the largest k at which it is worse."""
    blocks = baseline.shape[-1]
    mean, paired, welch, freedom = estimates(baseline, candidate)
    beyond = mean - math.log1p(design.margin)
    tails = np.minimum(
        special.stdtr(np.maximum(np.arange(blocks), 1), -np.abs(beyond) / paired),
        special.stdtr(freedom, -np.abs(beyond) / welch),
    )
    shares = np.arange(1, design.hypotheses + 1)
    levels = np.array([nominal_level(2 * design.error / k, blocks) for k in shares])
    early = np.array([first_claim(design.error / k) for k in shares])
    counted = design.hypotheses - np.searchsorted(levels[::-1], 2 * tails, side="left")
    # At a look only those shares may be claimed for which there are blocks enough.
    allowed = np.array([np.sum(early <= n) for n in range(1, blocks + 1)])
    rank = np.where(beyond > 0, np.minimum(counted, allowed), 0)
    rank[..., : MIN_BLOCKS - 1] = 0
    cleared = (beyond < 0) & (2 * tails <= nominal_level(2 * design.miss, blocks))
    cleared[..., : first_claim(design.miss) - 1] = False
    return np.maximum.accumulate(cleared, axis=-1), np.maximum.accumulate(rank, axis=-1)


def judge(cleared: NDArray[np.bool_], rank: Codes, design: Design) -> Played:
    """Gates from looks, (gates, cells, metrics, blocks).

    A cell that Holm's later steps reject is counted with the blocks of one that nothing rejects: a few too many.
    """
    blocks, never = cleared.shape[-1], cleared.shape[-1] + 1

    def first(found: NDArray[np.bool_]) -> Codes:
        return np.asarray(np.where(found.any(axis=-1), found.argmax(axis=-1) + 1, never))

    clear_at = first(np.logical_and.reduce(cleared, axis=2))
    strict_at = first(np.logical_or.reduce(rank >= design.hypotheses, axis=2))
    stop = np.minimum(np.minimum(clear_at, strict_at), blocks)
    at_stop = np.take_along_axis(rank, (stop - 1)[:, :, None, None], axis=3)[..., 0]
    in_play = np.where((clear_at <= stop)[:, :, None] & (at_stop < design.hypotheses), 0, at_stop)
    ordered = -np.sort(-in_play.reshape(len(in_play), -1), axis=1)
    holds = ordered >= design.hypotheses - np.arange(ordered.shape[1])
    rejections = np.where(holds.all(axis=1), ordered.shape[1], holds.argmin(axis=1))
    worse = (in_play >= (design.hypotheses - np.maximum(rejections - 1, 0))[:, None, None]) & (rejections > 0)[
        :, None, None
    ]
    codes = np.where(worse.any(axis=2), SLOWER, np.where(clear_at <= stop, CLEARED, OPEN))
    return Played(codes=codes, blocks=stop)


def play(seed: Sequence[int], noise: Noise, effects: Floats, design: Design, *, gates: int, sigma: float) -> Played:
    """Simulated gates; `effects`: log loss of each cell and metric, (cells, metrics).

    A second metric's boots have a correlation of CORRELATION with the first one's.
    """
    rng, found = np.random.default_rng(seed), []
    for begin in range(0, gates, CHUNK):
        count = min(CHUNK, gates - begin)
        drawn = [arms(rng, noise, count * design.cells, design.blocks, sigma, seed[0]) for _ in range(design.metrics)]
        if design.metrics == 2:
            (first, second) = drawn
            rest = math.sqrt(1 - CORRELATION**2)
            mixed = tuple(CORRELATION * a + rest * b for a, b in zip(first, second, strict=True))
            drawn = [first, (mixed[0], mixed[1])]
        shape = (count, design.cells, design.blocks)
        seen = [
            looks(one.reshape(shape), other.reshape(shape) + effects[None, :, metric, None], design)
            for metric, (one, other) in enumerate(drawn)
        ]
        cleared, rank = np.stack([one for one, _ in seen], axis=2), np.stack([one for _, one in seen], axis=2)
        found.append(judge(cleared, rank, design))
    return Played(
        codes=np.concatenate([part.codes for part in found]), blocks=np.concatenate([part.blocks for part in found])
    )


def share(values: NDArray[np.bool_]) -> str:
    """A share in percent with its standard error; of none or all, the error of one in so many."""
    rate, count = float(values.mean()), values.size
    error = math.sqrt(max(rate * (1 - rate), (1 - 1 / count) / count) / count)
    return f"{100 * rate:6.2f} ±{100 * error:4.2f}"


def fixed_blocks(design: Design, sigma: float, worse: float, found: float, cleared: float, *, known: bool) -> int:
    """Blocks in each cell of the fixed design, see the top of this file."""
    spread = sigma * math.sqrt(2)
    limit = math.log1p(design.margin)
    claims = (
        (design.error / design.hypotheses, math.log1p(worse) - limit, found),
        (design.miss, limit, cleared),
    )
    for blocks in range(2, 10_000):
        enough = True
        for level, distance, power in claims:
            shift = distance * math.sqrt(blocks) / spread
            if known:
                enough &= float(special.ndtr(shift + special.ndtri(level))) >= power
            else:
                enough &= float(stats.nct.sf(-special.stdtrit(blocks - 1, level), blocks - 1, shift)) >= power
        if enough:
            return blocks
    raise AssertionError("no fixed design has that power")


class Bench:
    """Prints the tables."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.limit = math.log1p(arguments.margin)

    def design(self, *, metrics: int = 1, max_boots: int | None = None) -> Design:
        a = self.arguments
        return Design(
            cells=a.cells,
            metrics=metrics,
            blocks=(max_boots or a.max_boots) // 2,
            error=a.error,
            miss=a.miss,
            margin=a.margin,
        )

    def played(
        self, what: int, noise: Noise, design: Design, losses: Mapping[int, Sequence[float]], sigma: float | None = None
    ) -> Played:
        """Gates in which the named cells lose so much (log, by metric), -1 standing for all cells."""
        effects = np.zeros((design.cells, design.metrics))
        for cell, loss in losses.items():
            effects[slice(None) if cell < 0 else cell] = loss
        a = self.arguments
        return play([a.seed, what], noise, effects, design, gates=a.gates, sigma=sigma or a.sigma)

    def errors(self) -> None:
        """No cell worse; every cell exactly at its margin."""
        print("\nErrors: any cell called slower, of gates; cleared and inconclusive, of cells\n")
        print("noise        metrics  all cells      any slower %      cleared %  inconclusive %   boots/gate")
        noises: tuple[Noise, ...] = (gaussian, student, outliers, two_humped, sharp_humps, skewed, drifting)
        rows = [(noise, 1, name) for noise in noises for name in ("alike", "at margin")]
        rows += [(gaussian, 2, "alike"), (gaussian, 2, "at margin")]
        for number, (noise, metrics, name) in enumerate(rows):
            design = self.design(metrics=metrics)
            # At the margin itself both claims are wrong.
            loss = 0.0 if name == "alike" else self.limit
            found = self.played(number, noise, design, {-1: [loss] * metrics})
            print(
                f"{noise.__name__:12} {metrics:7}  {name:10} {share((found.codes == SLOWER).any(axis=1))}"
                f"   {share(found.codes == CLEARED)}   {share(found.codes == OPEN)}   {found.boots:9.0f}"
            )

    def power(self) -> None:
        """One cell is worse."""
        print("\nOne cell worse, the others alike: it is called slower; others are; it is cleared, of gates\n")
        print("noise        metrics  loss            found %  others slower %  wrongly cleared %  boots of it  of all")
        noises: tuple[Noise, ...] = (gaussian, student, outliers, two_humped)
        cases = [(noise, 1, "10 %", [math.log(1.1)]) for noise in noises]
        cases += [
            (gaussian, 2, "10 % in both", [math.log(1.1)] * 2),
            (gaussian, 2, "10 % in one", [math.log(1.1), 0.0]),
            (gaussian, 1, "5 % (margin)", [self.limit]),
            (gaussian, 1, "7.5 %", [math.log(1.075)]),
            (gaussian, 1, "15 %", [math.log(1.15)]),
            (gaussian, 1, "30 %", [math.log(1.3)]),
        ]
        for number, (noise, metrics, name, loss) in enumerate(cases):
            found = self.played(100 + number, noise, self.design(metrics=metrics), {0: loss})
            print(
                f"{noise.__name__:12} {metrics:7}  {name:12} {share(found.codes[:, 0] == SLOWER)}"
                f"    {share((found.codes[:, 1:] == SLOWER).any(axis=1))}      {share(found.codes[:, 0] == CLEARED)}"
                f"   {2 * found.blocks[:, 0].mean():9.1f}  {found.boots:7.0f}"
            )
        worse = range(10)
        found = self.played(150, gaussian, self.design(), {cell: [math.log(1.1)] for cell in worse})
        print(
            f"10 cells 10 % worse: each found {share(found.codes[:, :10] == SLOWER)} %, "
            f"others slower {share((found.codes[:, 10:] == SLOWER).any(axis=1))} %, {found.boots:.0f} boots"
        )

    def expected(self) -> None:
        """Boots of one cell by noise."""
        print("\nBoots that one cell takes, by noise of an arm's boots; in brackets how often it is decided, %\n")
        losses = {"alike": 0.0, "10 % worse": math.log(1.1), "20 % worse": math.log(1.2), "50 % worse": math.log(1.5)}
        print("noise %", " ".join(f"{name:>15}" for name in losses))
        for number, sigma in enumerate((0.01, 0.02, 0.04, 0.08)):
            row = []
            for step, loss in enumerate(losses.values()):
                found = self.played(300 + 10 * number + step, gaussian, self.design(), {0: [loss]}, sigma)
                decided = 100 * float((found.codes[:, 0] != OPEN).mean())
                row.append(f"{2 * found.blocks[:, 0].mean():7.1f} ({decided:5.1f})")
            print(f"{100 * sigma:7.0f}", " ".join(f"{text:>15}" for text in row), flush=True)

    def beside_fixed(self) -> None:
        """Boots beside the fixed design, by cap on the boots of a cell."""
        print("\nOne cell 10 % worse, Gaussian: boots beside the fixed design with the same errors and power\n")
        print("cap/cell     found %  others cleared %   boots  fixed, z   ratio  fixed, t   ratio")
        for cap in (40, 60, 80, 100, 120, 160, 200):
            design = self.design(max_boots=cap)
            found = self.played(1000 + cap, gaussian, design, {0: [math.log(1.1)]})
            power = min(float((found.codes[:, 0] == SLOWER).mean()), 1 - 1 / self.arguments.gates)
            clears = min(float((found.codes[:, 1:] == CLEARED).mean()), 1 - 1 / self.arguments.gates / design.cells)
            fixed = [
                2 * design.cells * fixed_blocks(design, self.arguments.sigma, 0.1, power, clears, known=known)
                for known in (True, False)
            ]
            ratios = [found.boots / boots for boots in fixed]
            print(
                f"{cap:8} {share(found.codes[:, 0] == SLOWER)}     {share(found.codes[:, 1:] == CLEARED)}"
                f" {found.boots:7.0f} {fixed[0]:9} {ratios[0]:7.2f} {fixed[1]:9} {ratios[1]:7.2f}"
            )
        design = self.design()
        plain = [
            2 * design.cells * fixed_blocks(design, self.arguments.sigma, 0.1, 0.95, 0.95, known=known)
            for known in (True, False)
        ]
        print(f"a fixed design that finds and clears 95 %: {plain[0]} boots (z), {plain[1]} (t)")


def trials_of(baseline: Floats, candidate: Floats, seed: int) -> tuple[Trial[BlockPlace], ...]:
    """Boots of a cell from log values, (metrics, blocks) each."""
    made = []
    for block in range(baseline.shape[1]):
        for spec in trial_specs(seed, block):
            values = (candidate if spec.place.arm is Arm.CANDIDATE else baseline)[:, block]
            samples = {f"m{i}": (math.exp(value),) for i, value in enumerate(values)}
            made.append(Trial(spec=spec, kernel_digest=spec.place.arm, outcome=Outcome.OK, samples=samples))
    return tuple(made)


Chooser = Callable[[GateStanding, Mapping[str, int]], str | None]


def in_turn(standing: GateStanding, made: Mapping[str, int]) -> str | None:
    """The open cell with the fewest blocks: what next_cell is compared with."""
    return min((name for name, cell in standing.cells.items() if not cell.final), key=made.__getitem__, default=None)


def played_out(
    cells: Mapping[str, tuple[Trial[BlockPlace], ...]], design: Design, choose: Chooser, budget: int = 10**9
) -> tuple[GateStanding, int]:
    """A gate by harness.stats.gate itself, block by block, until it is final or the budget (boots) is spent."""
    policy = GatePolicy(error=design.error, miss=design.miss)
    gate = Gate(policy, METRICS, confirm=False)
    margins = {f"m{i}": design.margin for i in range(design.metrics)}
    made, boots = dict.fromkeys(cells, 0), 0
    while True:
        standing = gate.standing(
            {
                name: CellEvidence(trials=cells[name][: 2 * blocks], margins=margins, max_blocks=design.blocks)
                for name, blocks in made.items()
            }
        )
        chosen = choose(standing, made) if boots + 2 <= budget else None
        if chosen is None:
            return standing, boots
        made[chosen] += 1
        boots += 2


def check_rule(bench: Bench, gates: int = 4) -> None:
    """The swept rule against harness.stats.gate, cell by cell."""
    design, rng = bench.design(metrics=2, max_boots=60), np.random.default_rng(bench.arguments.seed)
    agreed = 0
    for number in range(gates):
        logs = rng.normal(0, bench.arguments.sigma, (2, design.cells, 2, design.blocks))
        logs[1, :10] += math.log(1.2) if number % 2 else math.log(1.1)
        cleared, rank = looks(logs[0][None], logs[1][None], design)
        swept = judge(cleared, rank, design)
        cells = {f"{cell}": trials_of(logs[0, cell], logs[1, cell], cell) for cell in range(design.cells)}
        standing, _ = played_out(cells, design, lambda standing, _: next_cell(standing))
        for cell, code, blocks in zip(standing.cells.values(), swept.codes[0], swept.blocks[0], strict=True):
            assert cell.verdict is VERDICTS[code], (cell, code)
            # What Holm's later steps reject is known earlier than the sweep counts.
            assert cell.blocks == blocks or (code == SLOWER and cell.blocks < blocks), (cell, blocks)
            agreed += 1
    print(f"\n{agreed} cells of {gates} gates played with harness.stats.gate agree with the swept ones")


def budgets(bench: Bench, gates: int = 6) -> None:
    """Cells decided within a budget of boots, by who gets the next block; noise differs from cell to cell."""
    design, rng = bench.design(), np.random.default_rng([bench.arguments.seed, 7])
    print(f"\nCells decided within a budget, {design.cells} cells alike, noise 1 to 8 % (log-uniform), {gates} gates\n")
    print("budget, boots   next_cell   in turn")
    seen: dict[int, list[tuple[int, int]]] = {200: [], 400: [], 800: []}
    for _ in range(gates):
        spread = np.exp(rng.uniform(math.log(0.01), math.log(0.08), design.cells))
        logs = rng.normal(0, 1, (2, design.cells, 1, design.blocks)) * spread[:, None, None]
        cells = {f"{cell}": trials_of(logs[0, cell], logs[1, cell], cell) for cell in range(design.cells)}
        for budget, found in seen.items():
            left = {"blocks": budget // 2}

            def nearest(standing: GateStanding, made: Mapping[str, int], left: dict[str, int] = left) -> str | None:
                return next_cell(standing, blocks=left["blocks"] - sum(made.values()))

            decided = [
                sum(
                    cell.verdict is not CellVerdict.INCONCLUSIVE
                    for cell in played_out(cells, design, way, budget)[0].cells.values()
                )
                for way in (nearest, in_turn)
            ]
            found.append((decided[0], decided[1]))
    for budget, found in seen.items():
        print(f"{budget:13} {np.mean([a for a, _ in found]):11.1f} {np.mean([b for _, b in found]):9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=2000, help="simulated gates per row (default %(default)s)")
    parser.add_argument("--cells", type=int, default=50)
    parser.add_argument("--error", type=float, default=0.05)
    parser.add_argument("--miss", type=float, default=0.05)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--max-boots", type=int, default=120, help="of a cell (default %(default)s)")
    parser.add_argument("--sigma", type=float, default=0.04, help="spread of boots in each arm (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    started, bench = time.monotonic(), Bench(arguments)
    print((__doc__ or "").splitlines()[0])
    print(
        f"{arguments.cells} cells, error {arguments.error:.1%} over all, miss {arguments.miss:.1%} a metric, margin "
        f"{arguments.margin:.1%}, noise {arguments.sigma:.1%} an arm, cap {arguments.max_boots} boots a cell, "
        f"{arguments.gates} gates a row"
    )
    bench.errors()
    bench.power()
    bench.expected()
    bench.beside_fixed()
    check_rule(bench)
    budgets(bench)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
