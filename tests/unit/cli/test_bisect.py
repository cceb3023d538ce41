"""`kab bisect` and `kab test` on the command line: wrong usage, what is stored, logs that make the search again."""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from factories import run as make_stored
from labs import InventedLab
from ladders import World, edges, loop, on, plan, request

from harness.bisect.fold import stand
from harness.cli.errors import run_command
from harness.cli.live import LiveProgress
from harness.cli.progress import JsonProgress, LineProgress
from harness.errors import ConfigError, ExitCode
from harness.host.locks import try_lock
from harness.lab.resuming import refuse_another
from harness.model.bisection import BisectionPlan
from harness.model.experiment import Experiment
from harness.model.guest import Accelerator
from harness.model.history import Change, Origin, TreeListing
from harness.report.search.bisectlog import read_log, steps_of, write_log
from harness.run.evidence import stored_evidence
from harness.store import SqlStore
from harness.workloads.registry import METRICS

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


def make(tmp_path: Path, *, max_boots: int = 60) -> str:
    """A stored search; finished, unless the cap ends it. Returns its id."""
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        run, _ = loop(store, World()).execute(request(max_boots=max_boots))
    return run.id


@pytest.mark.parametrize("verb", [["bisect"], ["test"], *(["bisect", name] for name in ("status", "log", "replay"))])
def test_help(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*verb, "--help"]) == 0
    assert len(capsys.readouterr().out) > 100


def test_help_of_bisect_names_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["bisect", "--help"])
    text = capsys.readouterr().out
    for word in ("status", "log", "replay", "skip", "report", "--resume", "--edges", "--confidence", "125"):
        assert word in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["bisect"], "no ladder is named"),
        (["bisect", "debian:6.1", "debian:7.3", "--metric", "write_iop"], "write_iops"),
        (["bisect", "debian:6.1", "debian:7.3", "--edges", "none"], "none"),
        (["bisect", "debian:6.1", "debian:7.3", "--confidence", "40%"], "--confidence 40%"),
        (["bisect", "debian:6.1", "debian:7.3", "--ladder", "debian:6.*"], "not both"),
        (["bisect", "--resume"], "no unfinished search"),
        (["bisect", "log"], "there is no search yet"),
        (["bisect", "status", "nothing"], "nothing"),
        (["bisect", "skip", "debian:6.12"], "no unfinished search"),
        (["bisect", "replay", "/nonexistent"], "/nonexistent"),
        (["test", "debian:6.12"], "--like"),
        (["test", "debian:6.12", "--like", "nothing"], "nothing"),
        (["test", "debian:6.12", "--like", "last", "--error", "60%"], "--error 60%"),
    ],
)
def test_wrong_usage_is_129_with_one_clear_message(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(argv) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert words in said
    assert "Traceback" not in said


def test_report_of_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path)
    assert run_command(["bisect", "report"]) == ExitCode.GOOD
    text = capsys.readouterr().out
    for words in (
        "FOUND",
        "removed between 6.1.192-2-cloud-amd64 and 6.12.43-1-cloud-amd64",
        "restored between 6.18.15-1-cloud-amd64 and 7.2.6-1-cloud-amd64",
        "proven",
        "btrfs: don't force DIO writes to be serialized",
        "kab bisect debian:6.1.192-2-cloud-amd64 debian:7.3.4-1-cloud-amd64 --fs btrfs --seed",
    ):
        assert words in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 96
    # `kab report` knows it too, and says the same.
    assert run_command(["report", run]) == ExitCode.GOOD
    assert capsys.readouterr().out == text
    assert run_command(["runs"]) == 0
    listed = capsys.readouterr().out
    assert "found" in listed
    assert listed.count("ab (ends)") == 1
    assert listed.count("ab (proof)") == 2


@pytest.mark.parametrize("max_boots", [60, 11])
def test_report_as_one_html_file(tmp_path: Path, max_boots: int) -> None:
    run = make(tmp_path, max_boots=max_boots)
    page = tmp_path / "report.html"
    run_command(["bisect", "report", "--html", str(page)])
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "<script" not in text
    assert text.count('<circle class="fast"') >= 8
    if max_boots == 60:
        assert text.count('<rect class="edge"') == 2
    # Every boot of ends, search and proofs with its file, which is shown once.
    assert text.count(">domain.xml</a>") == text.count('<tr id="boot-')
    assert text.count("&lt;domain/&gt;") == 1
    assert "fio-0.json" not in text
    other = tmp_path / "other.html"
    run_command(["report", run, "--html", str(other)])
    assert other.read_text() == text


def test_report_as_json_and_as_mail_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path)
    assert run_command(["report", run, "--json", "-"]) == ExitCode.GOOD
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["answer"] == "found"
    assert [edge["kind"] for edge in document["edges"]] == ["removed", "restored"]
    assert "FOUND" in err
    assert run_command(["bisect", "report", "--mail", "-"]) == ExitCode.GOOD
    assert capsys.readouterr().out.startswith("Subject: ")
    assert run_command(["bisect", "log", "--git"]) == ExitCode.USAGE
    assert "no edge between commits" in capsys.readouterr().err


def test_status_of_an_unfinished_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, max_boots=11)
    assert run_command(["bisect", "status"]) == 0
    text = capsys.readouterr().out
    assert "unfinished  11 boots" in text
    assert "next " in text
    assert run_command(["bisect", "report"]) == ExitCode.CANNOT_TELL


def test_an_open_search_takes_skips(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, max_boots=9)
    assert run_command(["bisect", "skip", "6.12.43-1-cloud-amd64"]) == 0
    run_command(["bisect", "status"])
    assert "6.1.192 Fx" in capsys.readouterr().out
    assert run_command(["bisect", "skip", "1", "--undo"]) == 0
    run_command(["bisect", "status"])
    assert "6.1.192 F." in capsys.readouterr().out
    assert run_command(["bisect", "skip", "0"]) == ExitCode.USAGE
    assert "is an end of the ladder" in capsys.readouterr().err


def test_an_ab_run_is_no_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path)
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        part = store.bisections.subruns(run)[0].run_id
    assert run_command(["bisect", "log", part]) == ExitCode.USAGE
    assert "is no search but a `kab ab`" in capsys.readouterr().err


def test_a_log_replays_to_the_same_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make(tmp_path)
    assert run_command(["bisect", "log"]) == 0
    log = capsys.readouterr().out
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        stored = store.run(run)
        evidence = stored_evidence(store, store.bisections, stored, store.bisections.plan(run))
    again = read_log(log)
    assert stand(again, METRICS) == stand(evidence, METRICS)
    assert write_log(run, again) == log
    # Each step chose what was booted then.
    chosen = [stand(step, METRICS).next for step in steps_of(again)]
    assert [one.rung for one in chosen[:-1] if one] == [trial.place.rung for trial in stored.trials]
    file = tmp_path / "search.log"
    file.write_text(log)
    assert run_command(["bisect", "replay", str(file)]) == 0
    assert "removed between 6.1.192 and 6.12.43" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no log"),
        ("# kab bisect log, version 1\nboat\n", "line 2"),
        ("# kab bisect log, version 1\nboot ends 0.0\n", "line 2"),
        ("# kab bisect log, version 1\n", "names no experiment"),
    ],
)
def test_logs_that_are_none(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_log(text)


def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path)
    run_command(["bisect", "log"])
    lines = capsys.readouterr().out.splitlines(keepends=True)
    for stop in range(5, len(lines)):
        stand(read_log("".join(lines[:stop])), METRICS)


def test_another_experiment_is_not_resumed() -> None:
    wanted = request()
    run_plan: BisectionPlan = plan()
    other: Experiment = request(metric="write_iops").experiment
    stored = (make_run(wanted.experiment), run_plan)
    with pytest.raises(ConfigError, match=r"--metric auto \(now write_iops\)"):
        refuse_another(stored, other, run_plan)
    with pytest.raises(ConfigError, match=r"--confidence 99% \(now 90%\)"):
        refuse_another(stored, wanted.experiment, plan(confidence=0.9))
    refuse_another(stored, wanted.experiment, plan())


def make_run(experiment: Experiment):
    return replace(make_stored(), experiment=experiment)


def test_progress_shows_the_strip(tmp_path: Path) -> None:
    for kind in (LineProgress, JsonProgress, LiveProgress):
        out = io.StringIO()
        with SqlStore(tmp_path / f"{kind.__name__}.sqlite") as store, kind(out) as progress:
            search = loop(store, World())
            search = on(search, progress=progress)
            _, outcome = search.execute(request())
            assert edges(outcome)
        text = out.getvalue()
        if kind is LineProgress:
            assert "kab: search boots=8 strip=F" in text
            assert "rung=" in text
        elif kind is JsonProgress:
            events = [json.loads(line) for line in text.splitlines()]
            found = [event for event in events if event["event"] == "search"]
            assert found[-1]["edges"][0] == {"before": 0, "after": 1, "kind": "removed"}
            assert all(event["reason"] for event in found if event["next"] is not None)
        else:
            assert "rung 15" in text


def kab(words: list[str], world: World, **changed: object) -> int:
    return run_command(words, make_lab=InventedLab.of(world, **changed))


class TestCommand:
    """The verb itself, with invented kernels in place of guests."""

    @pytest.fixture
    def world(self) -> World:
        """What boots."""
        return World()

    def test_from_options_to_an_answer(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        assert kab(["bisect", "debian:6.1", "debian:7.3", "--seed", "3"], world) == ExitCode.GOOD
        out, err = capsys.readouterr()
        assert "FOUND" in out
        assert "Restored: last 6.18.15-1" in out
        assert "kab: search boots=8" in err

    def test_suspects_from_a_tree(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        asked: list[tuple[str, str, tuple[str, ...]]] = []

        def lister(older: str, newer: str, paths: Sequence[str]) -> tuple[TreeListing, Sequence[Change]]:
            asked.append((older, newer, tuple(paths)))
            found = Change(subject="ext4: lock", origin=Origin.UPSTREAM, version=newer, commit="ab" * 20)
            return TreeListing(tree="linux", older="v6.18.15", newer="v7.2.6", commits=1), (found,)

        words = ["bisect", "debian:6.1", "debian:7.3", "--tree", "linux", "--fs", "ext4"]
        assert kab([*words, "--max-boots", "8"], world, lister=lister) == ExitCode.CANNOT_TELL
        # It is no part of what a search is.
        assert kab([*words[:3], "--fs", "ext4", "--resume", "--tree", "linux"], world, lister=lister) == ExitCode.GOOD
        assert "ext4: lock (abababababab; " in capsys.readouterr().out
        assert [(older, newer) for older, newer, _ in asked[-2:]] == [
            ("6.1.192-2", "6.12.43-1"),
            ("6.18.15-1", "7.2.6-1"),
        ]
        # The filesystem that was tested, not the one that the workload declares.
        assert asked[-1][2][0] == "fs/ext4"

    def test_the_cap_is_125_and_the_same_command_goes_on(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert kab(["bisect", "debian:6.1", "debian:7.3", "--max-boots", "10"], world) == ExitCode.CANNOT_TELL
        assert "the cap of 10 boots is reached" in capsys.readouterr().out
        assert kab(["bisect", "debian:6.1", "debian:7.3"], world) == ExitCode.GOOD
        assert "resumed_trials=2" in capsys.readouterr().err
        assert len({name for name, _ in world.made}) == len(world.made)

    def test_resume_alone_and_with_other_words(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        begun = ["bisect", "debian:6.1", "debian:7.3", "--fs", "btrfs"]
        kab([*begun, "--max-boots", "10"], world)
        capsys.readouterr()
        for words, difference in (
            (["debian:6.1", "debian:7.3"], "--fs btrfs (now btrfs,mount=nodatacow)"),
            (["debian:6.1", "debian:7.2", "--fs", "btrfs"], "the ladder 20 kernels (now 19 kernels)"),
            (["debian:6.1", "debian:7.3", "--fs", "btrfs", "--metric", "write_iops"], "--metric auto (now write_iops)"),
            (["--fs", "btrfs", "--metric", "write_iops"], "was begun with --metric auto (now write_iops)\n"),
        ):
            assert kab(["bisect", *words, "--resume"], world) == ExitCode.USAGE
            assert difference in capsys.readouterr().err
        assert kab(["bisect", "--resume", "--max-boots", "11"], world) == ExitCode.CANNOT_TELL
        assert kab([*begun, "--resume"], world) == ExitCode.GOOD
        assert "FOUND" in capsys.readouterr().out

    def test_conditions_that_changed_are_not_resumed_under(
        self, world: World, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kab(["bisect", "debian:6.1", "debian:7.3", "--max-boots", "10"], world)
        assert kab(["bisect", "--resume"], world, accelerator=Accelerator.KVM) == ExitCode.USAGE
        assert "host.accelerator tcg (now kvm)" in capsys.readouterr().err

    def test_two_processes_are_refused(self, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        kab(["bisect", "debian:6.1", "debian:7.3", "--max-boots", "10"], world)
        with SqlStore(tmp_path / "state" / "results.sqlite") as store:
            digest = next(run.digest for run in store.runs() if run.verb == "bisect")
        with try_lock(tmp_path / "state" / "locks" / f"run-{digest[:32]}.lock"):
            assert kab(["bisect", "debian:6.1", "debian:7.3"], world) == ExitCode.HOST
        assert f"another kab (pid {os.getpid()}) works on run 2" in capsys.readouterr().err

    def test_one_kernel_against_a_search(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        kab(["bisect", "debian:6.1", "debian:7.3"], world)
        capsys.readouterr()
        kab(["bisect", "status"], world)
        search = capsys.readouterr().out.split()[0]
        assert kab(["test", "debian:6.12.90-2", "--like", search], world) == ExitCode.BAD
        told = capsys.readouterr().out
        assert "6.12.90-2-cloud-amd64: slow" in told
        assert kab(["report", told.split()[-1]], world) == ExitCode.BAD
        assert "6.12.90-2-cloud-amd64" in capsys.readouterr().out
        assert kab(["test", "debian:7.2.12-1", "--like", search], world) == ExitCode.GOOD
        assert "7.2.12-1-cloud-amd64: fast" in capsys.readouterr().out
