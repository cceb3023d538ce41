"""``tree:DIR``: a built kernel tree, or its object directory."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import process
from harness.host.architecture import host_architecture
from harness.host.regular import regular
from harness.kernels.assemble import Pieces
from harness.kernels.bootimage import read_boot_image
from harness.kernels.intake import IMAGE_LIMIT_BYTES, MODULE_LIMIT_BYTES, TEXT_LIMIT_BYTES, confine, optional
from harness.kernels.local.deb import is_package_name
from harness.kernels.local.file import is_image_name
from harness.kernels.local.files import LocalSource, expanded, files_key
from harness.model.arch import ARCHITECTURES, X86_64
from harness.parse.foreign import printable

_STRIP_TIMEOUT_S = 600.0
# "6.12/amd64" is no path.
_VERSION = re.compile(r"v?\d+\.\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSpec:
    """The folder that `make` wrote to."""

    directory: Path


class TreeSource(LocalSource[TreeSpec]):
    """What kbuild left."""

    name = "tree"
    forms = "  tree:DIR                          a built kernel tree"

    def parse(self, _text: str, rest: str, /) -> TreeSpec:
        """As ``KernelSource.parse``."""
        return TreeSpec(directory=Path(rest))

    def suggest(self, text: str, /) -> str | None:
        """As ``KernelSource.suggest``."""
        if "/" not in text or _VERSION.match(text) or is_package_name(text) or is_image_name(text):
            return None
        return f"Did you mean `tree:{text}` (a built kernel tree) or `file:{text}` (a kernel image)?"

    def key(self, spec: TreeSpec, /) -> str:
        """As ``LocalSource.key``."""
        listed = (path for path, _ in _tree_modules(spec.directory))
        image = (_image_in_tree(spec.directory), IMAGE_LIMIT_BYTES)
        return files_key("TreeSpec", [image, *((path, MODULE_LIMIT_BYTES) for path in listed)])

    def pieces(self, spec: TreeSpec, scratch: Path, /) -> Pieces:
        """As ``LocalSource.pieces``."""
        return tree_pieces(spec.directory, scratch)

    def provenance(self, spec: TreeSpec, /) -> dict[str, str]:
        """As ``LocalSource.provenance``."""
        return {"tree": str(expanded(spec.directory))}


def tree_pieces(directory: Path, scratch: Path) -> Pieces:
    """The files of a kernel that was built in `directory`, its modules gathered and stripped below `scratch`.

    Raises ConfigError, HostError.
    """
    directory = expanded(directory)
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
    strip = "strip" if header.architecture == host_architecture() else f"{header.architecture.machine}-linux-gnu-strip"
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
    root = expanded(directory)
    there = [path for architecture in ARCHITECTURES if (path := root / architecture.kbuild_image).is_file()]
    return max(there, key=lambda path: path.stat().st_mtime_ns, default=root / X86_64.kbuild_image)


def _tree_modules(directory: Path) -> Iterable[tuple[Path, str]]:
    """Each module of a built tree, and its path below lib/modules/RELEASE. Raises ConfigError."""
    root = expanded(directory)
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
