"""Rows to model and back."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from harness.model.experiment import Arm, TrialSpec
from harness.model.run import KernelRecord, Run, RunState
from harness.model.trial import Finding, Outcome, Stage, Trial
from harness.parse.experimentjson import experiment_from_json, experiment_to_json
from harness.parse.plainjson import from_plain, to_plain

Samples = Mapping[str, tuple[float, ...]]


def run_row(run: Run) -> dict[str, Any]:
    """The row of a run, without its key."""
    return {
        "id": run.id,
        "verb": run.verb,
        "digest": run.digest,
        "experiment": experiment_to_json(run.experiment),
        "baseline": to_plain(run.baseline),
        "candidate": to_plain(run.candidate),
        "seed": str(run.seed),
        "conditions": to_plain(run.conditions),
        "host": to_plain(run.host),
        "command": to_plain(run.command),
        "kab_version": run.kab_version,
        "created": run.created.isoformat(),
        "state": run.state.value,
        "finished": _iso(run.finished),
    }


def run_from_row(row: RowMapping, trials: Iterable[Trial] = ()) -> Run:
    """The run in `row`. Raises ConfigError when a newer kab wrote it."""
    return Run(
        id=row["id"],
        verb=row["verb"],
        digest=row["digest"],
        experiment=experiment_from_json(row["experiment"]),
        baseline=from_plain(KernelRecord, row["baseline"]),
        candidate=from_plain(KernelRecord, row["candidate"]),
        seed=int(row["seed"]),
        conditions=row["conditions"],
        host=row["host"],
        command=tuple(row["command"]),
        kab_version=row["kab_version"],
        created=datetime.fromisoformat(row["created"]),
        state=RunState(row["state"]),
        finished=_moment(row["finished"]),
        trials=tuple(trials),
    )


def trial_row(run_key: int, trial: Trial) -> dict[str, Any]:
    """The row of a trial, without its key, samples and artifacts."""
    return {
        "run_key": run_key,
        "block": trial.spec.block,
        "position": trial.spec.order,
        "arm": trial.spec.arm.value,
        "attempt": trial.spec.attempt,
        "seed": str(trial.spec.seed),
        "kernel_digest": trial.kernel_digest,
        "outcome": trial.outcome.value,
        "message": trial.message,
        "metrics": list(trial.samples),
        "stage_s": to_plain(trial.stage_s),
        "findings": to_plain(trial.findings),
        "environment": to_plain(trial.environment),
        "started": _iso(trial.started),
        "duration_s": trial.duration_s,
    }


def sample_rows(trial_key: int, samples: Samples) -> list[dict[str, Any]]:
    """One row for each value."""
    return [
        {
            "trial_key": trial_key,
            "metric": metric,
            "iteration": iteration,
            "value": None if math.isnan(value) else value,
        }
        for metric, values in samples.items()
        for iteration, value in enumerate(values)
    ]


def samples_by_trial(rows: Iterable[RowMapping]) -> dict[int, Samples]:
    """Trial key -> metric -> values, from sample rows in order of iteration."""
    values: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        value = row["value"]
        values[row["trial_key"]][row["metric"]].append(math.nan if value is None else value)
    return {key: {metric: tuple(items) for metric, items in by.items()} for key, by in values.items()}


def trial_from_row(row: RowMapping, samples: Samples) -> Trial:
    """The trial in `row`, artifacts left out."""
    return Trial(
        spec=TrialSpec(
            block=row["block"],
            order=row["position"],
            arm=Arm(row["arm"]),
            attempt=row["attempt"],
            seed=int(row["seed"]),
        ),
        kernel_digest=row["kernel_digest"],
        outcome=Outcome(row["outcome"]),
        message=row["message"],
        samples={metric: samples.get(metric, ()) for metric in row["metrics"]},
        stage_s={Stage(stage): seconds for stage, seconds in row["stage_s"].items()},
        findings=tuple(from_plain(Finding, finding) for finding in row["findings"]),
        environment=row["environment"],
        started=_moment(row["started"]),
        duration_s=row["duration_s"],
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
