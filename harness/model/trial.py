"""A trial: one boot of one kernel, the statistical unit, and all that is kept of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, cast

from harness.model.experiment import BlockPlace, Place, PlaceT, PlaceT_co, TrialSpec


class Outcome(StrEnum):
    """How a trial ended. Only ``lost`` is the host's fault; it says nothing about the kernel and is made again."""

    OK = "ok"
    BUILD_FAILED = "build-failed"
    BOOT_FAILED = "boot-failed"
    CRASHED = "crashed"
    HUNG = "hung"
    CORRUPTED = "corrupted"
    WORKLOAD_FAILED = "workload-failed"
    # A program of the guest died (its sshd was killed, memory ran out) under a kernel that ran on.
    USERSPACE_DIED = "userspace-died"
    LOST = "lost"

    @property
    def booted(self) -> bool:
        """Whether a guest ran, for all that can be said of the kernel."""
        return self not in {Outcome.BUILD_FAILED, Outcome.LOST}

    @property
    def is_kernel_fault(self) -> bool:
        """Whether the outcome speaks against the kernel itself."""
        return self in {
            Outcome.BUILD_FAILED,
            Outcome.BOOT_FAILED,
            Outcome.CRASHED,
            Outcome.HUNG,
            Outcome.CORRUPTED,
        }


class Stage(StrEnum):
    """Stages of a trial, in order; each is timed and bounded."""

    DISKS = "disks"
    BOOT = "boot"
    CONNECT = "connect"
    PREPARE = "prepare"
    WARMUP = "warm-up"
    MEASURE = "measure"
    CHECK = "check"
    COLLECT = "collect"
    SHUTDOWN = "shutdown"


class FindingKind(StrEnum):
    """What a kernel log line reveals."""

    PANIC = "panic"
    OOPS = "oops"
    BUG = "bug"
    WARNING = "warning"
    HUNG_TASK = "hung-task"
    SOFT_LOCKUP = "soft-lockup"
    RCU_STALL = "rcu-stall"
    LOCKDEP = "lockdep"
    KASAN = "kasan"
    KCSAN = "kcsan"
    UBSAN = "ubsan"
    # The slab allocator's own checks found memory written to that was nobody's.
    SLAB = "slab"
    # kmemleak found memory that nobody can free any more.
    LEAK = "memory-leak"
    # Memory was asked for and there was none, or none in one piece.
    ALLOCATION = "allocation-failure"
    OOM = "oom"
    FILESYSTEM = "filesystem"
    IO_ERROR = "io-error"

    @property
    def is_crash(self) -> bool:
        """Whether the kernel cannot be trusted to have gone on."""
        return self in {FindingKind.PANIC, FindingKind.OOPS, FindingKind.BUG, FindingKind.KASAN, FindingKind.SLAB}


# Functions that report a crash or put a task to sleep: they stand on top of every trace and tell none apart.
_REPORTERS = re.compile(
    r"_?_?dump_stack\w*|dump_backtrace\w*|show_(stack|trace)\w*|v?panic|_?_?warn\w*|report_bug|print_report|(kasan|kcsan)_\w+|__asan_\w+"
    r"|__switch_to|_?_?schedule(_\w+)?|io_schedule\w*|__mutex_lock\w*|rwsem_\w+|down_(read|write)\w*|asm_\w+|exc_\w+|oops_\w+|die\w*"
)
# Where the processor was: of x86-64, and of arm64, where the caller stands in for a program counter that leads nowhere.
_INSTRUCTION = re.compile(r"RIP: 0010:([\w.]+)\+0x|^\s*(?:pc|lr) : ([\w.]+)\+0x", re.MULTILINE)


def _base_symbol(symbol: str) -> str:
    """A function's name without what the compiler put behind it (".cold", ".isra.0", ".constprop.0", ".part.0")."""
    return symbol.partition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something alarming in a console or kernel log."""

    kind: FindingKind
    # The line that says it, without time stamp.
    message: str
    # That line and what follows it (call trace), at most some dozens of lines.
    excerpt: str
    # Seconds since boot, where the log has time stamps.
    time_s: float | None = None

    @property
    def place(self) -> str:
        """Function of the kernel in which it happened, "" when the excerpt does not tell."""
        instruction = _INSTRUCTION.search(self.excerpt)
        if instruction:
            return _base_symbol(instruction[1] or instruction[2])
        # Entries with "? " are leftovers on the stack; one at +0x0 is what follows a function that ends with its call.
        for symbol in re.findall(r"^\s*([A-Za-z_][\w.]*)\+0x(?!0/)[0-9a-f]+/0x", self.excerpt, re.MULTILINE):
            if not _REPORTERS.fullmatch(_base_symbol(symbol)):
                return _base_symbol(symbol)
        return ""

    @property
    def signature(self) -> str:
        """What two crashes must share to be the same crash: kind, wording and place, without addresses and numbers."""
        wording = re.sub(
            r"(?<![\w.])([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+", lambda found: _base_symbol(found[1]), self.message
        )
        # An address or a hash is a word of 8 or more hexadecimal digits with a decimal one among them.
        wording = re.sub(r"\b(0x[0-9a-f]+|(?=[a-f]*[0-9])[0-9a-f]{8,})\b", "#", wording)
        wording = re.sub(r"(?<![A-Za-z_0-9])[0-9]+", "#", wording)
        return f"{self.kind}: {wording}" + (f" in {self.place}" if self.place else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Generic[PlaceT_co]):
    """One boot and what came of it; stored before anything is decided from it."""

    spec: TrialSpec[PlaceT_co]
    kernel_digest: str
    outcome: Outcome
    # What went wrong, for people; empty when ok.
    message: str = ""
    # Metric name -> one value per iteration, in metric units.
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    # Stage -> seconds.
    stage_s: Mapping[Stage, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    # Facts read inside the guest: uname, cmdline, mount options, vulnerabilities, clocksource, scheduler...
    environment: Mapping[str, str] = field(default_factory=dict)
    # Name -> content: "domain.xml", "fio-job", "fio-0.json", "console.log", "dmesg.log", "trial.log", ...
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    started: datetime | None = None
    # Wall time of the whole trial, seconds.
    duration_s: float = 0.0

    @property
    def place(self) -> PlaceT_co:
        """Which boot of its run this is."""
        return self.spec.place


def placed(trial: Trial[Place], place: PlaceT) -> Trial[PlaceT]:
    """The trial, at another place."""
    # Only the place tells the two kinds of trial apart.
    return cast("Trial[PlaceT]", replace(trial, spec=replace(trial.spec, place=place)))


def written(trial: Trial[Place]) -> Trial[BlockPlace]:
    """The trial with its place as logs and documents write it, see RungPlace.written."""
    return placed(trial, trial.place.written)
