"""Initramfs archives: one per kernel (busybox, modules, init), and one per boot (keys) that follows it in memory."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from harness.errors import HostError
from harness.host.files import write_atomically
from harness.host.integrity import sha256_of
from harness.host.locks import lock
from harness.images import cpio
from harness.images.recipe import Recipe

# Modules that must be loaded before the root disk and the network are there; what comes behind the last of them in
# load order is loaded while sshd starts. A kernel that has one of them built in does without.
BASE_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4")

_BUILD_TIMEOUT_S = 120.0
_ELF_MAGIC = b"\x7fELF"
_PT_INTERP = 3


def build_initramfs(
    out: Path,
    modules: Sequence[Path],
    read_module: Callable[[Path], bytes],
    *,
    recipe: Recipe,
    busybox: Path,
) -> Path:
    """Write the archive of one kernel to `out`; the same inputs give the same bytes.

    ``modules`` are module files in load order, ``read_module`` returns one decompressed, ``busybox`` is a static one.
    Raises HostError.
    """
    entries = [
        *(cpio.folder(path) for path in ("bin", "dev", "proc", "root", "sys")),
        *(cpio.folder(path) for path in ("modules", "modules/early", "modules/late")),
        # The kernel opens it for init before anything can be mounted.
        cpio.character_device("dev/console", 5, 1),
        cpio.file("bin/busybox", _static(busybox), 0o755),
        cpio.file("init", recipe.read("init"), 0o755),
        cpio.file("kab-modules.sh", recipe.read("modules.sh")),
    ]
    base = len(modules)
    while base and module_name(modules[base - 1]) not in BASE_MODULES:
        base -= 1
    for number, path in enumerate(modules):
        stage = "early" if number < base else "late"
        entries.append(cpio.file(f"modules/{stage}/{number:03}-{module_name(path)}.ko", read_module(path)))
    write_atomically(out, cpio.archive(entries))
    return out


def ensure_initramfs(
    folder: Path,
    modules: Sequence[Path],
    read_module: Callable[[Path], bytes],
    *,
    recipe: Recipe,
    busybox: Path,
) -> Path:
    """The archive of one kernel in the cache `folder`, named by the hash of all that goes into it. Raises HostError.

    Beside it lies the hash of the archive itself: one that differs is made anew.
    """
    digest = hashlib.sha256()
    try:
        for content in (recipe.read("init"), recipe.read("modules.sh"), busybox.read_bytes()):
            digest.update(hashlib.sha256(content).digest())
        for path in modules:
            digest.update(module_name(path).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    except OSError as error:
        raise HostError(f"cannot read {error.filename}: {error.strerror}") from error
    out = folder / f"initramfs-{digest.hexdigest()[:32]}.cpio"
    known = out.with_suffix(".sha256")
    if not _is_whole(out, known):
        with lock(folder / "initramfs.lock", what="building an initramfs", timeout_s=_BUILD_TIMEOUT_S):
            if not _is_whole(out, known):
                build_initramfs(out, modules, read_module, recipe=recipe, busybox=busybox)
                write_atomically(known, sha256_of(out).encode())
    return out


def _is_whole(archive: Path, known: Path) -> bool:
    """Whether the archive has the hash that the file `known` holds."""
    try:
        return known.read_bytes() == sha256_of(archive).encode()
    except OSError:
        return False


def boot_archive(files: Mapping[str, bytes]) -> bytes:
    """The archive of one boot, to be appended to the kernel's: secret files and their folders, for root alone.

    Keys are paths in the initramfs without a leading slash, such as "kab/authorized_keys".
    """
    folders = {str(parent) for path in files for parent in PurePosixPath(path).parents if str(parent) != "."}
    return cpio.archive(
        [
            *(cpio.folder(path, 0o700) for path in sorted(folders)),
            *(cpio.file(path, files[path], 0o600) for path in sorted(files)),
        ]
    )


def module_name(path: Path) -> str:
    """The name the kernel gives a module file: "virtio_blk" for virtio-blk.ko.xz."""
    return re.sub(r"\.ko(\.(xz|zst|gz))?$", "", path.name).replace("-", "_")


def _static(busybox: Path) -> bytes:
    try:
        content = busybox.read_bytes()
    except OSError as error:
        raise HostError(
            f"cannot read busybox at {busybox}: {error.strerror}", remedy="Build the image again: kab image build"
        ) from error
    if not content.startswith(_ELF_MAGIC):
        raise HostError(f"{busybox} is not an executable")
    # ELF64: e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type is the first word of a program header.
    start, size, count = (
        int.from_bytes(content[at : at + width], "little") for at, width in ((32, 8), (54, 2), (56, 2))
    )
    types = [int.from_bytes(content[start + size * i : start + size * i + 4], "little") for i in range(count)]
    if _PT_INTERP in types:
        raise HostError(f"{busybox} is not statically linked, and an initramfs holds no libraries")
    return content
