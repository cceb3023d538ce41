"""Kernels of Debian's suites: chosen from the package lists, fetched by APT, put together from their packages."""

import logging

from harness.debian.apt import PackageGoneError
from harness.errors import ConfigError, HostError
from harness.kernels.assemble import find_pieces, unpack_packages
from harness.kernels.cache import SourceRecord
from harness.kernels.debian.catalogue import Catalogue, DebianKernel, key_of
from harness.kernels.debian.changelog import changes_of
from harness.kernels.debian.flavours import FLAVOURS, architecture_of, flavour_of
from harness.kernels.debian.lists import DebianLists
from harness.kernels.debian.spec import FORMS, DebianSpec, parse_debian, suggest_debian
from harness.kernels.source import Surroundings
from harness.model.history import Step
from harness.model.kernel import Kernel

_log = logging.getLogger(__name__)


class DebianSource:
    """Implements ``harness.kernels.source.KernelSource``."""

    name = "debian"
    alone = False
    forms = FORMS

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._shelf = around.shelf
        self._lists = DebianLists(around.paths, environment=around.environment, note=around.note)

    @property
    def flavours(self) -> tuple[str, ...]:
        """Those of this host's architecture come first."""
        return tuple(sorted(FLAVOURS, key=lambda name: architecture_of(name) is not architecture_of(None)))

    def parse(self, text: str, rest: str) -> DebianSpec:
        """As ``KernelSource.parse``."""
        return parse_debian(text, rest)

    def suggest(self, text: str) -> str | None:
        """As ``KernelSource.suggest``."""
        return suggest_debian(text)

    def flavour_of(self, spec: DebianSpec) -> str | None:
        """As ``KernelSource.flavour_of``."""
        return spec.named_flavour

    def listing(self, flavour: str | None = None, /) -> Catalogue:
        """What all suites hold for one architecture: that of `flavour`, else this host's."""
        return self._lists.catalogue(architecture_of(flavour))

    def record(self, spec: DebianSpec) -> SourceRecord | None:
        """As ``KernelSource.record``."""
        exact = self._exact(spec)
        return exact if exact is not None else self._record(self._lists.choose(spec))

    def show(self, spec: DebianSpec, text: str) -> Kernel | DebianKernel:
        """As ``KernelSource.show``."""
        chosen = self._lists.choose(spec)
        return self._shelf.open(self._record(chosen), text) or chosen

    def fetch(self, spec: DebianSpec, text: str) -> Kernel:
        """As ``KernelSource.fetch``."""
        # One named in full does not change: no list is needed once it is here, nor if the mirror drops it.
        kernel = self._shelf.sound(self._exact(spec), text)
        if kernel is not None:
            return kernel
        chosen = self._lists.choose(spec)
        kernel = self._shelf.sound(self._record(chosen), text)
        if kernel is not None:
            return kernel
        try:
            return self._fetch(chosen, text)
        except PackageGoneError as error:
            # A mirror forgets superseded packages at once; our lists may be hours old.
            self._lists.refresh(architecture_of(chosen.flavour))
            again = self._lists.choose(spec)
            if again.packages == chosen.packages:
                raise
            _log.info("%s; trying %s instead", error.message, again.release)
            return self._fetch(again, text)

    def changes(self, older: Kernel, newer: Kernel) -> Step:
        """What the changelogs say."""
        return changes_of(older, newer)

    def _exact(self, spec: DebianSpec) -> SourceRecord | None:
        """What the cache has for a spec that names a release in full."""
        if flavour_of(spec.selector) is None:
            return None
        found = [
            record
            for record in self._shelf.records()
            if record.source == self.name and record.provenance.get("release") == spec.selector
        ]
        # A release may come in several package versions: then the lists must say which is the newest.
        return found[0] if len({record.digest for record in found}) == 1 else None

    def _record(self, chosen: DebianKernel) -> SourceRecord | None:
        return self._shelf.find(key_of(chosen))

    def _fetch(self, chosen: DebianKernel, text: str) -> Kernel:
        note, progress = self._around.note, self._around.progress
        with self._shelf.adding(key_of(chosen), text) as place:
            if place.found is not None:
                return place.found
            downloads = place.scratch / "packages"
            downloads.mkdir()
            packages = self._lists.download(
                chosen, downloads, lambda done: progress(chosen.release, done, chosen.size_bytes)
            )
            note(f"unpacking {chosen.release}")
            provenance = {
                "release": chosen.release,
                "suites": " ".join(chosen.suites),
                "layout": chosen.layout.value,
                "packages": " ".join(f"{package.name}={package.version}" for package in chosen.packages),
                "sha256": " ".join(package.sha256 for package in chosen.packages),
                "uri": " ".join(sorted({package.uri for package in chosen.packages})),
            }
            try:
                roots = unpack_packages(packages, place.scratch / "root")
                pieces = find_pieces(roots, what=f"debian:{chosen.release}")
                return place.add(pieces, version=chosen.version, source=self.name, provenance=provenance)
            except ConfigError as error:
                # The spec was right: what came is not what it must be.
                raise HostError(
                    f"what was fetched for debian:{chosen.release} is no whole kernel: {error.message}",
                    remedy="Fetch it again, or from another mirror; `kab doctor` checks mirror and disk.",
                ) from error
