"""Modules of a cached kernel: their load order, and their content whatever they are packed with."""

import gzip
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import zstandard

from harness.errors import HostError
from harness.model.guest import MIB
from harness.model.kernel import Kernel
from harness.parse.modules import ModuleIndex, parse_module_index

# Guests have 1 GiB unless more is asked for.
_LIMIT_BYTES = 512 * MIB


def _plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _gzip(path: Path) -> IO[bytes]:
    return gzip.GzipFile(path)  # type: ignore[return-value]  # typeshed has it as no IO


def _xz(path: Path) -> IO[bytes]:
    return lzma.LZMAFile(path)


def _zstd(path: Path) -> IO[bytes]:
    opened: IO[bytes] = zstandard.open(path, "rb", dctx=zstandard.ZstdDecompressor(max_window_size=2**31))
    return opened


_OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {".xz": _xz, ".zst": _zstd, ".gz": _gzip}


def read_module(path: Path) -> bytes:
    """The ELF content of a ``.ko``, ``.ko.xz``, ``.ko.zst`` or ``.ko.gz`` file. Raises HostError."""
    try:
        opened = _OPENERS.get(path.suffix, _plain)(path)
        with opened as file:
            data = file.read(_LIMIT_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zstandard.ZstdError) as error:
        raise HostError(
            f"cannot read the kernel module {path}: {error}", remedy="Remove that kernel's folder; it is fetched again."
        ) from error
    if len(data) > _LIMIT_BYTES:
        raise HostError(
            f"the kernel module {path} has more than {_LIMIT_BYTES // MIB} MiB unpacked, which is more than a guest can"
            " load",
            remedy="Strip its debug information, and name the kernel again.",
        )
    return data


def read_module_index(modules: Path) -> ModuleIndex:
    """What depmod wrote into a lib/modules/RELEASE folder. Raises HostError."""

    def text(name: str) -> str:
        path = modules / name
        return path.read_text(errors="replace") if path.is_file() else ""

    try:
        return parse_module_index(
            dep=(modules / "modules.dep").read_text(errors="replace"),
            softdep=text("modules.softdep"),
            alias=text("modules.alias"),
            builtin=text("modules.builtin"),
        )
    except OSError as error:
        raise HostError(
            f"cannot read depmod's files in {modules}: {error}",
            remedy="Remove that kernel's folder; it is fetched again.",
        ) from error


def modules_for(kernel: Kernel, wanted: Sequence[str]) -> tuple[Path, ...]:
    """Files of `wanted` and all they need, soft dependencies included, in load order; built-in ones are left out.

    A name with a leading ``?`` is optional. Some files may refuse to load on the guest's processor (``crc32c_intel``)
    while another one that claims the same alias serves: whoever loads them goes on then. A kernel without a modules
    folder is taken to have everything built in. Raises KernelError naming the kernel and what it lacks, HostError.
    """
    if kernel.modules is None:
        return ()
    index = read_module_index(kernel.modules)
    return tuple(kernel.modules / path for path in index.closure(wanted, kernel=kernel.release))
