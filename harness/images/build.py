"""Builds a guest's root filesystem with mmdebstrap and mke2fs: nothing is mounted, and no privilege is needed.

For an architecture that is not this host's the packages are only extracted: none of their scripts runs, and what a
guest needs of what they would have made is made here (`_SETTLE`). So no emulation of programs (binfmt_misc, qemu-user)
is asked of the host, which containers rarely have.
"""

import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.debian.aptsources import Mirrors
from harness.debian.keyring import KEYRING, require_keyring
from harness.errors import HostError
from harness.host import process
from harness.host.architecture import host_architecture
from harness.images.recipe import Recipe
from harness.model.arch import X86_64, Architecture

_log = logging.getLogger(__name__)

# Counts up when the same recipe gives another image; part of its digest.
BUILDER_VERSION = 1
# The same for what is done to an image whose packages are only extracted.
_EXTRACTED_VERSION = 1

_TIMEOUT_S = 1200.0
# 2024-01-01: times inside the image must not depend on when it was built.
_EPOCH = "1704067200"
_MADE_WHILE_BUILDING = ("etc/ssh/ssh_host_*", "etc/machine-id", "kab-packages")
# The image is only ever read: a journal or room to grow would only make it larger and slower to mount.
_EXT4_FEATURES = "^has_journal,^resize_inode,^metadata_csum,^64bit"
_UUID = "6b61622d-726f-6f74-8000-000000000001"

_LINES = 8
_LINE_CHARS = 300

ROOT_FILE = "root.ext4"
BUSYBOX_FILE = "busybox"
PACKAGES_FILE = "packages.txt"


# What the scripts of packages make that guests use: accounts (base-passwd, openssh-server), how names are looked up
# (libc-bin), programs of which there are several (mawk, debianutils, util-linux), folders (base-files). Joined
# in one line: mmdebstrap quotes the hook that fails, and the reason must not be lost among its lines.
_SETTLE = (
    "set -e",
    'cd "$1"',
    'for name in passwd group; do cp "usr/share/base-passwd/$name.master" "etc/$name"; done',
    'sed -i "s/^\\([^:]*\\):[^:]*:/\\1:x:/" etc/passwd',
    'echo "sshd:x:100:65534:sshd user:/run/sshd:/usr/sbin/nologin" >>etc/passwd',
    'sed "s/:.*/:*:19723:0:99999:7:::/" etc/passwd >etc/shadow',
    "chmod 640 etc/shadow",
    "cp usr/share/libc-bin/nsswitch.conf usr/share/base-files/profile etc/",
    'link() { test -e "usr/bin/$1" || ln -s "$2" "usr/bin/$1"; }',
    "link awk mawk",
    "link nawk mawk",
    "link which which.debianutils",
    "link pager more",
    "mkdir -p media mnt opt srv",
)
_LIST_EXTRACTED = (
    "set -e",
    'cd "$1"',
    'list() { dpkg-deb --showformat="\\${Package}=\\${Version}\\n" --show "$1"; }',
    'for file in var/cache/apt/archives/*.deb; do list "$file"; done >kab-packages',
    "rm var/cache/apt/archives/*.deb",
)


def image_digest(recipe: Recipe, architecture: Architecture) -> str:
    """What names the image of `recipe` for an architecture, as it is built on this host."""
    # Nothing for amd64 on amd64: images have that name since there was no other.
    words = [] if architecture == X86_64 else [architecture.name]
    if architecture != host_architecture():
        words = [architecture.name, "extracted", str(_EXTRACTED_VERSION)]
    return recipe.digest(BUILDER_VERSION, " ".join(words))


def build_root(recipe: Recipe, out: Path, mirrors: Mirrors, architecture: Architecture) -> None:
    """Fill the folder `out` with the root image, its static busybox and the list of its packages.

    Raises HostError: a missing tool or keyring, the mirror, no way to build as an ordinary user, a full disk.
    """
    _check_host()
    native = architecture == host_architecture()
    argv = [
        "mmdebstrap",
        # Its own choice could be fakechroot, which the libc of another suite breaks.
        f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
        *(("--variant=minbase",) if native else ("--variant=extract", f"--architectures={architecture.debian}")),
        "--format=null",
        # What minbase has besides, by itself.
        *(() if native else ("--include=?essential",)),
        f"--include={','.join(recipe.packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Retries "3"',
        *(f"--dpkgopt=path-exclude=/{pattern}" for pattern in recipe.strip if pattern.startswith("usr/share/")),
        *(f"--{'customize' if native else 'extract'}-hook={hook}" for hook in _hooks(recipe, out, native=native)),
        recipe.suite,
        # No target, for there is no output but what the hooks fetch.
        "-",
        *_sources(recipe.suite, mirrors),
    ]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": _EPOCH, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = process.run(argv, timeout_s=_TIMEOUT_S, env=environment, check=False)
    if done.status != 0:
        _log.debug("mmdebstrap: %s", done.stderr)
        raise HostError(
            f"mmdebstrap failed with status {done.status}:\n{_complaints(done.stderr)}", remedy=_remedy(done.stderr)
        )


def _sources(suite: str, mirrors: Mirrors) -> Iterator[str]:
    signed = f"deb [signed-by={KEYRING}]"
    yield f"{signed} {mirrors.archive} {suite} main"
    if suite not in {"sid", "unstable", "experimental"}:
        yield f"{signed} {mirrors.security} {suite}-security main"


def _hooks(recipe: Recipe, out: Path, *, native: bool) -> Iterator[str]:
    """What is done to the finished root, in order; "$1" is its folder, and its files belong to root in there."""
    quoted = shlex.quote(str(out))
    if not native:
        yield "; ".join(_SETTLE)
    # mmdebstrap's own sync-in and download work across user namespaces, where plain paths may not be readable.
    yield f"sync-in {shlex.quote(str(recipe.root))} /"
    files = sorted(path.relative_to(recipe.root) for path in recipe.root.rglob("*") if path.is_file())
    modes = " ".join(shlex.quote(f"./{path}") for path in files)
    if native:
        yield 'cd "$1" && dpkg-query --admindir="$1/var/lib/dpkg" -W -f "\\${Package}=\\${Version}\\n" >kab-packages'
    else:
        yield "; ".join(_LIST_EXTRACTED)
    yield f"download /kab-packages {quoted}/{PACKAGES_FILE}"
    yield f"download /bin/busybox {quoted}/{BUSYBOX_FILE}"
    patterns = " ".join(f"./{pattern}" for pattern in (*recipe.strip, *_MADE_WHILE_BUILDING))
    # Beside "$1" and not in it; a copy, for the host's /proc, /sys and devices are mounted in "$1" while hooks run.
    yield "; ".join(
        (
            "set -e",
            'copy="$1.copy"',
            'trap \'rm -rf "$copy" "$1.ext4"\' EXIT',
            'mkdir "$copy"',
            'tar -C "$1" --exclude="./proc/*" --exclude="./sys/*" --exclude="./dev/*" -c . | tar -C "$copy" -x',
            'cd "$copy"',
            f"chown 0:0 {modes}",
            f"rm -rf {patterns} ./var/tmp ./var/log ./var/cache",
            "ln -s ../tmp var/tmp",
            "ln -s ../run/log var/log",
            "ln -s ../run/cache var/cache",
            "ln -sf ../proc/self/mounts etc/mtab",
            "mkdir -p mnt/test",
            "echo kab >etc/hostname",
            "echo 127.0.0.1 localhost kab >etc/hosts",
            # Only what is newer than the packages themselves: made while building.
            f"find . -newermt @{_EPOCH} -print0 | xargs -0r touch --no-dereference --date=@{_EPOCH}",
            # Blocks for the content, and a fifth more for what the filesystem needs itself.
            "size=$(du --summarize --block-size=1M . | cut --fields=1)",
            'size="$((size + size / 5 + 16))M"',
            f'mke2fs -q -t ext4 -b 4096 -m 0 -O {_EXT4_FEATURES} -U {_UUID} -d . "$1.ext4" "$size"',
            f'mv "$1.ext4" "$1/{ROOT_FILE}"',
        )
    )
    yield f"download /{ROOT_FILE} {quoted}/{ROOT_FILE}"


def _check_host() -> None:
    require_keyring()
    for tool in ("mmdebstrap", "mke2fs"):
        if shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise process.missing_tool(tool)


def _complaints(stderr: str) -> str:
    """The lines that say what went wrong, without the package lists that they quote."""
    lines = [line for line in stderr.splitlines() if line and not line.startswith("I: ")]
    return "\n".join(line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}..." for line in lines[-_LINES:])


def _remedy(stderr: str) -> str:
    if "subuid" in stderr or "subgid" in stderr or "newuidmap" in stderr or "CLONE_NEWUSER" in stderr:
        return (
            "An ordinary user needs user namespaces: apt-get install uidmap, and lines for this user in /etc/subuid and"
            " /etc/subgid (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER)."
        )
    return "Is the mirror reachable (kab doctor), and is there space in /tmp?"
