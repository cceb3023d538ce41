"""The summary says what is stored, whatever is stored."""

import re
import shlex
from dataclasses import replace

import factories
import pytest

from harness.model.experiment import Arm
from harness.model.run import Parent, SubrunRole
from harness.model.trial import Outcome
from harness.model.verdict import Verdict
from harness.report.compare.sentences import headline
from harness.report.compare.text import summary
from harness.report.numbers import interval, level, number, percent, ratio, scale_for, seconds
from harness.report.witness import explain, reading_of
from harness.report.wording import repeat_command, resolved_spec
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit

FOUR = factories.blocks(4)
QUEUE, DIRTIED = METRICS["queue_depth"], METRICS["dirtied_per_page"]


def test_the_headline_names_effect_and_interval() -> None:
    decision = factories.decide(FOUR)
    found = replace(decision.comparisons["write_iops"], ratio=3.38, low=3.01, high=3.79)
    decision = replace(decision, comparisons={**decision.comparisons, "write_iops": found})
    assert headline(factories.run(), decision, METRICS) == (
        "candidate 7.2.12+deb13-cloud-amd64 is faster than baseline 6.12.107+deb13-cloud-amd64: "
        "write_iops +238 % (x3.38, 99 % interval 3.01 to 3.79) over 4 blocks (8 boots)"
    )


def test_a_witness_that_decides_does_not_stand_for_the_speed() -> None:
    decision = factories.decide(FOUR, metric="queue_depth")
    line = headline(factories.run(), decision, METRICS)
    assert re.search(r"queue_depth \+\d+ % \(.*\) over 4 blocks \(8 boots\); write_iops \+\d+ % \(x.*interval", line)


def test_what_no_boot_gave_is_not_listed() -> None:
    text = summary(factories.run(), factories.decide(failures()), failures(), METRICS)
    assert "queue_depth" not in text


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (Verdict.FASTER, "is faster than baseline"),
        (Verdict.SLOWER, "is slower than baseline"),
        (Verdict.SAME, "is as fast as baseline 6.12.107+deb13-cloud-amd64, within 5%"),
        (Verdict.INCONCLUSIVE, "cannot tell whether candidate"),
        (None, "no verdict yet"),
    ],
)
def test_every_verdict_has_its_claim(verdict: Verdict | None, says: str) -> None:
    decision = replace(factories.decide(FOUR), verdict=verdict) if verdict else None
    assert says in headline(factories.run(), decision, METRICS)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_kernel_compared_with_itself_is_never_called_faster(verdict: Verdict) -> None:
    run = factories.run(candidate=factories.kernel("6.12"))
    line = headline(run, replace(factories.decide(FOUR), verdict=verdict), METRICS)
    assert "compared with itself" in line
    assert "faster than" not in line


def test_kernels_of_one_release_are_told_apart() -> None:
    other = replace(factories.kernel("6.12"), digest="ef" * 32)
    assert "[efefefef]" in headline(factories.run(candidate=other), None, METRICS)
    other = replace(other, version="6.12.107-2")
    assert "(6.12.107-2)" in headline(factories.run(candidate=other), None, METRICS)


def test_the_whole_summary() -> None:
    text = summary(factories.finished(factories.run(FOUR)), factories.decide(FOUR), FOUR, METRICS)
    assert "kab ab 20261122-1934-k7f3: FASTER" in text
    for part in ("99 % for each", "baseline: I/O to the file is serialised", "nvme,backend=nbd,latency=2ms,size=1GiB",
                 "btrfs,mount=nodatacow", "fio fio-3.33", "accelerator tcg", "2 vCPUs, 1024 MiB", "seed 8140233",
                 "file_bytes=64MiB", "6.12.107-1"):  # fmt: skip
        assert part in text, part
    for absent in ("Boots that gave no figures", "Seen in the kernel logs", "Mind\n"):
        assert absent not in text
    [starred] = [line for line in text.splitlines() if line.startswith("* ")]
    assert starred.split()[1] == "write_iops"
    assert text.isascii()


def test_a_run_inside_a_search_names_it() -> None:
    parent = Parent(run_id="20261122-0103-x9f2", role=SubrunRole.REVERT_TEST, place="46-20")
    inside = factories.run(FOUR, parent=parent)
    assert re.search(r"part of +20261122-0103-x9f2, its revert test 46-20\n", summary(inside, None, FOUR, METRICS))
    assert "part of" not in summary(factories.run(FOUR), None, FOUR, METRICS)


def test_lines_fit_a_mail() -> None:
    text = summary(factories.finished(factories.run(FOUR)), factories.decide(FOUR), FOUR, METRICS)
    *lines, command = text.splitlines()
    assert max(map(len, lines)) <= 96
    assert command.startswith("  kab ab ")


def test_a_witness_is_higher_or_lower_never_faster() -> None:
    text = summary(factories.run(FOUR), factories.decide(FOUR), FOUR, METRICS)
    [row] = [line for line in text.splitlines() if line.startswith("  queue_depth ") and "->" not in line]
    assert row.endswith("higher")


def test_error_rates_of_several_levels_are_stated() -> None:
    decision = factories.decide(FOUR)
    found = replace(decision.comparisons["write_iops"], error=0.005)
    decision = replace(decision, comparisons={**decision.comparisons, "write_iops": found})
    text = " ".join(summary(factories.run(FOUR), decision, FOUR, METRICS).split())
    assert "intervals of 99.5 % for write_iops; 99 % for the others" in text


def failures():
    crash = factories.failed(
        factories.block_spec(4, 0, Arm.CANDIDATE), Outcome.CRASHED, "it panicked", (factories.PANIC,)
    )
    again = factories.another_try(crash)
    lost = factories.failed(factories.block_spec(5, 0, Arm.BASELINE), Outcome.LOST, "QEMU was killed")
    return crash, again, lost


def test_failures_findings_and_warnings_are_told() -> None:
    trials = (*FOUR, *failures())
    decision = factories.decide(trials)
    noted = {name: replace(found, notes=("drift",)) for name, found in decision.comparisons.items()}
    text = summary(factories.run(trials), replace(decision, comparisons=noted), trials, METRICS)
    flat = " ".join(text.split())
    assert "crashed: 2 of 6 boots of the candidate: it panicked" in flat
    assert "lost: 1 of 5 boots of the baseline (the host's fault, says nothing about the kernel): QEMU" in flat
    assert "panic: Kernel panic - not syncing: Fatal exception in interrupt (2 boots of the candidate)" in flat
    assert flat.count(": drift") == 1, "one line for all metrics"


@pytest.mark.parametrize("trials", [(), failures(), FOUR[:1], FOUR[:2]], ids=["none", "failed", "one", "block"])
@pytest.mark.parametrize("decided", [True, False])
def test_whatever_there_is(trials, decided: bool) -> None:
    decision = factories.decide(trials) if decided else None
    text = summary(factories.run(trials), decision, trials, METRICS)
    assert "How to repeat" in text
    assert "nan" not in text
    assert "None" not in text


def test_metrics_that_the_catalogue_lacks() -> None:
    text = summary(factories.run(FOUR), factories.decide(FOUR), FOUR, {})
    assert "queue_depth" in text


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (("/x/kab", "ab", "debian:6.12", "debian:7.2"), "kab ab debian:{b} debian:{c} --seed 8140233"),
        (("kab", "ab", "--seed", "3", "debian:6.12", "debian:7.2"), "kab ab debian:{b} debian:{c} --seed 8140233"),
        (("kab", "ab", "debian:6.12", "debian:7.2", "--seed=3"), "kab ab debian:{b} debian:{c} --seed 8140233"),
        (
            ("/x/__main__.py", "ab", "-f", "a b.yaml"),
            "python3 -m harness ab debian:{b} debian:{c} -f 'a b.yaml' --seed 8140233",
        ),
        (
            ("kab", "ab", "--new", "--json", "-", "debian:6.12", "debian:7.2", "--html=a.html", "--progress", "json"),
            "kab ab debian:{b} debian:{c} --seed 8140233",
        ),
    ],
)
def test_how_to_repeat(command: tuple[str, ...], expected: str) -> None:
    names = {"b": "6.12.107+deb13-cloud-amd64", "c": "7.2.12+deb13-cloud-amd64"}
    assert repeat_command(factories.run(command=command)) == expected.format(**names)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            ("kab", "bisect", "debian:6.12", "debian:7.2", "--fs", "btrfs"),
            "kab bisect debian:{b} debian:{c} --fs btrfs --seed 8140233",
        ),
        (("kab", "bisect", "--ladder", "debian:6.12.*"), "kab bisect --ladder 'debian:6.12.*' --seed 8140233"),
    ],
)
def test_how_to_repeat_a_search(command: tuple[str, ...], expected: str) -> None:
    names = {"b": "6.12.107+deb13-cloud-amd64", "c": "7.2.12+deb13-cloud-amd64"}
    run = factories.run(command=command)
    # Ends are stored as the packages that they meant, not as they were written.
    ends = {
        arm: replace(getattr(run, arm), spec=f"debian:{getattr(run, arm).release}") for arm in ("baseline", "candidate")
    }
    assert repeat_command(replace(run, verb="bisect", **ends)) == expected.format(**names)


def test_how_to_repeat_a_matrix() -> None:
    gate = factories.run(verb="gate", command=("kab", "gate", "./g.yaml", "--junit", "out.xml", "--mail=m"))
    assert repeat_command(gate) == "kab gate ./g.yaml --seed 8140233"
    # The same command would measure what is new by then.
    night = factories.run(verb="nightly", command=("kab", "nightly", "./n.yaml", "--junit", "out.xml"))
    assert repeat_command(night) == f"kab report {night.id} --all"


def test_how_to_repeat_with_one_spec_twice_and_with_files() -> None:
    same = factories.kernel("6.12")
    run = factories.run(command=("kab", "ab", "debian:6.12", "debian:6.12"), baseline=same, candidate=same)
    assert repeat_command(run).count("debian:6.12.107+deb13-cloud-amd64") == 2
    built = replace(same, spec="tree:/src/linux", source="tree")
    run = factories.run(command=("kab", "ab", "tree:/src/linux", "debian:7.2"), baseline=built)
    assert repeat_command(run).startswith("kab ab tree:/src/linux debian:7.2.12+")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.85, "serialised"), (1.03, "serialised"), (2.15, "parallel"), (3.51, "parallel"), (1.36, "")],
)
def test_queue_depths_of_real_runs(value: float, expected: str) -> None:
    assert expected in reading_of(QUEUE, value)
    assert bool(reading_of(QUEUE, value)) == bool(expected)


@pytest.mark.parametrize(
    ("baseline", "candidate", "expected"),
    [
        (6783 / 6696, 6960 / 6872, "both arms: they fall back to buffered writes"),
        (164 / 11080, 6783 / 6696, "baseline: direct writes bypass the page cache; candidate: they fall back"),
        (164 / 11080, None, "baseline: direct writes bypass the page cache"),
        (0.5, 0.01, "candidate: direct writes bypass the page cache; baseline: in between"),
        (None, None, DIRTIED.meaning),
        (0.5, 0.5, DIRTIED.meaning),
    ],
)
def test_pages_dirtied_of_real_runs(baseline: float | None, candidate: float | None, expected: str) -> None:
    assert explain(DIRTIED, baseline, candidate).startswith(expected)


def test_every_witness_is_explained() -> None:
    for metric in METRICS.values():
        if metric.witness:
            for value in (0.0, 0.02, 1.0, 3.3, 1e6):
                assert explain(metric, value, value), metric.name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(0.01234), "0.0123"), (number(1004.4), "1004"), (number(22.06), "22.1"), (number(None), "-"),
        (number(float("nan")), "-"), (number(0), "0"), (number(1.5e12), "1.50e+12"), (number(-297.3), "-297"),
        (percent(3.38), "+238 %"), (percent(0.3), "-70 %"), (percent(1.004), "+0.4 %"), (percent(1.0), "0.0 %"),
        (percent(0.9999), "0.0 %"),
        (ratio(3.384), "x3.38"), (ratio(0.9964), "x0.996"), (ratio(None), "-"), (ratio(0.0123), "x0.0123"),
        (interval(3.01, 3.79), "3.01 to 3.79"), (interval(0.82, 1.043), "0.820 to 1.043"), (interval(None, 1), "-"),
        (interval(1.5, float("inf")), "1.50 to inf"), (level(0.01), "99 %"), (level(0.0025), "99.75 %"),
        (level(1 / 60), "98.33 %"), (level(0.000025), "99.9975 %"), (level(0.1), "90 %"),
        (seconds(12.61), "12.6 s"), (seconds(250), "4 min 10 s"), (seconds(7500), "2 h 05 min"),
        (str(scale_for("us", 9_000, 12_000)), "(1000.0, 'ms')"), (str(scale_for("us", 9_000)), "(1.0, 'us')"),
        (str(scale_for("1/s", 1e9, None)), "(1.0, '1/s')"),
    ],
)  # fmt: skip
def test_numbers(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize("named", [(), ("debian:6.12",)])
def test_kernels_that_a_file_names_are_pinned_where_it_is_told_how_to_repeat(named: tuple[str, ...]) -> None:
    """A suite moves on, and the file would mean another kernel then; what a command names goes before a file's."""
    run = factories.run(command=("kab", "ab", *named, "-f", "mine.yaml", "--html", "r.html"))
    words = shlex.split(repeat_command(run))
    pinned = [resolved_spec(run.baseline), resolved_spec(run.candidate)]
    assert words == ["kab", "ab", *pinned, "-f", "mine.yaml", "--seed", str(run.seed)]
