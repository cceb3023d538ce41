"""Kernels: how a user names one (spec), what a source offers, and the bootable artefact with its provenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from harness.model.arch import X86_64, Architecture
from harness.model.source import GitSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianSpec:
    """``debian:SELECTOR[/FLAVOUR]``: a full version, a series (``6.12``: newest of it) or a suite."""

    # "7.2.12+deb13-cloud-amd64" (release as in uname -r), "6.12.107-1" (package version), "6.12", "trixie-backports".
    selector: str
    # "cloud-amd64", "arm64", ...; None: the one that a full version names, or the host's own cloud flavour.
    flavour: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebSpec:
    """``deb:FILE[,FILE...]``: kernel packages on the local disk."""

    packages: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpec:
    """``file:BZIMAGE[,modules=DIR]``: DIR is a ``lib/modules/RELEASE`` folder."""

    bzimage: Path
    modules: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSpec:
    """``tree:DIR``: a built kernel tree (or its object directory)."""

    directory: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """``host``: the kernel that the host runs, from its ``/boot`` and ``/lib/modules``."""


KernelSpec = DebianSpec | DebSpec | FileSpec | TreeSpec | HostSpec | GitSpec


class PackageLayout(StrEnum):
    """How Debian packs a kernel: one ``linux-image`` package up to 6.19, split from 7.0 on."""

    SINGLE = "single"
    SPLIT = "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One binary package as its (signed) index describes it."""

    name: str
    version: str
    filename: str
    size_bytes: int
    sha256: str
    suite: str
    # The mirror's URI this index entry came from: needed to fetch it, never part of a kernel's identity.
    uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableKernel:
    """A kernel that a source offers and that may not be fetched yet."""

    # uname -r, e.g. "6.12.107+deb13-cloud-amd64".
    release: str
    # Upstream version with Debian revision, e.g. "6.12.107-1".
    version: str
    flavour: str
    suites: tuple[str, ...]
    layout: PackageLayout
    packages: tuple[Package, ...]
    cached: bool = False

    @property
    def size_bytes(self) -> int:
        """Download size of all packages."""
        return sum(package.size_bytes for package in self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A bootable artefact in the cache, with all that is needed to name it again."""

    # The spec as the user wrote it.
    spec: str
    # What the kernel calls itself (uname -r).
    release: str
    # Version for people and for ordering, e.g. "6.12.107-1".
    version: str
    # "debian", "deb", "file", "tree", "host" or "git".
    source: str
    # sha256 over the content of vmlinuz and modules: the kernel's identity.
    digest: str
    # Folder in the cache that holds everything below.
    directory: Path
    vmlinuz: Path
    # What runs it: seen from its boot image.
    architecture: Architecture = X86_64
    # What QEMU can enter directly, unpacked from vmlinuz: an ELF with a PVH note (it boots faster), an arm64 Image.
    # None where vmlinuz itself is booted.
    vmlinux: Path | None = None
    # lib/modules/RELEASE with modules.dep, or None for a kernel with everything built in.
    modules: Path | None = None
    config: Path | None = None
    system_map: Path | None = None
    changelog: Path | None = None
    # Free text for people: package names, versions, hashes, suites, tree and revision.
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Short name for tables."""
        # The release alone is the same for all revisions: equal code must give an equal image.
        return self.provenance.get("describe", self.release) if self.source == "git" else self.release
