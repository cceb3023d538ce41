"""Consoles recorded from real guests (tests/data/console), and wordings that those do not have."""

from pathlib import Path

import pytest

from harness.model.trial import FindingKind
from harness.parse.console import crash, failure, findings

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[1] / "data" / "console"


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
    ],
)
def test_wordings(line: str, kind: FindingKind) -> None:
    [found] = findings(f"[    1.000000] before\n[   12.345678] {line}\n[   12.4] after\n")
    assert (found.kind, found.message, found.time_s) == (kind, line, 12.345678)
    [found] = findings(f"<3>[   12.345678][  T421] {line}\n")
    assert (found.kind, found.time_s) == (kind, 12.345678)


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
    ],
)
def test_harmless_wordings(line: str) -> None:
    assert findings(f"[    1.234567] {line}\n{line}\n") == ()


def test_a_kernel_message_cut_into_a_line_of_userspace_is_seen() -> None:
    text = "fio: runn[    9.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\ning 4 jobs\n"
    [found] = findings(text)
    assert (found.kind, found.time_s) == (FindingKind.OOPS, 9.000001)


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
