"""Kernels: what a source offers, and the bootable artefact with its provenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.model.arch import X86_64, Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One file to fetch for a kernel, as its (signed) index describes it."""

    name: str
    version: str
    filename: str
    size_bytes: int
    sha256: str
    suite: str = ""
    # The mirror's URI this index entry came from: needed to fetch it, never part of a kernel's identity.
    uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableKernel:
    """A kernel that a source offers and that may not be fetched yet. A source may add to it what it needs itself."""

    # uname -r, e.g. "6.12.107+deb13-cloud-amd64".
    release: str
    # As the source numbers it, e.g. "6.12.107-1": upstream's version with Debian's revision.
    version: str
    # Empty where the source has none.
    flavour: str = ""
    # Groups of the source that hold it: suites of an archive, branches.
    suites: tuple[str, ...] = ()
    # Empty where it is not known before they are fetched.
    packages: tuple[Package, ...] = ()
    cached: bool = False

    @property
    def upstream(self) -> str:
        """The upstream version: of several packages of one, a ladder takes the newest."""
        return self.version

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
    # The name of its source: "debian", "deb", "file", "tree", "host" or "git".
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
