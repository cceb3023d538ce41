"""`kab run`, `kab gate` and what is told of matrices, over an invented world."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import matrices
import pytest
from cellworlds import Watching
from labs import InventedLab
from ladders import World
from rich.console import Console

from harness.cli.errors import run_command
from harness.cli.live import LiveProgress
from harness.cli.livecells import LiveCells
from harness.cli.progress import JsonProgress, LineProgress
from harness.interfaces import NullProgress
from harness.model.guest import Accelerator
from harness.model.matrix import CellVerdict, GateView
from harness.store import SqlStore

pytestmark = pytest.mark.unit

FAST, SLOW = "debian:6.1.192-2", "debian:6.12.43-1"
MATRIX = f"""\
title: mine
baseline: {FAST}
candidate: {SLOW}
margin: 30%
seed: 3
axes:
  fs: [btrfs, ext4]
  guest: {{small: {{vcpus: 1}}, large: {{vcpus: 4}}}}
gate:
  metrics: {{write_iops: 40%}}
"""


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(MATRIX)
    return str(path)


Kab = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kab(capsys: pytest.CaptureFixture[str]) -> Kab:
    """Runs a command in a world; status, stdout and stderr of it."""

    def command(*words: str, world: World | None = None) -> tuple[int, str, str]:
        make = InventedLab.of(world or World(), accelerator=Accelerator.KVM)
        code = run_command(list(words), make_lab=make)
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_run_measures_every_cell_and_tells_of_them(kab: Kab, file: str, tmp_path: Path) -> None:
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    code, out, err = kab("run", file, "--html", str(page), "--json", str(data), "--progress", "lines")
    assert code == 1
    assert out.startswith("kab run ")
    assert ": WORSE\n" in out
    assert "Fails (4)" in out
    assert "btrfs/small: slower" in out
    assert "kab: matrix id=" in err
    assert "kab: trial cell=btrfs/small block=0" in err
    assert err.count("kab: cell name=") == 4
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert json.loads(data.read_text())["schema"] == "kab/matrix-1"


def test_gate_passes_and_fails_by_its_margins(kab: Kab, file: str) -> None:
    code, out, _ = kab("gate", file, "--candidate", FAST, "--max-boots", "200")
    assert (code, ": PASS\n" in out) == (0, True)
    code, out, err = kab("gate", file, "--progress", "lines")
    assert (code, ": FAIL\n" in out) == (1, True)
    assert "cells undecided" in err
    code, out, _ = kab("gate", file, "--candidate", FAST, "--max-boots", "4")
    assert (code, ": INCONCLUSIVE\n" in out) == (125, True)
    assert "The budget of boots is spent" in out


def test_some_cells_are_chosen(kab: Kab, file: str) -> None:
    _, out, _ = kab("run", file, "--only", "fs=ext4", "--only", "guest=s*")
    assert "1 cell: 1 slower." in out
    assert "ext4/small" in out
    code, _, err = kab("run", file, "--only", "fs=zfs")
    assert code == 129
    assert "zfs" in err
    counts = []
    for shard in ("1/3", "2/3", "3/3"):
        code, out, err = kab("run", file, "--shard", shard)
        counts.append(out.count(": slower\n"))
        if not counts[-1]:
            assert code == 0
            assert "is in shard" in err
    assert sum(counts) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--error", "nonsense"), "--error: "),
        (("--max-boots", "1"), "--max-boots: "),
        (("--max-time", "0s"), "--max-time: "),
        (("--miss", "200%"), "--miss: "),
        (("--shard", "4/3"), "--shard"),
        (("--waivers", "/nonexistent.yaml"), "/nonexistent.yaml"),
        (("--seed", "-1"), "--seed"),
    ],
)
def test_bad_words_are_told_before_anything_boots(kab: Kab, file: str, words: tuple[str, ...], said: str) -> None:
    world = World()
    code, _, err = kab("gate", file, *words, world=world)
    assert code == 129
    assert said in err
    assert not world.made


def test_a_killed_gate_goes_on_with_the_same_command(kab: Kab, file: str, tmp_path: Path) -> None:
    world = World(kill_after=9)
    code, _, _ = kab("gate", file, world=world)
    assert code == 130
    code, out, _ = kab("report", "last")
    assert code in {1, 125}
    assert ": OPEN\n" in out
    assert "the same command continues" in out
    world.kill_after = None
    code, _, _ = kab("gate", file, world=world)
    assert code == 1
    assert len({name for name, _ in world.made}) <= len(world.made)
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        (gate,) = [run for run in store.runs() if run.parent is None]
        cells = store.matrices.cells(gate.id)
        assert sum(len(store.run(one).trials) for one in cells.values()) == len(world.made)
    code, _, _ = kab("gate", file, "--new", world=world)
    assert code == 1
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        assert len([run for run in store.runs() if run.parent is None]) == 2


WAIVERS = """\
- cells: "*"
  owner: ann@example.org
  reason: known since 6.12
  until: 2199-01-31
"""


def test_waivers_bear_with_a_gate_and_judge_a_stored_one_anew(kab: Kab, file: str, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(WAIVERS)
    code, out, _ = kab("gate", file, "--waivers", str(waivers))
    assert code == 0
    assert "Waived (4)" in out
    assert "ann@example.org: known since 6.12" in out
    code, out, _ = kab("gate", file)
    assert code == 1
    world = World()
    code, out, _ = kab("report", "last", "--waivers", str(waivers), "--all", world=world)
    assert (code, world.made) == (0, [])
    assert "Waived (4)" in out
    assert "All cells" in out
    assert kab("report", "last")[0] == 1, "nothing is stored of it"
    waivers.write_text(WAIVERS.replace('"*"', '"zfs/*"'))
    code, _, err = kab("report", "last", "--waivers", str(waivers))
    assert code == 129
    assert "fits nothing" in err
    code, _, err = kab("gate", file, "--waivers", str(waivers), world=world)
    assert (code, world.made) == (129, [])
    waivers.write_text(WAIVERS.replace("2199-01-31", "2020-01-31"))
    for words in (("gate", file), ("report", "last")):
        code, _, err = kab(*words, "--waivers", str(waivers), world=world)
        assert (code, world.made) == (129, [])
        assert "has expired: it held until 2020-01-31" in err


def test_waivers_are_of_gates(kab: Kab, file: str, tmp_path: Path) -> None:
    waivers = tmp_path / "waivers.yaml"
    waivers.write_text(WAIVERS)
    kab("run", file, "--only", "fs=ext4")
    code, _, err = kab("report", "last", "--waivers", str(waivers))
    assert code == 129
    assert "is no gate" in err


def test_runs_lists_a_matrix_once_and_its_cells_where_asked(kab: Kab, file: str) -> None:
    kab("run", file)
    _, out, _ = kab("runs")
    (line,) = [line for line in out.splitlines() if " run " in line]
    assert "mine (4 cells)" in line
    assert line.rstrip().endswith("worse")
    assert "(cell)" not in out
    _, out, _ = kab("runs", "--cells")
    assert out.count("(cell)") == 4


def test_a_cell_alone_can_be_reported_and_says_what_it_is_part_of(kab: Kab, file: str, tmp_path: Path) -> None:
    kab("gate", file)
    with SqlStore(tmp_path / "state" / "results.sqlite") as store:
        cell = next(run for run in store.runs() if run.parent is not None)
    _, out, _ = kab("report", cell.id)
    assert cell.parent is not None
    assert f"{cell.parent.run_id}, its cell {cell.parent.place}" in out
    assert "its gate needs no more of it" in out or "slower" in out


def test_a_mail_of_a_matrix_and_none_of_a_comparison(kab: Kab, file: str, tmp_path: Path) -> None:
    mail = tmp_path / "mail.txt"
    kab("run", file, "--mail", str(mail), "--only", "fs=ext4")
    assert mail.read_text().startswith("Subject: [kab] run mine")
    kab("ab", FAST, SLOW, "--seed", "3")
    code, _, err = kab("report", "last", "--mail", str(mail))
    assert code == 129
    assert "no mail of a comparison" in err


# Displays.


def fed(progress: NullProgress) -> None:
    """What a gate of eight cells tells."""
    view = matrices.gate()
    progress.matrix_started(view.run, view.plan, resumed=True)
    results = view.outcome.cells
    for cell in view.cells[:3]:
        assert cell.run is not None
        progress.cell_started(cell.cell)
        progress.run_started(cell.run, resumed_trials=0)
        for trial in cell.run.trials:
            progress.trial_finished(trial)
        undecided = frozenset(result.cell for result in results[3:])
        progress.gated(GateView(cells=results, undecided=undecided, boots=8, spent_s=100.0, boots_left=20))
        progress.cell_finished(cell.result)


def test_lines_and_objects_tell_of_cells() -> None:
    out = io.StringIO()
    fed(LineProgress(out))
    lines = out.getvalue().splitlines()
    assert 'title="release gate" verb=gate cells=8 resumed=true' in lines[0]
    assert any(line.startswith("kab: trial cell=shared-dio/btrfs/nvme block=0 arm=") for line in lines)
    assert "kab: gate: 8 boots, 5 of 8 cells undecided, about 20 boots left" in lines
    slower = next(line for line in lines if line.startswith("kab: cell name=shared-dio/btrfs/virtio"))
    assert "verdict=slower" in slower
    assert 'effect="write_iops -24 % (0.74 to 0.78)"' in slower
    out = io.StringIO()
    fed(JsonProgress(out))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert events[0]["cells"][0] == "shared-dio/btrfs/nvme"
    assert {event["event"] for event in events} >= {"matrix", "cell-started", "trial-finished", "gate", "cell-finished"}
    assert {event["cell"] for event in events if event["event"] == "trial-finished"} == {
        "shared-dio/btrfs/nvme", "shared-dio/btrfs/virtio", "shared-dio/ext4/nvme",
    }  # fmt: skip


def shown(cells: LiveCells) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(cells.table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_the_live_table_has_bad_cells_first_and_the_one_that_boots() -> None:
    view = matrices.gate()
    cells = LiveCells(view.plan)
    fed_cells = view.cells
    cells.begin(fed_cells[7].cell)
    for trial in fed_cells[0].run.trials:  # type: ignore[union-attr]
        cells.boot(trial)
    undecided = frozenset(cell.cell.name for cell in fed_cells[6:])
    cells.gated(GateView(cells=view.outcome.cells, undecided=undecided, boots=8, spent_s=100.0, boots_left=20))
    lines = shown(cells).splitlines()
    assert "shared-dio/btrfs/virtio" in lines[1]
    assert "slower" in lines[1]
    assert "-24 %" in lines[1]
    assert "faulty" in lines[2]
    assert lines[3].startswith(">")
    assert fed_cells[7].cell.name in lines[3]
    assert "slower, waived" in shown(cells)
    assert cells.time_left_s() == pytest.approx(20 * 25.7, rel=0.2)


def test_the_live_table_of_many_cells_stays_small_and_tells_the_time_left() -> None:
    view = matrices.large(100, fates=matrices.PLAIN)
    cells = LiveCells(view.plan)
    assert cells.time_left_s() is None
    for cell in view.cells[:3]:
        cells.begin(cell.cell)
        for trial in cell.run.trials:  # type: ignore[union-attr]
            cells.boot(trial)
        cells.end(cell.result)
    text = shown(cells)
    assert len(text.splitlines()) == 18
    assert "and 84 more cells" in text
    assert text.count("waiting") == 15
    assert cells.time_left_s() == pytest.approx(97 * 10 * 25.7, rel=0.3)


def test_a_live_display_takes_a_whole_matrix() -> None:
    out = io.StringIO()
    with LiveProgress(out) as progress:
        fed(progress)
    assert "gate 20261124-2310-g4te, continued: release gate, 8 cells" in out.getvalue()


def test_displays_begin_from_one_that_tells_nothing() -> None:
    fed(NullProgress())
    watching = Watching()
    fed(watching)
    assert [result.verdict for result in watching.finished][1] is CellVerdict.SLOWER
