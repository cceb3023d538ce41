"""Any words at all after `kab`: a status of the table, one message, no traceback, and no guest."""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import commands
from factories import blocks
from factories import run as make_run
from hypothesis import HealthCheck, Phase, given, settings

from harness.cli import errors
from harness.errors import ExitCode
from harness.store import SqlStore

# What a person may be told; 1 ("slower") only ever comes of a stored or measured run, and none here is.
STATUSES = {ExitCode.GOOD, ExitCode.CANNOT_TELL, ExitCode.USAGE, ExitCode.INTERRUPTED, ExitCode.HOST}
# Nothing can be fetched from there: without an image nothing boots, so that whatever would go on ends in 131.
NOWHERE = "file:/nonexistent"


@dataclass(frozen=True)
class Told:
    """How a command ended."""

    argv: list[str]
    status: int
    out: str
    err: str
    # What was said of how it ended; notes of what goes on are not among it.
    messages: list[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders of kab's own, where nothing but one undecided run is stored; the current folder is an empty one."""
    top = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KAB_")]:
            patch.delenv(name)
        # Nobody may be told what is drawn here.
        patch.delenv("KCIDB_REST", raising=False)
        patch.setenv("HOME", str(top))
        patch.setenv("KAB_STATE_DIR", str(top / "state"))
        patch.setenv("KAB_CACHE_DIR", str(top / "cache"))
        patch.setenv("KAB_SETTINGS", str(top / "settings.yaml"))
        patch.setenv("KAB_DEBIAN_MIRROR", NOWHERE)
        patch.setenv("KAB_DEBIAN_SECURITY_MIRROR", NOWHERE)
        (top / "empty").mkdir()
        patch.chdir(top / "empty")
        with SqlStore(top / "state" / "results.sqlite") as store:
            store.create_run(make_run())
            for one in blocks(1):
                store.append_trial(make_run().id, one)
        yield top


def tell(argv: list[str]) -> Told:
    """Run a command in this process, as `main` does but for the streams."""
    out, err = io.StringIO(), io.StringIO()
    messages: list[str] = []
    say = errors._say

    def spy(message: str, *, prefix: str = "kab: ") -> None:
        if prefix:
            messages.append(message)
        say(message, prefix=prefix)

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
        patch.setattr(errors, "_say", spy)
        status = errors.run_command(argv)
    return Told(argv=argv, status=status, out=out.getvalue(), err=err.getvalue(), messages=messages)


def check(told: Told, place: Path) -> None:
    """The promise of the table of exit statuses."""
    assert told.status in STATUSES, told
    assert "Traceback" not in told.err, told
    steering = [char for char in told.out + told.err if ord(char) < 32 and char not in "\n\t"]
    assert not steering, told
    # doctor tells what is amiss on the host in a list of its own.
    failed = told.status == ExitCode.USAGE or (told.status == ExitCode.HOST and told.argv[0] != "doctor")
    assert len(told.messages) == (1 if failed else 0), told
    # Nothing was booted: a boot has a scratch folder, and libvirt's driver a root.
    assert not (place / "state" / "libvirt").exists(), told
    assert not list((place / "state").glob("scratch/*")), told


@pytest.mark.integration
@settings(
    max_examples=60, deadline=None, derandomize=True, phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(argv=commands())
def test_a_few_commands(argv: list[str], place: Path) -> None:
    check(tell(argv), place)


@pytest.mark.fuzz
@pytest.mark.timeout(3600)
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(argv=commands())
def test_many_commands(argv: list[str], place: Path) -> None:
    check(tell(argv), place)
