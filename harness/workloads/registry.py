"""All kinds of workloads and all probes, and the metrics that they yield. A new one is a module, and a line here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.model.workload import Metric, Workload
from harness.parse.suggest import unknown
from harness.workloads.fio.kind import Fio
from harness.workloads.kinds import WorkloadKind
from harness.workloads.probes import Probe
from harness.workloads.procfs import Procfs

_KINDS: tuple[WorkloadKind, ...] = (Fio(),)
_PROBES: tuple[Probe, ...] = (Procfs(),)

KINDS: Mapping[str, WorkloadKind] = MappingProxyType({kind.name: kind for kind in _KINDS})
PROBES: Mapping[str, Probe] = MappingProxyType({probe.name: probe for probe in _PROBES})


def kind_named(name: str, *, where: str = "") -> WorkloadKind:
    """The kind of a name that stands at `where`. Raises ConfigError with the nearest name."""
    if name not in KINDS:
        raise unknown("kind of workload", name, KINDS, where=where)
    return KINDS[name]


def kind_of(workload: Workload) -> WorkloadKind:
    """The kind of a workload. Raises ConfigError where another kab made it and this one does not know it."""
    return kind_named(workload.kind, where=f"workload {workload.name}")


def artifacts_of(workload: Workload) -> tuple[str, ...]:
    """Names of the artifacts that tell what ran in a trial; none for a kind that this kab does not know."""
    kind = KINDS.get(workload.kind)
    return kind.artifacts if kind else ()


def union(metrics: Iterable[Metric]) -> Mapping[str, Metric]:
    """Metrics by name, in the order to show them in: speeds first, each as they come.

    What two sources yield they must declare alike; a ValueError is a bug.
    """
    found: dict[str, Metric] = {}
    for metric in sorted(metrics, key=lambda metric: metric.witness):
        if found.setdefault(metric.name, metric) != metric:
            raise ValueError(f"metric {metric.name} is declared in two ways")
    return MappingProxyType(found)


def metrics_of(workload: Workload) -> Mapping[str, Metric]:
    """What a trial of this workload may yield, by name; every metric, for a kind that this kab does not know."""
    kind = KINDS.get(workload.kind)
    return union((*kind.metrics_of(workload), *_of_probes())) if kind else METRICS


def _of_probes() -> Iterable[Metric]:
    return (metric for probe in PROBES.values() for metric in probe.metrics)


METRICS: Mapping[str, Metric] = union((*(metric for kind in KINDS.values() for metric in kind.metrics), *_of_probes()))
"""Every metric that a kind or a probe yields, by name, in the order to show them in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """A metric as the documents list it."""

    name: str
    unit: str
    # "higher" or "lower" is better.
    direction: str
    # See Metric.role.
    role: str
    title: str
    # How to read a witness, "" for speeds.
    meaning: str
    # Kinds of workloads and probes that yield it.
    sources: tuple[str, ...]


def metric_table() -> tuple[MetricRow, ...]:
    """All metrics, for the documents."""
    sources: tuple[WorkloadKind | Probe, ...] = (*KINDS.values(), *PROBES.values())
    return tuple(
        MetricRow(
            name=metric.name,
            unit=metric.unit,
            direction=metric.direction.value,
            role=metric.role,
            title=metric.title,
            meaning=metric.meaning,
            sources=tuple(source.name for source in sources if metric in source.metrics),
        )
        for metric in METRICS.values()
    )
