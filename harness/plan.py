"""A run's plan: its identity, the order of its boots, and which comes next. Pure: resuming is the same fold."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from itertools import takewhile
from typing import Any

from harness.model.experiment import Arm, BlockPlace, Experiment, RungPlace, TrialSpec
from harness.model.matrix import MatrixPlan
from harness.model.run import SEARCH_ROLES, Parent
from harness.model.stored import told_fields
from harness.model.trial import Outcome, Trial
from harness.model.verdict import Stop, StopKind
from harness.stats.faults import counts_at_once, faulty_arms, must_stop

# Losses in a row, and failures of one place in the plan each unlike the other, that a run bears.
MAX_LOSSES = 3
MAX_UNLIKE_FAILURES = 4

# The condition that names what a workload's templates render to.
JOB_CONDITION = "job"


def experiment_digest(
    experiment: Experiment,
    *,
    baseline_digest: str,
    candidate_digest: str,
    conditions: Mapping[str, str],
    parent: Parent | None = None,
) -> str:
    """sha256 (hex) over all that makes two runs one: the experiment, both kernels' content, the host's conditions.

    Of a run with a parent, the parent and the role, too: no run of its own has its digest. The place inside a search
    is told by experiment and kernels; that inside a matrix is not, as two of its cells may measure the same.

    A seed of None (drawn anew for each run) is left out, so that a rerun of the same command finds its run, and so is
    the path of the workload's file. The name of its template is, where the conditions hold what it renders to
    (`JOB_CONDITION`).
    """
    if parent is not None:
        # A condition's text, as it was before runs knew their parents: open ones are found again.
        place = "" if parent.role in SEARCH_ROLES else f" {parent.place}"
        conditions = {**conditions, "part of": f"{parent.run_id} ({parent.role}){place}"}
    asked = _plain(experiment)
    if experiment.seed is None:
        del asked["seed"]
    asked["workload"].pop("file", None)
    if JOB_CONDITION in conditions:
        del asked["workload"]["template"]
    identity = {
        "experiment": asked,
        "kernels": {Arm.BASELINE.value: baseline_digest, Arm.CANDIDATE.value: candidate_digest},
        "conditions": dict(conditions),
    }
    return _sha256(identity)


def matrix_digest(verb: str, plan: MatrixPlan, cells: Mapping[str, str], *, seed: int | None = None) -> str:
    """sha256 (hex) over all that makes two runs of a matrix one: verb, title, policy, and what each cell measures.

    So does the seed that somebody named.

    `cells`: name of a cell -> its ``experiment_digest``, without a parent, which holds kernels, conditions and job; a
    cell of which a kernel cannot be had is left out there, and told by its name and experiment. Waivers are in no
    identity: they are judged anew each time.
    """
    unmeasured = {cell.name: _plain(cell.experiment) for cell in plan.cells if cell.name not in cells}
    for asked in unmeasured.values():
        asked["workload"].pop("file", None)
    identity = {
        "matrix": [verb, plan.title],
        "policy": _plain(plan.policy),
        # In the order of the plan.
        "cells": [[cell.name, cells.get(cell.name, "")] for cell in plan.cells],
        "unmeasured": unmeasured,
        "seed": seed,
    }
    return _sha256(identity)


def _sha256(identity: Mapping[str, Any]) -> str:
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The same value as JSON knows it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(item) for field, item in told_fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def _drawn(seed: int, *what: object) -> int:
    """31 random bits that depend on nothing but the seed and what they are for."""
    text = "/".join(str(part) for part in (seed, *what))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def block_order(seed: int, block: int) -> tuple[Arm, Arm]:
    """Which arm boots first in a block: drawn for each pair of blocks, and the other way round in its second block.

    ABBA or BAAB: a drift of the host that is linear over a pair of blocks favours no arm.
    """
    baseline_first = bool(_drawn(seed, "order", block // 2) & 1) ^ bool(block % 2)
    return (Arm.BASELINE, Arm.CANDIDATE) if baseline_first else (Arm.CANDIDATE, Arm.BASELINE)


def cell_order(seed: int, block: int, cells: Sequence[str]) -> tuple[str, ...]:
    """The cells of a gate in the order in which they are asked who gets block number `block` of the whole gate.

    Drawn anew for each block: where several cells want it alike, a drift of the host favours none.
    """
    return tuple(sorted(cells, key=lambda name: (_drawn(seed, "cells", block, name), name)))


def cell_seed(seed: int, cell: str) -> int:
    """The seed of a cell's run, told by that of its matrix."""
    return _drawn(seed, "cell", cell)


def trial_specs(seed: int, block: int) -> tuple[TrialSpec[BlockPlace], TrialSpec[BlockPlace]]:
    """Both boots of a block, in order, first attempts. Both arms get the same workload seed."""
    first, second = (
        TrialSpec(place=BlockPlace(block=block, order=order, arm=arm), seed=_drawn(seed, "workload", block))
        for order, arm in enumerate(block_order(seed, block))
    )
    return first, second


def search_spec(seed: int, rung: int, boot: int) -> TrialSpec[RungPlace]:
    """The boot number `boot` (from 0) of a rung in a search over a ladder."""
    return TrialSpec(place=RungPlace(rung=rung, boot=boot), seed=_drawn(seed, "workload", f"rung {rung}", boot))


def next_trial(
    trials: Sequence[Trial[BlockPlace]], *, seed: int, max_boots: int, confirm: bool, resumed: int = 0
) -> TrialSpec[BlockPlace] | Stop:
    """The next boot, from the stored trials alone (in the order they were stored).

    Places in the plan are filled in order, so an open block is completed first. A lost trial is made again, and so is
    one whose failure does not count yet (see harness.stats.faults); ``confirm`` asks for that on every crash, as
    emulation needs. ``resumed`` is how many trials were stored before this process began: their losses belong to a
    host that may have been mended since. ``max_boots`` caps the places, not the attempts.
    """
    losses = sum(1 for _ in takewhile(lambda trial: trial.outcome is Outcome.LOST, reversed(trials[resumed:])))
    if losses >= MAX_LOSSES:
        return Stop(kind=StopKind.LOSSES, count=losses, message=trials[-1].message)
    if must_stop(trials, confirm=confirm):
        return Stop(kind=StopKind.FAULT, arms=tuple(faulty_arms(trials, confirm=confirm)))
    faulty = faulty_arms(trials, confirm=confirm)
    attempts: dict[tuple[int, int], list[Trial[BlockPlace]]] = {}
    for trial in trials:
        attempts.setdefault((trial.place.block, trial.place.order), []).append(trial)
    for block in range(max_boots // 2):
        for spec in trial_specs(seed, block):
            made = attempts.get((block, spec.place.order), [])
            if spec.place.arm in faulty or _settled(made, confirm=confirm):
                continue
            unlike = sum(1 for trial in made if trial.outcome is not Outcome.LOST)
            if unlike >= MAX_UNLIKE_FAILURES:
                return Stop(kind=StopKind.UNSTABLE, count=unlike, arms=(spec.place.arm,), message=made[-1].message)
            attempt = 1 + max((trial.place.attempt for trial in made), default=-1)
            return replace(spec, place=replace(spec.place, attempt=attempt))
    return Stop(kind=StopKind.CAP, count=max_boots)


def _settled(made: Sequence[Trial[BlockPlace]], *, confirm: bool) -> bool:
    """Whether a place in the plan needs no further attempt."""
    return any(trial.outcome is Outcome.OK or counts_at_once(trial.outcome, confirm=confirm) for trial in made)
