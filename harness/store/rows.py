"""Rows to model and back."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from harness.model.experiment import BlockPlace, Place, RungPlace, TrialSpec
from harness.model.run import RUNG_VERBS, Parent, Run
from harness.model.trial import Trial
from harness.parse.experimentjson import experiment_from_json, experiment_to_json
from harness.parse.plainjson import decode, field_type, to_plain
from harness.store.damage import document

# Columns that hold a field of the model as it is, by its own name.
_RUN_COLUMNS = (
    "id", "verb", "digest", "baseline", "candidate", "conditions", "host", "command", "kab_version", "state",
)  # fmt: skip
_TRIAL_COLUMNS = ("kernel_digest", "outcome", "message", "stage_s", "findings", "environment", "duration_s")
_FIRST_YEAR, _LAST_YEAR = 1971, 9000

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
        "parent": run.parent and run.parent.run_id,
        "role": run.parent and run.parent.role.value,
        "place": run.parent and run.parent.place,
    }


def run_from_row(row: RowMapping, trials: Iterable[Trial[Place]] = ()) -> Run:
    """The run in `row`. Raises ValueError, TypeError, ConfigError where the row is damaged or a newer kab wrote it."""
    return Run(
        **{name: _column(Run, name, row[name]) for name in _RUN_COLUMNS},
        experiment=experiment_from_json(decode(str, row["experiment"])),
        seed=_seed(row["seed"]),
        created=moment(row["created"]),
        finished=None if row["finished"] is None else moment(row["finished"]),
        parent=_parent(row),
        trials=tuple(trials),
    )


def _parent(row: RowMapping) -> Parent | None:
    if row["parent"] is None:
        return None
    return Parent(
        run_id=decode(str, row["parent"]),
        role=_column(Parent, "role", row["role"]),
        place=_column(Parent, "place", row["place"]),
    )


def trial_row(run_key: int, trial: Trial[Place]) -> dict[str, Any]:
    """The row of a trial, without its key, samples and artifacts."""
    place = trial.place.written
    return {
        "run_key": run_key,
        "block": place.block,
        "position": place.order,
        "arm": place.arm.value,
        "attempt": place.attempt,
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


def trial_from_row(row: RowMapping, samples: Samples, *, verb: str) -> Trial[Place]:
    """The trial in `row`, without artifacts, of a run of `verb`. Raises ValueError, TypeError, ConfigError."""
    found: Trial[Place] = Trial(
        spec=TrialSpec(place=_place(row, verb), seed=_seed(row["seed"])),
        samples=_column(Trial, "samples", {metric: list(samples.get(metric, ())) for metric in _names(row["metrics"])}),
        started=None if row["started"] is None else moment(row["started"]),
        **{name: _column(Trial, name, row[name]) for name in _TRIAL_COLUMNS},
    )
    if not all(map(math.isfinite, (found.duration_s, *found.stage_s.values()))):
        raise ValueError("a duration is not finite")
    return found


def _place(row: RowMapping, verb: str) -> Place:
    """A row has the same columns for either place; the run's verb says which it is."""
    written = BlockPlace(
        block=_count("block", row["block"]),
        order=_count("position", row["position"]),
        arm=_column(BlockPlace, "arm", row["arm"]),
        attempt=_count("attempt", row["attempt"]),
    )
    return RungPlace.read(written) if verb in RUNG_VERBS else written


def _iso(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


def moment(value: Any) -> datetime:
    """When something was, as a row says it. Raises ValueError, TypeError."""
    found = datetime.fromisoformat(value)
    # Outside of these no zone's time can be told.
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"{value} is no time of a run")
    return found


def _names(value: Any) -> tuple[str, ...]:
    found: tuple[str, ...] = decode(tuple[str, ...], document(value))
    return found


def _seed(value: Any) -> int:
    # Else int() would take numbers, too.
    if not isinstance(value, str):
        raise TypeError(f"seed: {value!r} is no text")
    return int(value)


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}: {value!r} is no count")
    return value


def _column(kind: type, name: str, value: Any) -> Any:
    """The value of a column, as the field `name` of the model's `kind` wants it."""
    try:
        return decode(field_type(kind, name), document(value))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"{name}: {error}") from error
