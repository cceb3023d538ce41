"""First lines of what a kernel reports on its console: a table of wordings, where they come from, and what they mean.

Looked up once a line, of which a hostile console has millions: every pattern is anchored, begins with fixed words or
with a bounded repeat, and holds no capturing group, so that all of them together are one regular expression.
"""

import re
from dataclasses import dataclass
from enum import Enum

from harness.model.trial import FindingKind as Kind


class Trust(Enum):
    """Which lines a wording is believed on, where a text has both a kernel's lines and those of programs."""

    # Wherever it stands: no program words anything so, a stamp may be torn off, and early messages may have none.
    ANYWHERE = "anywhere"
    # On a line that may be the kernel's: one with a time stamp, or any in a text that has none.
    KERNEL = "kernel"
    # Only on a line with a time stamp: a program may well begin a line so.
    STAMPED = "stamped"


@dataclass(frozen=True, slots=True)
class Head:
    """A wording of the kernel."""

    kind: Kind
    # Files of the kernel that print it, older wordings of theirs included.
    source: str
    # Matches at the start of a message, its time stamp removed.
    pattern: str
    trust: Trust = Trust.ANYWHERE


# What die() prints, whatever the trap's name is: "general protection fault: 0000 [#1]", "Oops: divide error: 0000 [#2]
# SMP"; with "ilc:2" on s390.
_DIE = r"(?:Oops: )?[A-Za-z][\w ,()/-]{1,90}: [0-9a-f]{4,16}(?: ilc:\d)? ?\[#\d{1,6}\]"
_LOCK_REPORT = (
    r"(?:\[ )?(?:WARNING|INFO|BUG): (?:possible (?:circular|recursive|irq lock|deadlock|reclaim)"
    r"|inconsistent (?:lock state|\{)|suspicious RCU usage|bad (?:unlock balance|contention) detected"
    r"|(?:active )?held lock freed|lock held (?:when returning|at task exit)|[Ii]nvalid wait context"
    r"|[Nn]ested lock was not taken|[\w/-]{1,40}-safe -> [\w/-]{1,40}-unsafe lock order"
    r"|\S{1,24}/\d+ still has locks held|trying to register non-static key)"
)
# Debugging of locks and contexts that says "BUG: " and goes on.
_LOCK_BUG = (
    r"BUG: (?:(?:spin|rw|raw_|rt_|rt)?lock(?: \w+| already unlocked| lockup suspected)? .{0,40}on CPU#\d"
    r"|using \w{1,60}\(\) in preemptible|looking up invalid subclass|key \S{1,40} (?:not in|has not been registered)"
    r"|mutex |rt_mutex)"
)
_GOES_ON = (
    r"BUG: (?:sleeping function called|scheduling while atomic|assuming (?:non.)?\w+ context"
    r"|MAX_\w+ too (?:low|large)|workqueue leaked (?:lock|atomic)|Bad rss-counter state|non-zero pgtables_bytes"
    r"|arch topology|recent printk recursion)"
)

HEADS: tuple[Head, ...] = (
    Head(Kind.PANIC, "kernel/panic.c", r"Kernel panic - not syncing"),
    Head(Kind.KASAN, "mm/kasan/report.c mm/kfence/report.c mm/kmsan/report.c", r"BUG: (?:KASAN|KFENCE|KMSAN): "),
    Head(Kind.KCSAN, "kernel/kcsan/report.c", r"BUG: KCSAN: "),
    Head(Kind.UBSAN, "lib/ubsan.c", r"UBSAN: [\w -]{1,60} in "),
    Head(
        Kind.SOFT_LOCKUP,
        "kernel/watchdog.c kernel/workqueue.c",
        r"(?:(?:NMI )?watchdog: )?BUG: (?:soft lockup - |workqueue lockup - )",
    ),
    Head(
        Kind.SOFT_LOCKUP,
        "kernel/watchdog.c kernel/watchdog_hld.c",
        r"(?:(?:NMI )?watchdog: )?(?:CPU\d+: )?Watchdog detected hard LOCKUP",
    ),
    Head(
        Kind.RCU_STALL,
        "kernel/rcu/tree_stall.h kernel/rcu/tasks.h kernel/rcu/tree_exp.h",
        r"(?:rcu: )?INFO: \w+ (?:self-)?detected (?:expedited )?stalls? on ",
    ),
    Head(
        Kind.HUNG_TASK,
        "kernel/hung_task.c",
        r"INFO: task .{0,40}(?:blocked (?:for more than \d|in I/O wait)|can't die for)",
    ),
    # A task's name may hold a line feed; then its second half stands on a line of its own, and so does what it does.
    Head(Kind.HUNG_TASK, "kernel/hung_task.c", r"INFO: task [^ :]{0,16}$", Trust.STAMPED),
    Head(Kind.HUNG_TASK, "net/core/dev.c", r"unregister_netdevice: waiting for "),
    Head(Kind.LOCKDEP, "kernel/locking/lockdep.c kernel/rcu/update.c", _LOCK_REPORT),
    Head(Kind.LOCKDEP, "include/linux/debug_locks.h", r"DEBUG_LOCKS_WARN_ON"),
    Head(Kind.LOCKDEP, "kernel/locking/lockdep.c", r"WARNING: .{0,40}at kernel/(?:locking/)?lockdep\.c:\d"),
    Head(Kind.LOCKDEP, "kernel/locking/spinlock_debug.c lib/smp_processor_id.c kernel/locking/lockdep.c", _LOCK_BUG),
    Head(
        Kind.LEAK,
        "mm/kmemleak.c",
        r"BUG: memory leak|kmemleak: [1-9]\d* new suspected memory leaks|unreferenced object 0x[0-9a-f]+ \(size \d",
    ),
    Head(Kind.LEAK, "mm/slub.c mm/slab_common.c", r"BUG \S.{0,80}? \([^)]{1,80}\): Objects remaining in "),
    # KASAN's own report, which older kernels print behind its head by the slab allocator's function, is not meant.
    Head(
        Kind.SLAB,
        "mm/slub.c mm/slab.c",
        r"BUG \S.{0,80}? \((?:Not tainted|Tainted: )[^)]{0,80}\): (?!kasan: )"
        r"|INFO: (?:Allocated|Freed) in \S{1,120} age=\d",
    ),
    Head(
        Kind.OOPS,
        "arch/*/mm/fault.c arch/x86/kernel/dumpstack.c",
        r"BUG: (?:[Kk]ernel NULL pointer|[Uu]nable to handle (?:kernel|page fault)|(?:TASK |IRQ )?stack guard page)"
        r"|(?:CPU \d+ )?Unable to handle kernel ",
    ),
    Head(
        Kind.OOPS,
        "arch/x86/kernel/{dumpstack,traps}.c arch/s390/kernel/dumpstack.c",
        # Printed without a line feed by older kernels, so that the trap's own line stands behind it.
        rf"(?:kasan: GPF could be caused by NULL-ptr deref or user memory access)?{_DIE}",
    ),
    Head(
        Kind.OOPS,
        "arch/{x86,powerpc,riscv,mips,arm,arm64}/kernel/traps.c",
        r"Oops: (?:[0-9a-f]{4,16} ?(?:\[|$)|.{1,160}\[#\d)|(?:Oops|Kernel BUG|Kernel bug detected) ?\[#\d"
        r"|Internal error: .{1,160}\[#\d",
    ),
    Head(
        Kind.OOPS,
        "arch/arm/mm/{fault,alignment}.c arch/arm64/kernel/traps.c",
        r"Unhandled (?:fault|prefetch abort): .{1,80} \(0x|Alignment trap: not handling "
        r"|Bad mode in .{1,60} handler detected",
    ),
    Head(
        Kind.OOPS,
        "arch/x86/kernel/{traps,doublefault_32}.c arch/x86/mm/extable.c",
        r"(?:traps: )?PANIC: (?:double fault|early exception)",
    ),
    Head(
        Kind.WARNING,
        "kernel/sched/core.c kernel/locking/lockdep_internals.h kernel/workqueue.c kernel/fork.c",
        _GOES_ON,
    ),
    Head(Kind.BUG, "lib/bug.c include/asm-generic/bug.h", r"kernel BUG at "),
    Head(Kind.BUG, "mm/memory.c mm/page_alloc.c mm/filemap.c fs/dcache.c", r"BUG: (?:Bad page |Bad swap|Dentry )"),
    Head(
        Kind.BUG,
        "fs/super.c fs/open.c",
        r"VFS: (?:Busy inodes after unmount of |Close: file count is (?:0|zero))",
        Trust.KERNEL,
    ),
    Head(Kind.BUG, "any other", r"BUG: ", Trust.STAMPED),
    Head(
        Kind.WARNING,
        "kernel/panic.c",
        r"WARNING: (?:CPU: \d+ PID: \d+ at |at \S+:\d|(?:\[.{1,400}\] )?[\w./-]+:\d+ at (?:[\w.]{1,200}\+)?0x)",
    ),
    Head(
        Kind.WARNING,
        "arch/x86/kernel/unwind_{frame,orc}.c arch/x86/mm/extable.c",
        r"WARNING: (?:kernel stack (?:regs|frame pointer) at |can't (?:dereference registers|access registers) at )"
        r"|unchecked MSR access error: ",
    ),
    Head(
        Kind.ALLOCATION,
        "mm/page_alloc.c mm/vmalloc.c",
        r"[^\s:][^:]{0,15}(?::\w{1,20})?: (?:page allocation (?:failure|stalls)|vmalloc(?: error:|: allocation))",
        Trust.KERNEL,
    ),
    Head(Kind.OOM, "mm/oom_kill.c", r"(?:Memory cgroup )?[Oo]ut of memory(?: \(\w+\))?: Kill", Trust.KERNEL),
    Head(
        Kind.FILESYSTEM,
        "fs/btrfs/messages.c fs/btrfs/transaction.c",
        r"BTRFS:? (?:error|critical|alert|emergency|warning)\b|BTRFS: Transaction aborted",
        Trust.KERNEL,
    ),
    Head(
        Kind.FILESYSTEM,
        "fs/ext4/{super,inode,page-io}.c",
        r"EXT4-fs (?:error|warning)\b|EXT4-fs \(\S{1,40}\): (?:error|panic|Remounting|failed to convert"
        r"|This should not happen|Delayed block allocation failed|I/O error while writing superblock"
        r"|previous I/O error to superblock|Inode \d+ .{0,40}orphan list check failed)",
        Trust.KERNEL,
    ),
    Head(
        Kind.FILESYSTEM, "fs/jbd2/*.c", r"JBD2: .{0,120}(?:[Ee]rror|[Aa]bort)|Aborting journal on device", Trust.KERNEL
    ),
    Head(
        Kind.FILESYSTEM,
        "fs/xfs/xfs_{message,fsops,buf,log,mount}.c",
        r"XFS \(\S{1,40}\): (?:Metadata|Internal error|[Ll]og I/O [Ee]rror|I/O Error Detected|xfs_do_force_shutdown"
        r"|metadata I/O error|Filesystem has been shut down|writeback error|User initiated shutdown"
        r"|log mount|Failed to recover|page discard|.{0,120}[Cc]orrupt)|XFS: Assertion failed",
        Trust.KERNEL,
    ),
    Head(
        Kind.IO_ERROR,
        "block/blk-core.c",
        r"(?:blk_update_request: |print_req_error: )?(?:I/O|[a-z][a-z /]{2,40}) error, dev ",
        Trust.KERNEL,
    ),
    Head(Kind.IO_ERROR, "fs/buffer.c", r"(?:lost async page write|Buffer I/O error) on dev(?:ice)?\b", Trust.KERNEL),
    Head(
        Kind.IO_ERROR,
        "drivers/nvme/host/{core,pci}.c",
        r"nvme\w{0,20}:? .{0,80}(?:I/O .{0,60}timeout|controller is down|I/O Error \(|Removing after probe fail)",
        Trust.KERNEL,
    ),
)

_ALL = re.compile("|".join(f"(?P<h{number}>{head.pattern})" for number, head in enumerate(HEADS)))
# Shorter than the shortest of them.
_SHORTEST = 8


def head_of(message: str) -> Head | None:
    """The first wording in the table that `message` begins with, or None."""
    found = _ALL.match(message) if len(message) >= _SHORTEST else None
    return None if found is None or found.lastgroup is None else HEADS[int(found.lastgroup[1:])]
