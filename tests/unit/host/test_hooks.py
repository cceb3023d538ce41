"""Commands of the user's own: what they are told, and that none outlives its call."""

import os
import time
from pathlib import Path

import pytest

from harness.errors import ConfigError, HostError
from harness.host.hooks import hook_words, run_hook

pytestmark = pytest.mark.unit

ENV = {"PATH": os.environ["PATH"], "KAB_ALARM_ID": "a1b2"}


def ended(pid: int) -> bool:
    """Whether a process ends within seconds; one that nobody has asked after has ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.01)
    return False


def test_it_is_told_by_variables_and_by_what_it_reads(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_hook(["sh", "-c", f"cat >{out}; echo $KAB_ALARM_ID >>{out}"], stdin=b"x" * 300_000, env=ENV, timeout_s=10)
    assert out.read_bytes() == b"x" * 300_000 + b"a1b2\n"


def test_one_that_reads_nothing_does_not_block() -> None:
    run_hook(["true"], stdin=b"x" * 300_000, env=ENV, timeout_s=10)


def test_one_that_fails_says_why() -> None:
    with pytest.raises(HostError, match=r"status 7: .*99999 100000 no such \\x1b\[31mroom$") as caught:
        run_hook(
            ["sh", "-c", "seq 100000; printf 'no such \\033[31mroom' >&2; exit 7"], stdin=b"", env=ENV, timeout_s=10
        )
    assert len(caught.value.message) < 1000


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    begin = time.monotonic()
    with pytest.raises(HostError, match=r"did not finish in 0\.5 s"):
        run_hook(["sh", "-c", f"sleep 60 & echo $! >{pid}; wait"], stdin=b"", env=ENV, timeout_s=0.5)
    assert time.monotonic() - begin < 10
    assert ended(int(pid.read_text()))


def test_what_a_good_one_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    run_hook(["sh", "-c", f"sleep 60 & echo $! >{pid}"], stdin=b"", env=ENV, timeout_s=10)
    assert ended(int(pid.read_text()))


def test_one_that_is_not_there() -> None:
    with pytest.raises(HostError, match="no-such-program-of-kab is not installed"):
        run_hook(["no-such-program-of-kab"], stdin=b"", env=ENV, timeout_s=1)


def test_words() -> None:
    assert hook_words("mail -s 'a change' me@example.org") == ("mail", "-s", "a change", "me@example.org")
    for command in ("", "  ", "'open"):
        with pytest.raises(ConfigError):
            hook_words(command)
