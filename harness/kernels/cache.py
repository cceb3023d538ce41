"""The kernel cache: content-addressed, safe under several processes, bounded in size.

Below ``paths.kernels``:

- ``<digest>/``: vmlinuz, vmlinux, config, changelog, ``lib/modules/RELEASE`` and ``kernel.json``, which has the hash of
  each of these; complete, or absent. Initramfs archives come and go (harness.images.initramfs looks after them).
- ``sources/<key>.json``: which digest a source (packages by hash, files by time stamps) gave, and its provenance.
- ``locks/``: one lock per digest, held shared by whoever uses it (its time stamp says when last), one per source.
- ``partial-*``: work of a live process, or what a killed one left.
"""

import hashlib
import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConfigError, HostError
from harness.host import locks
from harness.host.files import write_atomically
from harness.host.integrity import damaged_files, file_digests, sealed, sha256_of, unsealed
from harness.kernels.bootimage import unpack_boot_image
from harness.model.arch import BY_NAME, X86_64
from harness.model.kernel import Kernel
from harness.parse.foreign import printable

_log = logging.getLogger(__name__)

# Raise when what is kept of a kernel changes: older entries are then made anew.
SCHEMA = 1
_LOCK_TIMEOUT_S = 3600.0
_FACTS = "kernel.json"
# Archives of harness.images.initramfs, and their lock.
_INITRAMFS = "initramfs"
_DIGEST = re.compile(r"[0-9a-f]{64}")
# Names of files that a message lists.
_LISTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRecord:
    """What a source gave."""

    digest: str
    version: str
    source: str
    provenance: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedKernel:
    """One entry of the cache, for listing and pruning."""

    digest: str
    release: str
    size_bytes: int
    # Seconds since the epoch.
    last_used: float


class KernelCache:
    """Entries stay locked against pruning, in every process, from ``open`` until ``close``."""

    def __init__(self, directory: Path, *, note: Callable[[str], None] = lambda _sentence: None) -> None:
        """Nothing is written before a kernel is added. `note` is told, in a sentence, of a damaged kernel."""
        self.directory = directory
        self._note = note
        self._held: dict[str, locks.FileLock] = {}
        # Whose content was looked at by this object: once is enough for a command.
        self._checked: set[str] = set()
        self._mutex = threading.Lock()

    def close(self) -> None:
        """Let go of all kernels that were opened."""
        with self._mutex:
            for held in self._held.values():
                held.close()
            self._held.clear()

    def find(self, key: str) -> SourceRecord | None:
        """What the source named `key` gave before, if that is still here."""
        try:
            content = unsealed(self._record(key).read_bytes())
            if content.pop("schema") != SCHEMA:
                return None
            record = SourceRecord(**content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.info("ignoring %s: %s", self._record(key), error)
            return None
        return record if (self.directory / record.digest / _FACTS).is_file() else None

    def has(self, key: str) -> bool:
        """Whether the source named `key` is cached."""
        return self.find(key) is not None

    def records(self) -> Iterator[SourceRecord]:
        """What all known sources gave."""
        for path in sorted((self.directory / "sources").glob("*.json")):
            record = self.find(path.stem)
            if record is not None:
                yield record

    def open(self, record: SourceRecord, spec: str, *, check: bool = False) -> Kernel | None:
        """The kernel, locked against pruning; None when it was pruned meanwhile or is damaged.

        With `check` all its content is read, once for each kernel, and a damaged one is removed: it is made anew then.
        Raises HostError, also for a damaged one that another process uses.
        """
        with self._mutex:
            if record.digest not in self._held:
                held = locks.try_lock(self.lock_file(record.digest), shared=True)
                if held is None:
                    # Someone removes it this very moment.
                    return None
                self._held[record.digest] = held
            self._held[record.digest].touch()
        kernel = self._load(record, spec)
        damaged: tuple[str, ...] = ()
        if kernel is not None and check and record.digest not in self._checked:
            damaged = self.damage(record.digest)
            self._checked.add(record.digest)
        if kernel is None or damaged:
            with self._mutex:
                self._held.pop(record.digest).close()
        if kernel is not None and damaged:
            self._checked.discard(record.digest)
            self._note(f"the cached kernel {kernel.release} is damaged ({listed(damaged)}): it is made anew")
            if not self.discard(record.digest):
                raise HostError(
                    f"the cached kernel {kernel.release} is damaged ({listed(damaged)}), and another kab uses it",
                    remedy=f"End that one, and give the command again. The kernel's folder: {kernel.directory}",
                )
            return None
        return kernel

    def damage(self, digest: str) -> tuple[str, ...]:
        """The files of an entry whose content is not what was put there. All of them are read."""
        entry = self.directory / digest
        try:
            content = unsealed((entry / _FACTS).read_bytes())
            digests = content.get("sha256")
            if digests is not None:
                return damaged_files(entry, digests)
            damaged = _unlisted_damage(entry, digest, content["facts"], self.directory)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.info("cannot read %s: %s", entry / _FACTS, error)
            return (_FACTS,)
        if not damaged:
            # Made before hashes were kept: from here on they are.
            with suppress(HostError):
                write_atomically(entry / _FACTS, sealed({**content, "sha256": file_digests(entry, _names(entry))}))
        return damaged

    def digests(self) -> list[str]:
        """All entries, also those that are too damaged for ``entries``."""
        return sorted(path.name for path in self.directory.glob("*") if _DIGEST.fullmatch(path.name) and path.is_dir())

    @contextmanager
    def adding(self, key: str, *, waiting: Callable[[str], None] | None = None) -> Iterator[Path]:
        """A scratch folder on the cache's filesystem, while no other process adds the source `key`.

        Leftovers of killed processes are removed first. Raises HostError.
        """
        what = "preparing the same kernel"
        with locks.lock(self.lock_file(key), what=what, timeout_s=_LOCK_TIMEOUT_S, waiting=waiting):
            scratch: Path | None = None
            try:
                self._remove_leftovers(key)
                scratch = Path(tempfile.mkdtemp(prefix=f"partial-{key}-", dir=self.directory))
                yield scratch
            except OSError as error:
                raise HostError(
                    f"cannot prepare a kernel in {self.directory}: {error}",
                    remedy="Free some space (`kab clean --cache-limit SIZE`), or mend the folder's permissions.",
                ) from error
            finally:
                if scratch is not None:
                    shutil.rmtree(scratch, ignore_errors=True)

    def add(self, key: str, record: SourceRecord, entry: Path, facts: Mapping[str, str]) -> None:
        """Take the folder `entry`, which holds a whole kernel, into the cache. Raises HostError.

        `facts`: "release", "architecture" unless x86-64, and relative paths: "vmlinuz", and maybe "vmlinux", ...
        """
        content = {
            "schema": SCHEMA,
            "release": facts["release"],
            "size_bytes": _disk_bytes(entry),
            # Checked at each use: a crash of the host may leave empty files behind.
            "files": {
                name: (entry / name).stat().st_size
                for name in (*facts.values(), f"{facts.get('modules', '')}/modules.dep")
                if (entry / name).is_file()
            },
            "facts": dict(facts),
            # Looked at before the first boot of each run.
            "sha256": file_digests(entry, _names(entry)),
        }
        write_atomically(entry / _FACTS, sealed(content))
        target = self.directory / record.digest
        # Exclusive against readers only where a damaged entry must go; a sound one with this digest is the same kernel.
        if self._load(record, "") is None and target.exists():
            self.discard(record.digest)
        try:
            entry.rename(target)
        except OSError as error:
            if not (target / _FACTS).is_file():
                raise HostError(f"cannot put the kernel {facts['release']} into {self.directory}: {error}") from error
        self._checked.add(record.digest)
        content = {
            "schema": SCHEMA,
            "digest": record.digest,
            "version": record.version,
            "source": record.source,
            "provenance": dict(record.provenance),
        }
        write_atomically(self._record(key), sealed(content))

    def entries(self) -> list[CachedKernel]:
        """All kernels, the most recently used last."""
        found = []
        for path in self.directory.glob(f"*/{_FACTS}"):
            try:
                content = unsealed(path.read_bytes())
                release, size_bytes = str(content["release"]), int(content["size_bytes"])
                used = self.lock_file(path.parent.name)
                last_used = (used if used.exists() else path).stat().st_mtime
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.info("ignoring %s: %s", path, error)
                continue
            found.append(
                CachedKernel(digest=path.parent.name, release=release, size_bytes=size_bytes, last_used=last_used)
            )
        return sorted(found, key=lambda kernel: kernel.last_used)

    def prune(self, limit_bytes: int) -> list[CachedKernel]:
        """Remove the least recently used kernels until the rest fits in `limit_bytes`; returns what went.

        Kernels in use, here or in another process, and the most recently used one stay, whatever the limit.
        """
        if self.directory.is_dir():
            self._remove_leftovers()
            for path in (self.directory / "sources").glob("*.json"):
                if not self.has(path.stem):
                    path.unlink(missing_ok=True)
        entries = self.entries()
        total = sum(kernel.size_bytes for kernel in entries)
        removed = []
        for kernel in entries[:-1]:
            if total <= limit_bytes:
                break
            if self.discard(kernel.digest):
                total -= kernel.size_bytes
                removed.append(kernel)
        return removed

    def _load(self, record: SourceRecord, spec: str) -> Kernel | None:
        entry = self.directory / record.digest
        try:
            content = unsealed((entry / _FACTS).read_bytes())
            facts, files = content["facts"], content["files"]
            architecture = BY_NAME[facts.get("architecture", X86_64.name)]
            whole = content["schema"] == SCHEMA and all((entry / name).stat().st_size == files[name] for name in files)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("the cached kernel %s is damaged and is made anew: %s", entry, error)
            return None
        if not whole:
            _log.warning("the cached kernel %s is damaged and is made anew", entry)
            return None

        def path(name: str) -> Path | None:
            return entry / facts[name] if name in facts else None

        return Kernel(
            spec=spec,
            release=facts["release"],
            version=record.version,
            source=record.source,
            digest=record.digest,
            directory=entry,
            vmlinuz=entry / facts["vmlinuz"],
            architecture=architecture,
            vmlinux=path("vmlinux"),
            modules=path("modules"),
            config=path("config"),
            system_map=path("system_map"),
            changelog=path("changelog"),
            provenance=record.provenance,
        )

    def discard(self, digest: str) -> bool:
        """Remove an entry, unless it is in use. Raises HostError."""
        held = locks.try_lock(self.lock_file(digest))
        if held is None:
            return False
        with held:
            try:
                # Renamed first: a process that is killed here must not leave half a kernel under its name.
                doomed = Path(tempfile.mkdtemp(prefix=f"partial-{digest}-", dir=self.directory))
                (self.directory / digest).rename(doomed / digest)
            except OSError as error:
                raise HostError(
                    f"cannot remove {self.directory / digest}: {error.strerror}",
                    remedy="Mend the folder's permissions, or remove it by hand.",
                ) from error
            shutil.rmtree(doomed, ignore_errors=True)
        return True

    def _remove_leftovers(self, locked_key: str = "") -> None:
        """Remove what killed processes left; the lock of `locked_key` is held by the caller."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in self.directory.glob("partial-*"):
            key = path.name.split("-")[1]
            if key == locked_key:
                _remove_leftover(path)
                continue
            held = locks.try_lock(self.lock_file(key))
            # Without its lock, it belongs to a process that lives.
            if held is not None:
                with held:
                    _remove_leftover(path)

    def _record(self, key: str) -> Path:
        return self.directory / "sources" / f"{key}.json"

    def lock_file(self, name: str) -> Path:
        """The lock of an entry, by its digest, or of a source, by its key."""
        return self.directory / "locks" / f"{name}.lock"


def content_digest(vmlinuz: Path, modules: Path | None) -> str:
    """A kernel's identity: sha256 over vmlinuz and the names and content of all module files."""
    whole = hashlib.sha256(sha256_of(vmlinuz).encode())
    if modules is not None:
        # Not depmod's files: their content depends on depmod's version.
        for path in sorted((modules / "kernel").rglob("*.ko*")):
            if path.is_file():
                whole.update(f"\n{path.relative_to(modules)} {sha256_of(path)}".encode())
    return whole.hexdigest()


def source_key(*parts: str) -> str:
    """The name of a source from what tells it from all others."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]


def _remove_leftover(path: Path) -> None:
    _log.info("removing %s, left by a killed process", path)
    shutil.rmtree(path, ignore_errors=True)


def listed(names: tuple[str, ...]) -> str:
    """Names of files for a message: the first few, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return printable(", ".join(names[:_LISTED])) + more


def _names(entry: Path) -> list[str]:
    """The files of an entry that stay as they are."""
    return sorted(
        str(path.relative_to(entry))
        for path in entry.rglob("*")
        if path.is_file() and path != entry / _FACTS and not path.name.startswith((_INITRAMFS, "."))
    )


def _unlisted_damage(entry: Path, digest: str, facts: Mapping[str, str], scratch: Path) -> tuple[str, ...]:
    """As ``KernelCache.damage``, for an entry without a list of hashes: its name is that of image and modules."""
    vmlinuz = entry / facts["vmlinuz"]
    modules = entry / facts["modules"] if "modules" in facts else None
    if content_digest(vmlinuz, modules) != digest:
        return ("vmlinuz or a module",)
    if "vmlinux" in facts:
        with tempfile.TemporaryDirectory(prefix=f"partial-{digest}-", dir=scratch) as folder:
            again = Path(folder) / "vmlinux"
            try:
                same = unpack_boot_image(vmlinuz, again, name=str(vmlinuz)) and sha256_of(again) == sha256_of(
                    entry / facts["vmlinux"]
                )
            except ConfigError:
                same = False
            if not same:
                return (facts["vmlinux"],)
    return ()


def _disk_bytes(folder: Path) -> int:
    return sum(os.lstat(path).st_blocks * 512 for path in folder.rglob("*"))
