"""A site from the store: pages that lead to each other, the newest state of every cell, and nothing written twice."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import matrices
import pytest
import sites
from pages import Page

from harness.cli.errors import run_command
from harness.config import Settings
from harness.errors import ConfigError, ExitCode
from harness.host.paths import Paths
from harness.interfaces import Progress
from harness.lab.lab import Lab
from harness.model.run import RunState

pytestmark = pytest.mark.unit


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with Lab(settings=Settings(), paths=Paths(cache=tmp_path / "cache", state=tmp_path / "state")) as opened:
        yield opened


def flat(path: Path) -> str:
    return " ".join(Page(path.read_text()).text.split())


def cell_of(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"cell/*.{name}.html")
    return found


def test_every_link_of_every_page_leads_somewhere(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    made = lab.site(tmp_path / "site")
    assert (made.runs, made.cells, made.published.written) == (3, 8, 12)
    reached = set()
    for path in (tmp_path / "site").rglob("*.html"):
        found = Page(path.read_text())
        for link in found.links:
            name, _, anchor = link.partition("#")
            target = (path.parent / name).resolve() if name else path
            assert target.is_file(), link
            assert not anchor or anchor in Page(target.read_text()).ids
            reached.add(target)
        assert not re.search(r"url\(|@import|https?://|<script|<img|<link", path.read_text())
    assert reached >= set((tmp_path / "site").rglob("*.html"))


def test_the_overview_has_alarms_the_newest_state_and_the_runs(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    text = flat(lab.site(tmp_path / "site").overview)
    assert "1 matrix, 1 open alarm" in text
    assert "✕ fail release gate: candidate 7.2.12+deb13-cloud-amd64 against baseline" in text
    assert "shared-dio/btrfs/virtio of release gate, debian:7.2: worse , write_iops -4.9 % (x0.951" in text
    assert "▼ -24 % slower write_iops" in text
    assert re.search(r"2026-11-13 23:10 ?20261113-2310-rele ✕ fail .* 2026-11-11 23:10.* ✓ pass", text)


def test_the_page_of_a_cell_has_its_nights_its_alarms_and_the_command(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    lab.site(tmp_path / "site")
    text = flat(cell_of(tmp_path / "site", "shared-dio.btrfs.virtio"))
    assert "shared-dio/btrfs/virtio: slower, 7.2.12+deb13-cloud-amd64 against 6.12.107+deb13-cloud-amd64" in text
    assert "kab alarms show a1b2c3d4" in text
    assert re.search(r"2026-11-13 23:10 ▼ slower .* 2026-11-12 23:10 ✓ not worse .* 2026-11-11 23:10 ✓ not worse", text)
    assert "kab ab debian:6.12.107" in text
    other = flat(cell_of(tmp_path / "site", "shared-dio.btrfs.nvme"))
    assert "a1b2c3d4" not in other


def test_consoles_of_boots_that_failed_are_in_it(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    lab.site(tmp_path / "site")
    for path in (cell_of(tmp_path / "site", "database-pages.btrfs.virtio"), *(tmp_path / "site").glob("run/20261113*")):
        assert "How the console of boot 3, candidate, crashed ends:" in flat(path)


def test_a_part_of_a_matrix_leaves_the_other_cells_as_they_were(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    whole = sites.night(4)
    part = replace(
        whole,
        plan=replace(whole.plan, cells=whole.plan.cells[:1]),
        cells=whole.cells[:1],
        outcome=replace(whole.outcome, cells=whole.outcome.cells[:1]),
    )
    sites.stored(lab, part)
    text = flat(lab.site(tmp_path / "site").overview)
    assert "7 are not in the newest run, and shown with the day of their own" in text
    assert "▼ -24 % slower write_iops 2026-11-13" in text
    assert "✓ pass release gate" in text


def test_an_open_matrix_shows_what_it_has_not_come_to_as_it_was(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    fates = (matrices.NOT_WORSE, *[replace(matrices.OPEN, ratios={}, broken=())] * 7)
    made = sites.night(4, fates)
    sites.stored(lab, replace(made, open=True, run=replace(made.run, state=RunState.OPEN, finished=None)))
    text = flat(lab.site(tmp_path / "site").overview)
    assert "… open release gate" in text
    assert "▼ -24 % slower write_iops 2026-11-13" in text


def test_again_it_writes_only_what_changed(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    lab.site(tmp_path / "site")
    again = lab.site(tmp_path / "site").published
    assert (again.written, again.unchanged) == (0, 12)
    sites.stored(lab, sites.night(4))
    more = lab.site(tmp_path / "site").published
    # The overview, all cells, and the new run; older runs are not touched.
    assert (more.written, more.unchanged, more.removed) == (10, 3, 0)


def test_matrices_and_a_limit(lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    sites.stored(lab, sites.night(5, title="other"))
    assert len(list(lab.site(tmp_path / "site").overview.parent.glob("run/*"))) == 4
    made = lab.site(tmp_path / "site", matrices=["other"])
    assert (made.runs, made.published.removed) == (1, 11)
    assert "release gate" not in made.overview.read_text()
    assert lab.site(tmp_path / "site", limit=2).runs == 2
    with pytest.raises(ConfigError, match="none of the newest 1 matrices is called release gate"):
        lab.site(tmp_path / "site", matrices=["release gate"], limit=1)


def test_an_empty_store_has_a_page(lab: Lab, tmp_path: Path) -> None:
    made = lab.site(tmp_path / "site")
    assert "No matrix is stored yet" in made.overview.read_text()


def test_hostile_texts_are_only_text(lab: Lab, tmp_path: Path) -> None:
    sites.stored(lab, matrices.hostile())
    made = lab.site(tmp_path / "site")
    for path in made.overview.parent.rglob("*.html"):
        text = path.read_text()
        assert "<script" not in text
        assert not set(text) & set("\x1b\u202e\x07\x00\r\x85\u2028")
        Page(text)


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def make(progress: Progress | None) -> Lab:
        return Lab(progress=progress, settings=Settings(), paths=Paths(cache=tmp_path / "c", state=tmp_path / "s"))

    with make(None) as opened:
        sites.filled(opened)
    folder = tmp_path / "site"
    assert run_command(["site", str(folder)], make_lab=make) == ExitCode.GOOD
    told = capsys.readouterr().out
    assert f"3 runs and 8 cells: {folder / 'index.html'}" in told
    assert "12 pages written, 0 as they were, 0 removed" in told
    (folder / "cell").rename(folder / "elsewhere")
    (folder / "kab-site.json").unlink()
    assert run_command(["site", str(folder)], make_lab=make) == ExitCode.USAGE
    assert "is not empty, and kab did not make it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE matrices SET plan = 'x' WHERE run_key = (SELECT key FROM runs WHERE id = '20261113-2310-rele')",
        "UPDATE trials SET outcome = 'x' WHERE run_key = (SELECT key FROM runs WHERE id = '20261113-c001-rele')",
    ],
    ids=["plan", "boots"],
)
def test_what_is_damaged_spoils_nothing_else(statement: str, lab: Lab, tmp_path: Path) -> None:
    sites.filled(lab)
    with closing(sqlite3.connect(lab.paths.database)) as connection, connection:
        connection.execute(statement)
    made = lab.site(tmp_path / "site")
    if "matrices" in statement:
        assert ["20261113-2310-rele" in message and "damaged" in message for message in made.damaged] == [True]
        assert made.runs == 2
    else:
        assert "cannot be told" in flat(tmp_path / "site" / "run" / "20261113-2310-rele.html")
        assert "slower, 7.2.12" in flat(cell_of(tmp_path / "site", "shared-dio.btrfs.virtio"))
    assert "▼ -24 % slower" in flat(made.overview) or made.runs == 2
