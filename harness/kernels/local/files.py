"""What ``deb:``, ``file:``, ``tree:`` and ``host`` have in common: files of this host, taken in as they are now."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Generic

from harness.errors import ConfigError
from harness.host.regular import regular
from harness.kernels.assemble import Pieces
from harness.kernels.cache import SourceRecord, source_key
from harness.kernels.intake import MODULE_LIMIT_BYTES, module_files
from harness.kernels.source import S, Surroundings, unknown_changes
from harness.model.history import Step
from harness.model.kernel import Kernel
from harness.parse.foreign import printable
from harness.userpath import user_path

# A file, and the most bytes that it may have.
Limited = tuple[Path, int]


class LocalSource(ABC, Generic[S]):
    """Implements ``harness.kernels.source.KernelSource`` but for what tells one kind of files from another."""

    name: str
    forms: str
    alone = False
    flavours: tuple[str, ...] = ()

    def __init__(self, around: Surroundings) -> None:
        self._shelf = around.shelf
        self._note = around.note

    @abstractmethod
    def parse(self, text: str, rest: str, /) -> S:
        """As ``KernelSource.parse``."""

    @abstractmethod
    def key(self, spec: S, /) -> str:
        """Names the state of the files that `spec` means: another one after each change. Raises ConfigError."""

    @abstractmethod
    def pieces(self, spec: S, scratch: Path, /) -> Pieces:
        """The kernel's files, some of them gathered below `scratch`. Raises ConfigError, HostError."""

    @abstractmethod
    def provenance(self, spec: S, /) -> dict[str, str]:
        """What is kept, for people, of where the kernel is from."""

    def suggest(self, _text: str, /) -> str | None:
        """Nothing, but for those that know their files by name."""
        return None

    def flavour_of(self, _spec: S, /) -> None:
        """Files are what they are."""
        return

    def listing(self, _flavour: str | None = None, /) -> None:
        """A path names what is there, and nothing lists what else might be."""
        return

    def record(self, spec: S) -> SourceRecord | None:
        """As ``KernelSource.record``."""
        return self._shelf.find(self.key(spec))

    def show(self, spec: S, text: str) -> Kernel:
        """The files are here, so that they are taken in."""
        return self.fetch(spec, text)

    def fetch(self, spec: S, text: str) -> Kernel:
        """As ``KernelSource.fetch``."""
        key = self.key(spec)
        kernel = self._shelf.sound(self._shelf.find(key), text)
        if kernel is not None:
            return kernel
        with self._shelf.adding(key, text) as place:
            if place.found is not None:
                return place.found
            self._note(f"reading {text}")
            pieces = self.pieces(spec, place.scratch)
            return place.add(pieces, version=pieces.version, source=self.name, provenance=self.provenance(spec))

    def changes(self, older: Kernel, newer: Kernel) -> Step:
        """Files do not tell what changed in them."""
        return unknown_changes(older, newer)


def files_key(kind: str, files: Iterable[Limited], *named: str) -> str:
    """A key for the cache: `files` by path, size, time and inode, and `named` by its words. Raises ConfigError."""
    return source_key(kind, *named, *(_state(path, limit_bytes) for path, limit_bytes in files))


def modules_below(folder: Path | None) -> list[Limited]:
    """The module files of the folder that is named, or of the one in it, each with the most bytes that it may have."""
    if folder is None:
        return []
    root = expanded(folder)
    if not root.is_dir():
        raise ConfigError(
            f"{printable(str(root))} is no folder of modules",
            remedy="Name the folder lib/modules/RELEASE of the kernel.",
        )
    # As file: finds them. Not both: `build` below a kernel's own folder leads to its sources.
    places = [root] if (root / "kernel").is_dir() else sorted({*root.glob("*"), *root.glob("lib/modules/*")})
    return [
        (path, MODULE_LIMIT_BYTES) for place in places if (place / "kernel").is_dir() for path in module_files(place)
    ]


def expanded(path: Path) -> Path:
    """The path from the root, ``~`` of users read. Raises ConfigError."""
    return user_path(path).absolute()


def _state(path: Path, limit_bytes: int) -> str:
    path = expanded(path)
    status = regular(path, limit_bytes=limit_bytes)
    return f"{path} {status.st_size} {status.st_mtime_ns} {status.st_ino}"
