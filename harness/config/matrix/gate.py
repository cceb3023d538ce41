"""The `gate` of a matrix file: what a candidate must not be, and the errors with which that is told."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from harness.config.document import Table, Value, scalar, scalars, table
from harness.errors import ConfigError
from harness.model.matrix import Cell, FailKind, GatePolicy
from harness.model.workload import Metric, Workload
from harness.parse.foreign import printable
from harness.parse.suggest import unknown
from harness.parse.units import parse_count, parse_duration, parse_fraction
from harness.stats.margins import margins_of
from harness.workloads.registry import metrics_of


def _fraction(value: Value, key: str) -> float:
    return scalar(value, key).parse(parse_fraction)


def _margins(value: Value, key: str) -> Mapping[str, float]:
    margins = table(value, key)
    for name, where in margins.places.items():
        if not name or printable(name) != name:
            raise ConfigError(f"{where}: {printable(name, limit=80)!r} is no metric")
    return {name: _fraction(entry, name) for name, entry in margins.entries.items()}


def _boots(value: Value, key: str) -> int:
    return scalar(value, key).parse(lambda text: parse_count(text, minimum=2))


def _time_s(value: Value, key: str) -> float:
    seconds = scalar(value, key).parse(parse_duration)
    if seconds <= 0:
        raise ConfigError(f"{value.where}: {key} must be more than 0")
    return seconds


def _fails(value: Value, key: str) -> tuple[FailKind, ...]:
    """In the order of FailKind, however they are written."""
    names = {item.text: item for item in scalars(value, key)}
    for name, item in names.items():
        if name not in list(FailKind):
            raise unknown("kind of failure", name, [str(kind) for kind in FailKind], where=item.where)
    return tuple(kind for kind in FailKind if kind in names)


# Key of `gate` -> attribute of GatePolicy, and what reads it.
_READERS: Mapping[str, tuple[str, Callable[[Value, str], Any]]] = MappingProxyType(
    {
        "error": ("error", _fraction),
        "miss": ("miss", _fraction),
        "metrics": ("margins", _margins),
        "max_boots": ("max_boots", _boots),
        "max_time": ("max_time_s", _time_s),
        "fails": ("fails", _fails),
    }
)
GATE_KEYS = tuple(_READERS)


def read_gate(keys: Table) -> dict[str, Any]:
    """Attribute of GatePolicy -> what is said of it. Raises ConfigError with the place."""
    keys.check_keys("gate", GATE_KEYS)
    found: dict[str, Any] = {}
    for key, value in keys.entries.items():
        attribute, read = _READERS[key]
        found[attribute] = read(value, key)
    return found


def check_margins(policy: GatePolicy, places: Mapping[str, str], cells: Sequence[Cell]) -> None:
    """Raise ConfigError for a metric (or pattern) with a margin that fits in no cell; `places` says where it is."""
    known = {name: metric for workload in _workloads(cells) for name, metric in metrics_of(workload).items()}
    for pattern in policy.margins:
        where = places.get(pattern, "gate")
        if pattern in known:
            if not known[pattern].decides:
                raise ConfigError(f"{where}: {pattern} never decides: it cannot count in a gate")
        elif not any(fnmatchcase(name, pattern) for name, metric in known.items() if _is_speed(metric)):
            raise unknown("metric", pattern, (name for name in known if known[name].decides), where=where)


def counted_metrics(cells: Sequence[Cell], policy: GatePolicy) -> dict[str, frozenset[str]]:
    """Cell -> the metrics that count in a gate there; the same set for cells that are alike.

    Raises ConfigError that names the cell where nothing counts.
    """
    # (identity of a workload, metric that the experiment names) -> its metrics that count.
    known: dict[tuple[int, str], frozenset[str]] = {}
    found = {}
    for cell in cells:
        experiment = cell.experiment
        key = (id(experiment.workload), experiment.metric)
        if key not in known:
            try:
                known[key] = frozenset(margins_of(experiment, metrics_of(experiment.workload), policy))
            except ConfigError as error:
                raise ConfigError(f"cell {cell.name}: {error.message}", remedy=error.remedy) from error
        found[cell.name] = known[key]
    return found


def _workloads(cells: Sequence[Cell]) -> Iterable[Workload]:
    return {id(cell.experiment.workload): cell.experiment.workload for cell in cells}.values()


def _is_speed(metric: Metric) -> bool:
    return metric.decides and not metric.witness
