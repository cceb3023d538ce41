"""Debian's package lists, filtered and kept where a listing takes milliseconds."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.debian import aptsources
from harness.debian.apt import AptRoot, AptSettings, PackageList
from harness.debian.keyring import KEYRING
from harness.errors import ConfigError, TransientHostError
from harness.host import locks
from harness.host.files import write_atomically
from harness.host.paths import Paths
from harness.kernels.debian.catalogue import (
    Catalogue,
    DebianKernel,
    IncompleteKernel,
    IndexEntry,
    PackageLayout,
    build_catalogue,
)
from harness.kernels.debian.flavours import architecture_of
from harness.kernels.debian.spec import DebianSpec
from harness.model.arch import X86_64, Architecture
from harness.model.kernel import Package
from harness.parse.packages import dependency_names, parse_stanzas

_log = logging.getLogger(__name__)

# Environment variable: suites to look for instead of all, separated by spaces.
SUITES_VARIABLE = "KAB_DEBIAN_SUITES"

# Names that move from release to release ("stable") are not asked for: the security archive lacks some of them. The
# Release files say which suite has which role. The last release is one that is to come.
_RELEASES = ("bullseye", "bookworm", "trixie", "forky", "duke")
_SUITES = tuple(f"{release}{pocket}" for release in _RELEASES for pocket in ("", "-updates", "-backports"))
_UNRELEASED = ("sid", "experimental")
_SECURITY_SUITES = tuple(f"{release}-security" for release in _RELEASES)

_INDEX_FILE = "kernels.json"
_INDEX_SCHEMA = 1
# Debian's archive changes four times a day, its kernels every few days.
_FRESH_S = 12 * 3600.0
# Lists younger than this are believed when they lack a kernel.
_RECHECK_S = 600.0
_LOCK_TIMEOUT_S = 1200.0
# linux-image, linux-binary, linux-modules, linux-base.
_PREFIX = "linux-"
_PARTS = ("linux-image-", "linux-binary-", "linux-modules-", "linux-base-")


def debian_settings(environment: Mapping[str, str] = os.environ) -> AptSettings:
    """The host's mirrors, Debian's keyring, and all suites or those of ``KAB_DEBIAN_SUITES``.

    Raises ConfigError, HostError when the host names no Debian mirror.
    """
    named = environment.get(SUITES_VARIABLE, "").split() or [*_SUITES, *_UNRELEASED, *_SECURITY_SUITES]
    return AptSettings(
        mirrors=aptsources.find_mirrors(environment=environment),
        keyring=KEYRING,
        suites=tuple(name for name in named if not name.endswith("-security")),
        security_suites=tuple(name for name in named if name.endswith("-security")),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    catalogue: Catalogue
    # Seconds since the epoch.
    written: float
    # Settings of the environment that it was made under.
    key: str


class DebianLists:
    """Debian's kernels by way of private APT roots: ``paths.apt`` for amd64, below it one for each other architecture.

    The lists of an architecture are fetched when a kernel of it is first asked for.
    """

    def __init__(
        self,
        paths: Paths,
        *,
        settings: Callable[[], AptSettings] | None = None,
        environment: Mapping[str, str] = os.environ,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`settings`, those that the variables in `environment` make unless given, are asked only when APT is needed.

        `note` is told, in sentences, what takes time.
        """
        self._paths = paths
        self._environment = environment
        self._settings = settings or partial(debian_settings, environment)
        self._note = note
        self._indexes: dict[str, _Index] = {}

    def catalogue(self, architecture: Architecture | None = None) -> Catalogue:
        """All kernels on offer, from lists that are fresh, or as fresh as a mirror out of reach allows.

        `architecture` is this host's where None is given.
        """
        architecture = architecture or architecture_of(None)
        index = self._load(architecture)
        if index is not None and time.time() - index.written < _FRESH_S:
            return index.catalogue
        try:
            return self.refresh(architecture)
        except TransientHostError as error:
            if index is None:
                raise
            hours = (time.time() - index.written) / 3600
            self._note(f"Debian's mirror cannot be reached; using the package lists of {hours:.0f} h ago")
            _log.warning("%s", error.message)
            return index.catalogue

    def choose(self, spec: DebianSpec) -> DebianKernel:
        """The kernel that `spec` means; reads the lists anew before it gives up. Raises ConfigError, HostError."""
        architecture = architecture_of(spec.named_flavour)
        catalogue = self.catalogue(architecture)
        found = catalogue.find(spec)
        index = self._indexes.get(architecture.name)
        if found is None and index is not None and time.time() - index.written > _RECHECK_S:
            catalogue = self.refresh(architecture)
            found = catalogue.find(spec)
        if found is None:
            raise catalogue.no_match(spec)
        return found

    def refresh(self, architecture: Architecture | None = None) -> Catalogue:
        """Fetch the package lists anew. Raises HostError."""
        architecture = architecture or architecture_of(None)
        asked = time.time()
        with locks.lock(
            self._root(architecture) / "lock",
            what="reading Debian's package lists",
            timeout_s=_LOCK_TIMEOUT_S,
            waiting=self._note,
        ):
            # Whoever held the lock before us may have done it.
            self._indexes.pop(architecture.name, None)
            index = self._load(architecture)
            if index is None or index.written < asked:
                self._note("reading Debian's package lists")
                apt = self._apt(architecture)
                apt.update()
                index = self._write(_read(apt, architecture), architecture)
        self._indexes[architecture.name] = index
        return index.catalogue

    def download(self, kernel: DebianKernel, into: Path, progress: Callable[[int], None]) -> list[Path]:
        """Fetch the packages of `kernel` into a folder, verified. Raises HostError."""
        return self._apt(architecture_of(kernel.flavour)).download(kernel.packages, into, progress)

    def _root(self, architecture: Architecture) -> Path:
        return self._paths.apt if architecture == X86_64 else self._paths.apt / architecture.debian

    def _apt(self, architecture: Architecture) -> AptRoot:
        return AptRoot(self._root(architecture), replace(self._settings(), architecture=architecture.debian))

    def _load(self, architecture: Architecture) -> _Index | None:
        known = self._indexes.get(architecture.name)
        if known is not None:
            return known
        file = self._root(architecture) / _INDEX_FILE
        try:
            content = json.loads(file.read_bytes())
            if content["schema"] == _INDEX_SCHEMA and content["key"] == self._key():
                self._indexes[architecture.name] = _Index(
                    catalogue=_from_json(content), written=float(content["written"]), key=content["key"]
                )
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.info("ignoring %s: %s", file, error)
        return self._indexes.get(architecture.name)

    def _write(self, catalogue: Catalogue, architecture: Architecture) -> _Index:
        index = _Index(catalogue=catalogue, written=time.time(), key=self._key())
        content = {
            "schema": _INDEX_SCHEMA,
            "written": index.written,
            "key": index.key,
            "suite_aliases": dict(catalogue.suite_aliases),
            "kernels": [asdict(kernel) for kernel in catalogue.kernels],
            "incomplete": [asdict(kernel) for kernel in catalogue.incomplete],
        }
        write_atomically(self._root(architecture) / _INDEX_FILE, json.dumps(content).encode())
        return index

    def _key(self) -> str:
        names = (aptsources.MIRROR_VARIABLE, aptsources.SECURITY_VARIABLE, SUITES_VARIABLE)
        return "\n".join(self._environment.get(name, "") for name in names)


def _from_json(content: Mapping[str, Any]) -> Catalogue:
    def kernel(fields: Mapping[str, Any]) -> DebianKernel:
        return DebianKernel(
            release=fields["release"],
            version=fields["version"],
            flavour=fields["flavour"],
            suites=tuple(fields["suites"]),
            layout=PackageLayout(fields["layout"]),
            packages=tuple(Package(**package) for package in fields["packages"]),
        )

    return Catalogue(
        kernels=tuple(kernel(fields) for fields in content["kernels"]),
        incomplete=tuple(
            IncompleteKernel(**{**fields, "missing": tuple(fields["missing"])}) for fields in content["incomplete"]
        ),
        suite_aliases=content["suite_aliases"],
    )


def _read(apt: AptRoot, architecture: Architecture) -> Catalogue:
    lists = apt.package_lists()
    aliases = {alias: found.suite for found in lists for alias in found.aliases}
    return build_catalogue((entry for found in lists for entry in _entries(apt, found, architecture.debian)), aliases)


def _entries(apt: AptRoot, found: PackageList, architecture: str) -> Iterator[IndexEntry]:
    for text in apt.stanzas(found.path, _PREFIX):
        for fields in parse_stanzas(text):
            name = fields.get("Package", "")
            if not name.startswith(_PARTS) or f"-{architecture}" not in name:
                continue
            if fields.get("Architecture") != architecture:
                continue
            try:
                package = Package(
                    name=name,
                    version=fields["Version"],
                    filename=fields["Filename"],
                    size_bytes=int(fields["Size"]),
                    sha256=fields["SHA256"],
                    suite=found.suite,
                    uri=found.uri,
                )
            except (KeyError, ValueError) as error:
                raise ConfigError(
                    f"the package list of {found.suite} describes {name} in a way not known: {error}"
                ) from error
            yield IndexEntry(package=package, depends=dependency_names(fields.get("Depends", "")))
