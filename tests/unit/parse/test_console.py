"""Consoles recorded from real guests (tests/data/console), and wordings that those do not have."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.model.trial import FindingKind
from harness.parse.console import crash, failure, findings, is_stamped
from harness.parse.consoleheads import HEADS, head_of

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "console"


def recorded(name: str) -> str:
    return (DATA / name).read_bytes().decode()


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("sysrq-6.12.log", "panic: Kernel panic - not syncing: sysrq triggered crash in sysrq_handle_crash"),
        (
            "noroot-7.2.log",
            (
                "panic: Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(#,#)"
                " in mount_root_generic"
            ),
        ),
        (
            "init-exit-7.2.log",
            "panic: Kernel panic - not syncing: Attempted to kill init! exitcode=# in do_exit",
        ),
        ("null-deref-6.12.log", "oops: BUG: kernel NULL pointer dereference, address: # in cmdline_proc_show"),
        ("null-deref-panic-7.2.log", "oops: BUG: kernel NULL pointer dereference, address: # in cmdline_proc_show"),
        ("invalid-opcode-7.2.log", "oops: Oops: invalid opcode: # [##] SMP NOPTI in cmdline_proc_show"),
        ("arm64-sysrq-6.12.log", "panic: Kernel panic - not syncing: sysrq triggered crash in sysrq_handle_crash"),
        (
            "arm64-null-deref-6.12.log",
            "oops: Unable to handle kernel NULL pointer dereference at virtual address # in cmdline_proc_show",
        ),
        # Where the processor jumped to nowhere, its caller is named.
        (
            "arm64-jump-panic-7.2.log",
            "oops: Unable to handle kernel NULL pointer dereference at virtual address # in seq_read_iter",
        ),
        ("arm64-brk-7.2.log", "oops: Internal error: Oops - BRK: # [##]  SMP in cmdline_proc_show"),
    ],
)
def test_recorded_crash(name: str, signature: str) -> None:
    found = crash(recorded(name))
    assert found is not None
    assert found.signature == signature


def test_an_oops_is_one_finding_with_its_trace() -> None:
    [found] = findings(recorded("null-deref-6.12.log"))
    assert found.time_s == pytest.approx(5.046922)
    assert found.message == "BUG: kernel NULL pointer dereference, address: 0000000000000000"
    assert "Oops: Oops: 0000 [#1]" in found.excerpt
    assert "seq_read_iter+0x11f/0x460" in found.excerpt
    assert found.excerpt.splitlines()[-1].startswith("---[ end trace")
    assert "still alive" not in found.excerpt


def test_an_oops_of_arm64_is_one_finding_with_its_registers_and_its_trace() -> None:
    [found] = findings(recorded("arm64-null-deref-6.12.log"))
    assert found.time_s == pytest.approx(3.991359)
    assert "Internal error: Oops: 0000000096000004 [#1] SMP" in found.excerpt
    assert "pc : cmdline_proc_show+0x4/0x60" in found.excerpt
    assert "proc_reg_read_iter+0x38/0xf0" in found.excerpt
    assert found.excerpt.splitlines()[-1].startswith("---[ end trace")


def test_what_follows_an_oops_of_arm64_is_told_apart() -> None:
    kinds = [found.kind for found in findings(recorded("arm64-jump-panic-7.2.log"))]
    assert kinds == [FindingKind.OOPS, FindingKind.PANIC]
    after = [(found.kind, found.place) for found in findings(recorded("arm64-brk-7.2.log"))][1:]
    assert after == [(FindingKind.WARNING, "__switch_to"), (FindingKind.WARNING, "ct_kernel_exit")]


# As kernel/panic.c, arch/arm64/kernel/{traps,process}.c, arch/arm64/mm/fault.c and kernel/hung_task.c word them.
_BUG_OF_ARM64 = """\
[   90.200000] kernel BUG at fs/btrfs/extent_io.c:123!
[   90.200100] Internal error: Oops - BUG: 00000000f2000800 [#1] SMP
[   90.200200] CPU: 1 UID: 0 PID: 812 Comm: fio Not tainted 6.12.118+deb13-cloud-arm64 #1  Debian 6.12.118-1
[   90.200300] pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)
[   90.200400] pc : btrfs_bio_end_io.part.0+0x118/0x120 [btrfs]
[   90.200500] lr : btrfs_bio_end_io.part.0+0x80/0x120 [btrfs]
[   90.200600] Call trace:
[   90.200700]  btrfs_bio_end_io.part.0+0x118/0x120 [btrfs]
[   90.200800]  bio_endio+0x15c/0x1c0
[   90.200900] ---[ end trace 0000000000000000 ]---
"""
_HUNG_ON_ARM64 = """\
[  242.400000] INFO: task fio:812 blocked for more than 120 seconds.
[  242.400100]       Not tainted 6.12.118+deb13-cloud-arm64 #1 Debian 6.12.118-1
[  242.400200] task:fio             state:D stack:0     pid:812   tgid:812   ppid:801    flags:0x00000005
[  242.400300] Call trace:
[  242.400400]  __switch_to+0xf0/0x150
[  242.400500]  __schedule+0x35c/0x9b8
[  242.400600]  schedule+0x3c/0x120
[  242.400700]  rwsem_down_write_slowpath+0x2a4/0x7d0
[  242.400800]  down_write+0x90/0xa8
[  242.400900]  btrfs_inode_lock+0x38/0xd0 [btrfs]
[  242.401000]  btrfs_direct_write+0x9c/0x400 [btrfs]
"""

_JUMP_ON_ARM64 = """\
[    9.100000] Unable to handle kernel execution of user memory at virtual address 0000aaaab000
[    9.100100] Internal error: Oops: 000000008600000f [#1] SMP
[    9.100200] pc : 0xaaaab000
[    9.100300] lr : el1_irq+0xb4/0x140
"""


@pytest.mark.parametrize(
    ("text", "signatures"),
    [
        (_BUG_OF_ARM64, ["bug: kernel BUG at fs/btrfs/extent_io.c:#! in btrfs_bio_end_io"]),
        (
            _HUNG_ON_ARM64,
            ["hung-task: INFO: task fio:# blocked for more than # seconds. in btrfs_inode_lock"],
        ),
        (
            "[    9.1] x\n[    9.100000] Kernel panic - not syncing: Asynchronous SError Interrupt\n",
            ["panic: Kernel panic - not syncing: Asynchronous SError Interrupt"],
        ),
        (
            _JUMP_ON_ARM64,
            ["oops: Unable to handle kernel execution of user memory at virtual address # in el1_irq"],
        ),
    ],
)
def test_wordings_of_arm64(text: str, signatures: list[str]) -> None:
    assert [found.signature for found in findings(text)] == signatures


def test_a_panic_after_an_oops_is_a_second_finding() -> None:
    kinds = [found.kind for found in findings(recorded("null-deref-panic-7.2.log"))]
    assert kinds == [FindingKind.OOPS, FindingKind.PANIC]


def test_lockup_is_no_crash_and_is_kept_three_times() -> None:
    text = recorded("lockup-6.12.log")
    assert [found.kind for found in findings(text)] == [FindingKind.SOFT_LOCKUP] * 3
    assert crash(text) is None
    found = findings(text)[0]
    assert (
        found.signature == "soft-lockup: watchdog: BUG: soft lockup - CPU## stuck for #s! [cat:#] in cmdline_proc_show"
    )


def test_disks_and_filesystems() -> None:
    found = findings(recorded("fs-6.1.log"))
    assert crash(recorded("fs-6.1.log")) is None
    messages = [(one.kind, one.message) for one in found]
    assert (
        FindingKind.FILESYSTEM,
        "BTRFS error (device nvme0n1): bdev /dev/nvme0n1 errs: wr 0, rd 0, flush 0, corrupt 1, gen 0",
    ) in messages
    starts = [message.partition(" (")[0] for kind, message in messages if kind is FindingKind.FILESYSTEM]
    # Six of eight: each of the two messages of Btrfs was there four times.
    assert starts == ["BTRFS warning", "BTRFS error"] * 3 + ["EXT4-fs warning", "EXT4-fs error"]
    assert [message.partition(",")[0] for kind, message in messages if kind is FindingKind.IO_ERROR] == [
        "nvme2c2n1: I/O Cmd(0x2) @ LBA 0",
        "critical medium error",
        "Buffer I/O error on dev nvme2n1",
    ]
    hung = [one for one in found if one.kind is FindingKind.HUNG_TASK]
    assert {one.place for one in hung} == {"blkdev_get_by_dev", "sync_bdevs"}
    assert hung[0].excerpt.strip().endswith("</TASK>")


def test_out_of_memory() -> None:
    found = findings(recorded("oom-6.1.log"))
    assert {one.kind for one in found} == {FindingKind.OOM}
    assert found[0].message.startswith("Out of memory: Killed process 93 (tail)")


@pytest.mark.parametrize("name", ["sysrq-6.12.log", "fs-6.1.log", "null-deref-panic-7.2.log"])
def test_line_ends_and_missing_stamps_change_nothing(name: str) -> None:
    text = recorded(name).replace("\r", "")
    expected = [found.signature for found in findings(text)]
    assert [found.signature for found in findings(text.replace("\n", "\r\n"))] == expected
    assert [found.signature for found in findings(text.replace("\n", "\r\r\n"))] == expected
    bare = "\n".join(line.partition("] ")[2] if line.startswith("[") else line for line in text.split("\n"))
    assert [found.signature for found in findings(bare)] == expected
    assert {found.time_s for found in findings(bare)} == {None}


def test_a_quiet_boot_has_no_findings() -> None:
    text = recorded("sysrq-6.12.log")
    assert findings(text[: text.index("sysrq: Trigger")]) == ()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("kernel BUG at fs/btrfs/extent_io.c:123!", FindingKind.BUG),
        ("BUG: Bad page state in process fio  pfn:12345", FindingKind.BUG),
        ("BUG: sleeping function called from invalid context at mm/slab.h:1", FindingKind.WARNING),
        ("BUG: KASAN: slab-use-after-free in btrfs_put+0x12/0x40 [btrfs]", FindingKind.KASAN),
        ("BUG: KCSAN: data-race in a / b", FindingKind.KCSAN),
        ("UBSAN: array-index-out-of-bounds in fs/btrfs/x.c:1:2", FindingKind.UBSAN),
        ("WARNING: CPU: 0 PID: 5 at fs/btrfs/inode.c:99 btrfs_x+0x1/0x2 [btrfs]", FindingKind.WARNING),
        ("WARNING: fs/btrfs/inode.c:99 at btrfs_x+0x1/0x2 [btrfs], CPU#1: fio/12", FindingKind.WARNING),
        ("WARNING: possible circular locking dependency detected", FindingKind.LOCKDEP),
        ("WARNING: suspicious RCU usage", FindingKind.LOCKDEP),
        ("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", FindingKind.LOCKDEP),
        ("rcu: INFO: rcu_preempt self-detected stall on CPU", FindingKind.RCU_STALL),
        ("rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", FindingKind.RCU_STALL),
        ("watchdog: Watchdog detected hard LOCKUP on cpu 1", FindingKind.SOFT_LOCKUP),
        ("general protection fault, probably for non-canonical address 0xdead: 0000 [#1] SMP", FindingKind.OOPS),
        ("Oops: general protection fault, probably for address 0xdead: 0000 [#1] SMP", FindingKind.OOPS),
        ("traps: PANIC: double fault, error_code: 0x0", FindingKind.OOPS),
        ("BTRFS critical (device vda): corrupt leaf: root=5", FindingKind.FILESYSTEM),
        ("BTRFS: error (device vda state A) in btrfs_commit_transaction:1: errno=-5", FindingKind.FILESYSTEM),
        ("XFS (vda): Metadata CRC error detected at xfs_agf_read_verify", FindingKind.FILESYSTEM),
        ("XFS (vda): log I/O error -5", FindingKind.FILESYSTEM),
        ("Aborting journal on device vda-8.", FindingKind.FILESYSTEM),
        ("I/O error, dev vda, sector 8 op 0x1:(WRITE)", FindingKind.IO_ERROR),
        ("blk_update_request: I/O error, dev nvme0n1, sector 8", FindingKind.IO_ERROR),
        ("nvme nvme0: I/O tag 12 (100c) QID 1 timeout, aborting", FindingKind.IO_ERROR),
        # Every trap that die() names.
        ("stack segment: 0000 [#1] PREEMPT SMP NOPTI", FindingKind.OOPS),
        ("int3: 0000 [#1] SMP", FindingKind.OOPS),
        ("divide_error: 0000 [#1] PREEMPT", FindingKind.OOPS),
        ("divide error: 0000 [#2] SMP", FindingKind.OOPS),
        ("alignment check: 0000 [#1] SMP", FindingKind.OOPS),
        ("segment-related general protection fault: beec [#2] SMP", FindingKind.OOPS),
        ("Oops: stack segment: 0000 [#1] SMP", FindingKind.OOPS),
        ("Oops: 0002 [#1] SMP", FindingKind.OOPS),
        ("specification exception: 0006 ilc:3 [#1] SMP", FindingKind.OOPS),
        ("Oops[#1]:", FindingKind.OOPS),
        ("Internal error: Oops: 0000000096000004 [#1] SMP", FindingKind.OOPS),
        ("Unhandled fault: imprecise external abort (0x1c06) at 0x76ffa000", FindingKind.OOPS),
        ("PANIC: early exception 0x0e IP 10:ffffffff81000000 error 0 cr2 0x8", FindingKind.OOPS),
        (
            "kasan: GPF could be caused by NULL-ptr deref or user memory accessgeneral protection fault: 0000 [#1] SMP",
            FindingKind.OOPS,
        ),
        ("BUG: Kernel NULL pointer dereference on read at 0x00000008", FindingKind.OOPS),
        ("WARNING: [refs <= 0] lib/x.c:9 at put+0x1/0x2, CPU#0: fio/12", FindingKind.WARNING),
        ("WARNING: [a[0] != b] lib/x.c:9 at put+0x1/0x2, CPU#0: fio/12", FindingKind.WARNING),
        ("WARNING: lib/x.c:9 at 0x0, CPU#1: fio/12", FindingKind.WARNING),
        ("WARNING: kernel stack regs at ffff8801d100fea8 in fio:160 has bad 'bp' value", FindingKind.WARNING),
        ("BUG: scheduling while atomic: fio/12/0x00000002", FindingKind.WARNING),
        ("BUG: MAX_STACK_TRACE_ENTRIES too low!", FindingKind.WARNING),
        ("BUG: workqueue leaked lock or atomic: kworker/0:1/0x00000001/12", FindingKind.WARNING),
        ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 32s!", FindingKind.SOFT_LOCKUP),
        ("BUG kmalloc-64 (Not tainted): Poison overwritten", FindingKind.SLAB),
        ("BUG kmalloc-8 (Tainted: G    B         ): Object already free", FindingKind.SLAB),
        ("INFO: Allocated in f+0x29/0x90 age=1 cpu=1 pid=6024", FindingKind.SLAB),
        ("kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)", FindingKind.LEAK),
        ("unreferenced object 0xffff88005a065340 (size 576):", FindingKind.LEAK),
        ("[ INFO: possible circular locking dependency detected ]", FindingKind.LOCKDEP),
        ("[ INFO: suspicious RCU usage. ]", FindingKind.LOCKDEP),
        ("[ BUG: bad unlock balance detected! ]", FindingKind.LOCKDEP),
        ("[ BUG: held lock freed! ]", FindingKind.LOCKDEP),
        ("[ INFO: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected ]", FindingKind.LOCKDEP),
        ("[ BUG: lock held when returning to user space! ]", FindingKind.LOCKDEP),
        ("WARNING: fio/12 still has locks held!", FindingKind.LOCKDEP),
        ("INFO: trying to register non-static key.", FindingKind.LOCKDEP),
        ("BUG: using __this_cpu_read() in preemptible [00000000] code: fio/12", FindingKind.LOCKDEP),
        ("BUG: spinlock bad magic on CPU#1, fio/12", FindingKind.LOCKDEP),
        ("WARNING: CPU: 1 PID: 5 at kernel/locking/lockdep.c:3553 lock_downgrade+0x4/0x9", FindingKind.LOCKDEP),
        ("INFO: task fio:12 can't die for more than 143 seconds.", FindingKind.HUNG_TASK),
        ("INFO: task fio:12 blocked in I/O wait for more than 120 seconds.", FindingKind.HUNG_TASK),
        ("unregister_netdevice: waiting for lo to become free. Usage count = 2", FindingKind.HUNG_TASK),
        ("VFS: Busy inodes after unmount of vda (ext4)", FindingKind.BUG),
        ("UBSAN: Undefined behaviour in drivers/usb/core/devio.c:1517:25", FindingKind.UBSAN),
        ("EXT4-fs (vda): This should not happen!! Data will be lost", FindingKind.FILESYSTEM),
        ("XFS (vda): Log I/O Error (0x2) detected at f+0x1/0x2 (fs/xfs/x.c:1).", FindingKind.FILESYSTEM),
        ("fio: page allocation failure: order:5, mode:0x40dc0(GFP_KERNEL)", FindingKind.ALLOCATION),
        ("kworker/0:1: page allocation failure: order:5, mode:0x40dc0(GFP_KERNEL)", FindingKind.ALLOCATION),
    ],
)
def test_wordings(line: str, kind: FindingKind) -> None:
    [found] = findings(f"[    1.000000] before\n[   12.345678] {line}\n[   12.4] after\n")
    assert (found.kind, found.message, found.time_s) == (kind, line, 12.345678)
    for stamp in ("<3>[   12.345678][  T421] ", "[   12.345678][    C4]  ", "fio: 3 of 9 do[   12.345678] "):
        [found] = findings(f"{stamp}{line}\r\n")
        assert (found.kind, found.message, found.time_s) == (kind, line, 12.345678)
    for stamp in (
        "",
        "<3>",
        "[   T42] ",
        "[Fri Jan 12 10:00:00 2024] ",
        "[  +0.000012] ",
        "Jan 12 10:00:00 guest kernel: ",
        "2024-01-12T10:00:00.123456+00:00 guest kernel: ",
    ):
        [found] = findings(f"{stamp}{line}\n")
        assert (found.kind, found.message, found.time_s) == (kind, line, None)


@pytest.mark.parametrize(
    "line",
    [
        "RCU CPU stall warnings timeout set to 3 (rcu_cpu_stall_timeout).",
        "BTRFS info (device nvme0n1): using free space tree",
        "EXT4-fs (vda): mounted filesystem with ordered data mode",
        "XFS (vda): Mounting V5 Filesystem",
        "XFS (vda): Ending clean mount",
        "WARNING: this is a message of a program",
        "fio: I/O error reporting is on",
        "Spectre V2 : WARNING: Unprivileged eBPF is enabled",
        "Kernel command line: console=ttyS0 panic=-1",
        "INFO: lockdep is turned off.",
        "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 2.277 msecs",
        "BUG UNIX (Not tainted): kasan: bad access detected",
        "VFS: Finished mounting rootfs on nullfs",
        "fio[12]: segfault at 4cb420 ip 4cb420 sp 7f27fd37a250 error 15",
        "perf: interrupt took too long (5143 > 5080), lowering kernel.perf_event_max_sample_rate",
    ],
)
def test_harmless_wordings(line: str) -> None:
    assert findings(f"[    1.234567] {line}\n{line}\n") == ()


def test_a_kernel_message_cut_into_a_line_of_userspace_is_seen() -> None:
    text = "fio: runn[    9.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\ning 4 jobs\n"
    [found] = findings(text)
    assert (found.kind, found.time_s) == (FindingKind.OOPS, 9.000001)


@pytest.mark.parametrize(
    "line",
    [
        "BUG: my program met a case that cannot be",
        "Internal error: no such table",
        "Oops: I did it again",
        "INFO: task x",
    ],
)
def test_a_program_that_speaks_like_a_kernel_accuses_none(line: str) -> None:
    assert findings(f"[    1.000000] a kernel's line\n{line}\n[    2.000000] another\n") == ()
    # The first lines of such a console, looked at alone, when it is known that the kernel puts stamps.
    assert findings(f"{line}\n", stamped=True) == ()
    # Nor where there are no stamps at all: a kernel's own wordings are known.
    assert findings(f"{line}\n") == ()
    # A program's message in the kernel's log bears its facility.
    assert findings(f"<11>[    1.000000] {line}\n") == ()


def test_any_bug_of_a_stamped_line_is_the_kernels() -> None:
    [found] = findings("[    1.000000] BUG: something that no table knows\n")
    assert found.kind is FindingKind.BUG


def test_a_kernel_without_stamps_is_read() -> None:
    assert not is_stamped("BUG: Bad page state in process fio  pfn:12345\n")
    found = crash("fio-3.39\nBUG: Bad page state in process fio  pfn:12345\n")
    assert found is not None
    assert found.kind is FindingKind.BUG


def test_a_panic_whose_stamp_is_torn_off_is_seen() -> None:
    text = "[    1.000000] a kernel's line\nKernel panic - not syncing: Fatal exception\n"
    assert [one.kind for one in findings(text)] == [FindingKind.PANIC]


def test_a_task_whose_name_holds_a_line_feed() -> None:
    text = "[  9.000000][ T41] INFO: task \ufffd\ufffd\n[  9.000000][ T41] x:180 blocked for more than 143 seconds.\n"
    assert [one.kind for one in findings(text)] == [FindingKind.HUNG_TASK]


def test_a_leak_and_a_slab_report_are_one_finding_each() -> None:
    leak = "BUG: memory leak\nunreferenced object 0xffff88005a065340 (size 576):\n  backtrace:\n    f+0x1/0x2\n"
    assert [one.kind for one in findings(leak)] == [FindingKind.LEAK]
    slab = (
        "[    1.000000] BUG kmalloc-64 (Not tainted): Poison overwritten\n"
        "[    1.000000] ------------------------------------------------\n"
        "[    1.000000] INFO: Allocated in f+0x29/0x90 age=1 cpu=1 pid=6\n"
    )
    assert [one.kind for one in findings(slab)] == [FindingKind.SLAB]
    assert crash(slab) is not None


def test_kinds_that_are_stored_stay_readable() -> None:
    stored = "panic oops bug warning hung-task soft-lockup rcu-stall lockdep kasan kcsan ubsan oom filesystem io-error"
    assert all(FindingKind(kind) for kind in stored.split())


def test_heads_hold_no_groups_that_would_hide_which_of_them_matched() -> None:
    assert all(re.compile(head.pattern).groups == 0 for head in HEADS)
    assert all(head.source for head in HEADS)
    assert head_of("") is None


@given(st.text() | st.text(alphabet="BUG: WARNINFOs[]<>0123456789.#\n\r\x1b \u0665"))
def test_any_text_whatever_has_findings(text: str) -> None:
    for stamped in (None, True, False):
        for found in findings(text, stamped=stamped):
            assert found.signature
    is_stamped(text)


_MIB = 1 << 20
_HOSTILE = (
    "\n",
    "a\n",
    "a",
    "[",
    "[            ",
    "<1111",
    " kernel: \n",
    "\x1b[0;",
    "[    1.000000] ",
    "Oops: 0000\n",
    "[    1.000000] BUG: " + "a." * 450 + "\n",
    "WARNING: [" + "] a:1 at " * 120 + "\n",
    "nvme" + " I/O " * 200 + "\n",
    "BUG a" + " (" * 400 + "\n",
    "a " * 90 + "\n",
    "[    1.000000] BUG: a call trace\n" + " " * 1000 + "\n",
)


@pytest.mark.parametrize("unit", _HOSTILE)
def test_a_hostile_console_takes_time_by_its_length(unit: str) -> None:
    # 0.5 s of processor time for 1 MiB at most when this was written, and a tenth of that here; a pattern that
    # backtracks takes minutes.
    text = (unit * (_MIB // 10 // len(unit) + 1))[: _MIB // 10]
    began = time.process_time()
    findings(text)
    assert time.process_time() - began < 2.0


def test_a_flood_of_crashes_each_of_its_own_is_bounded() -> None:
    names = (f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(3000))
    text = "".join(f"[    1.000000] BUG: case {name}\n" for name in names)
    found = findings(text + "[    2.000000] Kernel panic - not syncing: the end\n")
    assert len(found) == 51
    assert found[-1].kind is FindingKind.PANIC
    assert len(findings("Kernel panic - not syncing: " + "x" * _MIB)[0].message) == 1024


def test_same_crash_elsewhere_in_memory_has_the_same_signature() -> None:
    text = recorded("null-deref-6.12.log")
    moved = text.replace("0x0/0x60", "0x10/0x60").replace("PID: 144", "PID: 7").replace("[    5.", "[   85.")
    [one], [other] = findings(text), findings(moved)
    assert one != other
    assert one.signature == other.signature


def test_same_wording_in_another_function_has_another_signature() -> None:
    text = recorded("null-deref-6.12.log")
    [one], [other] = findings(text), findings(text.replace("cmdline_proc_show", "version_proc_show"))
    assert one.signature != other.signature


def test_suffixes_of_the_compiler_do_not_change_a_signature() -> None:
    line = "[    1.000000] WARNING: CPU: 0 PID: {pid} at fs/btrfs/inode.c:9 btrfs_x{suffix}+0x1/0x2 [btrfs]\n"
    [one] = findings(line.format(pid=5, suffix=""))
    [other] = findings(line.format(pid=77, suffix=".isra.0"))
    assert one.signature == other.signature
    assert "btrfs_x" in one.signature


def test_a_flood_is_kept_short() -> None:
    lines = [f"[   {n}.000000] I/O error, dev vda, sector {n} op 0x1:(WRITE)" for n in range(10, 99)]
    assert len(findings("\n".join(lines))) == 3


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("KAB-INIT\r\nKAB-FAILED no root disk\r\n[  1.0] x", "no root disk"),
        ("KAB-FAILED\n", ""),
        ("KAB-READY\n", None),
    ],
)
def test_failure_of_init(text: str, reason: str | None) -> None:
    assert failure(text) == reason
