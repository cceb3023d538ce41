"""The serial console of one boot while it runs: text from the first byte, the first crash, how the domain ended."""

import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import libvirt

from harness import interruption
from harness.guest.transcript import Transcript
from harness.model.trial import Finding
from harness.parse import console as parse

_log = logging.getLogger(__name__)

# A crashing kernel writes its trace within this time; then it resets, and QEMU ends.
_TRACE_S = 2.0
# How often a wait looks whether it was asked to end.
_LOOK_EVERY_S = 0.2
# Between the end of the console and libvirt's word on why the domain ended.
_EVENT_S = 5.0
# No line of a kernel is longer; what is, is looked at in pieces.
_LONGEST_LINE = 65536


class End(StrEnum):
    """How a domain ended that nobody of us ended."""

    # The guest powered off or reset.
    GUEST = "guest"
    # QEMU went away without a word: killed, or aborted.
    KILLED = "killed"


class Console:
    """What a serial line has said so far. Fed by one thread, waited for by another."""

    def __init__(self, copy: Path) -> None:
        """`copy` gets what the line says too, for whoever wants to look on."""
        self._changed = threading.Condition()
        self._said = Transcript(copy)
        # What follows the last whole line that has been looked at for a crash.
        self._rest = b""
        # Word that was asked for -> whether it was said, in the part that is no longer kept, too.
        self._words: dict[str, bool] = {}
        self._crash: Finding | None = None
        # Whether a line so far had the kernel's time stamp, so that lines without are not its own.
        self._stamped = False
        self._closed = False
        self._end: End | None = None

    def feed(self, data: bytes) -> None:
        """Append what the line said."""
        with self._changed:
            self._said.feed(data)
            fresh = self._rest + data
            for word, said in self._words.items():
                self._words[word] = said or word.encode() in fresh
            lines = fresh.rfind(b"\n") + 1 or (len(fresh) if len(fresh) >= _LONGEST_LINE else 0)
            if self._crash is None and lines:
                text = fresh[:lines].decode(errors="replace")
                self._stamped = self._stamped or parse.is_stamped(text)
                self._crash = parse.crash(text, stamped=self._stamped)
            self._rest = fresh[lines:]
            self._changed.notify_all()

    def close(self) -> None:
        """Note that the line is dead: nothing more will be said."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def ended(self, detail: int) -> None:
        """Note libvirt's word on why the domain ended (VIR_DOMAIN_EVENT_STOPPED_*)."""
        by_guest = {libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED}
        with self._changed:
            self._end = End.GUEST if detail in by_guest else End.KILLED
            self._changed.notify_all()

    def text(self) -> str:
        """What was said until now; of a flood the beginning and the end."""
        with self._changed:
            return self._said.text()

    @property
    def has_crashed(self) -> bool:
        """Whether a line so far tells of a crash."""
        return self._crash is not None

    @property
    def is_over(self) -> bool:
        """Whether the domain is gone."""
        return self._closed or self._end is not None

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds (looked at whenever something changes); False when it did not in time."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                interruption.check()
                rest_s = deadline - time.monotonic()
                if rest_s <= 0.0:
                    return False
                self._changed.wait(min(rest_s, _LOOK_EVERY_S))
        return True

    def says(self, word: str) -> bool:
        """Whether the line has said `word`."""
        with self._changed:
            if word not in self._words:
                self._words[word] = word.encode() in self._said.content()
            return self._words[word]

    def crash(self) -> Finding | None:
        """The first crash with its trace, waiting for the trace to be written; None without one."""
        if not self.has_crashed:
            return None
        self.wait(lambda: self._closed, _TRACE_S)
        return parse.crash(self.text()) or self._crash

    def end(self) -> End:
        """How the domain ended; call when ``is_over``. Waits for libvirt's word, and takes silence for a kill."""
        self.wait(lambda: self._end is not None, _EVENT_S)
        return self._end or End.KILLED


class Capture:
    """A thread that feeds a console from libvirt's console stream."""

    def __init__(self, connection: Any, domain: Any, console: Console) -> None:
        """Open the domain's console. Start the domain paused and call this before it resumes: no byte is lost."""
        self._stream = connection.newStream(0)
        domain.openConsole(None, self._stream, 0)
        self._console = console
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            # An empty answer is the end of the stream, a number that of a stream that was aborted.
            while isinstance(data := self._stream.recv(65536), bytes) and data:
                self._console.feed(data)
        except libvirt.libvirtError as error:
            # How the embedded driver says that QEMU closed its end.
            _log.debug("console: %s", error)
        finally:
            self._console.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the console; the domain must be gone."""
        deadline = time.monotonic() + timeout_s
        self._thread.join(timeout_s)
        if time.monotonic() >= deadline:
            _log.warning("the console of a removed domain is still open")
