"""Standard streams that never fail a command, words that are no text, and little memory."""

import errno
import io
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import blocks
from factories import run as make_run

from harness.cli.errors import run_command
from harness.cli.memory import is_out_of_memory, require_memory
from harness.cli.output import GuardedWriter, settle
from harness.cli.progress import LineProgress
from harness.cli.words import check_words
from harness.errors import ConfigError, ExitCode, HostError

pytestmark = pytest.mark.unit


def guarded(descriptor: int) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedWriter(GuardedWriter(descriptor)), encoding="utf-8", errors="backslashreplace")


@pytest.fixture
def full() -> io.TextIOWrapper:
    """A stream onto a full disk."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    yield guarded(descriptor)
    os.close(descriptor)


@pytest.fixture
def unread() -> io.TextIOWrapper:
    """A stream whose reader went away."""
    reading, writing = os.pipe()
    os.close(reading)
    yield guarded(writing)
    os.close(writing)


def test_what_nobody_reads_is_dropped_in_silence(unread: io.TextIOWrapper) -> None:
    for _ in range(3):
        print("x" * 100_000, file=unread, flush=True)
    assert unread.buffer.raw.failure is None


def test_a_run_goes_on_when_nobody_reads_its_progress(unread: io.TextIOWrapper) -> None:
    with LineProgress(unread) as progress:
        progress.run_started(make_run(), resumed_trials=0)
        for one in blocks(2):
            progress.trial_finished(one)


def test_why_something_was_lost_is_kept(full: io.TextIOWrapper) -> None:
    print("result", file=full, flush=True)
    assert full.buffer.raw.failure.errno == errno.ENOSPC


def test_a_stream_that_others_made_non_blocking_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    read: list[bytes] = []
    child = os.fork()
    if child == 0:
        os.close(writing)
        size = 0
        while part := os.read(reading, 65_536):
            size += len(part)
        os._exit(0 if size == 300_000 else 1)
    os.close(reading)
    stream = guarded(writing)
    stream.write("x" * 300_000)
    stream.flush()
    os.close(writing)
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), read) == (0, [])


@pytest.mark.parametrize(
    ("status", "settled"), [(0, 131), (1, 131), (125, 131), (128, 128), (129, 129), (130, 130), (131, 131)]
)
def test_a_lost_result_is_the_hosts_trouble(
    status: int, settled: int, full: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", full)
    monkeypatch.setattr(sys, "stderr", said)
    print("result")
    assert settle(status) == settled
    assert ("No space left on device" in said.getvalue()) == (status != settled)


def test_lost_messages_change_nothing(full: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", full)
    print("progress", file=sys.stderr)
    assert settle(1) == 1


def test_a_pipe_of_kabs_own_that_breaks_is_no_slow_kernel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """click ends with 1 for every EPIPE."""

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("harness.store.SqlStore.runs", broken)
    assert run_command(["runs"]) == ExitCode.BUG
    assert "a bug in kab" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["report", "\udcff"], ["test", "K", "--like", "\udced\udca0\udc80"], ["\ud800"]])
def test_words_that_are_no_text_are_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(words) == ExitCode.USAGE
    said = capsys.readouterr().err
    assert said.startswith(f"kab: word {len(words)} of the command line is not UTF-8")


def test_variables_that_are_no_text_are_wrong_usage() -> None:
    check_words([], {"KAB_STATE_DIR": "/tmp/é", "OTHER": "\udcff"})
    with pytest.raises(ConfigError, match="KAB_STATE_DIR"):
        check_words([], {"KAB_STATE_DIR": "/tmp/\udcff"})


def test_messages_do_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise HostError("kernel 6.1\x1b]0;owned\x07 is\nnot there", remedy="See \x1b[31m.")

    monkeypatch.setattr("harness.store.SqlStore.runs", failing)
    assert run_command(["runs"]) == ExitCode.HOST
    assert capsys.readouterr().err == "kab: kernel 6.1\\x1b]0;owned\\x07 is\nnot there\nSee \\x1b[31m.\n"


@pytest.mark.parametrize("kind", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_a_limit_below_what_libraries_need_is_told_before_they_are_loaded(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        resource, "getrlimit", lambda asked: (300_000 * 1024 if asked == kind else resource.RLIM_INFINITY,) * 2
    )
    with pytest.raises(HostError, match="292 MiB"):
        require_memory()


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (MemoryError(), ExitCode.HOST),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), ExitCode.HOST),
        (ImportError("libvirt.so.0: failed to map segment from shared object"), ExitCode.HOST),
        (ImportError("cannot import name 'x' from 'y'"), ExitCode.BUG),
        (ModuleNotFoundError("No module named 'libvirt'"), ExitCode.BUG),
    ],
)
def test_what_cannot_be_loaded_says_nothing_of_a_kernel(
    raised: Exception, status: ExitCode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: str) -> None:
        raise raised

    monkeypatch.setattr("harness.cli.app.importlib.import_module", failing)
    assert run_command(["runs"]) == status
    assert is_out_of_memory(raised) == (status is ExitCode.HOST)
    assert "Traceback" not in capsys.readouterr().err


def test_main_ends_with_a_status_of_its_own_when_nothing_can_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness import cli

    keep: Callable[..., None] = lambda: None  # noqa: E731
    monkeypatch.setattr("harness.cli.output.guard_streams", keep)
    monkeypatch.setitem(sys.modules, "harness.cli.errors", None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == ExitCode.BUG
    assert "cannot start" in capsys.readouterr().err


def test_a_script_that_cannot_be_read_is_told_before_any_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(*_: object) -> None:
        raise AssertionError("a kernel was asked for")

    monkeypatch.setenv("KAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr("harness.lab.workspace.Workspace.resolve", resolve)
    with os.fdopen(os.open("/dev/null", os.O_WRONLY)) as unreadable:
        monkeypatch.setattr("sys.stdin", unreadable)
        assert run_command(["shell", "debian:6.12"]) == ExitCode.USAGE
    assert "cannot read a script from stdin" in capsys.readouterr().err
