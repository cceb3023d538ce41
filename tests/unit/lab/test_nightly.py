"""Night after night: what is new is measured once, against the last good kernel, and told."""

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from nightlylabs import Mirror, Speeds, nightly_lab

from harness.config.matrix import load_matrix
from harness.errors import ConfigError, ExitCode, HostError
from harness.host.locks import try_lock
from harness.interfaces import NullProgress
from harness.lab.lab import Lab
from harness.lab.matrixviews import matrix_view
from harness.lab.nightly import NightlyResult
from harness.lab.nightlyrequest import NightlyRequest
from harness.model.matrix import CellVerdict
from harness.model.run import RunState
from harness.model.trial import Outcome

pytestmark = pytest.mark.unit

FILE = """\
title: every night
metric: write_iops
axes:
  fs: [btrfs, ext4]
nightly: {series: [debian:6.12]}
"""
ONE_CELL = FILE.replace("[btrfs, ext4]", "[btrfs]")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


class Nights:
    """One machine, night after night: a process of its own each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mirror = Mirror(versions=["6.12.3", "6.12.5"])
        self.world = Speeds()
        self.write(FILE)

    def write(self, text: str) -> None:
        (self.folder / "nightly.yaml").write_text(text)

    def request(self, **options: object) -> NightlyRequest:
        return NightlyRequest(file=load_matrix(self.folder / "nightly.yaml"), **options)  # type: ignore[arg-type]

    def lab(self) -> Lab:
        return nightly_lab(self.world, self.mirror)(NullProgress())

    def night(self, **options: object) -> NightlyResult:
        with self.lab() as lab:
            return lab.nightly(self.request(**options))

    def runs(self) -> int:
        with self.lab() as lab:
            return len(lab.store.runs(1000))


def pairs(found: NightlyResult) -> list[tuple[str, str]]:
    """(baseline, candidate) of each round, which are those of all its cells."""
    cells = [
        {(cell.baseline.version, cell.candidate.version) for cell in outcome.cells if cell.baseline and cell.candidate}
        for _, outcome in found.rounds
    ]
    assert {len(one) for one in cells} <= {1}
    return [pair for one in cells for pair in one]


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    return Nights(tmp_path)


def test_the_first_night_and_the_same_night_again(nights: Nights) -> None:
    first = nights.night()
    assert pairs(first) == [("6.12.3", "6.12.5")]
    assert first.exit_code is ExitCode.GOOD
    [(run, outcome)] = first.rounds
    assert (run.verb, run.state) == ("nightly", RunState.FINISHED)
    assert [result.cell for result in outcome.cells] == ["debian:6.12/btrfs", "debian:6.12/ext4"]
    assert first.notes == (
        "debian:6.12: new and passed over, as there are newer ones (nightly: newest): 6.12.3-cloud-amd64",
        "debian:6.12: 6.12.5-cloud-amd64 in 2 cells, against 6.12.3-cloud-amd64: the one before it on offer",
    )
    with nights.lab() as lab:
        assert [cell.cell.axes["series"] for cell in matrix_view(lab, run.id).cells] == ["debian:6.12"] * 2
    stored = nights.runs()
    nights.world.made.clear()
    again = nights.night()
    assert (again.rounds, again.exit_code, nights.world.made) == ((), ExitCode.GOOD, [])
    assert again.notes[-1].startswith("nothing is new since ")
    assert nights.runs() == stored


def test_a_slower_one_is_told_and_never_a_baseline(nights: Nights) -> None:
    nights.night()
    nights.mirror.versions.append("6.12.7")
    nights.world.factors = {"6.12.7": 0.7}
    nights.world.made.clear()
    bad = nights.night()
    assert pairs(bad) == [("6.12.5", "6.12.7")]
    assert bad.exit_code is ExitCode.BAD
    assert {result.verdict for result in bad.rounds[0][1].cells} == {CellVerdict.SLOWER}
    nights.mirror.versions.append("6.12.9")
    good = nights.night()
    assert pairs(good) == [("6.12.5", "6.12.9")]
    assert good.exit_code is ExitCode.GOOD
    assert "the last good one of the series" in good.notes[-1]


def test_many_that_are_passed_over_are_told_in_a_line(nights: Nights) -> None:
    nights.mirror.versions = [f"6.12.{number}" for number in range(1, 40)]
    assert nights.night().notes[0].endswith(": 38, 6.12.1-cloud-amd64 to 6.12.38-cloud-amd64")


def test_several_new_ones_in_rounds_each_against_the_one_before(nights: Nights) -> None:
    nights.write(FILE.replace("[debian:6.12]", "[debian:6.12], newest: 3"))
    nights.mirror.versions = ["6.12.1", "6.12.3", "6.12.5", "6.12.7"]
    found = nights.night()
    assert len(found.rounds) == 3
    assert [run.candidate.version for run, _ in found.rounds] == ["6.12.3", "6.12.5", "6.12.7"]
    assert [run.baseline.version for run, _ in found.rounds] == ["6.12.1", "6.12.3", "6.12.5"]
    nights.world.made.clear()
    assert nights.night().rounds == ()
    assert not nights.world.made


def test_the_file_names_the_first_baseline(nights: Nights) -> None:
    nights.write(f"baseline: debian:6.1.4\n{FILE}")
    nights.mirror.versions.append("6.1.4")
    found = nights.night()
    assert pairs(found) == [("6.1.4", "6.12.5")]
    assert "the baseline that the file names" in found.notes[-1]
    nights.mirror.versions.append("6.12.7")
    found = nights.night()
    assert pairs(found) == [("6.12.5", "6.12.7")]


def test_one_alone_is_measured_against_itself(nights: Nights) -> None:
    nights.mirror.versions = ["6.12.5"]
    found = nights.night()
    assert pairs(found) == [("6.12.5", "6.12.5")]
    assert "itself (A/A)" in found.notes[-1]


WAIVER = "- {cells: '*', owner: a@example.org, reason: known, until: 2099-01-01}\n"


@pytest.mark.parametrize("outcome", [Outcome.CORRUPTED, Outcome.CRASHED])
def test_what_fails_is_no_baseline_even_where_a_waiver_bears_with_it(nights: Nights, outcome: Outcome) -> None:
    (nights.folder / "waivers.yaml").write_text(WAIVER)
    nights.write(f"{ONE_CELL}waivers: waivers.yaml\n")
    nights.night()
    nights.mirror.versions.append("6.12.7")
    nights.world.bad = {"6.12.7": outcome}
    assert nights.night().exit_code is ExitCode.GOOD
    nights.mirror.versions.append("6.12.9")
    assert pairs(nights.night()) == [("6.12.5", "6.12.9")]


def test_a_slower_one_that_a_waiver_bears_with_is_the_next_baseline(nights: Nights) -> None:
    (nights.folder / "waivers.yaml").write_text(WAIVER)
    nights.write(f"{ONE_CELL}waivers: waivers.yaml\n")
    nights.night()
    nights.mirror.versions.append("6.12.7")
    nights.world.factors = {"6.12.7": 0.7, "6.12.9": 0.7}
    assert nights.night().exit_code is ExitCode.GOOD
    nights.mirror.versions.append("6.12.9")
    assert pairs(nights.night()) == [("6.12.7", "6.12.9")]


def test_an_interrupted_night_is_gone_on_with_whatever_is_newer(nights: Nights) -> None:
    nights.world.kill_after = 5
    with pytest.raises(KeyboardInterrupt):
        nights.night()
    nights.mirror.versions.append("6.12.7")
    nights.world.kill_after = None
    found = nights.night()
    assert [run.candidate.version for run, _ in found.rounds] == ["6.12.5", "6.12.7"]
    with nights.lab() as lab:
        assert len(lab.store.history.matrices("every night", verb="nightly")) == 2
        run = found.rounds[0][0]
        cells = [lab.store.run(cell_id) for cell_id in lab.store.matrices.cells(run.id).values()]
        places = [trial.place for cell in cells for trial in cell.trials]
    # Nothing lost, nothing doubled: what was made before the kill counts.
    made = [one for one in nights.world.made if one in {"6.12.5 candidate", "6.12.3 baseline"}]
    assert len(made) == len(places)
    assert nights.night().rounds == ()


def test_a_kernel_that_a_mirror_drops_is_still_the_baseline_where_it_is_cached(nights: Nights) -> None:
    found = nights.night()
    nights.mirror.versions = ["6.12.3", "6.12.7"]
    nights.mirror.cached = {"6.12.5"}
    found = nights.night()
    assert pairs(found) == [("6.12.5", "6.12.7")]
    nights.mirror.versions = ["6.12.9"]
    nights.mirror.cached = set()
    found = nights.night()
    assert pairs(found) == [("6.12.9", "6.12.9")]
    assert "itself (A/A)" in found.notes[-1]


def test_a_cell_that_is_added_is_measured_on_the_newest_kernel(nights: Nights) -> None:
    nights.night()
    nights.write(FILE.replace("[btrfs, ext4]", "[btrfs, ext4, xfs]"))
    [(_, outcome)] = nights.night().rounds
    assert [result.cell for result in outcome.cells] == ["debian:6.12/xfs"]


def test_a_series_that_is_gone_stops_no_other(nights: Nights) -> None:
    nights.write(FILE.replace("[debian:6.12]", "[debian:6.16, debian:6.12]"))
    found = nights.night()
    assert [result.cell for result in found.rounds[0][1].cells] == ["debian:6.12/btrfs", "debian:6.12/ext4"]
    assert found.exit_code is ExitCode.USAGE
    nights.mirror.away = True
    with pytest.raises(HostError, match="does not answer"):
        nights.night()


def test_a_kernel_that_goes_in_mid_night_leaves_what_was_measured(nights: Nights) -> None:
    """The mirror drops it between what it lists and what it has."""
    nights.write(FILE.replace("[debian:6.12]", "[debian:6.12], newest: 2"))
    nights.mirror.versions = ["6.12.1", "6.12.3", "6.12.5"]
    nights.mirror.dropped = {"6.12.5"}
    found = nights.night()
    assert pairs(found) == [("6.12.1", "6.12.3")]
    # It would have been measured against the one before it: without it, no cell can be.
    assert found.exit_code is ExitCode.USAGE
    assert "no kernel matches debian:6.12.5" in found.notes[-1]
    nights.mirror.dropped = set()
    assert pairs(nights.night()) == [("6.12.3", "6.12.5")]


def test_only_and_shard(nights: Nights) -> None:
    nights.write(FILE.replace("[debian:6.12]", "[debian:6.1, debian:6.12]"))
    nights.mirror.versions += ["6.1.3", "6.1.5"]
    [(_, outcome)] = nights.night(only=("series=debian:6.1", "fs=ext4")).rounds
    assert [result.cell for result in outcome.cells] == ["debian:6.1/ext4"]
    shares = [
        [result.cell for _, found in nights.night(shard=f"{index}/2").rounds for result in found.cells]
        for index in (1, 2)
    ]
    # What one host measured is in the store of all.
    assert sorted(cell for share in shares for cell in share) == [
        "debian:6.1/btrfs",
        "debian:6.12/btrfs",
        "debian:6.12/ext4",
    ]


def test_a_folder_is_new_when_its_content_is(nights: Nights) -> None:
    nights.write(f"baseline: debian:6.12.3\n{FILE.replace('[debian:6.12]', '[tree:/srv/linux]')}")
    nights.mirror.tree = "6.13.0"
    found = nights.night()
    assert pairs(found) == [("6.12.3", "6.13.0")]
    assert nights.night().rounds == ()
    nights.mirror.tree = "6.13.1"
    found = nights.night()
    # The earlier content has no name any more.
    assert pairs(found) == [("6.12.3", "6.13.1")]
    assert "the baseline that the file names" in found.notes[-1]


def test_two_at_once(nights: Nights) -> None:
    name = hashlib.sha256(b"every night").hexdigest()[:32]
    with nights.lab() as lab:
        path = lab.paths.state / "locks" / f"nightly-{name}.lock"
    held = try_lock(path)
    assert held is not None
    with held, pytest.raises(HostError, match=rf"another kab \(pid {os.getpid()}\) measures the nights of every night"):
        nights.night()
    assert nights.night().rounds


def test_without_a_series_there_is_nothing_to_look_for(nights: Nights) -> None:
    nights.write(FILE.replace("nightly: {series: [debian:6.12]}\n", ""))
    with pytest.raises(ConfigError, match="no series is named"):
        nights.night()


HOOK = """\
#!/bin/sh
env | grep ^KAB_ALARM_ | sort >"$1"
cat >"$1.json"
exit ${2:-0}
"""


@pytest.fixture
def hook(tmp_path: Path) -> Path:
    program = tmp_path / "hook"
    program.write_text(HOOK)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def step(nights: Nights, *, before: int = 8, after: int = 3, factor: float = 0.85, **options: object) -> NightlyResult:
    """Nights with a kernel each, one kernel of which changes the speed; the night that tells of it."""
    nights.write(ONE_CELL)
    for number in range(1, before + after + 1):
        nights.mirror.versions = [f"6.12.{one}" for one in range(1, number + 1)]
        nights.world.factors = {f"6.12.{one}": factor for one in range(before + 1, before + after + 1)}
        found = nights.night(**options)
        if found.alarms:
            return found
    raise AssertionError("nothing was told")


def test_a_change_is_told_once_and_the_command_is_told_of_it(nights: Nights, hook: Path) -> None:
    told = nights.folder / "told"
    found = step(nights, on_change=f"{hook} {told}")
    [story] = found.alarms
    assert (story.alarm.before.version, story.alarm.after.version, story.alarm.worse) == ("6.12.8", "6.12.9", True)
    facts = json.loads((nights.folder / "told.json").read_text())
    assert facts["id"] == story.alarm.id
    assert (facts["series"], facts["cell"], facts["metric"]) == ("debian:6.12", "btrfs", "write_iops")
    assert facts["bisect"].startswith("kab bisect debian:6.12.8-cloud-amd64 debian:6.12.9-cloud-amd64 ")
    assert facts["ratio"] == pytest.approx(0.85, abs=0.05)
    variables = dict(line.split("=", 1) for line in told.read_text().splitlines())
    assert variables["KAB_ALARM_CHANGE"] == "worse"
    assert variables["KAB_ALARM_BEFORE"] == "debian:6.12.8-cloud-amd64"
    told.unlink()
    # The same night again, and the next one.
    assert nights.night(on_change=f"{hook} {told}").alarms == ()
    nights.mirror.versions.append("6.12.30")
    nights.world.factors = {**nights.world.factors, "6.12.30": 0.85}
    assert nights.night(on_change=f"{hook} {told}").alarms == ()
    assert not told.exists()


def test_a_command_that_fails_is_told_and_changes_no_verdict(nights: Nights, hook: Path) -> None:
    found = step(nights, on_change=f"{hook} {nights.folder / 'told'} 3")
    assert len(found.alarms) == 1
    assert found.exit_code is found.rounds[-1][1].exit_code
    assert f"the command for alarm {found.alarms[0].alarm.id} failed" in found.notes[-1]
    assert "status 3" in found.notes[-1]


def test_a_change_is_searched_for_where_it_is_wanted(nights: Nights) -> None:
    found = step(nights, bisect=True)
    [searched] = found.searches
    assert searched.alarm == found.alarms[0].alarm
    assert searched.run is not None
    assert searched.found.startswith("found: ")
    assert (searched.run.baseline.version, searched.run.candidate.version) == ("6.12.8", "6.12.9")


def test_a_command_that_is_none_is_refused_before_any_boot(nights: Nights) -> None:
    with pytest.raises(ConfigError, match="is no command"):
        nights.night(on_change="'open")
    with pytest.raises(ConfigError, match="is empty"):
        nights.night(on_change=" ")
    assert not nights.world.made
