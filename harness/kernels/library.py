"""From a kernel spec to a kernel in the cache."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.debian.apt import PackageGoneError
from harness.errors import ConfigError, HostError
from harness.host.paths import Paths
from harness.kbuild.builder import BuildProgress
from harness.kbuild.folder import prune as prune_builds
from harness.kernels import modules
from harness.kernels.assemble import Pieces, assemble, find_pieces, unpack_packages
from harness.kernels.cache import CachedKernel, KernelCache, SourceRecord, content_digest, source_key
from harness.kernels.catalogue import architecture_of
from harness.kernels.debian import DebianSource
from harness.kernels.local import LocalSource, LocalSpec
from harness.kernels.revisions import Revisions, as_revision, build_provenance
from harness.kernels.verify import Verified, verify
from harness.model.kernel import (
    AvailableKernel,
    DebianSpec,
    DebSpec,
    FileSpec,
    HostSpec,
    Kernel,
    TreeSpec,
)
from harness.model.source import GitSpec
from harness.parse.foreign import printable
from harness.parse.kernelspec import FLAVOUR_LIST, FLAVOURS, flavour_of, parse_kernel_spec
from harness.userpath import user_path

_log = logging.getLogger(__name__)

# Told (what is fetched, bytes there, bytes in all).
FetchProgress = Callable[[str, int, int], None]


class KernelLibrary:
    """Implements interfaces.Kernels. Kernels that it resolved stay in the cache until it is closed."""

    def __init__(
        self,
        paths: Paths,
        *,
        debian: DebianSource | None = None,
        local: LocalSource | None = None,
        progress: FetchProgress = lambda _name, _done, _total: None,
        building: BuildProgress = lambda _name, _done, _total, _file: None,
        note: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        """`progress` is told about downloads, `building` about builds, `note` in sentences about the rest."""
        self._cache = KernelCache(paths.kernels, note=note)
        self._debian = debian or DebianSource(paths, note=note)
        self._local = local or LocalSource()
        self._paths = paths
        self._revisions = Revisions(paths, note=note, progress=building)
        self._progress = progress
        self._note = note

    def close(self) -> None:
        """Let other processes prune what was resolved here."""
        self._cache.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def resolve(self, spec: str) -> Kernel:
        """The kernel that `spec` names, fetched or built where needed.

        Raises ConfigError (no such kernel, not one that kab can boot), HostError (mirror, signature, hash, disk,
        compiler), BuildError, DoesNotApplyError.
        """
        parsed = parse_kernel_spec(spec)
        if isinstance(parsed, DebianSpec):
            return self._resolve_debian(spec, parsed)
        if isinstance(parsed, GitSpec):
            return self._resolve_git(spec, parsed)
        key = self._local.key(parsed)
        return self._sound(key, spec) or self._add_local(key, spec, parsed)

    def modules_for(self, kernel: Kernel, wanted: Sequence[str]) -> tuple[Path, ...]:
        """As harness.kernels.modules.modules_for."""
        return modules.modules_for(kernel, wanted)

    def list_available(
        self, flavour: str | None = None, suites: Sequence[str] | None = None
    ) -> tuple[AvailableKernel, ...]:
        """What Debian offers, oldest first, cached ones marked. Raises ConfigError (no such flavour), HostError.

        Where no flavour is named, all of the host's architecture.
        """
        if flavour is not None and flavour not in FLAVOURS:
            raise ConfigError(f"there is no flavour `{flavour}`", remedy=f"Flavours are {FLAVOUR_LIST}.")
        catalogue = self._debian.catalogue(architecture_of(flavour))
        wanted = None if suites is None else {catalogue.suite_aliases.get(suite, suite) for suite in suites}
        return tuple(
            replace(kernel, cached=self._cache.has(_debian_key(kernel)))
            for kernel in catalogue.kernels
            if (flavour is None or kernel.flavour == flavour) and (wanted is None or wanted.intersection(kernel.suites))
        )

    def suite_aliases(self, flavour: str | None = None) -> Mapping[str, str]:
        """What else suites are called: "stable-backports" -> "trixie-backports". Raises HostError."""
        return self._debian.catalogue(architecture_of(flavour)).suite_aliases

    def show(self, spec: str) -> Kernel | AvailableKernel:
        """What `spec` names, without fetching it: a Kernel where it is cached or local. Raises as ``resolve``."""
        parsed = parse_kernel_spec(spec)
        if isinstance(parsed, GitSpec):
            built = self.built(spec)
            if built is None:
                raise ConfigError(f"{spec} is not built yet", remedy=f"Build it: kab build {spec}")
            return built
        if not isinstance(parsed, DebianSpec):
            return self.resolve(spec)
        chosen = self._debian.choose(parsed)
        return self._cached(_debian_key(chosen), spec) or chosen

    def cached(self) -> list[CachedKernel]:
        """What the cache holds, the most recently used last."""
        return self._cache.entries()

    def verify(self, specs: Sequence[str] = ()) -> Iterator[Verified]:
        """The kernels of `specs`, or all of the cache, with all their content read; a damaged one is removed.

        Raises ConfigError for one that is not in the cache, HostError.
        """
        digests = [self._digest(spec) for spec in specs]
        return verify(self._cache, digests if specs else self._cache.digests())

    def built(self, spec: str) -> Kernel | None:
        """The kernel of a git spec where it is built already, else None. Raises as ``resolve``."""
        parsed = parse_kernel_spec(spec)
        if not isinstance(parsed, GitSpec) or parsed.build.builder is not None:
            return None
        repository, commit = self._revisions.commit(parsed)
        request = self._revisions.builder.request(repository, commit, parsed.build)
        kernel = self._cached(source_key(*request.key), spec)
        return None if kernel is None else as_revision(kernel, spec, repository, commit)

    def resolved_configs(self, spec: GitSpec, texts: Sequence[str]) -> list[str]:
        """What kconfig makes of each configuration in the tree of `spec`, below its fragments; nothing is built.

        Raises ConfigError, HostError, BuildError, DoesNotApplyError.
        """
        repository, commit = self._revisions.commit(spec)
        request = self._revisions.builder.request(repository, commit, spec.build)
        self._note(f"resolving {len(texts)} configurations in {commit.short} {printable(commit.title)}")
        return self._revisions.builder.resolve(repository, request, texts)

    def prune_builds(self, limit_bytes: int) -> list[str]:
        """Remove the least recently used build folders that do not fit in `limit_bytes` beside the kernels."""
        kept = sum(kernel.size_bytes for kernel in self._cache.entries())
        return prune_builds(self._paths.builds, max(limit_bytes - kept, 0))

    def prune(self, limit_bytes: int) -> list[CachedKernel]:
        """Remove the least recently used kernels beyond `limit_bytes`; never one in use, or the newest."""
        return self._cache.prune(limit_bytes)

    def _resolve_debian(self, spec: str, parsed: DebianSpec) -> Kernel:
        # One named in full does not change: no list is needed once it is here, nor if the mirror drops it.
        exact = next((record for record in self._exact(parsed)), None)
        if exact is not None and (kernel := self._cache.open(exact, spec, check=True)) is not None:
            return kernel
        chosen = self._debian.choose(parsed)
        kernel = self._sound(_debian_key(chosen), spec)
        if kernel is not None:
            return kernel
        try:
            return self._fetch(spec, chosen)
        except PackageGoneError as error:
            # A mirror forgets superseded packages at once; our lists may be hours old.
            self._debian.refresh(architecture_of(chosen.flavour))
            again = self._debian.choose(parsed)
            if _debian_key(again) == _debian_key(chosen) and again.packages == chosen.packages:
                raise
            _log.info("%s; trying %s instead", error.message, again.release)
            return self._fetch(spec, again)

    def _resolve_git(self, spec: str, parsed: GitSpec) -> Kernel:
        repository, commit = self._revisions.commit(parsed)
        settings = parsed.build
        if settings.builder is not None:
            given = self._revisions.external(settings.builder, repository, commit)
            kernel = self.resolve(given)
            told = replace(kernel, provenance={**kernel.provenance, "builder": str(settings.builder), "given": given})
            return as_revision(told, spec, repository, commit)
        request = self._revisions.builder.request(repository, commit, settings)
        key = source_key(*request.key)
        kernel_or_none = self._sound(key, spec)
        if kernel_or_none is not None:
            return as_revision(kernel_or_none, spec, repository, commit)
        with self._cache.adding(key, waiting=self._note) as scratch:
            found = self._sound(key, spec)
            if found is None:
                self._note(
                    f"building {commit.short} {printable(commit.title)} ({settings.config}, {request.compiler.name})"
                )
                with self._revisions.builder.build(repository, request) as built:
                    pieces = self._local.pieces(TreeSpec(directory=built.objects), scratch)
                    if not built.has_modules:
                        pieces = replace(pieces, modules=None)
                    provenance = build_provenance(request, settings, built.command)
                    found = self._add(
                        key, spec, pieces, scratch, version=pieces.version, source="git", provenance=provenance
                    )
            return as_revision(found, spec, repository, commit)

    def _exact(self, parsed: DebianSpec) -> list[SourceRecord]:
        if flavour_of(parsed.selector) is None:
            return []
        found = [
            record
            for record in self._cache.records()
            if record.source == "debian" and record.provenance.get("release") == parsed.selector
        ]
        # A release may come in several package versions: then the lists must say which is the newest.
        return found if len({record.digest for record in found}) == 1 else []

    def _cached(self, key: str, spec: str) -> Kernel | None:
        record = self._cache.find(key)
        return None if record is None else self._cache.open(record, spec)

    def _sound(self, key: str, spec: str) -> Kernel | None:
        """As ``_cached``, for a kernel that is going to boot: its content is checked."""
        record = self._cache.find(key)
        return None if record is None else self._cache.open(record, spec, check=True)

    def _digest(self, spec: str) -> str:
        """The digest of a spec's kernel in the cache. Raises ConfigError where it is not there, HostError."""
        parsed = parse_kernel_spec(spec)
        if isinstance(parsed, GitSpec):
            built = self.built(spec)
            if built is not None:
                return built.digest
        elif isinstance(parsed, DebianSpec):
            record = next(iter(self._exact(parsed)), None) or self._cache.find(_debian_key(self._debian.choose(parsed)))
            if record is not None:
                return record.digest
        elif (record := self._cache.find(self._local.key(parsed))) is not None:
            return record.digest
        raise ConfigError(
            f"{spec} is not in the cache", remedy=f"It is fetched, and checked, with: kab kernels fetch {spec}"
        )

    def _fetch(self, spec: str, chosen: AvailableKernel) -> Kernel:
        key = _debian_key(chosen)
        with self._cache.adding(key, waiting=self._note) as scratch:
            # Another process may have fetched it while we waited.
            kernel = self._sound(key, spec)
            if kernel is not None:
                return kernel
            downloads = scratch / "packages"
            downloads.mkdir()
            packages = self._debian.download(
                chosen, downloads, lambda done: self._progress(chosen.release, done, chosen.size_bytes)
            )
            self._note(f"unpacking {chosen.release}")
            provenance = {
                "release": chosen.release,
                "suites": " ".join(chosen.suites),
                "layout": chosen.layout.value,
                "packages": " ".join(f"{package.name}={package.version}" for package in chosen.packages),
                "sha256": " ".join(package.sha256 for package in chosen.packages),
                "uri": " ".join(sorted({package.uri for package in chosen.packages})),
            }
            try:
                roots = unpack_packages(packages, scratch / "root")
                pieces = find_pieces(roots, what=f"debian:{chosen.release}")
                return self._add(
                    key, spec, pieces, scratch, version=chosen.version, source="debian", provenance=provenance
                )
            except ConfigError as error:
                # The spec was right: what came is not what it must be.
                raise HostError(
                    f"what was fetched for debian:{chosen.release} is no whole kernel: {error.message}",
                    remedy="Fetch it again, or from another mirror; `kab doctor` checks mirror and disk.",
                ) from error

    def _add_local(self, key: str, spec: str, parsed: LocalSpec) -> Kernel:
        with self._cache.adding(key, waiting=self._note) as scratch:
            kernel = self._sound(key, spec)
            if kernel is not None:
                return kernel
            self._note(f"reading {spec}")
            pieces = self._local.pieces(parsed, scratch)
            source, provenance = _local_provenance(parsed)
            return self._add(key, spec, pieces, scratch, version=pieces.version, source=source, provenance=provenance)

    def _add(
        self,
        key: str,
        spec: str,
        pieces: Pieces,
        scratch: Path,
        *,
        version: str,
        source: str,
        provenance: dict[str, str],
    ) -> Kernel:
        entry = scratch / "entry"
        facts = assemble(pieces, entry, scratch=scratch)
        digest = content_digest(entry / "vmlinuz", entry / facts["modules"] if "modules" in facts else None)
        record = SourceRecord(digest=digest, version=version, source=source, provenance=provenance)
        self._cache.add(key, record, entry, facts)
        kernel = self._cache.open(record, spec)
        if kernel is None:
            raise HostError(
                f"the kernel {pieces.release} vanished from {self._cache.directory} as soon as it was there",
                remedy="Is another process cleaning the cache? Try again.",
            )
        return kernel


def _debian_key(kernel: AvailableKernel) -> str:
    return source_key(*sorted(f"{package.name}={package.version} {package.sha256}" for package in kernel.packages))


def _local_provenance(parsed: LocalSpec) -> tuple[str, dict[str, str]]:
    match parsed:
        case DebSpec(packages=packages):
            return "deb", {"packages": " ".join(str(path) for path in packages)}
        case FileSpec(bzimage=image, modules=folder):
            return "file", {"image": str(image)} | ({"modules": str(folder)} if folder is not None else {})
        case TreeSpec(directory=directory):
            return "tree", {"tree": str(user_path(directory).absolute())}
        case HostSpec():
            return "host", {}
