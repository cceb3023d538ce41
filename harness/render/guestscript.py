"""Shell scripts that a trial runs in its guest, each one SSH command; what they print is sections (parse.sections)."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import ConfigError
from harness.model.guest import MIB, AttachedDisk, DiskBackend, DiskBus, FilesystemSpec
from harness.render import render
from harness.render.workload import END_OF_FILE, check_lines
from harness.workloads.kinds import DataCheck, GuestJob, Step
from harness.workloads.probes import Probe

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


def prepare_script(disk: AttachedDisk, filesystem: FilesystemSpec, job: GuestJob) -> str:
    """Find (or, for null-blk, make) the disk, make and mount the filesystem, prepare the job. Raises ConfigError."""
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
        files=_brought(job.files),
        command=job.prepare,
    )


def iterate_script(disk_name: str, step: Step, probes: Sequence[Probe]) -> str:
    """Run a step of the job once, with probes around it: the last one that starts stops first."""
    watched = [(probe.name, probe.start(disk_name), probe.stop(disk_name)) for probe in probes]
    return _script("iterate", command=step.command, probes=watched)


def check_script(disk_name: str, filesystem: FilesystemSpec, check: DataCheck) -> str:
    """Write data, unmount, check the filesystem, mount it again, read the data back, print sizes of files."""
    return _script(
        "check",
        device=f"/dev/{disk_name}",
        fsck=shlex.join(_FSCK[filesystem.type]),
        type=filesystem.type,
        mount_options=",".join(filesystem.mount_options),
        files=_brought(check.files),
        write=check.write,
        read_back=check.read_back,
        kept=[name for name, _ in check.kept],
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


def _brought(files: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in files.items():
        check_lines(text, "workload:", name)
    return files


def _script(name: str, **values: Any) -> str:
    """A script for ``bash -s``. Parsed as a whole before it runs: what it starts must not read on in its text."""
    body = render(f"guest/{name}.sh.j2", work=WORK, end=END_OF_FILE, **values)
    return f"main() {{\n{body}}}\nmain < /dev/null\n"


def _check(filesystem: FilesystemSpec) -> None:
    if filesystem.type not in _MKFS:
        raise ConfigError(
            f"the guest has no tools for filesystem {filesystem.type!r}", remedy=f"There are: {', '.join(_MKFS)}."
        )
