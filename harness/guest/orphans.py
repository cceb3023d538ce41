"""QEMU daemonises, and libvirt waits until the process that inherits it has taken note of its end.

That is the host's process 1, which takes seconds for it in some containers and never does it in others. So kab
inherits QEMU itself (PR_SET_CHILD_SUBREAPER, prctl(2)) and takes note at once.
"""

import ctypes
import logging
import os
import threading
from pathlib import Path

_log = logging.getLogger(__name__)

_PR_SET_CHILD_SUBREAPER = 36
_LOOK_EVERY_S = 0.05


class Orphans:
    """A thread that takes note of the end of every QEMU that this process has inherited."""

    def __init__(self) -> None:
        """Make this process the heir of what its descendants leave behind; what it starts itself is not touched."""
        _inherit(True)
        # What is inherited goes to the main thread, whose id is that of the process.
        self._children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="orphans", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_EVERY_S):
            self._take_note()

    def _take_note(self) -> None:
        try:
            children = self._children.read_text().split()
        except OSError as error:
            _log.debug("no orphans: %s", error)
            self._closing.set()
            return
        for child in children:
            if _is_dead_daemon(int(child)):
                try:
                    os.waitpid(int(child), os.WNOHANG)
                except ChildProcessError as error:
                    _log.debug("QEMU %s is not ours: %s", child, error)

    def close(self) -> None:
        """End the thread, and inherit nothing any more."""
        _inherit(False)
        self._closing.set()
        self._thread.join()
        self._take_note()


def _inherit(wanted: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0) != 0:
        _log.debug("prctl: %s", os.strerror(ctypes.get_errno()))


def _is_dead_daemon(pid: int) -> bool:
    """Whether a child is a QEMU that has ended and that libvirt started: in a session that is not ours."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # Fields of proc(5): the name in brackets, then state, ppid, pgrp, session.
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat.rpartition(")")[2].split()
    return fields[0] == "Z" and name.startswith("qemu-system") and int(fields[3]) != os.getsid(0)
