"""The one place that takes signals: SIGINT, SIGTERM and SIGHUP ask the process to end in order.

A request is recorded first and then raised in the main thread as KeyboardInterrupt. Python raises it between any two
instructions, which is wrong in two kinds of places. In a call of a foreign library that calls back into Python (of
libvirt, of a destructor) the exception is swallowed, or becomes a SystemError; and between the making of a thing and
the note of what was made, it leaks the thing. Such places are ``shielded``: inside, a request is recorded only, and
leaving raises it.

Where it was swallowed all the same, it stays recorded: loops and long waits ``check``, and raise it again.

Once a KeyboardInterrupt is on its way out, no further signal breaks the clean-up that it runs through.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """What a request raises.

    A class of its own for CPython's sake: a plain KeyboardInterrupt that leaves code given to ``exec`` as text, as that
    of dataclasses is while they are imported, is noted for good, and ``python -m harness`` then ends itself by SIGINT.
    """


class _Request:
    """What was asked of this process; signal handlers run in its main thread only, so nothing needs a lock."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.shields = 0
        # Whether nobody is left to take an exception.
        self.settled = True

    def take(self, number: int, _frame: FrameType | None) -> None:
        """The handler of all three signals."""
        if self.number is None:
            self.number = number
        check()


_request = _Request()


def install() -> None:
    """Take the three signals from now on, with no request recorded; main thread only, and harmless when done twice.

    A signal that is ignored stays so: that is what nohup, and a shell's `&` in a script, ask for.
    """
    if not _request.settled:
        return
    _request.number = None
    _request.settled = False
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _request.take)


def settle() -> None:
    """Record requests, and raise none any more: the command's status is decided, and the process is about to end."""
    _request.settled = True


def requested() -> bool:
    """Whether the process has been asked to end, however much of it has been noticed."""
    return _request.number is not None


def check() -> None:
    """Raise KeyboardInterrupt where a request is recorded, unless it is on its way already, or shielded off.

    In other threads than the main one nothing is raised: they end with what they work for.
    """
    if (
        _request.number is not None
        and not _request.settled
        and not _request.shields
        and threading.current_thread() is threading.main_thread()
        and not _on_its_way()
    ):
        raise Interrupted


@contextmanager
def shielded() -> Iterator[None]:
    """Let no signal raise inside; leaving raises what came meanwhile. For what is short, or cannot be broken off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _request.shields += 1
    try:
        yield
    except Exception:
        _request.shields -= 1
        # What failed under a request ends as interrupted: the signal may have been what made it fail.
        check()
        raise
    except BaseException:
        _request.shields -= 1
        raise
    _request.shields -= 1
    check()


@contextmanager
def goes_first() -> Iterator[None]:
    """Turn whatever fails inside under a request into KeyboardInterrupt: it is part of the end, and no fault."""
    try:
        yield
    except Exception as error:
        if requested():
            raise Interrupted from error
        raise


def _on_its_way() -> bool:
    """Whether a KeyboardInterrupt is being handled (its clean-up runs), itself or as what led to another error."""
    todo = [sys.exception()]
    seen: set[int] = set()
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        todo += [error.__context__, error.__cause__]
    return False
