"""Which metrics of a cell count in a gate, and how much worse each may be."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

from harness.errors import ConfigError
from harness.model.experiment import Experiment
from harness.model.matrix import GatePolicy
from harness.model.workload import Metric
from harness.stats.decide import AUTO


def margins_of(experiment: Experiment, metrics: Mapping[str, Metric], policy: GatePolicy) -> Mapping[str, float]:
    """Metric -> how much worse it may be (a fraction), in the order of `metrics`, which are those of the workload.

    With margins in the policy: every metric that one of them fits. One named in full goes before patterns, and of
    patterns the first that fits counts. Patterns fit speeds only; a witness counts where it is named in full. What no
    boot of a cell gives does not count in it, see harness.stats.gate.

    Without: the metric that the experiment names, or the speeds that its workload lets decide, at the experiment's
    margin.

    Raises ConfigError where nothing counts, or where a metric is named that never decides.
    """
    if not policy.margins:
        return _own_margins(experiment, metrics)
    found: dict[str, float] = {}
    for name, metric in metrics.items():
        if name in policy.margins:
            if not metric.decides:
                raise ConfigError(
                    f"{name} never decides: it cannot count in a gate", remedy=_deciding(metrics, witnesses=True)
                )
            found[name] = policy.margins[name]
        elif metric.decides and not metric.witness:
            fitting = (margin for pattern, margin in policy.margins.items() if fnmatchcase(name, pattern))
            margin = next(fitting, None)
            if margin is not None:
                found[name] = margin
    if not found:
        raise ConfigError(
            f"no metric of workload {experiment.workload.name} fits {', '.join(policy.margins)}",
            remedy=_deciding(metrics, witnesses=False),
        )
    return found


def _own_margins(experiment: Experiment, metrics: Mapping[str, Metric]) -> Mapping[str, float]:
    """What counts where the policy names nothing."""
    if experiment.metric != AUTO:
        if experiment.metric not in metrics:
            raise ConfigError(
                f"unknown metric {experiment.metric!r}", remedy=f"Known metrics: {', '.join(metrics) or 'none'}."
            )
        return {experiment.metric: experiment.margin}
    deciding = set(experiment.workload.deciding)
    found = {
        name: experiment.margin
        for name, metric in metrics.items()
        if name in deciding and metric.decides and not metric.witness
    }
    if not found:
        raise ConfigError(
            f"workload {experiment.workload.name} lets no speed decide: nothing counts in a gate",
            remedy=f"Name metrics in the gate's `metrics`. {_deciding(metrics, witnesses=False)}",
        )
    return found


def _deciding(metrics: Mapping[str, Metric], *, witnesses: bool) -> str:
    names = [name for name, metric in metrics.items() if metric.decides and (witnesses or not metric.witness)]
    return f"These may count: {', '.join(names) or 'none'}."
