"""Series over the nights: one value for each boot, kept beside the samples so that years are read in one go.

A night is a cell of a matrix: a run whose parent is a matrix, as a cell. Its candidate's boots that ended well are
followed, each metric as a series of its own. A value is written in the transaction of its trial.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Text, insert, select, type_coerce

from harness.errors import ConfigError
from harness.model.alarm import Night, SeriesName
from harness.model.experiment import Arm, Place
from harness.model.matrix import SERIES_AXIS, Cell, MatrixPlan
from harness.model.run import KernelRecord, Run, SubrunRole
from harness.model.trial import Outcome, Trial
from harness.parse.plainjson import canonical, decode, from_plain
from harness.stats.blocks import boot_value
from harness.store.damage import UNFIT, document, readable
from harness.store.inserting import insert_new, insert_stored
from harness.store.rows import moment
from harness.store.schema import boot_values, matrices, nights, runs, series

_Transaction = Callable[[], AbstractContextManager[Connection]]


class SqlHistory:
    """What is followed over the nights. Made by SqlStore, whose transactions it uses. Raises HostError as it does."""

    def __init__(self, reading: _Transaction, name: str) -> None:
        self._reading = reading
        self._name = name

    def series(
        self,
        *,
        matrix: str | None = None,
        cell: str | None = None,
        workload: str | None = None,
        series: str | None = None,
    ) -> tuple[SeriesName, ...]:
        """The series that there are, by name; of those only what is asked for. Any state of their runs counts."""
        query = _matching(matrix=matrix, cell=cell, workload=workload, series=series)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        with readable("the list of series", self._name):
            return tuple(sorted((_name(row) for row in rows), key=_order))

    def matrices(self, title: str, *, verb: str) -> tuple[str, ...]:
        """Ids of the matrices of a title and a verb of which a cell was begun, the newest first."""
        inside = (
            select(runs.c.parent)
            .join(nights, nights.c.run_key == runs.c.key)
            .where(nights.c.matrix == title)
            .distinct()
        )
        query = (
            select(runs.c.id)
            .where(runs.c.verb == verb, runs.c.id.in_(inside))
            .order_by(runs.c.created.desc(), runs.c.key.desc())
        )
        with self._reading() as connection:
            rows = connection.execute(query).scalars().all()
        with readable("the list of matrices", self._name):
            return tuple(decode(str, row) for row in rows)

    def nights(
        self,
        *,
        metric: str,
        matrix: str | None = None,
        cell: str | None = None,
        workload: str | None = None,
        series: str | None = None,
    ) -> dict[SeriesName, tuple[Night, ...]]:
        """Series of `metric`, by name, each with its nights in the order in which their runs were made.

        Of those only what is asked for: the title of a matrix, a cell's name (without the series that it begins with),
        the name of a workload, what the kernels are newest of. A night whose run is damaged is left out. Raises
        DamagedError where the list of series is.
        """
        wanted = _matching(matrix=matrix, cell=cell, workload=workload, series=series, metric=metric)
        with self._reading() as connection:
            named = connection.execute(wanted).all()
            # By the primary key: boots in the order in which they were stored.
            values = connection.execute(
                select(boot_values.c.series_key, boot_values.c.run_key, boot_values.c.value)
                .where(boot_values.c.series_key.in_([row.key for row in named]))
                .order_by(boot_values.c.series_key, boot_values.c.trial_key)
            ).all()
            rows = connection.execute(
                select(
                    runs.c.key,
                    runs.c.id,
                    runs.c.created,
                    type_coerce(runs.c.candidate, Text).label("candidate"),
                    type_coerce(runs.c.conditions, Text).label("conditions"),
                )
                .join(nights, nights.c.run_key == runs.c.key)
                .where(*_conditions(nights, matrix=matrix, cell=cell, workload=workload, series=series))
            ).all()
        boots: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for series_key, run_key, value in values:
            boots[series_key][run_key].append(value)
        known = _made(rows)
        with readable("the list of series", self._name):
            found = {_name(row): _in_order(known, boots[row.key]) for row in named}
        return {name: found[name] for name in sorted(found, key=_order) if found[name]}


def note_night(connection: Connection, run_key: int, run: Run) -> None:
    """Where `run` is a cell of a matrix, note what its candidate's boots will be values of.

    A matrix whose plan is damaged, or lacks the cell, is followed by nobody.
    """
    if run.parent is None or run.parent.role is not SubrunRole.CELL:
        return
    kept = connection.execute(
        select(matrices.c.plan).join(runs, runs.c.key == matrices.c.run_key).where(runs.c.id == run.parent.run_id)
    ).scalar()
    try:
        plan = from_plain(MatrixPlan, document(kept))
    except (ConfigError, ValueError):
        return
    cell = next((cell for cell in plan.cells if cell.name == run.parent.place), None)
    if cell is not None:
        connection.execute(insert(nights).values(night_row(run_key, plan, cell)))


def night_row(run_key: int, plan: MatrixPlan, cell: Cell) -> dict[str, Any]:
    """The row of `nights` for a run of `cell`."""
    name, of = followed(cell)
    return {
        "run_key": run_key,
        "matrix": plan.title,
        "cell": name,
        "series": of,
        "workload": cell.experiment.workload.name,
    }


def note_boot(connection: Connection, run_key: int, trial_key: int, trial: Trial[Place]) -> None:
    """Where the trial belongs to a night, store one value for each of its metrics."""
    if trial.outcome is not Outcome.OK or trial.place.written.arm is not Arm.CANDIDATE:
        return
    found = {metric: boot_value(trial, metric) for metric in trial.samples}
    values = {metric: value for metric, value in found.items() if value is not None}
    query = select(nights).where(nights.c.run_key == run_key)
    found_row = connection.execute(query).mappings().first() if values else None
    if found_row is None:
        return
    night = {str(column): value for column, value in found_row.items()}
    note_values(connection, [BootValues(run_key=run_key, trial_key=trial_key, night=night, values=values)])


@dataclass(frozen=True, slots=True, kw_only=True)
class BootValues:
    """What one boot gave, by metric; the night is as its row is, without its key."""

    run_key: int
    trial_key: int
    night: Mapping[str, Any]
    values: Mapping[str, float]


def note_values(connection: Connection, boots: Sequence[BootValues]) -> None:
    """Store the values of some boots, of any nights."""
    found = [(series_row(boot.night, metric), boot, value) for boot in boots for metric, value in boot.values.items()]
    if not found:
        return
    keys = _series_keys(connection, [row for row, _, _ in found])
    insert_stored(
        connection,
        boot_values,
        ("series_key", "trial_key", "run_key", "value"),
        ((keys[row["digest"]], boot.trial_key, boot.run_key, value) for row, boot, value in found),
    )


def series_row(night: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """The row of `series` of a metric, for nights as that of a row of `nights`."""
    # A text that cannot be read any more is as good as any.
    name = *(str(night[column]) for column in ("matrix", "cell", "series", "workload")), metric
    return {
        # Of texts of any length one that an index can hold.
        "digest": hashlib.sha256(canonical(name).encode()).hexdigest(),
        **dict(zip(("matrix", "cell", "series", "workload", "metric"), name, strict=True)),
    }


def _series_keys(connection: Connection, rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Digest -> key, of series that are made where there are none."""
    wanted = {row["digest"]: row for row in rows}
    query = select(series.c.digest, series.c.key).where(series.c.digest.in_(sorted(wanted)))
    found = {row.digest: row.key for row in connection.execute(query)}
    if len(found) < len(wanted):
        insert_new(connection, series, [wanted[digest] for digest in sorted(wanted.keys() - found.keys())])
        found = {row.digest: row.key for row in connection.execute(query)}
    return found


def followed(cell: Cell) -> tuple[str, str]:
    """What a cell is called over the nights, and what its kernels are newest of."""
    label = cell.axes.get(SERIES_AXIS)
    if label is None:
        return cell.name, cell.experiment.candidate
    return cell.name.removeprefix(label).removeprefix("/"), label


def _conditions(table: Any, **wanted: str | None) -> list[Any]:
    return [table.c[column] == value for column, value in wanted.items() if value is not None]


def _matching(**wanted: str | None) -> Select[Any]:
    return select(series).where(*_conditions(series, **wanted))


def _name(row: Any) -> SeriesName:
    return SeriesName(
        **{name: decode(str, document(getattr(row, name))) for name in ("matrix", "cell", "series", "metric")}
    )


def _order(name: SeriesName) -> tuple[str, ...]:
    return name.matrix, name.cell, name.series, name.metric


@dataclass(frozen=True, slots=True)
class _Made:
    """What the nights of all series of a run share."""

    run_id: str
    created: datetime
    kernel: KernelRecord
    conditions: tuple[tuple[str, str], ...]


def _made(rows: Iterable[Any]) -> dict[int, _Made]:
    """By the run's key; runs that cannot be read left out."""

    # Hundreds of cells have the same kernel in a night, and the same conditions in a year.
    @cache
    def kernel(text: str) -> KernelRecord:
        return from_plain(KernelRecord, json.loads(text))

    @cache
    def conditions(text: str) -> tuple[tuple[str, str], ...]:
        found: dict[str, str] = decode(Mapping[str, str], json.loads(text))
        return tuple(sorted(found.items()))

    found = {}
    for row in rows:
        with suppress(*UNFIT):
            found[row.key] = _Made(row.id, moment(row.created), kernel(row.candidate), conditions(row.conditions))
    return found


def _in_order(made: Mapping[int, _Made], boots: Mapping[int, list[float]]) -> tuple[Night, ...]:
    """The nights of one series. Runs that were copied from elsewhere are not in the order of their keys."""
    found = [(made[key], key, tuple(values)) for key, values in boots.items() if key in made]
    return tuple(
        Night(run_id=one.run_id, created=one.created, kernel=one.kernel, conditions=one.conditions, values=values)
        for one, _, values in sorted(found, key=lambda item: (item[0].created, item[1]))
    )
