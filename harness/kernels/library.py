"""From a kernel spec to a kernel in the cache, whatever source it is of."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from harness.errors import ConfigError
from harness.host.paths import Paths
from harness.kbuild.builder import BuildProgress
from harness.kbuild.folder import prune as prune_builds
from harness.kernels import modules, registry
from harness.kernels.cache import CachedKernel, KernelCache
from harness.kernels.git.revisions import Revisions
from harness.kernels.ladder import check_flavour, find_ladder
from harness.kernels.shelf import Shelf
from harness.kernels.source import FetchProgress, KernelSource, Listing, Surroundings, unknown_changes
from harness.kernels.specs import read_spec
from harness.kernels.verify import Verified, verify
from harness.model.history import Ladder, Rung, Step
from harness.model.kernel import AvailableKernel, Kernel
from harness.model.source import GitSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSeries:
    """The kernels on offer that a spec is the newest of, oldest first; of an upstream version its newest package."""

    rungs: tuple[Rung, ...]
    # Whether one of the source's versions comes after another, be they on offer or not.
    is_newer: Callable[[str, str], bool]


class KernelLibrary:
    """Implements interfaces.Kernels. Kernels that it resolved stay in the cache until it is closed."""

    def __init__(
        self,
        paths: Paths,
        *,
        sources: Sequence[registry.SourceMaker] | None = None,
        environment: Mapping[str, str] = os.environ,
        progress: FetchProgress = lambda _name, _done, _total: None,
        building: BuildProgress = lambda _name, _done, _total, _file: None,
        note: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """`sources`: those of the registry unless given; `environment`: variables that say where they fetch from.

        `progress` is told about downloads, `building` about builds, `note` in sentences about the rest.
        """
        self._cache = KernelCache(paths.kernels, note=note)
        around = Surroundings(
            paths=paths,
            shelf=Shelf(self._cache, note=note),
            note=note,
            progress=progress,
            building=building,
            environment=environment,
            resolve=self.resolve,
        )
        self._around = around
        self._sources = tuple(make(around) for make in (registry.SOURCES if sources is None else sources))

    def close(self) -> None:
        """Let other processes prune what was resolved here."""
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def parse(self, spec: str) -> tuple[KernelSource[Any], Any]:
        """The source of a spec, and what the spec is to it. Raises ConfigError."""
        return read_spec(spec, self._sources)

    def resolve(self, spec: str) -> Kernel:
        """The kernel that `spec` names, fetched or built where needed.

        Raises ConfigError (no such kernel, not one that kab can boot), HostError (mirror, signature, hash, disk,
        compiler), BuildError, DoesNotApplyError.
        """
        source, parsed = self.parse(spec)
        return source.fetch(parsed, spec)

    def modules_for(self, kernel: Kernel, wanted: Sequence[str]) -> tuple[Path, ...]:
        """As harness.kernels.modules.modules_for."""
        return modules.modules_for(kernel, wanted)

    def offers(self, flavour: str | None = None, suites: Sequence[str] | None = None) -> tuple[Rung, ...]:
        """What all sources offer, oldest first, one source after the other, cached ones marked.

        Raises ConfigError (no source has such a flavour), HostError.
        """
        check_flavour(flavour, [name for source in self._sources for name in source.flavours])
        listings = [listing for source in self._sources if (listing := source.listing(flavour)) is not None]
        return tuple(
            Rung(spec=listing.spec_of(kernel), kernel=self._marked(listing, kernel))
            for listing in listings
            for kernel in listing.list(flavour=flavour, suites=suites or ())
        )

    def ladder(
        self, ends: Sequence[str], *, flavour: str | None = None, suites: Sequence[str] = (), every: bool = False
    ) -> Ladder:
        """The ladder between two specs, or of one pattern, with what the cache holds. Raises ConfigError, HostError."""
        listing, found = find_ladder(self._sources, ends, flavour=flavour, suites=suites, every=every)
        return replace(
            found, rungs=tuple(replace(rung, kernel=self._marked(listing, rung.kernel)) for rung in found.rungs)
        )

    def series(self, spec: str) -> KernelSeries | None:
        """The kernels on offer that `spec` is the newest of; None where its source cannot tell, as a path cannot.

        Raises ConfigError (NoKernelError where there is none), HostError.
        """
        source, parsed = self.parse(spec)
        listing = source.listing(source.flavour_of(parsed))
        if listing is None:
            return None
        newest = {kernel.upstream: kernel for kernel in listing.matching(parsed)}
        rungs = tuple(
            Rung(spec=listing.spec_of(kernel), kernel=self._marked(listing, kernel)) for kernel in newest.values()
        )
        return KernelSeries(rungs=rungs, is_newer=listing.is_newer)

    def changes(self, older: Kernel, newer: Kernel) -> Step:
        """What came between two kernels, as far as the source of the newer one can tell. Raises HostError."""
        source = next((source for source in self._sources if source.name == newer.source), None)
        return unknown_changes(older, newer) if source is None else source.changes(older, newer)

    def show(self, spec: str) -> Kernel | AvailableKernel:
        """What `spec` names, without fetching it: a Kernel where it is cached or local. Raises as ``resolve``."""
        source, parsed = self.parse(spec)
        return source.show(parsed, spec)

    def cached(self) -> list[CachedKernel]:
        """What the cache holds, the most recently used last."""
        return self._cache.entries()

    def verify(self, specs: Sequence[str] = ()) -> Iterator[Verified]:
        """The kernels of `specs`, or all of the cache, with all their content read; a damaged one is removed.

        Raises ConfigError for one that is not in the cache, HostError.
        """
        digests = [self._digest(spec) for spec in specs]
        return verify(self._cache, digests if specs else self._cache.digests())

    def resolved_configs(self, spec: GitSpec, texts: Sequence[str]) -> list[str]:
        """As ``harness.kernels.git.revisions.Revisions.resolved_configs``."""
        around = self._around
        return Revisions(around.paths, note=around.note, progress=around.building).resolved_configs(spec, texts)

    def prune_builds(self, limit_bytes: int) -> list[str]:
        """Remove the least recently used build folders that do not fit in `limit_bytes` beside the kernels."""
        kept = sum(kernel.size_bytes for kernel in self._cache.entries())
        return prune_builds(self._around.paths.builds, max(limit_bytes - kept, 0))

    def prune(self, limit_bytes: int) -> list[CachedKernel]:
        """Remove the least recently used kernels beyond `limit_bytes`; never one in use, or the newest."""
        return self._cache.prune(limit_bytes)

    def _marked(self, listing: Listing[Any], kernel: AvailableKernel) -> AvailableKernel:
        return replace(kernel, cached=self._cache.has(listing.key_of(kernel)))

    def _digest(self, spec: str) -> str:
        """The digest of a spec's kernel in the cache. Raises ConfigError where it is not there, HostError."""
        source, parsed = self.parse(spec)
        record = source.record(parsed)
        if record is None:
            raise ConfigError(
                f"{spec} is not in the cache", remedy=f"It is fetched, and checked, with: kab kernels fetch {spec}"
            )
        return record.digest
