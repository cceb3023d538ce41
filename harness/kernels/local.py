"""Kernels from this host's own disk: packages, an image and its modules, a built tree, the running kernel."""

import os
import platform
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import process
from harness.kernels import bzimage
from harness.kernels.assemble import Pieces, find_pieces, unpack_packages
from harness.kernels.cache import source_key
from harness.model.kernel import DebSpec, FileSpec, HostSpec, TreeSpec

_STRIP_TIMEOUT_S = 600.0
_IMAGE_IN_TREE = Path("arch/x86/boot/bzImage")

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
                files: Iterable[Path] = packages
            case FileSpec(bzimage=image, modules=modules):
                files = [image, *_modules_below(modules)]
            case TreeSpec(directory=directory):
                files = [directory / _IMAGE_IN_TREE, *(path for path, _ in _tree_modules(directory))]
            case HostSpec():
                pieces = self._host()
                files = [pieces.vmlinuz, *_modules_below(pieces.modules)]
        return source_key(type(spec).__name__, *(_state(path) for path in files))

    def pieces(self, spec: LocalSpec, scratch: Path) -> Pieces:
        """The kernel's files, some of them gathered below `scratch`. Raises ConfigError, HostError."""
        match spec:
            case DebSpec(packages=packages):
                unpack_packages([_expand(path) for path in packages], scratch / "root")
                return find_pieces(scratch / "root", what=", ".join(path.name for path in packages))
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
        found = bzimage.read_boot_image(image)
        if found.release != release:
            raise ConfigError(f"`host`: {image} is the kernel {found.release}, but this host runs {release}")
        modules = next((folder for folder in folders if (folder / "kernel").is_dir()), None)
        config = boot / f"config-{release}"
        return Pieces(
            release=release,
            version=found.version,
            vmlinuz=image,
            modules=modules,
            config=config if os.access(config, os.R_OK) else None,
        )


def _file(image: Path, modules: Path | None) -> Pieces:
    header = bzimage.read_boot_image(image)
    release = header.release
    if modules is None:
        return Pieces(release=release, version=header.version, vmlinuz=image)
    # People name the folder itself, or the root of an installation (INSTALL_MOD_PATH).
    for folder in (modules, modules / release, modules / "lib/modules" / release):
        if folder.name == release and (folder / "kernel").is_dir():
            return Pieces(release=release, version=header.version, vmlinuz=image, modules=folder)
    raise ConfigError(
        f"{modules} does not hold the modules of {image}, which is the kernel {release}",
        remedy=f"Name the folder lib/modules/{release} that belongs to it.",
    )


def _tree(directory: Path, scratch: Path) -> Pieces:
    image = directory / _IMAGE_IN_TREE
    if not image.is_file():
        raise ConfigError(
            f"{directory} is not a built x86-64 kernel tree: it has no {_IMAGE_IN_TREE}",
            remedy="Build it (make bzImage modules), or name the object directory (O=).",
        )
    header = bzimage.read_boot_image(image)
    release = header.release
    target = scratch / "modules" / release
    (target / "kernel").mkdir(parents=True)
    listed = list(_tree_modules(directory))
    try:
        for path, relative in listed:
            if not path.is_file():
                raise ConfigError(
                    f"{directory} lists the module {relative} but has not built it", remedy="Run `make modules` in it."
                )
            (target / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / relative)
        (target / "modules.order").write_text("".join(f"{relative}\n" for _, relative in listed))
        for name in ("modules.builtin", "modules.builtin.modinfo"):
            if (directory / name).is_file():
                shutil.copyfile(directory / name, target / name)
    except OSError as error:
        raise HostError(f"cannot gather the modules of {directory}: {error}") from error
    copies = [target / relative for _, relative in listed]
    if copies and shutil.which("strip"):
        # As `make modules_install INSTALL_MOD_STRIP=1`: debug information would fill the guest's memory.
        process.run(["strip", "--strip-debug", *copies], timeout_s=_STRIP_TIMEOUT_S)
    return Pieces(
        release=release,
        version=header.version,
        vmlinuz=image,
        modules=target,
        config=_existing(directory / ".config"),
        system_map=_existing(directory / "System.map"),
    )


def _tree_modules(directory: Path) -> Iterable[tuple[Path, str]]:
    """Each module of a built tree, and its path below lib/modules/RELEASE."""
    order = _expand(directory) / "modules.order"
    if order.is_file():
        for line in order.read_text().splitlines():
            # "kernel/fs/btrfs/btrfs.ko" up to 6.2, "fs/btrfs/btrfs.o" from 6.3 on.
            name = re.sub(r"\.k?o$", "", line.strip().removeprefix("kernel/"))
            if name:
                yield _expand(directory) / f"{name}.ko", f"kernel/{name}.ko"


def _modules_below(folder: Path | None) -> list[Path]:
    return sorted(_expand(folder).rglob("*.ko*")) if folder is not None else []


def _state(path: Path) -> str:
    path = _expand(path)
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", remedy="Check the path and its permissions."
        ) from error
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _expand(path: Path) -> Path:
    return path.expanduser().absolute()
