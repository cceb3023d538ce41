"""From stored trials to what is compared: one number per boot, one pair per block."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.model.experiment import Arm, BlockPlace, Place
from harness.model.trial import Outcome, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockPair:
    """One metric in one complete block: the median over iterations of each arm's boot, in metric units."""

    block: int
    baseline: float
    candidate: float


def boot_value(trial: Trial[Place], metric: str) -> float | None:
    """Median over the iterations of one boot, or None where the boot did not give the metric."""
    return middle(trial.samples.get(metric, ()))


def middle(values: Iterable[float]) -> float | None:
    """Median of those of `values` that are finite numbers, None where none is."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else None


def complete_blocks(trials: Iterable[Trial[BlockPlace]]) -> dict[int, dict[Arm, Trial[BlockPlace]]]:
    """Blocks with an ok boot of both arms, by number. Of several ok boots in one place the last attempt counts."""
    found: dict[int, dict[Arm, Trial[BlockPlace]]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.place.block, trial.place.order, trial.place.attempt)):
        if trial.outcome is Outcome.OK:
            found.setdefault(trial.place.block, {})[trial.place.arm] = trial
    return {block: arms for block, arms in found.items() if len(arms) == len(Arm)}


def pairs_of(trials: Iterable[Trial[BlockPlace]], metric: str) -> tuple[BlockPair, ...]:
    """One pair per complete block that gave the metric in both arms, by block."""
    pairs = []
    for block, arms in complete_blocks(trials).items():
        baseline, candidate = boot_value(arms[Arm.BASELINE], metric), boot_value(arms[Arm.CANDIDATE], metric)
        if baseline is not None and candidate is not None:
            pairs.append(BlockPair(block=block, baseline=baseline, candidate=candidate))
    return tuple(pairs)


def metrics_of(trials: Sequence[Trial[Place]]) -> tuple[str, ...]:
    """Names of all metrics that any ok boot gave, in order of first appearance."""
    return tuple(dict.fromkeys(name for trial in trials if trial.outcome is Outcome.OK for name in trial.samples))
