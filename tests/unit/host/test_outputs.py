"""Files named for results: what is there stays what it is."""

import os
import threading
from pathlib import Path

import pytest

from harness.cli.errors import run_command
from harness.cli.reports import Reports
from harness.errors import ConfigError, ExitCode, HostError
from harness.host.outputs import check_output, own_descriptor, write_output

pytestmark = pytest.mark.unit


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """As root, /dev/null was replaced by a file; a node of our own stands for it."""
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | 0o020000, Path("/dev/null").stat().st_rdev)
        null.open("w").close()
    except PermissionError:
        pytest.skip("device nodes cannot be made and opened here")
    check_output(null, "--json")
    write_output(null, b"{}")
    assert null.is_char_device()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/report.html")
    check_output(tmp_path / "link", "--html")
    assert not (tmp_path / "real" / "report.html").exists()
    for content in (b"first", b"second"):
        write_output(tmp_path / "link", content)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "report.html").read_bytes() == content
    assert len(list(tmp_path.rglob("*"))) == 3


def test_a_pipe_is_written_through_and_not_touched_before(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    check_output(pipe, "--json")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b"x" * 100_000)
    reader.join(timeout=10)
    assert read == [b"x" * 100_000]
    assert pipe.is_fifo()


def test_a_pipe_whose_reader_leaves_has_been_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    closing = threading.Timer(0.05, os.close, (reader,))
    closing.start()
    write_output(pipe, b"x" * 1_000_000)
    closing.join()


def test_a_descriptor_of_ours_keeps_its_place(tmp_path: Path) -> None:
    """`--json /dev/fd/3 3>FILE` writes where descriptor 3 is, not at the file's beginning."""
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"before ")
        named = Path(f"/dev/fd/{file.fileno()}")
        (tmp_path / "link").symlink_to(named)
        assert own_descriptor(tmp_path / "link") == own_descriptor(named) == file.fileno()
        check_output(named, "--json")
        write_output(named, b"ours ")
        file.write(b"after")
    assert (tmp_path / "file").read_bytes() == b"before ours after"
    assert own_descriptor(Path("/dev/stdout")) == 1
    assert own_descriptor(tmp_path / "file") is None


def test_a_full_device_is_the_hosts_trouble() -> None:
    check_output(Path("/dev/full"), "--json")
    with pytest.raises(HostError, match="No space left"):
        write_output(Path("/dev/full"), b"{}")


def test_names_as_long_as_names_can_be(tmp_path: Path) -> None:
    longest = tmp_path / ("é" * 125 + ".html")
    check_output(longest, "--html")
    write_output(longest, b"page")
    assert longest.read_bytes() == b"page"
    with pytest.raises(ConfigError):
        Reports(html=tmp_path / ("é" * 130)).check()


@pytest.mark.parametrize(
    "name",
    ["/proc/x", "/proc/a/b", "/tmp", "/dev/null/x", "/sys/x", "/dev/fd/99", "/dev/fd/99999999999", "loop", "sock"],
)
def test_what_cannot_be_written_is_told_before(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mknod(tmp_path / "sock", 0o140600)
    with pytest.raises(ConfigError, match="--json"):
        check_output(tmp_path / name, "--json")
    assert {found.name for found in tmp_path.iterdir()} == {"loop", "sock"}


def test_two_reports_are_two_files(tmp_path: Path) -> None:
    Reports(json=tmp_path / "x", html=tmp_path / "y").check()
    Reports(json=Path("/dev/null"), html=Path("/dev/null")).check()
    (tmp_path / "z").symlink_to("x")
    both = [(tmp_path / "x", tmp_path / "x"), (tmp_path / "x", tmp_path / "z")]
    for one, other in [*both, (Path("-"), Path("-")), (Path("-"), Path("/dev/stdout"))]:
        with pytest.raises(ConfigError, match="both name"):
            Reports(json=one, html=other).check()


def test_one_report_that_cannot_be_written_does_not_cost_the_other(tmp_path: Path) -> None:
    reports = Reports(json=Path("/dev/full"), html=tmp_path / "page.html")
    with pytest.raises(HostError):
        reports.write({"json": lambda: "{}", "html": lambda: "page"})
    assert (tmp_path / "page.html").read_text() == "page"


@pytest.mark.parametrize(
    "argv",
    [
        ["ab", "debian:6.12", "debian:7.2", "--json", "/proc/x"],
        ["ab", "debian:6.12", "debian:7.2", "--html", "/tmp"],
        ["bisect", "debian:6.12", "debian:7.2", "--mail", "/proc/x"],
        ["report", "last", "--json", "/proc/x"],
        ["bisect", "report", "--html", "/tmp"],
    ],
)
def test_outputs_are_looked_at_before_anything_else(
    argv: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No session is opened: the state folder is not even made."""
    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("KAB_CACHE_DIR", str(tmp_path / "cache"))
    assert run_command(argv) == ExitCode.USAGE
    assert argv[-2] in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "cache").exists()
