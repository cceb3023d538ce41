"""The HTML report is one sound, self-contained file, and its charts are where the values are."""

import re
from dataclasses import replace

import factories
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Page, sound

from harness.model.experiment import Arm
from harness.model.trial import Finding, FindingKind, Outcome, Stage
from harness.model.verdict import Verdict
from harness.report.attachments import ATTACHMENTS
from harness.report.compare.charts import dot_plot, forest, latencies, stage_bar
from harness.report.compare.html import to_html
from harness.report.compare.text import summary
from harness.report.scales import Axis, linear_axis, log_axis
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

FOUR = factories.blocks(4)
FAILED = factories.failed(
    factories.block_spec(4, 0, Arm.CANDIDATE, attempt=1),
    Outcome.CRASHED,
    "it <i>panicked</i> & died",
    (factories.PANIC,),
)


def page(run, decision, trials) -> Page:
    return sound(to_html(run, decision, trials, METRICS))


def test_the_whole_page() -> None:
    found = page(factories.finished(factories.run(FOUR)), factories.decide(FOUR), FOUR)
    for part in ("faster", "99 % interval", "baseline: I/O to the file is serialised", "trixie", "linux-image-7.2.12",
                 "--seed 8140233", "accelerator", "AMD EPYC", "queue_depth", "ioengine=psync", "<domain type='qemu'>",
                 "nvme,backend=nbd,latency=2ms,size=1GiB", "cd" * 32):  # fmt: skip
        assert part in found.text, part
    assert "Mind" not in found.text
    # Forest, latencies, one plot for each metric, one bar for each boot, and two legends of two signs each.
    assert found.tags.count("svg") == 2 + len(factories.CENTRES) + len(FOUR) + 4
    assert {f"boot-{number}" for number in range(1, 9)} <= set(found.ids)


def test_a_chart_says_in_words_what_it_shows() -> None:
    found = page(factories.run(FOUR), factories.decide(FOUR), FOUR)
    labels = [value for name, value in found.attributes if name == "aria-label"]
    assert any(re.search(r"baseline median \d+ 1/s, candidate median \d+ 1/s", label) for label in labels)
    assert found.tags.count("svg") == len(labels) + len([name for name, _ in found.attributes if name == "aria-hidden"])


@pytest.mark.parametrize(
    "trials",
    [(), (FAILED,), FOUR[:1], FOUR[:2], (*FOUR, FAILED), (replace(FOUR[0], samples={"write_iops": (0.0,)}),)],
    ids=["none", "failed", "one", "block", "many", "zero"],
)
@pytest.mark.parametrize("decided", [True, False])
def test_whatever_there_is(trials, decided: bool) -> None:
    page(factories.run(trials), factories.decide(trials) if decided else None, trials)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict(verdict: Verdict) -> None:
    found = page(factories.run(FOUR), replace(factories.decide(FOUR), verdict=verdict), FOUR)
    assert f"hero {verdict}" in "".join(f"{value}\n" for name, value in found.attributes if name == "class")


def test_a_witness_that_decides_does_not_stand_for_the_speed() -> None:
    decision = factories.decide(FOUR, metric="queue_depth")
    assert "With it goes write_iops +" in page(factories.run(FOUR), decision, FOUR).text


def test_metrics_that_the_catalogue_lacks() -> None:
    Page(to_html(factories.run(FOUR), factories.decide(FOUR), FOUR, {}))


def test_what_a_guest_wrote_is_only_text() -> None:
    trials = (*FOUR, FAILED)
    found = page(factories.run(trials, host={"<b>": "\"'><script>x</script>"}), factories.decide(trials), trials)
    assert "Comm: fio <script>alert(1)</script>" in found.text
    assert "it <i>panicked</i> & died" in found.text
    assert "Kernel panic - not syncing <b>\ufffd\\x00" in found.text


def test_nothing_of_a_guest_steers_the_readers_eyes() -> None:
    hostile = "\x1b[2J\u202egood\u2066\x9b31m\x07"
    finding = Finding(kind=FindingKind.PANIC, message=f"panic {hostile}", excerpt=f"one\n{hostile}\r\ntwo")
    trial = replace(
        FAILED,
        message=hostile,
        findings=(finding,),
        environment={"kernel": hostile},
        artifacts={"console.log": hostile.encode()},
    )
    run = factories.run((trial,), host={"cpu": hostile}, conditions={"qemu": hostile}, command=("kab", hostile))
    run = replace(run, candidate=replace(run.candidate, release=hostile, version=hostile, spec=hostile))
    html = to_html(run, None, (trial,), METRICS)
    assert html.count("\\x1b[2J\\u202egood\\u2066\\x9b31m\\x07") > 8
    assert not set(html) & set("\x1b\u202e\u2066\x9b\x07\r")
    text = summary(run, None, (trial,), METRICS)
    assert text.count("\\x1b[2J\\u202egood\\u2066\\x9b31m\\x07") > 3
    assert not set(text) & set("\x1b\u202e\u2066\x9b\x07\r")


def test_files_are_shown_once_and_logs_of_failed_boots_only() -> None:
    trials = (*FOUR, FAILED)
    found = page(factories.run(trials), factories.decide(trials), trials)
    # domain.xml and the job shared by all, and the console of the boot that failed.
    assert len([link for link in found.ids if link.startswith("file-")]) == 3
    assert found.text.count("<domain type='qemu'>") == 1
    assert "Linux version" not in found.text
    assert "of boots 1, 2, 3, 4, 5, 6, 7, 8, 9" in found.text
    assert {"domain.xml", "fio-job", "console.log"} <= set(ATTACHMENTS)


def test_no_files_no_section() -> None:
    bare = tuple(replace(trial, artifacts={}) for trial in FOUR)
    assert "files" not in page(factories.run(bare), factories.decide(bare), bare).ids


def test_endless_logs_are_cut() -> None:
    trial = replace(FAILED, artifacts={"console.log": b"first\n" + b"x" * 3_000_000 + b"\nlast"})
    text = to_html(factories.run(), None, (trial,), METRICS)
    assert len(text) < 200_000
    assert "first" in text
    assert "last</pre>" in text
    assert "bytes left out" in text


def test_dots_stand_where_the_values_are() -> None:
    plot = dot_plot(METRICS["write_iops"], (*FOUR, FAILED))
    assert plot is not None
    baseline = [dot.y for dot in plot.boots if dot.arm is Arm.BASELINE]
    candidate = [dot.y for dot in plot.boots if dot.arm is Arm.CANDIDATE]
    assert max(candidate) < min(baseline), "more is higher up"
    assert (len(plot.boots), len(plot.iterations), len(plot.pairs), len(plot.missing)) == (8, 24, 4, 1)
    left, top, right, bottom = plot.plot
    assert all(left <= dot.x <= right and top <= dot.y <= bottom for dot in (*plot.boots, *plot.iterations))
    assert [tick.label for tick in plot.x_ticks] == ["1", "2", "3", "4", "5"]


def test_labels_of_close_medians_keep_apart() -> None:
    same = {name: (centre[0], centre[0]) for name, centre in factories.CENTRES.items()}
    plot = dot_plot(METRICS["write_iops"], factories.blocks(4, centres=same))
    assert plot is not None
    one, other = plot.medians
    assert abs(one.label_y - other.label_y) >= 14


def test_the_forest() -> None:
    decision = factories.decide(FOUR)
    found = decision.comparisons["write_clat_p99"]
    open_ended = replace(found, low=None, high=float("inf"))
    chart = forest(
        [decision.comparisons["write_iops"], open_ended, replace(found, ratio=None)],
        METRICS, margin=0.05, deciding="write_iops",
    )  # fmt: skip
    assert chart is not None
    first, second = chart.rows
    assert (first.deciding, first.kind, second.kind) == (True, "better", "better")
    assert chart.margin[0] < chart.one < chart.margin[1] < first.x_low < first.x < first.x_high
    assert second.x < chart.one
    assert (second.x_low, second.x_high) == (chart.plot[0], chart.plot[2]), "an open end reaches the edge"
    assert forest([replace(found, ratio=None)], METRICS, margin=0.05, deciding=None) is None


def test_latencies() -> None:
    chart = latencies(factories.decide(FOUR).comparisons, METRICS)
    assert chart is not None
    assert [row.label for row in chart.rows] == [
        "write_clat_mean", "write_clat_p50", "write_clat_p99", "write_clat_p99_9",
    ]  # fmt: skip
    assert all(row.dots[1].x < row.dots[0].x for row in chart.rows), "the candidate's are smaller"
    assert latencies({}, METRICS) is None


def test_stage_bars_add_up() -> None:
    trial = replace(FOUR[0], stage_s={Stage.MEASURE: 6.0, Stage.BOOT: 4.0, Stage.CHECK: 0.0})
    bar = stage_bar(trial, longest_s=20.0, width=200)
    assert [(part.stage, part.x, part.width) for part in bar] == [(Stage.BOOT, 0, 40), (Stage.MEASURE, 40, 60)]


@given(st.lists(st.floats(-1e12, 1e12), max_size=6))
def test_linear_axes_hold_their_values(values: list[float]) -> None:
    axis = linear_axis(values, start=0, end=100)
    assert all(axis.low <= value <= axis.high for value in values)
    assert axis.low < axis.high
    assert len(axis.ticks(5)) <= 7


@given(st.lists(st.floats(1e-9, 1e12), max_size=6))
def test_log_axes_hold_their_values(values: list[float]) -> None:
    axis = log_axis(values, start=0, end=100)
    assert all(axis.low <= value <= axis.high for value in values)
    assert 1 <= len(axis.ticks(8)) <= 8


def test_ticks_are_round() -> None:
    assert [tick.label for tick in Axis(low=0, high=1100, start=0, end=1).ticks(5)] == [
        "0",
        "250",
        "500",
        "750",
        "1000",
    ]
    labels = [tick.label for tick in Axis(low=0.27, high=4.1, start=0, end=1, logarithmic=True).ticks(8)]
    assert labels == ["0.3", "0.5", "0.7", "1", "1.5", "2", "3"]
