"""Serial consoles and kernel logs: what went wrong in them, and how far the guest's own init has come."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.model.trial import Finding, FindingKind

# Written to the console by the guest's init (images/): userspace is up, sshd listens, or why neither will happen.
INIT_MARKER = "KAB-INIT"
READY_MARKER = "KAB-READY"
FAILED_MARKER = "KAB-FAILED"

# Longest excerpt kept of one finding.
_EXCERPT_LINES = 60
# A disk that fails makes thousands of findings; more of the same kind and place say nothing new.
_SAME_KEPT = 3

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\x00")
# "[   12.345678] ", with a caller ("[   T42] ") where CONFIG_PRINTK_CALLER is set, and a level in raw kernel logs.
_STAMP = re.compile(r"(?:<\d+>)?\[ *(\d+\.\d{6})\](?:\[ *[TC]\d+\])? ?")

# Ordered: the first that matches the start of a message (time stamp removed) says what it is. Wordings from
# kernel/panic.c, arch/x86/{mm/fault,kernel/traps,kernel/dumpstack}.c, kernel/{hung_task,watchdog}.c, kernel/rcu/
# tree_stall.h, kernel/locking/lockdep.c, mm/kasan/report.c, kernel/kcsan/report.c, lib/ubsan.c, mm/oom_kill.c,
# fs/{btrfs/messages,ext4/super,xfs/xfs_message}.c, block/blk-core.c, drivers/nvme/host/core.c.
_HEADS: tuple[tuple[FindingKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        (FindingKind.PANIC, r"Kernel panic - not syncing"),
        (FindingKind.KASAN, r"BUG: (KASAN|KFENCE|KMSAN):"),
        (FindingKind.KCSAN, r"BUG: KCSAN:"),
        (FindingKind.UBSAN, r"UBSAN: [\w-]+ in "),
        (FindingKind.SOFT_LOCKUP, r"((NMI )?watchdog: )?BUG: (soft lockup|workqueue lockup)"),
        (FindingKind.SOFT_LOCKUP, r"((NMI )?watchdog: )?(CPU\d+: )?Watchdog detected hard LOCKUP"),
        (FindingKind.RCU_STALL, r"(rcu: )?INFO: \w+ (self-)?detected (expedited )?stalls? on "),
        (FindingKind.HUNG_TASK, r"INFO: task .* blocked for more than \d+ seconds|INFO: task .* blocked in I/O wait"),
        (
            FindingKind.LOCKDEP,
            (
                r"(WARNING|INFO|BUG): (possible (circular|recursive|irq lock|deadlock)|inconsistent lock state"
                r"|suspicious RCU usage|bad unlock balance|held lock freed|lock held when returning"
                r"|Invalid wait context|bad contention|Nested lock was not taken|[\w/-]+-safe -> [\w/-]+-unsafe lock)"
                r"|\[ BUG: Invalid wait context \]|DEBUG_LOCKS_WARN_ON"
            ),
        ),
        (
            FindingKind.OOPS,
            r"BUG: (kernel NULL pointer dereference|unable to handle|TASK stack guard page|stack guard page)",
        ),
        (FindingKind.OOPS, r"Oops\b|general protection fault\b.*\[#\d+\]|(invalid opcode|divide error).*\[#\d+\]"),
        (FindingKind.OOPS, r"(traps: )?PANIC: double fault|Internal error: |Unable to handle kernel "),
        # A debugging check of context; the kernel goes on as if nothing had been.
        (FindingKind.WARNING, r"BUG: (sleeping function called|using \w+\(\) in preemptible|MAX_LOCK)"),
        (FindingKind.BUG, r"kernel BUG at |BUG: "),
        (FindingKind.WARNING, r"WARNING: (CPU: \d+ PID: \d+ at |\S+:\d+ at )"),
        (FindingKind.OOM, r"(Memory cgroup )?[Oo]ut of memory( \(\w+\))?: Kill"),
        (FindingKind.FILESYSTEM, r"BTRFS:? (error|critical|alert|emergency|warning)\b|BTRFS: Transaction aborted"),
        (
            FindingKind.FILESYSTEM,
            r"EXT4-fs (error|warning)|EXT4-fs \(\S+\): (error|panic|Remounting|failed to convert)",
        ),
        (FindingKind.FILESYSTEM, r"JBD2: .*(error|[Aa]bort)|Aborting journal on device"),
        (
            FindingKind.FILESYSTEM,
            (
                r"XFS \(\S+\): (Corruption|Metadata|Internal error|log I/O error|xfs_do_force_shutdown"
                r"|metadata I/O error|Filesystem has been shut down|writeback error"
                r"|User initiated shutdown|.*[Cc]orrupt)"
                r"|XFS: Assertion failed"
            ),
        ),
        (FindingKind.IO_ERROR, r"(blk_update_request: |print_req_error: )?(critical \w+|I/O|timeout) error, dev "),
        (FindingKind.IO_ERROR, r"(lost async page write|Buffer I/O error) on dev|Buffer I/O error on device"),
        (
            FindingKind.IO_ERROR,
            r"nvme\w*:? .*(I/O .*timeout|controller is down|I/O Error \(|Removing after probe fail)",
        ),
    )
)

# Kinds that come with a call trace; of the others the line itself is all there is.
_TRACED = frozenset(FindingKind) - {FindingKind.OOM, FindingKind.FILESYSTEM, FindingKind.IO_ERROR}
# Last line of a report.
_END = re.compile(r"---\[ end (trace|Kernel panic)|={30,}|Kernel Offset: ")
# These report a whole oops: the register dump that follows the trace belongs to it.
_LONG = frozenset({FindingKind.OOPS, FindingKind.BUG, FindingKind.WARNING, FindingKind.KASAN})


@dataclass(slots=True)
class _Report:
    """A finding that is still being read."""

    kind: FindingKind
    message: str
    time_s: float | None
    lines: list[str] = field(default_factory=list)

    def swallows(self, kind: FindingKind) -> bool:
        """Whether a head of `kind` only goes on with this report: "BUG: ..." and then "Oops: ..."."""
        return kind is FindingKind.OOPS and self.kind in {FindingKind.OOPS, FindingKind.BUG}

    def ends_with(self, message: str) -> bool:
        """Whether `message` is the last line of this report."""
        if len(self.lines) >= _EXCERPT_LINES or _END.match(message):
            return True
        return message.strip() == "</TASK>" and self.kind not in _LONG

    def finding(self) -> Finding:
        """What was read."""
        return Finding(kind=self.kind, message=self.message, excerpt="\n".join(self.lines), time_s=self.time_s)


def _lines(text: str) -> Iterator[tuple[str, float | None]]:
    """Lines without time stamp, and their time in seconds; what a stamp interrupts ends there."""
    for raw in _ESCAPE.sub("", text).replace("\r", "\n").split("\n"):
        position, time_s = 0, None
        for stamp in _STAMP.finditer(raw):
            if stamp.start() > position:
                yield raw[position : stamp.start()], time_s
            position, time_s = stamp.end(), float(stamp[1])
        if position < len(raw):
            yield raw[position:], time_s


def _kind(message: str) -> FindingKind | None:
    for kind, pattern in _HEADS:
        if pattern.match(message):
            return kind
    return None


def findings(text: str) -> tuple[Finding, ...]:
    """Everything alarming in a console or kernel log, in order.

    Takes what a serial line gives: CR LF, escape sequences, kernel messages that interrupt a line of userspace, no
    time stamps. Of findings with the same signature the first three are kept.
    """
    reports: list[_Report] = []
    report: _Report | None = None
    for message, time_s in _lines(text):
        kind = _kind(message)
        if kind is not None and not (report is not None and report.swallows(kind)):
            report = _Report(kind=kind, message=message.strip(), time_s=time_s)
            reports.append(report)
        if report is None:
            continue
        report.lines.append(message)
        if report.kind not in _TRACED or (len(report.lines) > 1 and report.ends_with(message)):
            report = None
    kept: list[Finding] = []
    seen: dict[str, int] = {}
    for found in (report.finding() for report in reports):
        seen[found.signature] = seen.get(found.signature, 0) + 1
        if seen[found.signature] <= _SAME_KEPT:
            kept.append(found)
    return tuple(kept)


def crash(text: str) -> Finding | None:
    """The first finding after which the kernel cannot be trusted to have gone on, or None."""
    return next((finding for finding in findings(text) if finding.kind.is_crash), None)


def failure(text: str) -> str | None:
    """Why the guest's init gave up ("" when it did not say), or None when it did not."""
    found = re.search(rf"{FAILED_MARKER}[ \t]*([^\r\n]*)", text)
    return found[1].strip() if found else None
