"""``kab nightly`` from its words to what it prints, writes and ends with."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from nightlylabs import Mirror, Speeds, nightly_lab

from harness.cli.errors import run_command
from harness.errors import ExitCode

pytestmark = pytest.mark.unit

FILE = """\
metric: write_iops
nightly: {series: [debian:6.12]}
axes: {fs: [btrfs]}
"""


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.chdir(tmp_path)
    Path("night.yaml").write_text(FILE)


def night(world: Speeds, *versions: str, words: tuple[str, ...] = ()) -> int:
    return run_command(
        ["nightly", "./night.yaml", "--progress", "none", *words],
        make_lab=nightly_lab(world, Mirror(versions=[*versions])),
    )


def test_a_night_its_files_and_the_same_night_again(capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--json", "night.json", "--html", "night.html", "--junit", "night.xml")
    assert night(Speeds(), "6.12.3", "6.12.5", words=files) == ExitCode.GOOD
    printed = capsys.readouterr()
    assert "6.12.5-cloud-amd64 in 1 cell, against 6.12.3-cloud-amd64: the one before it on offer" in printed.out
    assert f"kab report {json.loads(Path('night.json').read_text())['run']['id']} --all" in printed.out
    document = json.loads(Path("night.json").read_text())
    assert document["run"]["verb"] == "nightly"
    assert [cell["name"] for cell in document["cells"]] == ["debian:6.12/btrfs"]
    cases = [*ElementTree.parse("night.xml").iter("testcase")]
    assert {case.get("name") for case in cases} >= {"write_iops"}
    assert "6.12.5" in Path("night.html").read_text()
    for name in ("night.json", "night.html", "night.xml"):
        Path(name).unlink()
    assert night(Speeds(), "6.12.3", "6.12.5", words=files) == ExitCode.GOOD
    assert "nothing is new since" in capsys.readouterr().out
    # What would be in them was told already.
    assert not Path("night.json").exists()


def test_a_worse_kernel_ends_in_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert night(Speeds(factors={"6.12.5": 0.7}), "6.12.3", "6.12.5") == ExitCode.BAD
    assert "slower" in capsys.readouterr().out
    # The next night is measured against the one before it.
    assert night(Speeds(), "6.12.3", "6.12.5", "6.12.7") == ExitCode.GOOD
    assert "6.12.7-cloud-amd64 in 1 cell, against 6.12.3-cloud-amd64" in capsys.readouterr().out


def test_a_result_on_stdout_stands_there_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert night(Speeds(), "6.12.3", "6.12.5", words=("--junit", "-")) == ExitCode.GOOD
    printed = capsys.readouterr()
    assert ElementTree.fromstring(printed.out).tag == "testsuites"
    assert "against 6.12.3-cloud-amd64" in printed.err


def test_the_budget_of_the_command_line_goes_over_the_files(capsys: pytest.CaptureFixture[str]) -> None:
    world = Speeds(factors={"6.12.5": 0.96})
    assert night(world, "6.12.3", "6.12.5", words=("--max-boots", "4")) == ExitCode.CANNOT_TELL
    assert len(world.made) <= 4
    assert "inconclusive" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "series=debian:7.2"), "debian:7.2"),
        (("--shard", "3/2"), "3/2"),
        (("--on-change", "'open"), "is no command"),
        (("--waivers", "none.yaml"), "none.yaml"),
        (("--max-boots", "0"), "--max-boots"),
        (("--json", "a", "--junit", "a"), "both name a"),
    ],
)
def test_what_cannot_be_is_told_before_any_boot(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Speeds()
    assert night(world, "6.12.3", "6.12.5", words=words) == ExitCode.USAGE
    assert said in capsys.readouterr().err
    assert not world.made


def test_a_share_without_cells_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    results = [night(Speeds(), "6.12.3", "6.12.5", words=("--shard", f"{index}/2")) for index in (1, 2)]
    assert results == [ExitCode.GOOD] * 2
    assert capsys.readouterr().out.count("none of the 1 cells is in shard") == 1
