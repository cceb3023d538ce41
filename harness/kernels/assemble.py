"""From the pieces of a kernel, wherever they lie, to a complete folder for the cache."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import process
from harness.kernels import bzimage

_log = logging.getLogger(__name__)

_UNPACK_TIMEOUT_S = 300.0
_DEPMOD_TIMEOUT_S = 300.0
# Debian ships a note of 98 bytes in place of the real System.map.
_SMALLEST_SYSTEM_MAP_BYTES = 4096

# Hardware that no guest of kab has: a third of the full flavour (142 of 378 MiB of 6.1). What needs it from outside is
# of the same kind (soundwire, USB gadgets, laptop keys).
_DROPPED = ("sound/", "drivers/gpu/", "drivers/media/", "drivers/net/wireless/", "drivers/staging/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Where a kernel's files lie."""

    release: str
    # For people and for ordering.
    version: str
    vmlinuz: Path
    # A lib/modules/RELEASE folder, or None.
    modules: Path | None = None
    config: Path | None = None
    system_map: Path | None = None
    changelog: Path | None = None


def unpack_packages(packages: Sequence[Path], root: Path) -> None:
    """Unpack Debian packages into `root`; no maintainer script runs. Raises ConfigError for what is no package."""
    for package in packages:
        done = process.run(["dpkg-deb", "-x", package, root], timeout_s=_UNPACK_TIMEOUT_S, check=False)
        if "No space left" in done.stderr:
            raise HostError(
                f"no space is left to unpack {package.name}", remedy="Free some: `kab clean --cache-limit SIZE`."
            )
        if done.status != 0:
            raise ConfigError(
                f"cannot unpack {package}: {done.stderr.strip()}",
                remedy="Is it a whole Debian package?",
            )


def find_pieces(root: Path, *, what: str) -> Pieces:
    """The one kernel below `root`, where packages of either layout were unpacked. Raises ConfigError."""
    images = [
        path
        for pattern in ("boot/vmlinuz-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz")
        for path in sorted(root.glob(pattern))
    ]
    if len(images) != 1:
        names = ", ".join(path.name for path in images)
        raise ConfigError(
            f"{what} holds {'several kernels: ' + names if images else 'no kernel image'}",
            remedy="Give the packages of one kernel: linux-image, or from 7.0 on linux-binary, linux-modules and "
            "linux-base.",
        )
    header = bzimage.read_boot_image(images[0])
    release = header.release
    folders = [root / "usr/lib/modules" / release, root / "lib/modules" / release]
    modules = next((folder for folder in folders if (folder / "kernel").is_dir()), None)
    if modules is None:
        raise ConfigError(
            f"{what} holds the kernel {release} without its modules", remedy=f"Add the package linux-modules-{release}."
        )
    documents = [root / "usr/share/doc" / f"linux-{part}-{release}" for part in ("image", "base", "binary")]
    return Pieces(
        release=release,
        version=header.version,
        vmlinuz=images[0],
        modules=modules,
        config=_first([root / f"boot/config-{release}", *(folder / "config" for folder in folders)]),
        system_map=_first([root / f"boot/System.map-{release}", *(folder / "System.map" for folder in folders)]),
        changelog=_first([d / name for d in documents for name in ("changelog.Debian.gz", "changelog.gz")]),
    )


def assemble(pieces: Pieces, entry: Path, *, scratch: Path) -> dict[str, str]:
    """Put `pieces` together in the new folder `entry`, run depmod, unpack vmlinux; returns the facts for the cache.

    Files below `scratch` are moved, others copied. Raises HostError, OSError.
    """

    def place(source: Path, target: Path) -> None:
        if source.is_relative_to(scratch) and not source.is_symlink():
            source.rename(target)
        else:
            shutil.copyfile(source, target)

    facts = {"release": pieces.release, "vmlinuz": "vmlinuz"}
    entry.mkdir()
    place(pieces.vmlinuz, entry / "vmlinuz")
    for key, path, name in (
        ("config", pieces.config, "config"),
        ("system_map", pieces.system_map, "System.map"),
        ("changelog", pieces.changelog, "changelog.Debian.gz"),
    ):
        if path is not None and (key != "system_map" or path.stat().st_size >= _SMALLEST_SYSTEM_MAP_BYTES):
            place(path, entry / name)
            facts[key] = name
    if pieces.modules is not None:
        facts["modules"] = f"lib/modules/{pieces.release}"
        _place_modules(pieces.modules, entry / facts["modules"], place)
        process.run(["depmod", "-b", entry, pieces.release], timeout_s=_DEPMOD_TIMEOUT_S)
    if bzimage.uncompressed(entry / "vmlinuz", entry / "vmlinux"):
        facts["vmlinux"] = "vmlinux"
    return facts


def _place_modules(source: Path, target: Path, place: Callable[[Path, Path], None]) -> None:
    target.mkdir(parents=True)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if (source / name).is_file():
            place(source / name, target / name)
    for path in sorted((source / "kernel").rglob("*.ko*")):
        relative = path.relative_to(source / "kernel")
        if not str(relative).startswith(_DROPPED):
            (target / "kernel" / relative).parent.mkdir(parents=True, exist_ok=True)
            place(path, target / "kernel" / relative)
    # depmod wants it, though it may stay empty.
    (target / "modules.order").touch()
    (target / "kernel").mkdir(exist_ok=True)


def _first(paths: Sequence[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
