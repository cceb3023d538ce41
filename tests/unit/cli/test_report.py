"""`kab report` of a matrix: its page with the consoles of the store, its cells as a picture."""

from collections.abc import Callable
from pathlib import Path

import factories
import pytest
import sites

from harness.cli.errors import run_command
from harness.config import Settings
from harness.errors import ExitCode
from harness.host.paths import Paths
from harness.interfaces import Progress
from harness.lab.lab import Lab

pytestmark = pytest.mark.unit


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Progress | None], Lab]:
    """What opens a laboratory with an A/B run and a gate in its store."""

    def opened(progress: Progress | None) -> Lab:
        return Lab(progress=progress, settings=Settings(), paths=Paths(cache=tmp_path / "c", state=tmp_path / "s"))

    with opened(None) as lab:
        trials = factories.blocks(2)
        lab.store.create_run(factories.run(trials, id="20261101-0000-abab"))
        lab.store.finish("20261101-0000-abab", factories.decide(trials))
        sites.stored(lab, sites.night(1))
    return opened


def test_a_page_and_a_picture_of_a_matrix(make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, picture = tmp_path / "gate.html", tmp_path / "gate.png"
    words = ["report", "20261111-2310", "--html", str(page), "--png", str(picture)]
    assert run_command(words, make_lab=make) == ExitCode.BAD
    told = capsys.readouterr()
    assert "The same writes need 1.32 machines instead of 1" in " ".join(told.out.split())
    assert f"picture: {picture}" in told.err
    assert "How the console of boot 3, candidate, crashed ends:" in page.read_text()
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_comparison_has_no_picture(make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "ab.png"
    assert run_command(["report", "20261101", "--png", str(picture)], make_lab=make) == ExitCode.USAGE
    assert "only a matrix has a picture" in capsys.readouterr().err
    assert not picture.exists()
