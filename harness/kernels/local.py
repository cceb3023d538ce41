"""Kernels from this host's own disk: packages, an image and its modules, a built tree, the running kernel."""

import os
import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import process
from harness.host.architecture import host_architecture
from harness.host.regular import regular
from harness.kernels.assemble import Pieces, find_pieces, unpack_packages
from harness.kernels.bootimage import read_boot_image
from harness.kernels.cache import source_key
from harness.kernels.intake import (
    IMAGE_LIMIT_BYTES,
    MODULE_LIMIT_BYTES,
    PACKAGE_LIMIT_BYTES,
    TEXT_LIMIT_BYTES,
    check_packages,
    confine,
    module_files,
    optional,
)
from harness.model.arch import ARCHITECTURES, X86_64
from harness.model.kernel import DebSpec, FileSpec, HostSpec, TreeSpec
from harness.parse.foreign import printable
from harness.userpath import user_path

_STRIP_TIMEOUT_S = 600.0

LocalSpec = DebSpec | FileSpec | TreeSpec | HostSpec


class LocalSource:
    """Finds the pieces of kernels that a spec names on this host."""

    def __init__(self, host_root: Path = Path("/")) -> None:
        """`host_root` is where ``boot`` and ``lib/modules`` of the spec ``host`` are."""
        self._host_root = host_root

    def key(self, spec: LocalSpec) -> str:
        """Names the state of the files that `spec` means: another one after each change. Raises ConfigError."""
        match spec:
            case DebSpec(packages=packages):
                files = [(path, PACKAGE_LIMIT_BYTES) for path in packages]
            case FileSpec(bzimage=image, modules=modules):
                files = [(image, IMAGE_LIMIT_BYTES), *_modules_below(modules)]
            case TreeSpec(directory=directory):
                listed = (path for path, _ in _tree_modules(directory))
                files = [
                    (_image_in_tree(directory), IMAGE_LIMIT_BYTES),
                    *((path, MODULE_LIMIT_BYTES) for path in listed),
                ]
            case HostSpec():
                pieces = self._host()
                files = [(pieces.vmlinuz, IMAGE_LIMIT_BYTES), *_modules_below(pieces.modules)]
        # A folder without any module is not the same as no folder.
        named = [str(_expand(spec.modules))] if isinstance(spec, FileSpec) and spec.modules is not None else []
        return source_key(type(spec).__name__, *named, *(_state(path, limit_bytes) for path, limit_bytes in files))

    def pieces(self, spec: LocalSpec, scratch: Path) -> Pieces:
        """The kernel's files, some of them gathered below `scratch`. Raises ConfigError, HostError."""
        match spec:
            case DebSpec(packages=packages):
                files = [_expand(path) for path in packages]
                check_packages(files)
                what = printable(", ".join(path.name for path in packages))
                return find_pieces(unpack_packages(files, scratch / "root"), what=what)
            case FileSpec(bzimage=image, modules=modules):
                return _file(_expand(image), None if modules is None else _expand(modules))
            case TreeSpec(directory=directory):
                return _tree(_expand(directory), scratch)
            case HostSpec():
                return self._host()

    def _host(self) -> Pieces:
        release = platform.release()
        boot = self._host_root / "boot"
        folders = [self._host_root / "lib/modules" / release, self._host_root / "usr/lib/modules" / release]
        images = [boot / f"vmlinuz-{release}", *(folder / "vmlinuz" for folder in folders)]
        image = next((path for path in images if path.exists()), None)
        if image is None:
            raise ConfigError(
                f"`host`: there is no image of the kernel {release} that this host runs, neither {images[0]} nor "
                f"{images[1]}",
                remedy="Is this a container? Name another kernel, e.g. debian:6.12.",
            )
        found = read_boot_image(image)
        if found.release != release:
            raise ConfigError(f"`host`: {image} is the kernel {found.release}, but this host runs {release}")
        modules = next((folder for folder in folders if (folder / "kernel").is_dir()), None)
        config = boot / f"config-{release}"
        return Pieces(
            release=release,
            version=found.version,
            vmlinuz=image,
            architecture=found.architecture,
            modules=modules,
            config=config if os.access(config, os.R_OK) else None,
        )


def _file(image: Path, modules: Path | None) -> Pieces:
    header = read_boot_image(image)
    release = header.release
    if modules is None:
        return Pieces(release=release, version=header.version, vmlinuz=image, architecture=header.architecture)
    # People name the folder itself, or the root of an installation (INSTALL_MOD_PATH).
    for folder in (modules, modules / release, modules / "lib/modules" / release):
        if folder.name == release and (folder / "kernel").is_dir():
            found = confine(folder, modules)
            return Pieces(
                release=release,
                version=header.version,
                vmlinuz=image,
                architecture=header.architecture,
                modules=found,
            )
    raise ConfigError(
        f"{printable(str(modules))} does not hold the modules of {printable(str(image))}, the kernel {release}",
        remedy=f"Name the folder lib/modules/{release} that belongs to it.",
    )


def _tree(directory: Path, scratch: Path) -> Pieces:
    image = _image_in_tree(directory)
    if not image.is_file():
        places = " or ".join(str(architecture.kbuild_image) for architecture in ARCHITECTURES)
        raise ConfigError(
            f"{printable(str(directory))} is not a built kernel tree: it has no {places}",
            remedy="Build it (make bzImage modules; of arm64 make Image modules), or name the object directory (O=).",
        )
    header = read_boot_image(confine(image, directory))
    release = header.release
    target = scratch / "modules" / release
    (target / "kernel").mkdir(parents=True)
    listed = list(_tree_modules(directory))
    try:
        for path, relative in listed:
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)
        (target / "modules.order").write_text("".join(f"{relative}\n" for _, relative in listed))
        for name in ("modules.builtin", "modules.builtin.modinfo"):
            if optional(directory / name, directory) is not None:
                shutil.copyfile(directory / name, target / name)
    except OSError as error:
        raise HostError(f"cannot gather the modules of {directory}: {error}") from error
    copies = [target / relative for _, relative in listed]
    strip = "strip" if header.architecture is host_architecture() else f"{header.architecture.machine}-linux-gnu-strip"
    if copies and shutil.which(strip):
        # As `make modules_install INSTALL_MOD_STRIP=1`: debug information would fill the guest's memory.
        process.run([strip, "--strip-debug", *copies], timeout_s=_STRIP_TIMEOUT_S)
    return Pieces(
        release=release,
        version=header.version,
        vmlinuz=image,
        architecture=header.architecture,
        modules=target,
        config=optional(directory / ".config", directory),
        system_map=optional(directory / "System.map", directory),
    )


def _image_in_tree(directory: Path) -> Path:
    """The boot image of a tree; of one that was built for several architectures the newest. It need not be there."""
    root = _expand(directory)
    there = [path for architecture in ARCHITECTURES if (path := root / architecture.kbuild_image).is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=root / X86_64.kbuild_image)


def _tree_modules(directory: Path) -> Iterable[tuple[Path, str]]:
    """Each module of a built tree, and its path below lib/modules/RELEASE. Raises ConfigError."""
    root = _expand(directory)
    order = root / "modules.order"
    if not order.exists():
        return
    regular(confine(order, root), limit_bytes=TEXT_LIMIT_BYTES)
    for number, line in enumerate(order.read_text(errors="replace").splitlines(), start=1):
        # "kernel/fs/btrfs/btrfs.ko" up to 6.2, "fs/btrfs/btrfs.o" from 6.3 on.
        name = re.sub(r"\.k?o$", "", line.strip().removeprefix("kernel/"))
        if not name:
            continue
        # It names files to read here and to write in the cache.
        if ".." in Path(name).parts or name.startswith("/") or not name.isprintable():
            raise ConfigError(
                f"{printable(str(order))}:{number}: `{printable(name, limit=200)}` is no module of this tree",
                remedy="Run `make modules` in it.",
            )
        path = root / f"{name}.ko"
        if not path.exists():
            raise ConfigError(
                f"cannot read {printable(str(path))}, though {order.name} lists it", remedy="Run `make modules` there."
            )
        yield confine(path, root), f"kernel/{name}.ko"


def _modules_below(folder: Path | None) -> list[tuple[Path, int]]:
    """The module files of the folder that is named, or of the one in it, each with the most bytes that it may have."""
    if folder is None:
        return []
    root = _expand(folder)
    if not root.is_dir():
        raise ConfigError(
            f"{printable(str(root))} is no folder of modules",
            remedy="Name the folder lib/modules/RELEASE of the kernel.",
        )
    # As _file finds them. Not both: `build` below a kernel's own folder leads to its sources.
    places = [root] if (root / "kernel").is_dir() else sorted({*root.glob("*"), *root.glob("lib/modules/*")})
    return [
        (path, MODULE_LIMIT_BYTES) for place in places if (place / "kernel").is_dir() for path in module_files(place)
    ]


def _state(path: Path, limit_bytes: int) -> str:
    path = _expand(path)
    status = regular(path, limit_bytes=limit_bytes)
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _expand(path: Path) -> Path:
    return user_path(path).absolute()
