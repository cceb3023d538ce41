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
import random
import signal
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _victims import GONE_TIMEOUT_S, LOOK_EVERY_S, Report, Start, Victim, events_of, kill, left_of

from harness.model.bisection import BisectionOutcome, BisectionPlan
from harness.parse.plainjson import from_plain

_START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Searcher(Victim):
    """Starts one search, again and again."""

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


def kill_once(searcher: Searcher, report: Report, number: int, *, after_s: float, tree: bool) -> bool:
    """Start, kill, look; False when the search ended before the kill."""
    resume = number % 2 == 1 and searcher.search_begun()
    before, left = searcher.boots(), left_of(searcher.belongings())
    start = Start(how="--resume" if resume else "the same", after_s=after_s)
    report.starts.append(start)
    with searcher.running("bisect", *(("--resume",) if resume else searcher.words)) as (running, log):
        deadline = time.monotonic() + after_s
        while time.monotonic() < deadline and running.poll() is None:
            time.sleep(LOOK_EVERY_S)
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
        report.fault(f"{GONE_TIMEOUT_S:g} s after kill {number + 1} there is still: {left_of(owned)}")
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
    with searcher.running("bisect", *(("--resume",) if searcher.search_begun() else searcher.words)) as (running, log):
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not any(event["event"] == "run" for event in events_of(log)) and running.poll() is None:
            time.sleep(LOOK_EVERY_S)
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
        query = "SELECT count(*) FROM runs WHERE id = ? AND parent IS NOT NULL"
        return bool(connection.execute(query, (run_id,)).fetchone()[0])


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
        with reference.running("bisect", *words) as (running, _):
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
