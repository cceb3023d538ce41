"""Builds that go on ahead of a search: at the lowest priority, and standing still while a guest measures."""

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.host import process, reaper

_NICE = "19"
_END_TIMEOUT_S = 20.0
_KAB_BUILD = (sys.executable, "-m", "harness", "build", "--progress", "none")


class BuildAhead:
    """Builds kernels that are likely to be wanted, one at a time, each by a `kab build` of its own.

    What it builds lands in the cache as anything else; what nobody wants any more is ended. Its builds die with this
    process, however that ends.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Nothing is started yet; `environment` is that of the builds."""
        self._environment = environment
        self._running: process.Process | None = None
        self._spec = ""
        self._wanted: list[str] = []
        # Specs that were started: a build that failed is not tried again.
        self._tried: set[str] = set()
        self._held = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def want(self, specs: Sequence[str]) -> None:
        """What may be wanted soon, the likeliest first; it takes the place of what was wanted before."""
        self._wanted = [spec for spec in specs if spec not in self._tried or spec == self._spec]
        if self._is_running() and self._spec not in self._wanted:
            self._end()
        self._next()

    def hold(self) -> None:
        """A measurement begins: let everything stand still."""
        self._held = True
        self._signal(signal.SIGSTOP)

    def release(self) -> None:
        """The measurement is over."""
        self._held = False
        self._signal(signal.SIGCONT)
        self._next()

    def make_way(self, spec: str) -> None:
        """`spec` is wanted now: finish it where it is being built, else end what is."""
        self._held = False
        if self._is_running() and self._spec == spec and self._running is not None:
            self._signal(signal.SIGCONT)
            self._running.wait()
        self._wanted = []
        self._end()

    def _next(self) -> None:
        if self._held or self._is_running():
            return
        upcoming = next((spec for spec in self._wanted if spec not in self._tried), None)
        if upcoming is None:
            return
        self._tried.add(upcoming)
        self._spec = upcoming
        self._running = process.spawn(
            process.dying_with_us(["nice", "-n", _NICE, *_KAB_BUILD, upcoming]),
            new_session=True,
            env=self._environment,
        )

    def _is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def _end(self) -> None:
        if self._running is not None:
            self._signal(signal.SIGCONT)
            # It ends its own make, and knows then that what that left may be half-written.
            process.stop(self._running, timeout_s=_END_TIMEOUT_S)
        self._running = None
        self._spec = ""

    def _signal(self, number: signal.Signals) -> None:
        if self._running is None or self._running.poll() is not None:
            return
        # The build below is a group of its own, and starts processes all the time: by groups, none is missed.
        for group in _groups_below(self._running.pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)


def _groups_below(pid: int) -> set[int]:
    """Process groups of a process and of all that descend from it, but for reapers: those must outlive their owners."""
    reapers = set(reaper.marked_processes([reaper.__file__]))
    parents: dict[int, tuple[int, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            # proc(5): ppid is field 4, pgrp field 5; the command ends with field 2.
            parents[int(entry.name)] = (int(fields[1]), int(fields[2]))
    found, left = set[int](), [pid]
    while left:
        one = left.pop()
        if one in parents and one not in reapers:
            found.add(parents[one][1])
        left += [child for child, (parent, _) in parents.items() if parent == one]
    return found
