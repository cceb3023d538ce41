"""How often the A/B rule is wrong and how many blocks it takes, by noise, spread and effect. No guests; seeded.

    python benchmarks/ab_sim.py [--searches 4000] [--error 0.01] [--margin 0.05] [--max-boots 40] [--seed 1]
    python benchmarks/ab_sim.py --calibrate        # the table in harness/stats/sequential.py; about a minute

Every row simulates that many runs of ``kab ab`` from their boots: log values with the named noise of unit spread
times sigma, arms in the order that harness.plan gives them, the effect added to the candidate. The rule is the one of
harness.stats, looked at after every block, in one sweep of numpy; at the end some runs go through
harness.stats.compare to see that it is the same rule. "Wald" is the expected number of blocks of the sequential
probability ratio test of that effect (for no effect: of the margin) with the spread known, which nothing beats; "x" is
the ratio to it.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.model.experiment import Arm
from harness.model.verdict import Verdict
from harness.model.workload import Direction, Metric
from harness.plan import block_order
from harness.stats.blocks import BlockPair
from harness.stats.compare import compare, same_level
from harness.stats.sequential import _CAPS, _ERRORS, MIN_BLOCKS, RESOLUTION, first_look, nominal_level

METRIC = Metric(name="simulated", unit="", direction=Direction.HIGHER, title="simulated")
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Noise = Callable[[np.random.Generator, tuple[int, int, int]], Floats]
INCONCLUSIVE, FASTER, SLOWER, SAME = range(4)
VERDICTS = (Verdict.INCONCLUSIVE, Verdict.FASTER, Verdict.SLOWER, Verdict.SAME)


def gaussian(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return rng.standard_normal(shape)


def student(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return rng.standard_t(3, shape) / math.sqrt(3)


def outliers(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return rng.standard_normal(shape) * np.where(rng.random(shape) < 0.05, 10, 1)


def skewed(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return (np.exp(rng.standard_normal(shape)) - math.exp(0.5)) / math.sqrt((math.e - 1) * math.e)


def two_humped(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return np.where(rng.random(shape) < 0.5, 1.0, -1.0) * math.sqrt(1 - 0.3**2) + 0.3 * rng.standard_normal(shape)


def rare_hump(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    return np.where(rng.random(shape) < 0.25, 3.0, -1.0) / math.sqrt(3) + 0.02 * rng.standard_normal(shape)


def drifting(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """AR(1) with coefficient 0.3 from boot to boot, in the order they are made."""
    noise = rng.standard_normal((*shape[:-2], shape[-2] * shape[-1]))
    for i in range(1, noise.shape[-1]):
        noise[..., i] = 0.3 * noise[..., i - 1] + math.sqrt(1 - 0.09) * noise[..., i]
    return noise.reshape(shape)


def rising(rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
    """A host that warms up: a straight rise of four spreads over 20 blocks."""
    return rng.standard_normal(shape) + np.arange(shape[-2] * 2).reshape(shape[-2:]) / 10


NOISES: tuple[Noise, ...] = (gaussian, student, outliers, skewed, two_humped, rare_hump, drifting, rising)


def arms(
    rng: np.random.Generator, noise: Noise, runs: int, blocks: int, sigma: float, seed: int
) -> tuple[Floats, Floats]:
    """Log values of baseline and candidate, (runs, blocks) each: boots in time order, given to arms by the plan."""
    boots = sigma * noise(rng, (runs, blocks, 2))
    first = np.array(
        [[block_order(seed + run, block)[0] is Arm.BASELINE for block in range(blocks)] for run in range(min(runs, 64))]
    )
    baseline_first = np.resize(first, (runs, blocks))
    return (
        np.where(baseline_first, boots[..., 0], boots[..., 1]),
        np.where(baseline_first, boots[..., 1], boots[..., 0]),
    )


def running(values: Floats) -> tuple[Floats, Floats]:
    """Mean and unbiased variance of all values so far, along the last axis."""
    n = np.arange(1, values.shape[-1] + 1)
    mean = np.cumsum(values, axis=-1) / n
    centred = np.cumsum(values**2, axis=-1) - n * mean**2
    return mean, np.maximum(centred, 0) / np.maximum(n - 1, 1)


def estimates(baseline: Floats, candidate: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean log ratio, both standard errors and Welch's degrees of freedom after each block (see Estimate)."""
    n = np.arange(1, baseline.shape[-1] + 1)
    mean, paired = running(candidate - baseline)
    first, second = running(baseline)[1], running(candidate)[1]
    squares = np.maximum(first**2 + second**2, np.finfo(float).tiny)
    freedom = np.clip((n - 1) * (first + second) ** 2 / squares, np.maximum(n - 1, 1), np.maximum(2 * n - 2, 1))
    paired, welch = np.maximum(paired, RESOLUTION**2), np.maximum(first + second, RESOLUTION**2)
    return mean, np.sqrt(paired / n), np.sqrt(welch / n), freedom


def sequential(baseline: Floats, candidate: Floats, error: float, margin: float) -> tuple[Codes, Codes]:
    """Verdict code and block of it for each run (rows); the last block when nothing was decided."""
    blocks = baseline.shape[1]
    freedom_paired = np.maximum(np.arange(blocks), 1)
    mean, paired, welch, freedom = estimates(baseline, candidate)

    def width(level: float) -> Floats:
        tail = nominal_level(level, blocks) / 2
        found = np.minimum(-special.stdtrit(freedom_paired, tail) * paired, -special.stdtrit(freedom, tail) * welch)
        found[:, : first_look(error) - 1] = math.inf
        return np.asarray(found)

    moved, same, limit = width(error), width(same_level(error)), math.log1p(margin)
    code = np.where(mean - moved > 0, FASTER, np.where(mean + moved < 0, SLOWER, INCONCLUSIVE))
    # A difference that is sure and inside the margin is same; one that is sure and not inside it is never same.
    code = np.where((np.abs(mean) + moved <= limit), SAME, code)
    code = np.where((code == INCONCLUSIVE) & (np.abs(mean) + same <= limit), SAME, code)
    decided = code != INCONCLUSIVE
    at = np.where(decided.any(axis=1), decided.argmax(axis=1), blocks - 1)
    return code[np.arange(len(code)), at], at + 1


def calibrate(rng: np.random.Generator, runs: int = 1_000_000, chunk: int = 10_000) -> None:
    """Nominal level / error for every cap and error: quantiles of the smallest p value of Gaussian runs."""
    smallest: dict[int, list[Floats]] = {cap: [] for cap in _CAPS}
    freedom_paired = np.maximum(np.arange(_CAPS[-1]), 1)
    for _ in range(runs // chunk):
        mean, paired, welch, freedom = estimates(*rng.standard_normal((2, chunk, _CAPS[-1])))
        p_value = 2 * np.minimum(
            special.stdtr(freedom_paired, -np.abs(mean) / paired), special.stdtr(freedom, -np.abs(mean) / welch)
        )
        p_value[:, : MIN_BLOCKS - 1] = 1
        lowest = np.minimum.accumulate(p_value, axis=1)
        for cap in _CAPS:
            smallest[cap].append(lowest[:, cap - 1])
    for cap in _CAPS:
        levels = np.quantile(
            np.concatenate(smallest[cap]), [(0.5 if error >= 0.01 else 0.4) * error for error in _ERRORS]
        )
        print(f"{cap:4}", " ".join(f"{level / error:.3f}" for level, error in zip(levels, _ERRORS, strict=True)))


def wald_blocks(effect: float, sigma: float, error: float, margin: float) -> float:
    d = (abs(effect) or math.log1p(margin)) / (math.sqrt(2) * sigma)
    return 2 * (1 - 2 * error) * math.log((1 - error) / error) / d**2


def is_wrong(codes: Codes, effect: float, margin: float) -> NDArray[np.bool_]:
    same = abs(effect) >= math.log1p(margin) - 1e-9
    wrong: NDArray[np.bool_] = (
        (codes == FASTER) & (effect <= 0) | (codes == SLOWER) & (effect >= 0) | (codes == SAME) & same
    )
    return wrong


def row(
    name: str, sigma: float, label: str, effect: float, codes: Codes, blocks: Codes, arguments: argparse.Namespace
) -> float:
    wrong = is_wrong(codes, effect, arguments.margin)
    rate, runs = float(wrong.mean()), len(codes)
    limit = wald_blocks(effect, sigma, arguments.error, arguments.margin)
    shares = " ".join(f"{100 * np.mean(codes == code):6.1f}" for code in (FASTER, SLOWER, SAME, INCONCLUSIVE))
    ratio = f"{blocks.mean() / limit:5.2f}" if limit >= 1 and np.mean(codes == INCONCLUSIVE) < 0.01 else "    -"
    error = 100 * math.sqrt(max(rate * (1 - rate), 1 / runs) / runs)
    print(
        f"{name:12} {100 * sigma:5.1f} {label:>9} {shares} {100 * rate:6.2f} ±{error:4.2f} {blocks.mean():6.1f} "
        f"{limit:7.1f} {ratio}"
    )
    return rate


def check_rule(rng: np.random.Generator, arguments: argparse.Namespace) -> None:
    """The swept rule against harness.stats.compare, run by run and look by look."""
    looks = 0
    for sigma in (0.02, 0.2):
        baseline, candidate = rng.normal(0, sigma, (2, 10, 20))
        candidate = candidate + sigma / 2
        codes, blocks = sequential(baseline, candidate, arguments.error, arguments.margin)
        for run, (code, last) in enumerate(zip(codes, blocks, strict=True)):
            logs = zip(baseline[run], candidate[run], strict=True)
            pairs = [BlockPair(block=i, baseline=math.exp(a), candidate=math.exp(b)) for i, (a, b) in enumerate(logs)]
            for n in range(1, last + 1):
                found = compare(METRIC, pairs[:n], error=arguments.error, margin=arguments.margin, max_blocks=20)
                assert found.verdict is (VERDICTS[code] if n == last else Verdict.INCONCLUSIVE), (run, n, found)
                looks += 1
    print(f"{looks} looks of harness.stats.compare agree with the simulated ones")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=4000, help="simulated runs per row (default %(default)s)")
    parser.add_argument("--error", type=float, default=0.01)
    parser.add_argument("--margin", type=float, default=0.05)
    parser.add_argument("--max-boots", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calibrate", action="store_true", help="print the table of nominal levels instead")
    arguments = parser.parse_args()
    if arguments.calibrate:
        calibrate(np.random.default_rng(arguments.seed))
        return
    started, blocks = time.monotonic(), arguments.max_boots // 2
    limit = math.log1p(arguments.margin)
    print((__doc__ or "").splitlines()[0])
    print(
        f"error {arguments.error:.2%}, margin {arguments.margin:.1%}, cap {blocks} blocks, {arguments.searches} runs\n"
    )
    print("                      effect                                     wrong          blocks")
    print("noise        sigma%  of boot SD faster slower   same  incon      %            E    Wald     x")
    worst = 0.0
    for noise, sigma in itertools.product(NOISES, (0.005, 0.05, 0.2, 0.5)):
        rng = np.random.default_rng([arguments.seed, NOISES.index(noise), int(1000 * sigma)])
        baseline, candidate = arms(rng, noise, arguments.searches, blocks, sigma, arguments.seed)
        effects = [("0", 0.0), ("margin", limit * (1 + 1e-6))]
        effects += [(f"{d}", d * sigma) for d in (2, 4, 8) if d * sigma > limit and sigma in (0.05, 0.2)]
        for label, effect in effects:
            found = sequential(baseline, candidate + effect, arguments.error, arguments.margin)
            rate = row(noise.__name__, sigma, label, effect, *found, arguments)
            worst = max(worst, rate)
    many = np.random.default_rng(arguments.seed).normal(0, 0.2, (4, 2, arguments.searches, blocks))
    codes = np.array([sequential(one[0], one[1], arguments.error / 4, arguments.margin)[0] for one in many])
    print(f"\nauto of 4 independent metrics, no effect: wrong {100 * np.mean((codes % 3 != 0).any(axis=0)):.2f} %")
    print(f"worst wrong rate {100 * worst:.2f} % for a stated {100 * arguments.error:.2f} %")
    check_rule(np.random.default_rng(arguments.seed), arguments)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
