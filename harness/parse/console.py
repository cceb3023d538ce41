"""Serial consoles and kernel logs: what went wrong in them, and how far the guest's own init has come.

Everything here is total: any text whatever gives an answer, in time that is linear in its length. What the wordings of
a kernel mean is a table, `harness.parse.consoleheads`.
"""

import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.model.trial import Finding, FindingKind
from harness.parse.consoleheads import Trust, head_of

# Written to the console by the guest's init (images/): userspace is up, sshd listens, or why neither will happen.
INIT_MARKER = "KAB-INIT"
READY_MARKER = "KAB-READY"
FAILED_MARKER = "KAB-FAILED"
# The same, later: a program that the guest cannot be without has ended.
DIED_MARKER = "KAB-DIED"

# A shell's status of a command that a signal ended is this and the signal's number (POSIX).
_SIGNALLED = 128
# Longest excerpt kept of one finding.
_EXCERPT_LINES = 60
# A disk that fails makes thousands of findings; more of the same kind and place say nothing new.
_SAME_KEPT = 3
# A hostile console makes as many as it likes, each another one: what is kept of a kind, and how many are compared.
_KIND_KEPT = 50
_KIND_LOOKED_AT = 1000

_ESCAPE = re.compile(r"\x1b\[[0-9;?]{0,40}[A-Za-z]|\x1bc|\x00")
# What stands before a kernel's message, one alternative a line: on a console, "[   12.345678] ", with a caller
# ("[   T42] ") where CONFIG_PRINTK_CALLER is set and a level in raw logs; caller or level alone, where there is no
# CONFIG_PRINTK_TIME; dmesg -H; dmesg -T; syslog and the journal.
_STAMP = re.compile(
    r"(?:<(?P<level>\d{1,4})>)?\[ {0,12}(?P<time>\d{1,12}\.\d{6})\](?: ?\[ {0,12}(?:[TC]\d|\d:)[^\]]{0,40}\])? ?"
    r"|\A(?=[<\[])(?:<(?P<only>\d{1,4})>)?(?:\[ {0,12}[TC]\d{1,7}\] ?)?(?<=[>\] ])"
    r"|\[(?: {0,12}\+\d{1,12}\.\d{6}|[A-Z][a-z]{2} ?\d{1,2} \d\d:\d\d)\] "
    r"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] "
    r"|(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,+Z-]{8,24}) \S{1,64} kernel: ",
    re.ASCII,
)
# Levels are below, facilities from here on; the kernel's own is 0 (kern).
_FACILITY = 8
# The kernel's own limit of a message (LOG_LINE_MAX in kernel/printk/printk.c); a program's line may have any length.
_LINE_CHARS = 1024

# Kinds that come with a call trace; of the others the line itself is all there is.
_TRACED = frozenset(FindingKind) - {FindingKind.OOM, FindingKind.FILESYSTEM, FindingKind.IO_ERROR}
# Last line of a report.
_END = re.compile(r"---\[ end (trace|Kernel panic)|={30,}|Kernel Offset: |Mem-Info:")
# These report a whole oops: the register dump that follows the trace belongs to it.
_LONG = frozenset({FindingKind.OOPS, FindingKind.BUG, FindingKind.WARNING, FindingKind.KASAN, FindingKind.SLAB})
# What the kernel says in several heads is one report: (its kind, kinds of further heads that only go on with it).
_GOES_ON_WITH = {
    FindingKind.OOPS: frozenset({FindingKind.OOPS}),
    FindingKind.BUG: frozenset({FindingKind.OOPS}),
    FindingKind.KASAN: frozenset({FindingKind.SLAB}),
    FindingKind.SLAB: frozenset({FindingKind.SLAB}),
}
# The same, of the line right behind the first.
_GOES_ON_AT_ONCE = frozenset({FindingKind.LEAK, FindingKind.LOCKDEP})


class _Line(NamedTuple):
    """A message without its time stamp, or a line of a program."""

    text: str
    stamped: bool
    time_s: float | None = None


@dataclass(slots=True)
class _Report:
    """A finding that is still being read."""

    kind: FindingKind
    message: str
    time_s: float | None
    lines: list[str] = field(default_factory=list)

    def swallows(self, kind: FindingKind) -> bool:
        """Whether a head of `kind` only goes on with this report: "BUG: ..." and then "Oops: ..."."""
        if kind in _GOES_ON_WITH.get(self.kind, ()):
            return True
        return kind is self.kind and kind in _GOES_ON_AT_ONCE and len(self.lines) == 1

    def ends_with(self, message: str) -> bool:
        """Whether `message` is the last line of this report."""
        if len(self.lines) >= _EXCERPT_LINES or _END.match(message):
            return True
        return message.strip() == "</TASK>" and self.kind not in _LONG

    def finding(self) -> Finding:
        """What was read."""
        return Finding(kind=self.kind, message=self.message, excerpt="\n".join(self.lines), time_s=self.time_s)


def _lines(text: str) -> Iterator[_Line]:
    """Lines, cut to what the kernel's can be; a line that a stamp interrupts ends there."""
    for raw in _ESCAPE.sub("", text).replace("\r", "\n").split("\n"):
        if not raw:
            continue
        position, stamped, time_s = 0, False, None
        # No stamp is without one of these, and most lines of a flood are.
        if "[" in raw or "<" in raw or " kernel: " in raw:
            for stamp in _STAMP.finditer(raw):
                if stamp.start() > position:
                    yield _Line(raw[position : min(stamp.start(), position + _LINE_CHARS)], stamped, time_s)
                position = stamp.end()
                # A program that writes to /dev/kmsg has a facility, which raw logs show above the level.
                stamped = int(stamp["level"] or stamp["only"] or 0) < _FACILITY
                time_s = float(stamp["time"]) if stamp["time"] else None
        if position < len(raw):
            yield _Line(raw[position : position + _LINE_CHARS], stamped, time_s)


def is_stamped(text: str) -> bool:
    """Whether `text` shows that its kernel puts time stamps before what it says."""
    return any(line.stamped for line in _lines(text))


def _kind(line: _Line, *, in_stamped: bool) -> FindingKind | None:
    """The kind that a line is the head of, or None."""
    head = head_of(line.text.lstrip(" "))
    if head is None or line.stamped or head.trust is Trust.ANYWHERE:
        return head.kind if head else None
    return head.kind if head.trust is Trust.KERNEL and not in_stamped else None


def _reports(text: str, *, stamped: bool) -> Iterator[_Report]:
    """Reports in order."""
    report: _Report | None = None
    for line in _lines(text):
        kind = _kind(line, in_stamped=stamped)
        if kind is not None and not (report is not None and report.swallows(kind)):
            if report is not None:
                yield report
            report = _Report(kind=kind, message=line.text.strip(), time_s=line.time_s)
        if report is None:
            continue
        report.lines.append(line.text)
        if report.kind not in _TRACED or (len(report.lines) > 1 and report.ends_with(line.text)):
            yield report
            report = None
    if report is not None:
        yield report


def findings(text: str, *, stamped: bool | None = None) -> tuple[Finding, ...]:
    """Everything alarming in a console or kernel log, in order.

    Takes what a serial line gives: CR LF, escape sequences, kernel messages that interrupt a line of userspace. Where
    the kernel puts time stamps before its messages (`stamped`; found out from `text` when None), lines without are
    those of programs. Of findings with the same signature the first three are kept, of one kind the first fifty.
    """
    seen: Counter[str] = Counter()
    looked: Counter[FindingKind] = Counter()
    kept: Counter[FindingKind] = Counter()
    found: list[Finding] = []
    for report in _reports(text, stamped=is_stamped(text) if stamped is None else stamped):
        looked[report.kind] += 1
        if looked[report.kind] > _KIND_LOOKED_AT or kept[report.kind] >= _KIND_KEPT:
            continue
        finding = report.finding()
        seen[finding.signature] += 1
        if seen[finding.signature] <= _SAME_KEPT:
            kept[report.kind] += 1
            found.append(finding)
    return tuple(found)


def crash(text: str, *, stamped: bool | None = None) -> Finding | None:
    """The first finding after which the kernel cannot be trusted to have gone on, or None; see ``findings``."""
    return next((finding for finding in findings(text, stamped=stamped) if finding.kind.is_crash), None)


def failure(text: str) -> str | None:
    """Why the guest's init gave up ("" when it did not say), or None when it did not."""
    found = re.search(rf"{FAILED_MARKER}[ \t]*([^\r\n]*)", text)
    return found[1].strip() if found else None


_DIED = re.compile(rf"{DIED_MARKER}(?:[ \t]{{1,8}}([\w.-]{{1,32}})(?: status (\d{{1,3}}))?)?", re.ASCII)


def death(text: str) -> str | None:
    """Which program of the guest died and how, as its init told; None when it did not."""
    found = _DIED.search(text)
    if found is None:
        late = text.partition(READY_MARKER)[2]
        return f"its init gave up: {failure(late)}" if FAILED_MARKER in late else None
    name, status = found[1] or "a program", int(found[2] or 0)
    if status <= _SIGNALLED:
        return f"{name} ended with status {status}" if found[2] else f"{name} died"
    try:
        return f"{name} was killed by {signal.Signals(status - _SIGNALLED).name}"
    except ValueError:
        return f"{name} ended with status {status}"


def starved(text: str, program: str) -> Finding | None:
    """The first time that the kernel killed a program whose name begins with `program` for want of memory, or None."""
    killed = (finding for finding in findings(text) if finding.kind is FindingKind.OOM)
    return next((finding for finding in killed if f"({program}" in finding.message), None)
