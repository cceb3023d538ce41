"""Kills `kab bisect` at random moments and continues it: is anything left behind, is a boot lost, made twice?

    python benchmarks/kill_resume.py [FROM TO] [--kills 10] [--tree-kills 1] [--seed N] [--reference] [-- OPTIONS]

Each start is killed with SIGKILL after a random time: kab's own process only, and, --tree-kills times, its reaper and
everything below it too, so that nobody is left to tidy up but the next start. Every second start is the same command,
the others are `kab bisect --resume`. Looked at after each kill: what runs or lies in the state folder, when it is gone,
and whether the boots stored before are still there, unchanged, in the order they were made. At the end each boot that
was ever begun must be stored, or have been in flight at a kill. --reference makes the search once more, undisturbed,
and compares the answers. Results go to a temporary state folder, or --state. Exit status 1 if anything was wrong.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness.host import process, reaper
from harness.host.paths import Paths
from harness.model.bisection import BisectionOutcome, BisectionPlan
from harness.parse.plainjson import from_plain

# The reaper looks for late processes for 1.5 s, and may have to wait for a lock.
_GONE_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 0.05
_START_TIMEOUT_S = 120.0

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
class Searcher:
    """Starts one search, again and again, in a state folder of its own."""

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
        argv = [sys.executable, "-m", "harness", "bisect", *words, "--progress", "json"]
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
        while time.monotonic() - began < _GONE_TIMEOUT_S:
            if not left_of(wanted):
                return time.monotonic() - began
            time.sleep(_LOOK_EVERY_S)
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

    def answer(self) -> tuple[BisectionPlan, BisectionOutcome | None]:
        """The newest search's plan, and what it came to."""
        with contextlib.closing(sqlite3.connect(self.paths.database)) as connection:
            plan, outcome = connection.execute(
                "SELECT plan, outcome FROM bisections ORDER BY run_key DESC LIMIT 1"
            ).fetchone()
        document = json.loads(outcome)
        return (
            from_plain(BisectionPlan, json.loads(plan)),
            None if document is None else from_plain(BisectionOutcome, document),
        )

    def search_begun(self) -> bool:
        """Whether there is a search to resume."""
        if not self.paths.database.exists():
            return False
        with contextlib.closing(sqlite3.connect(self.paths.database)) as connection:
            try:
                return bool(connection.execute("SELECT count(*) FROM bisections").fetchone()[0])
            except sqlite3.OperationalError:
                # Killed before the tables were made.
                return False


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


def kill_once(searcher: Searcher, report: Report, number: int, *, after_s: float, tree: bool) -> bool:
    """Start, kill, look; False when the search ended before the kill."""
    resume = number % 2 == 1 and searcher.search_begun()
    before, left = searcher.boots(), left_of(searcher.belongings())
    start = Start(how="--resume" if resume else "the same", after_s=after_s)
    report.starts.append(start)
    with searcher.running(*(("--resume",) if resume else searcher.words)) as (running, log):
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline and running.poll() is None:
            time.sleep(_LOOK_EVERY_S)
        ended = running.poll() is not None
        owned = searcher.belongings()
        if not ended:
            kill(running.pid, tree=tree)
    start.events, start.status = events_of(log), running.returncode
    if left and any(event["event"] == "run" for event in start.events) and (still := left_of(left)):
        report.fault(f"start {number + 1} left what an earlier one owned: {still}")
    if ended:
        if running.returncode not in {0, 125}:
            report.fault(f"start {number + 1} ended with status {running.returncode}: {log.read_text()[-500:]}")
        return False
    # With its reaper dead, too, the next start has to tidy up: that is looked at above.
    gone_s = None if tree else searcher.wait_gone(owned)
    if gone_s is None and not tree:
        report.fault(f"{_GONE_TIMEOUT_S:g} s after kill {number + 1} there is still: {left_of(owned)}")
    after = searcher.boots()
    report.stored(before, after)
    tidied = f"{gone_s:.1f} s" if gone_s is not None else "next start"
    report.row(
        number + 1, start.how, f"{after_s:.1f} s", "tree" if tree else "kab", start.doing, len(after), owned, tidied
    )
    return True


def finish(searcher: Searcher, report: Report) -> None:
    """Let it come to its end, and look at all of it."""
    before, left = searcher.boots(), searcher.belongings()
    start = Start(how="--resume", after_s=0.0)
    report.starts.append(start)
    with searcher.running(*(("--resume",) if searcher.search_begun() else searcher.words)) as (running, log):
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not any(event["event"] == "run" for event in events_of(log)) and running.poll() is None:
            time.sleep(_LOOK_EVERY_S)
            if time.monotonic() > deadline:
                report.fault("the last start does not begin")
                return
        if left and (still := left_of(left)):
            report.fault(f"the last start left what an earlier one owned: {still}")
        start.status = running.wait()
    start.events = events_of(log)
    if start.status not in {0, 125}:
        report.fault(f"the last start ended with status {start.status}: {log.read_text()[-500:]}")
    report.stored(before, searcher.boots())


def look_at_all(searcher: Searcher, report: Report) -> None:
    """What must hold of all starts together."""
    boots = searcher.boots()
    kills = sum(start.status == -signal.SIGKILL for start in report.starts)
    begun = sum(start.begun for start in report.starts)
    if not len(boots) <= begun <= len(boots) + kills:
        report.fault(f"{begun} boots were begun and {len(boots)} stored, with {kills} kills")
    attempts: dict[tuple[Any, ...], list[int]] = {}
    for run, block, position, attempt, *_ in boots:
        attempts.setdefault((run, block, position), []).append(attempt)
    for place, numbers in attempts.items():
        if numbers != list(range(len(numbers))):
            report.fault(f"boots of {place} are numbered {numbers}")
    oks = [boot[:3] for boot in boots if boot[6] == "ok" and is_part(searcher, boot[0])]
    for place in {place for place in oks if oks.count(place) > 1}:
        report.fault(f"a place of an A/B run was measured twice: {place}")
    if rest := searcher.belongings():
        report.fault(f"left at the end: {rest}")
    in_flight = begun - len(boots)
    print(f"\n{kills} kills, {begun} boots begun, {len(boots)} stored, {in_flight} in flight at a kill")


def is_part(searcher: Searcher, run_id: str) -> bool:
    """Whether a run is an A/B run inside the search: there each place is measured once."""
    with contextlib.closing(sqlite3.connect(searcher.paths.database)) as connection:
        return bool(
            connection.execute("SELECT count(*) FROM bisection_parts WHERE part_id = ?", (run_id,)).fetchone()[0]
        )


def told(searcher: Searcher) -> list[str]:
    """The answer, an edge a line: what two searches of one ladder can be compared by."""
    plan, outcome = searcher.answer()
    if outcome is None:
        return ["no answer"]
    edges = [
        f"{edge.kind}: {plan.rungs[edge.before].version} -> {plan.rungs[edge.after].version}, A/B says {edge.verdict}"
        for edge in outcome.edges
    ]
    return [f"{outcome.answer} by {outcome.metric}", *edges]


def measure(state: Path, options: argparse.Namespace) -> list[str]:
    """Kill, continue, compare; returns what was wrong."""
    words = (*options.kernels, *(() if options.seed is None else ("--seed", str(options.seed))), *options.options)
    searcher = Searcher(state=state / "killed", words=words)
    searcher.state.mkdir()
    moments, report = random.Random(options.kill_seed), Report()
    # The tree is killed in the middle, when guests are surely running.
    trees = {options.kills // 2 + index for index in range(options.tree_kills)}
    began = time.monotonic()
    report.row("kill", "start", "after", "what", "while", "stored", "it owned", "all of it gone")
    for number in range(options.kills + options.tree_kills):
        after_s = moments.uniform(options.least_s, options.most_s)
        if not kill_once(searcher, report, number, after_s=after_s, tree=number in trees):
            break
    else:
        finish(searcher, report)
    look_at_all(searcher, report)
    print(f"{(time.monotonic() - began) / 60:.1f} min; the answer:", *told(searcher), sep="\n  ")
    if options.reference:
        began = time.monotonic()
        reference = Searcher(state=state / "reference", words=words)
        reference.state.mkdir()
        with reference.running(*words) as (running, _):
            running.wait()
        taken = f"{len(reference.boots())} boots, {(time.monotonic() - began) / 60:.1f} min"
        print(f"undisturbed, {taken}; the answer:", *told(reference), sep="\n  ")
        if told(reference) != told(searcher):
            report.fault("the answers differ")
    return report.faults


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", default=["debian:6.1", "debian:7.3"], metavar="FROM TO")
    parser.add_argument("--kills", type=int, default=10, help="of kab's own process alone")
    parser.add_argument("--tree-kills", type=int, default=1, help="of everything below it, too")
    parser.add_argument("--least-s", type=float, default=5.0, help="soonest kill after a start")
    parser.add_argument("--most-s", type=float, default=90.0, help="latest kill after a start")
    parser.add_argument("--seed", type=int, help="of the search")
    parser.add_argument("--kill-seed", type=int, default=1, help="of the moments")
    parser.add_argument("--reference", action="store_true", help="make the search once more, undisturbed")
    parser.add_argument("--state", type=Path, help="a folder to keep the results in")
    # Everything behind -- goes to kab bisect as it is.
    words = sys.argv[1:]
    split = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:split])
    options.options = words[split + 1 :]
    with contextlib.ExitStack() as stack:
        state = options.state or Path(stack.enter_context(TemporaryDirectory(prefix="kab-kill-")))
        state.mkdir(parents=True, exist_ok=True)
        faults = measure(state.absolute(), options)
    print(f"{len(faults)} things were wrong" if faults else "nothing was lost, made twice or left behind")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
