"""The table of a mail for the list: both kernels of an A/B run, with deviations, as such reports there have it."""

import statistics
from collections.abc import Mapping, Sequence

from harness.model.experiment import Arm, BlockPlace
from harness.model.trial import Trial
from harness.model.verdict import Comparison, Decision, Verdict
from harness.model.workload import Metric
from harness.report import wording
from harness.report.layout import columns, wrap
from harness.report.numbers import NOTHING, level, number, scale_for
from harness.stats.blocks import pairs_of

_HEADINGS = ("median", "%stddev", "%change", "interval", "median", "%stddev", "")


def change(ratio: float) -> str:
    """-53.2% of the ratio 0.468."""
    return f"{(ratio - 1.0) * 100.0:+.1f}%"


def change_interval(found: Comparison) -> str:
    """``-58.1 .. -48.2%``; empty where there is none."""
    if found.low is None or found.high is None:
        return ""
    return f"{(found.low - 1) * 100:+.1f} .. {(found.high - 1) * 100:+.1f}%"


def effect(found: Comparison) -> str:
    """``write_iops -53.2% (99% interval -58.1 .. -48.2%)``, and whether that tells anything."""
    assert found.ratio is not None, "see wording.deciding"
    inside = change_interval(found)
    said = f" ({_level(found)} interval {inside})" if inside else ""
    doubt = ", inconclusive" if found.verdict is Verdict.INCONCLUSIVE else ""
    return f"{found.metric} {change(found.ratio)}{said}{doubt}"


def _level(found: Comparison) -> str:
    """Without a space that a line could be broken at."""
    return level(found.error).replace(" ", "")


def table(
    names: tuple[str, str],
    decision: Decision,
    trials: Sequence[Trial[BlockPlace]],
    metrics: Mapping[str, Metric],
    *,
    width: int,
) -> list[str]:
    """Lines: the names of both kernels, a row for each metric that both gave, and how to read them."""
    found = [one for one in wording.shown(decision, metrics) if one.ratio is not None]
    if not found:
        return []
    rows = [_HEADINGS, *(_row(one, decision, trials, metrics) for one in found)]
    body = columns(rows, left={6})
    # Both names over their columns.
    second = body[0].rindex("median")
    head = f"{names[0]:<{max(second - 4, len(names[0]) + 2)}}{names[1]}"
    levels = sorted({_level(one) for one in found})
    boots = max(one.blocks for one in found)
    note = (
        f"Medians over {wording.counted(boots, 'boot')} of each kernel; %stddev is between boots; intervals of the "
        f"change hold at {' or '.join(levels)} whenever one looks; * decides."
    )
    return [f"  {head}", *(f"  {line}" for line in body), *wrap(note, indent="  ", width=width)]


def _row(
    found: Comparison, decision: Decision, trials: Sequence[Trial[BlockPlace]], metrics: Mapping[str, Metric]
) -> tuple[str, ...]:
    metric = metrics.get(found.metric)
    factor, unit = scale_for(metric.unit if metric else "", found.baseline, found.candidate)
    mark = " *" if found.metric == decision.metric else ""
    return (
        number(None if found.baseline is None else found.baseline / factor),
        _deviation(trials, found.metric, Arm.BASELINE),
        NOTHING if found.ratio is None else change(found.ratio),
        change_interval(found),
        number(None if found.candidate is None else found.candidate / factor),
        _deviation(trials, found.metric, Arm.CANDIDATE),
        f"{found.metric}{f' ({unit})' if unit else ''}{mark}",
    )


def _deviation(trials: Sequence[Trial[BlockPlace]], metric: str, arm: Arm) -> str:
    """Standard deviation between boots, as a part of their mean."""
    pairs = pairs_of(trials, metric)
    values = [pair.baseline if arm is Arm.BASELINE else pair.candidate for pair in pairs]
    mean = statistics.fmean(values) if values else 0.0
    if len(values) < 2 or mean == 0:
        return ""
    return f"± {statistics.stdev(values) / abs(mean) * 100:.0f}%"
