"""A kab that is killed and watched, for the benchmarks that do so: what it owns, what it stored, what it says."""

import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.host import process, reaper
from harness.host.paths import Paths

# The reaper looks for late processes for 1.5 s, and may have to wait for a lock.
GONE_TIMEOUT_S = 15.0
LOOK_EVERY_S = 0.05

# A stored boot: run, block, position, attempt, arm, seed, outcome, when it began, how long it took.
Boot = tuple[Any, ...]
# A process, by id and start time: ids come again.
ProcessKey = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What is there of a kab at one moment."""

    processes: dict[ProcessKey, str]
    paths: frozenset[Path]

    def __bool__(self) -> bool:
        return bool(self.processes or self.paths)

    def __str__(self) -> str:
        names = sorted(self.processes.values())
        return ", ".join([*names, f"{len(self.paths)} files and folders"] if self.paths else names) or "nothing"


@dataclass(slots=True, kw_only=True)
class Start:
    """One start of kab and its end; the events that it wrote are its progress."""

    how: str
    after_s: float
    status: int | None = None
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def begun(self) -> int:
        """Boots that it began."""
        return sum(event["event"] == "trial" for event in self.events)

    @property
    def doing(self) -> str:
        """What it was about when it ended."""
        last = next((event for event in reversed(self.events) if event["event"] in {"stage", "trial"}), None)
        kernel = next((event["kernel"] for event in reversed(self.events) if event["event"] == "trial"), "")
        return f"{last.get('stage', 'start')} of {kernel.split('-')[0].split('+')[0]}" if last else "starting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Starts one command, again and again, in a state folder of its own."""

    state: Path
    words: tuple[str, ...]

    @property
    def paths(self) -> Paths:
        """The folders of that state; the cache is not looked at."""
        return Paths(cache=self.state, state=self.state)

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[tuple[process.Process, Path]]:
        """kab with `words`, and the file that its progress goes to; still running at the end, it is killed."""
        log = self.state / f"progress-{time.monotonic_ns()}.jsonl"
        argv = [sys.executable, "-m", "harness", *words, "--progress", "json"]
        environment = {**os.environ, "KAB_STATE_DIR": str(self.state)}
        with log.open("wb") as stderr, (self.state / "report.txt").open("wb") as stdout:
            running = process.spawn(argv, stdout=stdout, stderr=stderr, env=environment, new_session=True)
            try:
                yield running, log
            finally:
                if running.poll() is None:
                    running.kill()
                running.wait()

    def belongings(self) -> Belongings:
        """Processes that name the state folder, reapers left out, and files of guests and leases."""
        processes = {}
        for pid in reaper.marked_processes([str(self.state)]):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
                started = reaper.start_ticks(pid)
                if started is not None and str(reaper.__file__) not in words and "harness" not in words:
                    processes[pid, started] = Path(words[0]).name
        paths = (*self.paths.scratch.glob("*"), *self.paths.leases.glob("*"))
        return Belongings(processes=processes, paths=frozenset(paths))

    def wait_gone(self, wanted: Belongings) -> float | None:
        """Seconds until all of `wanted` is gone; None when some of it stays."""
        began = time.monotonic()
        while time.monotonic() - began < GONE_TIMEOUT_S:
            if not left_of(wanted):
                return time.monotonic() - began
            time.sleep(LOOK_EVERY_S)
        return None

    def boots(self) -> list[Boot]:
        """All boots that are stored, in the order they were made. Raises sqlite3.Error for a damaged database."""
        if not self.paths.database.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.paths.database)) as connection:
            (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
            if sound != "ok":
                raise sqlite3.DatabaseError(sound)
            return connection.execute(
                "SELECT runs.id, block, position, attempt, arm, trials.seed, outcome, started, duration_s,"
                " (SELECT count(*) FROM samples WHERE trial_key = trials.key),"
                " (SELECT count(*) FROM artifacts WHERE trial_key = trials.key)"
                " FROM trials JOIN runs ON runs.key = run_key ORDER BY trials.key"
            ).fetchall()


def left_of(wanted: Belongings) -> Belongings:
    """What is still there of it."""
    return Belongings(
        processes={key: name for key, name in wanted.processes.items() if reaper.start_ticks(key[0]) == key[1]},
        paths=frozenset(path for path in wanted.paths if os.path.lexists(path)),
    )


def below(pid: int) -> list[int]:
    """Process ids of all descendants, the children first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        children = parents.get(todo.pop(0), [])
        found += children
        todo += children
    return found


def events_of(log: Path) -> list[dict[str, Any]]:
    """The progress of one start; a line that the kill cut off, and words that are no event, are left out."""
    events = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict):
                events.append(event)
    return events


def kill(pid: int, *, tree: bool) -> None:
    """SIGKILL; with `tree` the reaper and all others below go first, so that none can tidy up."""
    for victim in [*(below(pid) if tree else ()), pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class Report:
    """What was seen, printed as it is seen; `faults` is what must not be."""

    starts: list[Start] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def row(self, *cells: object) -> None:
        """A line of the table of kills."""
        widths = (4, 9, 8, 5, 22, 6, 48, 14)
        print("  ".join(f"{cell!s:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)

    def fault(self, text: str) -> None:
        """Say and keep what must not be."""
        self.faults.append(text)
        print(f"WRONG: {text}", flush=True)

    def stored(self, before: Sequence[Boot], after: Sequence[Boot]) -> None:
        """Boots stored earlier must head the later list."""
        if list(after[: len(before)]) != list(before):
            lost = [boot for boot in before if boot not in after]
            self.fault(f"stored boots are lost or changed: {lost}")
