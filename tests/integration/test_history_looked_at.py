"""The page of nightly series in a real browser: nothing reaches over the edge or covers anything; all can be read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import browser
import pytest
from nightly import ALARM, FIRST_NIGHT, SERIES, kernel, nights

from harness.model.alarm import AlarmEvent, AlarmState, Asked, Change
from harness.report.history.html import history_html
from harness.report.history.trend import Trend, trend_of
from harness.workloads.registry import METRICS

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium"),
    pytest.mark.timeout(300),
]


def quarter() -> Trend:
    """Ninety nights with an open alarm, a closed one, a suspicion and another host."""

    def level(night: int) -> float:
        return 1000 * (0.95 if night >= 30 else 1) * (1.2 if night >= 50 else 1) * (1.07 if night >= 70 else 1)

    fixed = AlarmEvent(state=AlarmState.FIXED, at=FIRST_NIGHT + timedelta(days=80))
    closed = replace(
        ALARM, id="ffee0011", before=kernel(68), after=kernel(70), worse=False, events=(*ALARM.events, fixed)
    )
    change = Change(index=40, before=kernel(39), after=kernel(41), ratio=0.97, worse=True, score=4.0)
    refuted = Asked(name=SERIES, change=change, run_id="ab-7", at=FIRST_NIGHT, confirmed=False)
    made = nights(90, level, host=lambda night: "Xeon 8370C" if night >= 50 else "EPYC 7763")
    return trend_of(SERIES, made, metric=METRICS["write_iops"], alarms=(ALARM, closed), asked=(refuted,))


def year() -> Trend:
    """A year of another metric, with a new host every two months and six alarms side by side."""
    name = replace(SERIES, metric="write_clat_mean")
    alarms = [
        replace(ALARM, id=f"aaaa000{number}", before=kernel(200 + 3 * number), after=kernel(201 + 3 * number))
        for number in range(6)
    ]
    made = nights(365, lambda night: 14_000.0 * (1.05 if night > 200 else 1), host=lambda night: f"host {night // 60}")
    return trend_of(name, made, metric=METRICS["write_clat_mean"], alarms=alarms)


def few() -> Trend:
    """Three nights of kernels with long names."""
    named = [
        replace(night, kernel=replace(night.kernel, release=f"v7.2-rc{index}-00123-g0123456789ab-with-a-long-name"))
        for index, night in enumerate(nights(3))
    ]
    return trend_of(replace(SERIES, cell="a/rather/long/name/of/a/cell" * 3), named, metric=METRICS["write_iops"])


def test_the_page_has_no_fault(tmp_path: Path) -> None:
    page = tmp_path / "history.html"
    page.write_text(history_html([quarter(), year(), few()], now=datetime(2026, 6, 1, tzinfo=UTC)))
    for width, dark in zip((*browser.WIDTHS, *browser.WIDTHS), (False, True, True, False), strict=True):
        look = browser.look_at(page, tmp_path, width=width, dark=dark)
        assert look.texts > 100
        assert look.faults == {}, (width, dark)
