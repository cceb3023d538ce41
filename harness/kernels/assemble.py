"""From the pieces of a kernel, wherever they lie, to a complete folder for the cache."""

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import process
from harness.kernels.bootimage import read_boot_image, unpack_boot_image
from harness.kernels.intake import confine, module_files, not_a_package, optional
from harness.model.arch import X86_64, Architecture
from harness.parse.foreign import printable

_log = logging.getLogger(__name__)

_UNPACK_TIMEOUT_S = 300.0
_DEPMOD_TIMEOUT_S = 300.0
# Debian ships a note of 98 bytes in place of the real System.map.
_SMALLEST_SYSTEM_MAP_BYTES = 4096

_LISTS = ("modules.order", "modules.builtin", "modules.builtin.modinfo")
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
    architecture: Architecture = X86_64
    # A lib/modules/RELEASE folder, or None.
    modules: Path | None = None
    config: Path | None = None
    system_map: Path | None = None
    changelog: Path | None = None
    # Lists of modules that lie elsewhere than the modules: from 7.0 on they are in another package.
    lists: tuple[Path, ...] = ()


def unpack_packages(packages: Sequence[Path], into: Path) -> list[Path]:
    """Unpack Debian packages, each into a folder of its own below `into`; returns these folders.

    Not into one: the files of the second would go where a link of the first leads. No maintainer script runs. Raises
    ConfigError for what is no package, HostError.
    """
    roots = [into / str(number) for number in range(len(packages))]
    into.mkdir()
    for package, root in zip(packages, roots, strict=True):
        done = process.run(["dpkg-deb", "-x", package, root], timeout_s=_UNPACK_TIMEOUT_S, check=False)
        if "No space left" in done.stderr:
            raise HostError(
                f"no space is left to unpack {package.name}", remedy="Free some: `kab clean --cache-limit SIZE`."
            )
        if done.status != 0:
            raise not_a_package(package, done.stderr)
    return roots


def find_pieces(roots: Sequence[Path], *, what: str) -> Pieces:
    """The one kernel below `roots`, where packages of either layout were unpacked. Raises ConfigError.

    Links of the packages that lead out of them are not followed: they would lead to files of this host.
    """
    images = [
        (path, root)
        for root in roots
        for pattern in ("boot/vmlinuz-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz")
        for path in sorted(root.glob(pattern))
    ]
    if len(images) != 1:
        names = ", ".join(printable(path.name) for path, _ in images)
        raise ConfigError(
            f"{what} holds {'several kernels: ' + names if images else 'no kernel image'}",
            remedy="Give the packages of one kernel: linux-image, or from 7.0 on linux-binary, linux-modules and "
            "linux-base.",
        )
    image = confine(*images[0])
    header = read_boot_image(image)
    release = header.release
    folders = [(root / place / release, root) for root in roots for place in ("usr/lib/modules", "lib/modules")]
    modules = next((confine(folder, root) for folder, root in folders if (folder / "kernel").is_dir()), None)
    if modules is None:
        raise ConfigError(
            f"{what} holds the kernel {release} without its modules", remedy=f"Add the package linux-modules-{release}."
        )
    documents = [
        (root / "usr/share/doc" / f"linux-{part}-{release}", root)
        for part in ("image", "base", "binary")
        for root in roots
    ]
    boots = [(root / "boot", root) for root in roots]
    return Pieces(
        release=release,
        version=header.version,
        vmlinuz=image,
        architecture=header.architecture,
        modules=modules,
        lists=tuple(
            folder / name for name in _LISTS for folder, root in folders if optional(folder / name, root) is not None
        ),
        config=_first([*_each(boots, f"config-{release}"), *_each(folders, "config")]),
        system_map=_first([*_each(boots, f"System.map-{release}"), *_each(folders, "System.map")]),
        changelog=_first([*_each(documents, "changelog.Debian.gz"), *_each(documents, "changelog.gz")]),
    )


def assemble(pieces: Pieces, entry: Path, *, scratch: Path) -> dict[str, str]:
    """Put `pieces` together in the new folder `entry`, run depmod, unpack vmlinux; returns the facts for the cache.

    Files below `scratch` are moved, others copied. Raises ConfigError (a module or the image is not as it must be),
    HostError, OSError.
    """

    def place(source: Path, target: Path) -> None:
        if source.is_relative_to(scratch) and not source.is_symlink():
            source.rename(target)
        else:
            shutil.copyfile(source, target)

    facts = {"release": pieces.release, "vmlinuz": "vmlinuz"}
    if pieces.architecture != X86_64:
        # Left out for x86-64, as it was when there was no other.
        facts["architecture"] = pieces.architecture.name
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
        _place_modules(pieces.modules, pieces.lists, entry / facts["modules"], place)
        process.run(["depmod", "-b", entry, pieces.release], timeout_s=_DEPMOD_TIMEOUT_S)
    # Of a package's image only the file's name means something to people.
    named = pieces.vmlinuz.name if pieces.vmlinuz.is_relative_to(scratch) else str(pieces.vmlinuz)
    if unpack_boot_image(entry / "vmlinuz", entry / "vmlinux", name=printable(named)):
        facts["vmlinux"] = "vmlinux"
    return facts


def _place_modules(source: Path, lists: Sequence[Path], target: Path, place: Callable[[Path, Path], None]) -> None:
    target.mkdir(parents=True)
    for name in _LISTS:
        own = [source / name] if optional(source / name, source) is not None else []
        found = next((path for path in (*own, *lists) if path.name == name), None)
        if found is not None:
            place(found, target / name)
    for path in module_files(source):
        relative = path.relative_to(source / "kernel")
        if not str(relative).startswith(_DROPPED):
            (target / "kernel" / relative).parent.mkdir(parents=True, exist_ok=True)
            place(path, target / "kernel" / relative)
    # depmod wants it, though it may stay empty.
    (target / "modules.order").touch()
    (target / "kernel").mkdir(exist_ok=True)


def _each(folders: Sequence[tuple[Path, Path]], name: str) -> list[tuple[Path, Path]]:
    return [(folder / name, root) for folder, root in folders]


def _first(places: Sequence[tuple[Path, Path]]) -> Path | None:
    """The first of the files that is there; each comes with the folder that it may not lead out of."""
    return next((path for path, root in places if optional(path, root) is not None), None)
