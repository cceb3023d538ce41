"""What kab takes in from elsewhere (a package, a folder, a tree): files of bounded size that lie where they are named.

A link that leads out of what was named would bring this host's files into the cache, from where they go into guests
and reports; a FIFO or a device never ends. The user who named the thing mends it: everything here raises ConfigError.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from harness.errors import ConfigError
from harness.host import process
from harness.host.regular import regular
from harness.model.guest import MIB
from harness.parse.foreign import printable

# A bzImage has 5 to 20 MiB, with an initramfs inside some hundreds.
IMAGE_LIMIT_BYTES = 1024 * MIB
# amdgpu.ko with debug information has about 300 MiB.
MODULE_LIMIT_BYTES = 1024 * MIB
# Configurations, symbol tables, lists of modules, changelogs.
TEXT_LIMIT_BYTES = 64 * MIB
PACKAGE_LIMIT_BYTES = 8192 * MIB
# The modules of a distribution's kernel with all debug information have about 6 GiB.
UNPACKED_LIMIT_BYTES = 16384 * MIB
_MOST_MODULES = 50_000

_LIST_TIMEOUT_S = 300.0
# What tar prints of one member: its kind and permissions, owner, size (of a device its numbers).
_MEMBER = re.compile(r"(?P<kind>[-dlhbcpCsMNSVDx])\S{9}\S*\s+\S+\s+(?P<size>\d+|\d+,\s*\d+)\s")
_SPECIAL = {"b": "a block device", "c": "a character device", "p": "a FIFO", "s": "a socket"}


def confine(path: Path, root: Path) -> Path:
    """`path`, which lies below `root` also when its links are followed. Raises ConfigError where it does not."""
    try:
        real = path.resolve()
        inside = real.is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"cannot follow the link {_shown(path)}: {error}") from error
    if not inside:
        raise ConfigError(
            f"{_shown(path)} leads out of {_shown(root)}, to {_shown(real)}: kab does not follow it",
            remedy="Put the files themselves there (cp --recursive --dereference makes such a copy).",
        )
    return path


def optional(path: Path, root: Path) -> Path | None:
    """`path` where it is a file of text below `root`, else None: what a kernel can do without is passed over."""
    try:
        regular(confine(path, root), limit_bytes=TEXT_LIMIT_BYTES)
    except ConfigError:
        return None
    return path


def module_files(folder: Path) -> list[Path]:
    """The module files below ``kernel`` of a lib/modules/RELEASE folder, sorted; linked folders are passed over.

    Raises ConfigError for a module that is no file or leads out of `folder`, and for far too many.
    """
    top = folder / "kernel"
    if not top.is_dir():
        return []
    confine(top, folder)
    found: list[Path] = []
    for place, _folders, names in os.walk(top):
        for name in names:
            if ".ko" not in name:
                continue
            path = Path(place) / name
            regular(confine(path, folder) if path.is_symlink() else path, limit_bytes=MODULE_LIMIT_BYTES)
            found.append(path)
        if len(found) > _MOST_MODULES:
            raise ConfigError(
                f"{_shown(folder)} holds more than {_MOST_MODULES} modules",
                remedy="Name the folder lib/modules/RELEASE of one kernel.",
            )
    return sorted(found)


def check_packages(packages: Sequence[Path]) -> None:
    """Refuse packages that hold devices or FIFOs, or unpack to more than is sane. Raises ConfigError."""
    total = 0
    for package in packages:
        regular(package, limit_bytes=PACKAGE_LIMIT_BYTES)
        done = process.run(["dpkg-deb", "--contents", package], timeout_s=_LIST_TIMEOUT_S, check=False)
        if done.status != 0:
            raise not_a_package(package, done.stderr)
        for line in done.stdout.splitlines():
            member = _MEMBER.match(line)
            if member is None:
                continue
            if member["kind"] in _SPECIAL:
                raise ConfigError(
                    f"the package {_shown(package)} holds {_SPECIAL[member['kind']]}: no kernel package does",
                    remedy="Give the packages of a kernel.",
                )
            total += int(member["size"]) if member["size"].isdigit() else 0
    if total > UNPACKED_LIMIT_BYTES:
        names = ", ".join(_shown(package) for package in packages)
        raise ConfigError(
            f"{names} would unpack to {total / MIB:.0f} MiB, more than any kernel has",
            remedy="Give the packages of one kernel.",
        )


def not_a_package(package: Path, said: str) -> ConfigError:
    """The error for a file that dpkg-deb cannot read; `said` is what it wrote."""
    return ConfigError(
        f"cannot unpack {_shown(package)}: {printable(said.strip(), lines=True, limit=1000)}",
        remedy="Is it a whole Debian package?",
    )


def _shown(path: Path) -> str:
    return printable(str(path))
