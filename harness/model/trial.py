"""A trial: one boot of one kernel, the statistical unit, and all that is kept of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from harness.model.experiment import TrialSpec


class Outcome(StrEnum):
    """How a trial ended. Only ``lost`` is the host's fault; it says nothing about the kernel and is made again."""

    OK = "ok"
    BUILD_FAILED = "build-failed"
    BOOT_FAILED = "boot-failed"
    CRASHED = "crashed"
    HUNG = "hung"
    CORRUPTED = "corrupted"
    WORKLOAD_FAILED = "workload-failed"
    LOST = "lost"

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
    OOM = "oom"
    FILESYSTEM = "filesystem"
    IO_ERROR = "io-error"

    @property
    def is_crash(self) -> bool:
        """Whether the kernel cannot be trusted to have gone on."""
        return self in {FindingKind.PANIC, FindingKind.OOPS, FindingKind.BUG, FindingKind.KASAN}


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
    def signature(self) -> str:
        """What two crashes must share to be the same crash: kind and place, without addresses and numbers."""
        words = (word for word in self.message.split() if not any(c.isdigit() for c in word))
        return f"{self.kind}: {' '.join(words)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One boot and what came of it; stored before anything is decided from it."""

    spec: TrialSpec
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
