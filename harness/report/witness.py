"""What a witness says for the values it took: the readings written in its meaning, applied to both arms.

Metric.meaning is a sentence of readings, "near 0: WHAT THAT MEANS; near 1: WHAT THAT MEANS". An anchor that is not a
number ("near the number of writers") stands for values well beyond the numbers.
"""

import re

from harness.model.workload import Metric

_READING = re.compile(r"near (?P<anchor>[^:;]+): (?P<text>[^;]+)")
# How far from an anchor, as a part of the distance to the next one (or of the anchor), still counts as near.
_NEAR = 0.35
_ARMS = ("baseline", "candidate")


def reading_of(metric: Metric, value: float) -> str:
    """The reading that `value` is near to, "" when it is near none."""
    anchored: list[tuple[float, str]] = []
    beyond = ""
    for found in _READING.finditer(metric.meaning):
        try:
            anchored.append((float(found["anchor"]), found["text"].strip()))
        except ValueError:
            beyond = found["text"].strip()
    if not anchored:
        return ""
    anchors = sorted(anchor for anchor, _ in anchored)
    tolerance = _NEAR * (anchors[-1] - anchors[0] if len(anchors) > 1 else max(abs(anchors[0]), 1.0))
    nearest, text = min(anchored, key=lambda reading: abs(reading[0] - value))
    if abs(nearest - value) <= tolerance:
        return text
    return beyond if value > anchors[-1] + 2 * tolerance else ""


def explain(
    metric: Metric,
    baseline: float | None,
    candidate: float | None,
    names: tuple[str, str] = _ARMS,
) -> str:
    """In words what the values of both arms say of the mechanism; the general meaning where they fit no reading."""
    arms = list(zip(names, (baseline, candidate), strict=True))
    readings = [(arm, reading_of(metric, value)) for arm, value in arms if value is not None]
    told = [(arm, text) for arm, text in readings if text]
    if not told:
        return metric.meaning
    if len(told) == 2 and told[0][1] == told[1][1]:
        return f"both arms: {told[0][1]}"
    words = [f"{arm}: {text}" for arm, text in told]
    unread = [arm for arm, text in readings if not text]
    words += [f"{arm}: in between" for arm in unread]
    return "; ".join(words)
