"""Boots of a gate's cells, invented from figures alone, for tests of what is made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from harness.model.experiment import Arm, BlockPlace
from harness.model.trial import Finding, FindingKind, Outcome, Trial
from harness.plan import trial_specs


def boots(
    blocks: int, ratios: Mapping[str, float], *, spread: float = 0.04, seed: int = 1
) -> tuple[Trial[BlockPlace], ...]:
    """Complete blocks whose candidate has so many times the baseline's figure of each metric.

    `spread`: of the log values of one arm's boots. Fewer blocks of the same seed are the first of more.
    """
    made: list[Trial[BlockPlace]] = []
    for block in range(blocks):
        for spec in trial_specs(seed, block):
            rng = np.random.default_rng([seed, block, spec.place.order])
            samples = {
                name: (float(100 * (ratio if spec.place.arm is Arm.CANDIDATE else 1) * np.exp(rng.normal(0, spread))),)
                for name, ratio in ratios.items()
            }
            made.append(Trial(spec=spec, kernel_digest=spec.place.arm, outcome=Outcome.OK, samples=samples))
    return tuple(made)


def failing(trial: Trial[BlockPlace], outcome: Outcome, message: str = "NULL pointer dereference") -> Trial[BlockPlace]:
    """The same boot, had it failed; a crash leaves the line that says so."""
    crash = Finding(kind=FindingKind.OOPS, message=message, excerpt="")
    crashed = outcome is Outcome.CRASHED
    return replace(trial, outcome=outcome, message=message, samples={}, findings=(crash,) if crashed else ())


def warning(message: str, kind: FindingKind = FindingKind.WARNING) -> Finding:
    """A line of a kernel's log."""
    return Finding(kind=kind, message=message, excerpt=message)


def logging(
    trials: Sequence[Trial[BlockPlace]], finding: Finding, *, arm: Arm, blocks: Sequence[int]
) -> tuple[Trial[BlockPlace], ...]:
    """The same boots, with a line in the log of one arm's boots in some blocks."""
    return tuple(
        replace(trial, findings=(*trial.findings, finding))
        if trial.place.arm is arm and trial.place.block in blocks
        else trial
        for trial in trials
    )
