"""Nightly series told: the table, the chart, the page and the JSON say what the nights are, and steer nobody."""

import json
import math
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nightly import ALARM, FIRST_NIGHT, SERIES, kernel, nights
from pages import sound

from harness.model.alarm import AlarmEvent, AlarmState, Asked, Change
from harness.report.history.charts import short_names, trend_chart, trend_svg
from harness.report.history.html import history_html
from harness.report.history.json import history_json, history_json_schema
from harness.report.history.text import history_text, sparkline
from harness.report.history.trend import MarkKind, Trend, trend_of
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

NOW = datetime(2026, 6, 1, tzinfo=UTC)
REFUTED = Asked(
    name=SERIES,
    change=Change(index=40, before=kernel(39), after=kernel(41), ratio=0.97, worse=True, score=4.0),
    run_id="ab-7",
    at=FIRST_NIGHT,
    confirmed=False,
)
FIXED = replace(
    ALARM,
    id="ffee0011",
    before=kernel(68),
    after=kernel(70),
    worse=False,
    events=(*ALARM.events, AlarmEvent(state=AlarmState.FIXED, at=FIRST_NIGHT + timedelta(days=80))),
)


def series(count: int = 90) -> Trend:
    """A step down at 30 that is an alarm, another host at 50, a step up at 70 that is closed."""

    def level(night: int) -> float:
        return 1000 * (0.95 if night >= 30 else 1) * (1.2 if night >= 50 else 1) * (1.07 if night >= 70 else 1)

    made = nights(count, level, host=lambda night: "Xeon 8370C" if night >= 50 else "EPYC 7763")
    return trend_of(SERIES, made, metric=METRICS["write_iops"], alarms=(ALARM, FIXED), asked=(REFUTED,))


def test_what_is_marked() -> None:
    trend = series()
    marked = {index: [mark.kind for mark in marks] for index, marks in enumerate(trend.marks) if marks}
    assert marked == {30: [MarkKind.WORSE], 41: [MarkKind.REFUTED], 50: [MarkKind.BREAK], 70: [MarkKind.BETTER]}
    assert trend.marks[70][0].since == 68
    assert (trend.marks[30][0].open, trend.marks[70][0].open) == (True, False)
    # Nothing is said of a night against one under other conditions.
    assert trend.effect(50) is None
    assert trend.effect(0) is None
    assert trend.effect(30) == pytest.approx(0.95, abs=0.02)
    assert trend.is_better(0.9) is False
    # Neither another cell's alarms nor another metric's suspicions are this series'.
    elsewhere = replace(ALARM, name=replace(SERIES, cell="another"))
    other = trend_of(replace(SERIES, metric="write_clat_mean"), trend.nights, metric=None, alarms=(elsewhere,),
                     asked=(REFUTED,))  # fmt: skip
    assert [mark.kind for marks in other.marks for mark in marks] == [MarkKind.BREAK]


def test_the_table_has_the_newest_nights_and_what_is_marked() -> None:
    text = history_text([series()], newest=5)
    lines = text.splitlines()
    assert lines[0] == "shared-dio/btrfs on debian:6.12: write_iops (1/s, higher is better), 90 nights"
    assert len(lines[1].split()[0]) == 80
    assert len(lines) == 3 + 4 + 5 + 1
    assert lines[3].startswith("  !  2026-01-31  6.12.30+deb13-cloud-amd64")
    assert lines[3].endswith("alarm a1b2c3d4: write_iops -4.9 %, worse, new")
    assert "|  2026-02-20" in lines[5]
    assert "not comparable: host CPU EPYC 7763 -> Xeon 8370C" in lines[5]
    assert lines[-1] == "  81 older nights without a mark left out"


def test_a_line_of_blocks() -> None:
    assert sparkline([]) == ""
    assert sparkline([1, 2, 3, 8]) == "▁▂▃█"
    assert sparkline([5.0, 5.0]) == "▄▄"
    assert sparkline(range(1000), 8) == "▁▂▃▄▅▆▇█"
    assert len(sparkline(range(81))) == 80


def test_the_chart_has_every_night_where_it_belongs() -> None:
    chart = trend_chart(series())
    assert chart is not None
    assert len(chart.dots) == 90
    left, top, right, bottom = chart.plot
    assert all(left < dot.x < right and top <= dot.low >= dot.y >= dot.high >= top for dot in chart.dots)
    assert all(dot.low <= bottom for dot in chart.dots)
    # Lower values are further down.
    assert chart.dots[35].y > chart.dots[10].y > chart.dots[80].y
    [worse, better] = chart.bands
    assert (worse.kind, worse.open, worse.label) == ("worse", True, "▼ a1b2c3d4, new")
    assert (worse.x, worse.x + worse.width) == (chart.dots[29].x, pytest.approx(chart.dots[30].x, abs=0.2))
    assert (better.kind, better.open, better.x) == ("better", False, chart.dots[68].x)
    [line] = chart.breaks
    assert chart.dots[49].x < line.x < chart.dots[50].x
    assert len(chart.levels) == 4
    assert [tick.at for tick in chart.refuted] == [chart.dots[41].x]
    for words in ("90 nights from 2026-01-01 to 2026-03-31", "alarm a1b2c3d4", "Xeon 8370C"):
        assert words in chart.description


@pytest.mark.parametrize("count", [1, 2, 40, 365, 1500])
def test_names_on_the_axis_do_not_cover_each_other(count: int) -> None:
    chart = trend_chart(series(count))
    assert chart is not None
    places = [tick.at for tick in chart.names]
    assert places == sorted(places)
    assert all(other - one >= 16.9 for one, other in pairwise(places))
    assert chart.names[-1].label == f"6.12.{count - 1}"
    if count > 30:
        assert "6.12.30" in {tick.label for tick in chart.names}


def test_labels_of_many_breaks_do_not_cover_each_other() -> None:
    many = trend_of(SERIES, nights(365, host=lambda night: f"host {night // 3}"), metric=None)
    chart = trend_chart(many)
    assert chart is not None
    assert len(chart.breaks) == 121
    spans = [
        (line.x, line.x + 6.0 * len(line.label)) if line.anchor == "start" else (line.x - 6.0 * len(line.label), line.x)
        for line in chart.breaks
        if line.label
    ]
    assert 5 < len(spans) < 60
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_names_are_short() -> None:
    assert short_names(["6.12.1+deb13-cloud-amd64", "6.12.20+deb13-cloud-amd64"]) == ("6.12.1", "6.12.20")
    assert short_names(["6.12.1-1-amd64", "6.12.1-2-amd64"]) == ("6.12.1-1", "6.12.1-2")
    assert short_names(["same-a", "same-a"]) == ("same", "same")
    assert short_names(["-a", "-a"]) == ("-a", "-a")
    assert short_names(["v7.2-rc1-00123-g0123456789ab", "x"]) == ("v7.2-rc1-00123-g0…", "x")
    assert short_names([]) == ()


def test_the_page_is_sound_and_has_a_table_of_what_is_drawn() -> None:
    empty = trend_of(replace(SERIES, cell="empty"), (), metric=None)
    text = history_html([series(), empty], now=NOW)
    page = sound(text)
    assert page.tags.count("svg") == 1 + 6
    assert page.tags.count("caption") == 1
    assert page.tags.count("tr") == 1 + 60
    for words in ("2 series over 90 nights, 1 change is open", "kab alarms show a1b2c3d4", "no night has a figure",
                  "And 30 older ones without a mark", "higher is better"):  # fmt: skip
        assert words in page.text
    assert re.search(r'role="img" aria-label="shared-dio/btrfs on debian:6.12: write_iops\. 90 nights', text)


def test_a_chart_can_be_put_into_any_page() -> None:
    part = trend_svg(series())
    assert part.__html__() == str(part)
    assert part.count("<svg") == part.count("</svg>") == 1
    assert "<html" not in part
    assert "no night has a figure" in trend_svg(trend_of(SERIES, (), metric=None))


def test_the_json_fits_its_schema_and_has_every_boot() -> None:
    document = json.loads(json.dumps(history_json([series(), trend_of(SERIES, (), metric=None)])))
    jsonschema.Draft202012Validator(history_json_schema()).validate(document)
    first = document["series"][0]
    assert len(first["nights"]) == 90
    assert first["nights"][30]["values"] == list(series().nights[30].values)
    assert first["nights"][30]["marks"][0]["kind"] == "worse"
    assert first["nights"][50]["change"] is None
    assert [(alarm["id"], alarm["state"]) for alarm in first["alarms"]] == [("a1b2c3d4", "new"), ("ffee0011", "fixed")]
    assert document["series"][1]["direction"] is None


def test_hostile_names_steer_nobody() -> None:
    bad = "<script>\x1b[2J\u202e\n\"'"
    name = replace(SERIES, cell=bad, matrix=bad, series=bad, metric=bad)
    made = [
        replace(night, kernel=replace(night.kernel, release=bad), conditions=((bad, f"{bad}{index}"),))
        for index, night in enumerate(nights(4))
    ]
    alarm = replace(ALARM, name=name, before=made[0].kernel, after=made[2].kernel)
    trend = trend_of(name, made, metric=None, alarms=(alarm,))
    page, text = history_html([trend], now=NOW), history_text([trend], newest=9)
    sound(page)
    for told in (page, text):
        assert "\x1b" not in told
        assert "\u202e" not in told
    assert "<script" not in page
    assert len(text.splitlines()) == 3 + 4


@given(
    values=st.lists(
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=4), min_size=0, max_size=9
    )
)
def test_any_values_are_drawn(values: list[list[float]]) -> None:
    made = [replace(night, values=tuple(some)) for night, some in zip(nights(9), values, strict=False)]
    trend = trend_of(SERIES, made, metric=METRICS["write_iops"])
    history_text([trend], newest=5)
    chart = trend_chart(trend)
    if chart is not None:
        assert all(math.isfinite(place) for dot in chart.dots for place in (dot.x, dot.y, dot.low, dot.high))
