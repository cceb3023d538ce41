"""Files that a user names: only regular, bounded ones are read; experiments go by name, too."""

import os
from pathlib import Path

import pytest

from harness.cli.errors import run_command
from harness.config.document import read_table
from harness.config.experiment import experiment_names, find_experiment, load_experiment
from harness.config.settings import Settings, load_settings
from harness.config.textfile import read_text_file
from harness.errors import ConfigError, ExitCode

pytestmark = [pytest.mark.unit, pytest.mark.timeout(20)]


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KAB_SETTINGS", str(tmp_path / "settings.yaml"))


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe that nobody writes to."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/tty", "pipe", "/tmp", "x" * 300, "nul\0"])
def test_what_is_no_regular_file_is_not_read(name: str, pipe: Path) -> None:
    with pytest.raises(ConfigError):
        read_text_file(pipe.parent / name)


def test_a_file_is_bounded_and_utf8(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 1000)
    assert read_text_file(path, most_bytes=1000) == "x" * 1000
    with pytest.raises(ConfigError, match="larger"):
        read_text_file(path, most_bytes=999)
    path.write_bytes(b"a: \xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_text_file(path)


@pytest.mark.parametrize("file", ["/dev/zero", "pipe"])
@pytest.mark.parametrize("verb", [["ab", "-f"], ["bisect", "-f"], ["bisect", "replay"]])
def test_verbs_refuse_them(verb: list[str], file: str, pipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([*verb, str(pipe.parent / file)]) == ExitCode.USAGE
    assert "not a regular file" in capsys.readouterr().err


@pytest.mark.parametrize("value", [r'"a\0b"', r'"a\ud800b"', "&anchor a"])
def test_values_that_no_file_or_database_takes(value: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(f"first: 1\njson: {value}\n")
    with pytest.raises(ConfigError, match=r"file.yaml:2"):
        read_table(path)


def test_settings_say_nothing_where_there_is_nothing(tmp_path: Path, pipe: Path) -> None:
    assert load_settings(Path("/dev/null"), {}) == Settings()
    for wrong in (tmp_path, tmp_path / ("x" * 300), tmp_path / "settings.yaml" / "below"):
        (tmp_path / "settings.yaml").write_text("cache_limit: 1GiB\n")
        with pytest.raises(ConfigError, match=r"cannot read|is a folder"):
            load_settings(wrong, {})


def test_experiments_go_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "btrfs-dio" in experiment_names()
    for name in experiment_names():
        assert load_experiment(find_experiment(name)).baseline
    assert find_experiment("./btrfs-dio") == Path("btrfs-dio")
    assert find_experiment("mine.yaml") == Path("mine.yaml")
    with pytest.raises(ConfigError, match="unknown experiment 'btrfs-dip'") as raised:
        find_experiment("btrfs-dip")
    assert "btrfs-dio" in raised.value.remedy
    with pytest.raises(ConfigError):
        find_experiment("x" * 300)
    (tmp_path / "mine").touch()
    assert find_experiment("mine") == Path("mine")


def test_a_command_takes_an_experiment_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The words go over the file: what is wrong with them is told, so that the file has been found and read."""
    assert run_command(["ab", "-f", "btrfs-dio", "--metric", "nope"]) == ExitCode.USAGE
    assert "nope" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["runs", "-n", "1" + "0" * 30], "-n"),
        (["kernels", "list", "--flavour", "nope"], "there is no flavour `nope`"),
        (["kernels", "ladder", "debian:6.1", "debian:7.2", "--flavour", "nope"], "there is no flavour `nope`"),
    ],
)
def test_what_cannot_be_is_refused(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(argv) == ExitCode.USAGE
    assert says in capsys.readouterr().err
