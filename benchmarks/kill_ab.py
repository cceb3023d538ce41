"""Kills `kab ab` and what it runs, at random moments: is a boot lost, made twice, anything left, a signal not heard?

    python benchmarks/kill_ab.py [KERNEL] [--kills 100 | --signals 200] [--minutes M] [--state DIR] [--moment-seed N]

--kills: SIGKILL to kab, to its process group, to its reaper and then to it, to its QEMU, its nbdkit, its reaper;
SIGSTOP to its QEMU; SIGINT, SIGTERM and SIGHUP to kab and to its group. A third of them while libvirt starts a guest,
the others drawn over a start, a boot and a workload. Where kab is to go on it must, and is then ended by SIGTERM.
--signals: SIGINT, SIGTERM and SIGHUP to kab only, from its first instructions to its second boot.

After each: a signal must have ended kab with 130 and all that it owned in 5 s, SIGKILL in 15 s; `kab clean --leaks`
must find nothing (something, where the reaper was killed too; then nothing); the boots stored before must be there,
unchanged, in order. In all: each boot begun is stored or was in flight, and no place of a run was measured twice.
With --state and --minutes it goes on in slices: what is in DIR is counted too. Exit status 1 if anything was wrong.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from _victims import GONE_TIMEOUT_S, LOOK_EVERY_S, Report, Start, Victim, below, events_of, kill

from harness.host import process, reaper

_OPTIONS = (
    *("--set", "runtime=1s", "--set", "iterations=1", "--set", "warmup=0s", "--set", "file_size=4MiB"),
    *("--fs", "ext4", "--disk", "nvme,backend=nbd,latency=2ms,size=256MiB", "--accel", "tcg"),
    # Never decided: the run stays open for all kills.
    *("--margin", "0.01%", "--error", "0.01%", "--max-boots", "2000", "--seed", "1"),
)
_SIGNALS = ("INT", "TERM", "HUP")
# (what, signal); a third is timed into the start of a guest, whatever it is.
_KILLS = (
    *(("kab", name) for name in (*_SIGNALS, "KILL", "KILL")),
    *(("group", name) for name in (*_SIGNALS, "KILL")),
    *(("qemu", name) for name in ("KILL", "KILL", "STOP")),
    *((what, "KILL") for what in ("nbdkit", "nbdkit", "reaper", "reaper", "tree")),
)
_ORDERLY_S = 5.0
_START_TIMEOUT_S = 60.0
# From the event that tells of a boot to the domain that runs: libvirt and QEMU take half a second.
_STARTING_S = 0.8
# Python itself takes a moment to start, and to the first instruction of kab a signal is its own affair.
_EARLIEST_S = 0.5


class Moment:
    """When to strike: after a time, or after a time since the first boot of a start began."""

    def __init__(self, draw: random.Random, *, latest_s: float, starting: bool) -> None:
        self.starting = starting
        self.after_s = draw.uniform(0.0, _STARTING_S) if starting else draw.uniform(_EARLIEST_S, latest_s)

    def wait(self, running: process.Process, log: Path) -> bool:
        """False when kab ended before."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.starting and not any(event.get("stage") == "boot" for event in events_of(log)):
            if running.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        deadline = time.monotonic() + self.after_s
        while time.monotonic() < deadline and running.poll() is None:
            time.sleep(min(LOOK_EVERY_S, max(deadline - time.monotonic(), 0.0)))
        return running.poll() is None


def find(victim: Victim, kab: int, what: str) -> int | None:
    """The process id of a kab's reaper, QEMU or nbdkit."""
    if what == "reaper":
        for pid in below(kab):
            with contextlib.suppress(OSError):
                if str(reaper.__file__).encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return pid
        return None
    wanted = {"qemu": "qemu-system", "nbdkit": "nbdkit"}[what]
    return next((key[0] for key, name in victim.belongings().processes.items() if name.startswith(wanted)), None)


def strike(victim: Victim, running: process.Process, what: str, name: str) -> bool:
    """Send it; False when there is no such process now."""
    number = signal.Signals[f"SIG{name}"]
    if what == "tree":
        kill(running.pid, tree=True)
    elif what in {"kab", "group"}:
        with contextlib.suppress(ProcessLookupError):
            (os.kill if what == "kab" else os.killpg)(running.pid, number)
    else:
        pid = find(victim, running.pid, what)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return True


def leaks(victim: Victim) -> str:
    """What `kab clean --leaks` says."""
    environment = {**os.environ, "KAB_STATE_DIR": str(victim.state)}
    argv = [sys.executable, "-m", "harness", "clean", "--leaks"]
    return process.run(argv, timeout_s=60.0, env=environment).stdout.strip()


def goes_on(running: process.Process, log: Path, what: str) -> str:
    """What is wrong with a kab that must live on without its QEMU, nbdkit or reaper; "" for nothing."""
    seen = len(events_of(log))
    deadline = time.monotonic() + 150.0
    while running.poll() is None and time.monotonic() < deadline:
        finished = [event for event in events_of(log)[seen:] if event["event"] == "trial-finished"]
        if finished:
            wrong = [event for event in finished if event["outcome"] not in {"ok", "lost"}]
            return f"a {what} that was struck made an outcome: {wrong}" if wrong else ""
        time.sleep(LOOK_EVERY_S)
    return f"kab did not go on without its {what} (status {running.poll()})"


def _is_refused(running: process.Process, log: Path) -> bool:
    """Whether kab ends by itself with 131 because no guest could be started."""
    with contextlib.suppress(Exception):
        running.wait(5.0)
    return running.poll() == 131 and "cannot start a guest" in log.read_text(errors="replace")


def end_in_order(victim: Victim, running: process.Process, report: Report, log: Path) -> float:
    """Wait for the end that a signal has asked for; seconds to it."""
    began = time.monotonic()
    with contextlib.suppress(Exception):
        running.wait(_START_TIMEOUT_S)
    took_s = time.monotonic() - began
    if running.poll() is None:
        report.fault(f"a signal was not heard in {_START_TIMEOUT_S:g} s: {log.read_text()[-500:]}")
        return took_s
    if running.returncode != 130:
        report.fault(f"status {running.returncode} after a signal: {log.read_text()[-800:]}")
    if took_s > _ORDERLY_S:
        report.fault(f"{took_s:.1f} s from the signal to the end")
    if left := victim.belongings():
        report.fault(f"there is still, after an orderly end: {left}")
    return took_s


def strike_once(victim: Victim, report: Report, moment: Moment, what: str, name: str) -> dict[str, Any] | None:
    """Start, strike, look; None when there was nothing to strike."""
    before = victim.boots()
    start = Start(how="the same", after_s=moment.after_s)
    gone_s: float | None = None
    with victim.running(*victim.words) as (running, log):
        hit = moment.wait(running, log) and strike(victim, running, what, name)
        owned, faults = victim.belongings(), len(report.faults)
        orderly = what in {"kab", "group"} and name in _SIGNALS
        # Killed while libvirt waits for it, QEMU is no guest yet: libvirt's error stops the run as the host's.
        unborn = what == "qemu" and name == "KILL" and running.poll() is None and _is_refused(running, log)
        if unborn:
            pass
        elif running.poll() is not None and hit and not orderly and what not in {"kab", "group", "tree"}:
            report.fault(f"kab ended with {running.returncode} after {what} {name}: {log.read_text()[-500:]}")
        elif what not in {"kab", "group", "tree"} and hit and (wrong := goes_on(running, log, what)):
            report.fault(wrong)
        if orderly and hit:
            gone_s = end_in_order(victim, running, report, log)
        elif what not in {"kab", "group", "tree"} and running.poll() is None:
            running.send_signal(signal.SIGTERM)
            end_in_order(victim, running, report, log)
        else:
            with contextlib.suppress(Exception):
                running.wait(_START_TIMEOUT_S)
            gone_s = None if what == "tree" else victim.wait_gone(owned)
            if gone_s is None and what != "tree":
                report.fault(f"{GONE_TIMEOUT_S:g} s after {what} {name} there is still: {victim.belongings()}")
    start.events, start.status = events_of(log), running.returncode
    report.starts.append(start)
    said = leaks(victim)
    if what != "tree" and said != "nothing was left behind":
        report.fault(f"after {what} {name}, kab clean --leaks: {said}")
    if what == "tree" and ((again := leaks(victim)) != "nothing was left behind" or victim.belongings()):
        report.fault(f"kab clean --leaks left: {again}; {victim.belongings()}")
    after = victim.boots()
    report.stored(before, after)
    result = {
        "what": what,
        "signal": name,
        "starting": moment.starting,
        "hit": hit,
        "doing": start.doing,
        "begun": start.begun,
        "stored": len(after) - len(before),
        "gone_s": gone_s,
        "wrong": report.faults[faults:],
    }
    report.row(len(report.starts), what, name, moment.starting, start.doing, len(after), owned,
               "" if gone_s is None else f"{gone_s:.1f} s")  # fmt: skip
    log.unlink()
    return result


def look_at_all(victim: Victim, report: Report, results: list[dict[str, Any]]) -> None:
    """What must hold of all strikes together; prints the figures."""
    boots, begun = victim.boots(), sum(result["begun"] for result in results)
    if not len(boots) <= begun <= len(boots) + len(results):
        report.fault(f"{begun} boots were begun and {len(boots)} stored, with {len(results)} strikes")
    places = Counter(boot[:3] for boot in boots if boot[6] == "ok")
    report.faults += [f"a place was measured twice: {place}" for place, count in places.items() if count > 1]
    hits = [result for result in results if result["hit"]]
    for (what, name), count in sorted(Counter((one["what"], one["signal"]) for one in hits).items()):
        took = [one["gone_s"] for one in hits if (one["what"], one["signal"]) == (what, name) and one["gone_s"]]
        print(f"  {what:<7} SIG{name:<5} {count:>4} times", f"gone in {max(took):.1f} s at most" if took else "")
    print(
        f"{len(hits)} strikes ({sum(one['starting'] for one in hits)} into a guest's start), {begun} boots begun, "
        f"{len(boots)} stored ({sum(boot[6] == 'lost' for boot in boots)} of them lost)"
    )


def measure(state: Path, options: argparse.Namespace) -> list[str]:
    """Strike again and again; returns what was wrong in all slices."""
    tally = state / "strikes.jsonl"
    results = [json.loads(line) for line in tally.read_text().splitlines()] if tally.exists() else []
    victim = Victim(state=state / "killed", words=("ab", options.kernel, options.kernel, *_OPTIONS))
    victim.state.mkdir(exist_ok=True)
    report, draw = Report(), random.Random(f"{options.moment_seed}/{len(results)}")
    wanted, began = options.signals or options.kills, time.monotonic()
    report.row("no.", "what", "signal", "start", "while", "stored", "it owned", "all of it gone")
    while len(results) < wanted and (not options.minutes or time.monotonic() - began < options.minutes * 60):
        starting = draw.random() < 1 / 3
        what, name = ("kab", draw.choice(_SIGNALS)) if options.signals else draw.choice(_KILLS)
        result = strike_once(victim, report, Moment(draw, latest_s=options.latest_s, starting=starting), what, name)
        results.append(result)
        with tally.open("a") as stream:
            stream.write(json.dumps(result) + "\n")
    look_at_all(victim, report, results)
    slices = [fault for result in results for fault in result["wrong"]]
    return [*slices, *(fault for fault in report.faults if fault not in slices)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", nargs="?", default="debian:7.2")
    parser.add_argument("--kills", type=int, default=100, help="strikes of all kinds")
    parser.add_argument("--signals", type=int, default=0, help="instead: SIGINT, SIGTERM and SIGHUP to kab only")
    parser.add_argument("--latest-s", type=float, default=30.0, help="latest moment after a start")
    parser.add_argument("--minutes", type=float, default=0.0, help="end this slice after that")
    parser.add_argument("--moment-seed", type=int, default=1, help="of the moments")
    parser.add_argument("--state", type=Path, help="a folder to keep the results in")
    options = parser.parse_args()
    # nohup and a shell's & have them ignored, and what starts with an ignored signal keeps it so.
    for name in _SIGNALS:
        number = signal.Signals[f"SIG{name}"]
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL if number != signal.SIGINT else signal.default_int_handler)
    with contextlib.ExitStack() as stack:
        state = options.state or Path(stack.enter_context(TemporaryDirectory(prefix="kab-kill-")))
        state.mkdir(parents=True, exist_ok=True)
        faults = measure(state.absolute(), options)
    print(*(f"WRONG: {fault}" for fault in faults), sep="\n")
    print(f"{len(faults)} things were wrong" if faults else "nothing was lost, made twice or left behind")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
