"""Streams of a guest that floods: what is kept is bounded, in memory and on disk, and what was cut is said."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.guest import ssh
from harness.guest.console import Console
from harness.guest.transcript import Transcript
from harness.model.trial import FindingKind
from harness.parse.headtail import HeadTail, shortened

pytestmark = pytest.mark.unit

CUT = re.compile(rb"\n\[kab: (\d+) bytes left out here\]\n")
LINE = b"y" * 70 + b"\n"
FLOOD = LINE * 1000


@given(pieces=st.lists(st.binary(max_size=40)), head=st.integers(0, 30), tail=st.integers(0, 30))
def test_head_and_tail_of_anything(pieces, head, tail):
    kept = HeadTail(head, tail)
    for piece in pieces:
        kept.feed(piece)
    whole = b"".join(pieces)
    if len(whole) <= head + tail:
        assert (kept.content(), kept.cut_bytes) == (whole, 0)
    else:
        assert kept.cut_bytes == len(whole) - head - tail
        said = f"\n[kab: {kept.cut_bytes} bytes left out here]\n".encode()
        assert kept.content() == whole[:head] + said + whole[len(whole) - tail :]
    assert shortened(whole, 1000) == whole


def test_a_text_that_is_cut_within_a_character_is_text():
    kept = HeadTail(3, 3)
    kept.feed("ääää".encode())
    assert kept.text() == "ä\ufffd\n[kab: 2 bytes left out here]\n\ufffdä"


def test_a_transcript_is_bounded_in_memory_and_on_disk(tmp_path):
    copy, half = tmp_path / "log", 10_000
    transcript = Transcript(copy, half_bytes=half)
    transcript.feed(b"first line\n")
    largest = 0
    for _ in range(60):
        transcript.feed(FLOOD)
        largest = max(largest, copy.stat().st_size)
    transcript.feed(b"last line\n")
    for content in (transcript.content(), copy.read_bytes()):
        assert content.startswith(b"first line\n")
        assert content.endswith(b"last line\n")
    assert len(transcript.content()) < 2 * half + 100
    assert largest <= 4 * half + len(FLOOD)
    found = CUT.search(transcript.content())
    assert found is not None
    assert int(found[1]) == 60 * len(FLOOD) + 21 - 2 * half


def test_a_transcript_that_cannot_be_written_is_still_kept():
    transcript = Transcript(Path("/proc/none/log"))
    transcript.feed(b"a")
    assert transcript.text() == "a"


def test_a_console_that_floods_is_bounded_and_still_heard(tmp_path):
    console = Console(tmp_path / "console.log")
    assert not console.says("kab: ready")
    for _ in range(20):
        console.feed(FLOOD)
    console.feed(b"kab: rea")
    console.feed(b"dy\n")
    for _ in range(20):
        console.feed(FLOOD)
    assert len(console.text()) < 2.1 * 1024 * 1024
    assert "kab: ready" not in console.text(), "the middle is left out"
    assert console.says("kab: ready")
    assert not console.has_crashed
    console.feed(b"[    9.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\n")
    console.close()
    crash = console.crash()
    assert crash is not None
    assert crash.kind is FindingKind.PANIC


def test_a_crash_in_the_middle_of_a_flood_is_not_lost(tmp_path):
    console = Console(tmp_path / "console.log")
    console.feed(FLOOD * 20)
    console.feed(b"[    9.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009\n")
    console.feed(FLOOD * 60)
    console.close()
    crash = console.crash()
    assert crash is not None
    assert "panic" not in console.text()
    assert "Attempted to kill init" in crash.message


def test_a_console_without_a_line_feed(tmp_path):
    console = Console(tmp_path / "console.log")
    for _ in range(100):
        console.feed(b"y" * 10_000)
    assert len(console._rest) < 100_000
    console.feed(b"\n[    9.000000] Kernel panic - not syncing: x\n")
    assert console.has_crashed


def test_a_line_that_comes_in_pieces_is_one_line(tmp_path):
    console = Console(tmp_path / "console.log")
    text = FLOOD + b"[    9.000000] Kernel panic - not syncing: x"
    for start in range(0, len(text), 65536):
        console.feed(text[start : start + 65536])
    assert not console.has_crashed
    console.feed(b"\n")
    assert console.has_crashed


class Flood:
    """A channel on which a command writes `pieces` pieces of 64 KiB, and ends."""

    closed = False
    eof_received = True

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    def fileno(self) -> int:
        return 0

    def exit_status_ready(self) -> bool:
        return True

    def recv_ready(self) -> bool:
        return self.pieces > 0

    def recv(self, size: int) -> bytes:
        self.pieces -= 1
        return b"y" * size

    def recv_stderr_ready(self) -> bool:
        return False


def test_a_commands_output_is_bounded():
    channel: Any = Flood(400)
    passed = 0

    def output(data: bytes) -> None:
        nonlocal passed
        passed += len(data)

    running = ssh._Running(channel, b"", output)
    assert running._step()
    assert passed == 400 * 65536, "whoever looks on gets all of it"
    assert running.stdout.cut_bytes == passed - ssh.OUTPUT_BYTES
    assert len(running.stdout.text()) < ssh.OUTPUT_BYTES + 100
