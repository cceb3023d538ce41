"""Keeps a lease's reaper alive while its owner lives: a kab without one would leave everything behind when killed."""

import logging
import os
import sys
import threading
from pathlib import Path

from harness.errors import HostError
from harness.host import process, reaper

_log = logging.getLogger(__name__)

# Whoever ends it that often means it, or nothing can live here.
_MOST_DEATHS = 5
# It has nothing left to do when its owner ends in order; a stopped one never notices.
_END_TIMEOUT_S = 2.0


class ReaperWatch:
    """A reaper of one lease, replaced when it dies."""

    def __init__(self, lease: Path) -> None:
        """Start it. Raises HostError."""
        self._lease = lease
        self._mutex = threading.Lock()
        self._closing = False
        self._given_up = ""
        self._process, self._pipe = self._start()
        self._thread = threading.Thread(target=self._run, name="reaper", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The reaper that lives now, or lived last."""
        return self._process.pid

    def check(self) -> None:
        """Raise HostError where no reaper could be kept alive: nothing more may be made then."""
        if self._given_up:
            raise HostError(
                f"the process that would tidy up after kab does not stay alive: {self._given_up}",
                remedy="Does something end it (out of memory, a limit on processes)? What was measured is stored.",
            )

    def _start(self) -> tuple[process.Process, int]:
        # Python's pipes are closed at exec: no child of ours keeps the reaper waiting.
        reading, writing = os.pipe()
        try:
            # By path, isolated and without site: it must not depend on what the owner has installed, nor be slow.
            argv = [sys.executable, "-I", "-S", reaper.__file__, str(self._lease)]
            return process.spawn(argv, stdin=reading, new_session=True), writing
        except BaseException:
            os.close(writing)
            raise
        finally:
            os.close(reading)

    def _run(self) -> None:
        for _ in range(_MOST_DEATHS):
            status = self._process.wait()
            with self._mutex:
                if self._closing:
                    return
                _log.warning("the reaper (process %d) died with status %d; another one is started", self.pid, status)
                try:
                    started, pipe = self._start()
                except HostError as error:
                    self._given_up = error.message
                    return
                os.close(self._pipe)
                self._process, self._pipe = started, pipe
        self._process.wait()
        if not self._closing:
            self._given_up = f"it died {_MOST_DEATHS + 1} times"

    def close(self) -> None:
        """End it; its lease must be swept already. Call once."""
        with self._mutex:
            self._closing = True
            os.close(self._pipe)
        self._thread.join(_END_TIMEOUT_S)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()
