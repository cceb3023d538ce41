"""The cache as sources use it: a kernel is there, or is put there while no other process puts the same one."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HostError
from harness.kernels.assemble import Pieces, assemble
from harness.kernels.cache import KernelCache, SourceRecord, content_digest
from harness.model.kernel import Kernel


class Place:
    """Room in the cache for one kernel that is being made."""

    def __init__(self, cache: KernelCache, key: str, spec: str, scratch: Path, found: Kernel | None) -> None:
        self._cache = cache
        self._key = key
        self._spec = spec
        # An empty folder on the cache's filesystem, removed at the end.
        self.scratch = scratch
        # What another process put there while this one waited: then there is nothing to do.
        self.found = found

    def add(self, pieces: Pieces, *, version: str, source: str, provenance: Mapping[str, str]) -> Kernel:
        """Put the kernel together and into the cache. Raises ConfigError, HostError, OSError, as ``assemble``."""
        entry = self.scratch / "entry"
        facts = assemble(pieces, entry, scratch=self.scratch)
        digest = content_digest(entry / "vmlinuz", entry / facts["modules"] if "modules" in facts else None)
        record = SourceRecord(digest=digest, version=version, source=source, provenance=provenance)
        self._cache.add(self._key, record, entry, facts)
        kernel = self._cache.open(record, self._spec)
        if kernel is None:
            raise HostError(
                f"the kernel {pieces.release} vanished from {self._cache.directory} as soon as it was there",
                remedy="Is another process cleaning the cache? Try again.",
            )
        return kernel


class Shelf:
    """A cache, by the keys that sources give their kernels."""

    def __init__(self, cache: KernelCache, *, note: Callable[[str], None] = lambda _sentence: None) -> None:
        """`note` is told, in a sentence, that another process prepares the same kernel."""
        self._cache = cache
        self._note = note

    def find(self, key: str) -> SourceRecord | None:
        """What is kept for `key`, if it still is."""
        return self._cache.find(key)

    def records(self) -> Iterator[SourceRecord]:
        """What all keys gave."""
        return self._cache.records()

    def open(self, record: SourceRecord | None, spec: str) -> Kernel | None:
        """The kernel of a record, to be looked at; None where there is none, or it is damaged."""
        return None if record is None else self._cache.open(record, spec)

    def sound(self, record: SourceRecord | None, spec: str) -> Kernel | None:
        """As ``open``, for a kernel that is going to boot: all its content is checked. Raises HostError."""
        return None if record is None else self._cache.open(record, spec, check=True)

    @contextmanager
    def adding(self, key: str, spec: str) -> Iterator[Place]:
        """A place for the kernel `key`, which no other process makes meanwhile. Raises HostError, also for OSError."""
        with self._cache.adding(key, waiting=self._note) as scratch:
            yield Place(self._cache, key, spec, scratch, self.sound(self.find(key), spec))
