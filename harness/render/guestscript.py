"""Shell scripts that a trial runs in its guest, each one SSH command; what they print is sections (parse.sections)."""

import shlex
from collections.abc import Sequence
from typing import Any

from harness.errors import ConfigError
from harness.model.guest import MIB, AttachedDisk, DiskBackend, DiskBus, FilesystemSpec
from harness.render import render

# Folder of the guest for all that a trial writes; the test filesystem is mounted on its "mnt".
WORK = "/run/kab-trial"
MOUNT_POINT = f"{WORK}/mnt"

# Type -> mkfs: overwrite what is there, say little, and leave nothing to be done in the background later.
_MKFS = {
    "btrfs": ("mkfs.btrfs", "-f", "-q"),
    "ext4": ("mkfs.ext4", "-F", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-f", "-q"),
}
# Of XFS, the shortest.
_LABEL_LIMIT = 12
# mkfs.xfs knows features that old kernels refuse to mount: the oldest kernel on offer sets what every arm gets.
_XFS_FEATURES = ("-c", "options=/usr/share/xfsprogs/mkfs/lts_5.10.conf")
# Type -> a check that changes nothing, and what prints the version of its tools.
_FSCK = {
    "btrfs": ("btrfs", "check", "--readonly"),
    "ext4": ("e2fsck", "-fn"),
    "xfs": ("xfs_repair", "-n"),
}
_VERSION = {
    "btrfs": ("btrfs", "--version"),
    "ext4": ("mke2fs", "-V"),
    "xfs": ("mkfs.xfs", "-V"),
}


def prepare_script(
    disk: AttachedDisk, filesystem: FilesystemSpec, *, job: str, warmup_job: str, layout_job: str
) -> str:
    """Find (or, for null-blk, make) the disk, make and mount the filesystem, lay out the files. Raises ConfigError."""
    _check(filesystem)
    spec = disk.spec
    return _script(
        "prepare",
        null_blk=spec.bus is DiskBus.NULL_BLK,
        serial=disk.serial,
        size_mib=spec.size_bytes // MIB,
        latency_ns=round(spec.latency_s * 1e9),
        mkfs=shlex.join(_mkfs(filesystem, disk.serial if spec.backend is DiskBackend.BLOCK else "")),
        type=filesystem.type,
        mount_options=",".join(filesystem.mount_options),
        job=job,
        warmup_job=warmup_job,
        layout_job=layout_job,
    )


def iterate_script(disk_name: str, *, warmup: bool) -> str:
    """Run fio once, between two snapshots of the guest's counters."""
    return _script("iterate", disk=disk_name, job="warm-up" if warmup else "job")


def check_script(
    disk_name: str, filesystem: FilesystemSpec, *, write_job: str, read_job: str, files: Sequence[str]
) -> str:
    """Write checksummed data, unmount, check the filesystem, mount it again, read the data back, print file sizes."""
    return _script(
        "check",
        device=f"/dev/{disk_name}",
        fsck=shlex.join(_FSCK[filesystem.type]),
        type=filesystem.type,
        mount_options=",".join(filesystem.mount_options),
        write_job=write_job,
        read_job=read_job,
        files=files,
    )


def collect_script(filesystem: FilesystemSpec) -> str:
    """Print versions, settings and the kernel log."""
    return _script("collect", tools_version=shlex.join(_VERSION[filesystem.type]))


def _mkfs(filesystem: FilesystemSpec, label: str) -> tuple[str, ...]:
    """With the serial of a real device as its label: what a killed kab leaves there is known by it (guest.traces)."""
    command = _MKFS[filesystem.type]
    if label and not any(word.startswith(("-L", "--label")) for word in filesystem.mkfs_options):
        command = (*command, "-L", label[:_LABEL_LIMIT])
    if filesystem.type == "xfs" and "-c" not in filesystem.mkfs_options:
        command = (*command, *_XFS_FEATURES)
    return (*command, *filesystem.mkfs_options)


def _script(name: str, **values: Any) -> str:
    """A script for ``bash -s``. Parsed as a whole before it runs: what it starts must not read on in its text."""
    body = render(f"guest/{name}.sh.j2", work=WORK, **values)
    return f"main() {{\n{body}}}\nmain < /dev/null\n"


def _check(filesystem: FilesystemSpec) -> None:
    if filesystem.type not in _MKFS:
        raise ConfigError(
            f"the guest has no tools for filesystem {filesystem.type!r}", remedy=f"There are: {', '.join(_MKFS)}."
        )
