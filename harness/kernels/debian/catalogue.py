"""What Debian's suites offer: packages grouped into kernels, and the kernel that a selector means."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from debian.debian_support import Version

from harness.errors import NoKernelError
from harness.kernels.cache import source_key
from harness.kernels.debian.flavours import FLAVOURS, default_flavour, flavour_of
from harness.kernels.debian.spec import DebianSpec
from harness.model.arch import ARCHITECTURES
from harness.model.kernel import AvailableKernel, Package

# "linux-image-6.12.107+deb13-cloud-amd64-unsigned"; the release must not be of another flavour ("-rt-amd64").
_IMAGE = re.compile(r"linux-image-(?P<release>\d[\w.+~-]*?)(?P<unsigned>-unsigned)?")
_OTHER_FLAVOURS = tuple(f"-rt-{architecture.debian}" for architecture in ARCHITECTURES)
_NEARBY = 12


class PackageLayout(StrEnum):
    """How Debian packs a kernel: one ``linux-image`` package up to 6.19, split from 7.0 on."""

    SINGLE = "single"
    SPLIT = "split"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianKernel(AvailableKernel):
    """One of Debian's kernels. Several may be of one upstream version: for other suites, or with other patches."""

    layout: PackageLayout

    @property
    def upstream(self) -> str:
        """Without Debian's revision, "-1"."""
        return upstream_of(self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """A package of an index, with the names of what it depends on."""

    package: Package
    depends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class IncompleteKernel:
    """A kernel that cannot be had: the suites lack some of its packages."""

    release: str
    version: str
    flavour: str
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All kernels on offer, oldest first; a ``harness.kernels.source.Listing``."""

    kernels: tuple[DebianKernel, ...]
    incomplete: tuple[IncompleteKernel, ...] = ()
    # "stable-backports" -> "trixie-backports", as the suites' Release files say.
    suite_aliases: Mapping[str, str] = field(default_factory=dict)

    def find(self, spec: DebianSpec, suites: Sequence[str] = ()) -> DebianKernel | None:
        """The kernel that `spec` means, the newest where it means several; None when there is none."""
        found = self._find_all(spec, suites)
        return found[-1] if found else None

    def _find_all(self, spec: DebianSpec, suites: Sequence[str] = ()) -> tuple[DebianKernel, ...]:
        """The kernels that `spec` means, oldest first.

        A selector is tried as a release, a package version, a suite, a series ("6.12", "6.12.107") and a release
        without its flavour, in this order: "7.3" is a series, though a kernel may call itself "7.3-cloud-amd64".
        """
        flavour = spec.named_flavour or default_flavour()
        pool = self.list(flavour=flavour, suites=suites)
        selector = spec.selector
        suite = self.suite_aliases.get(selector, selector)
        for matching in (
            [kernel for kernel in pool if kernel.release == selector],
            [kernel for kernel in pool if kernel.version == selector],
            [kernel for kernel in pool if suite in kernel.suites],
            [kernel for kernel in pool if in_series(kernel.version, selector)],
            [kernel for kernel in pool if kernel.release == f"{selector}-{flavour}"],
        ):
            if matching:
                return tuple(matching)
        return ()

    def no_match(self, spec: DebianSpec, suites: Sequence[str] = ()) -> NoKernelError:
        """The error to raise where ``find`` found nothing: says what there is nearby."""
        flavour = spec.named_flavour or default_flavour()
        pool = self.list(flavour=flavour, suites=suites)
        selector = spec.selector
        for kernel in reversed(self.incomplete):
            if kernel.flavour == flavour and (
                selector in (kernel.release, kernel.release.removesuffix(f"-{flavour}"), kernel.version)
                or in_series(kernel.version, selector)
            ):
                return NoKernelError(
                    f"debian:{selector} cannot be had: the mirror offers {kernel.release} without "
                    f"{' and '.join(kernel.missing)}",
                    remedy=_nearby(selector, pool),
                )
        return NoKernelError(
            f"no kernel of flavour {flavour} matches debian:{selector}", remedy=_nearby(selector, pool)
        )

    def choose(self, spec: DebianSpec, *, flavour: str | None = None, suites: Sequence[str] = ()) -> DebianKernel:
        """As ``Listing.choose``."""
        wanted = replace(spec, flavour=flavour or spec.flavour)
        found = self.find(wanted, suites)
        if found is None:
            raise self.no_match(wanted, suites)
        return found

    def matching(self, spec: DebianSpec) -> tuple[DebianKernel, ...]:
        """As ``Listing.matching``: all packages of a series or a suite, in the order of their versions."""
        found = self._find_all(spec)
        if not found:
            raise self.no_match(spec)
        return found

    def is_newer(self, version: str, other: str) -> bool:
        """As ``Listing.is_newer``, by Debian's own comparison."""
        return Version(version) > Version(other)

    def spec_of(self, kernel: AvailableKernel) -> str:
        """The release, as people know it; the package version where several packages call themselves so."""
        if [other.release for other in self.kernels].count(kernel.release) == 1:
            return f"debian:{kernel.release}"
        return f"debian:{kernel.version}/{kernel.flavour}"

    def key_of(self, kernel: AvailableKernel) -> str:
        """As ``Listing.key_of``."""
        return key_of(kernel)

    def list(self, *, flavour: str | None = None, suites: Sequence[str] = ()) -> tuple[DebianKernel, ...]:
        """As ``Listing.list``."""
        wanted = {self.suite_aliases.get(suite, suite) for suite in suites}
        return tuple(
            kernel
            for kernel in self.kernels
            if (flavour is None or kernel.flavour == flavour) and (not wanted or not wanted.isdisjoint(kernel.suites))
        )


def build_catalogue(entries: Iterable[IndexEntry], suite_aliases: Mapping[str, str] | None = None) -> Catalogue:
    """Group the packages of all suites into kernels.

    Where a kernel is offered signed and unsigned, the signed one is taken: it is what people run. The unsigned one
    stands in while Debian's signing service lags behind.
    """
    by_name: dict[tuple[str, str], list[IndexEntry]] = {}
    for entry in entries:
        by_name.setdefault((entry.package.name, entry.package.version), []).append(entry)
    found: dict[tuple[str, str], DebianKernel] = {}
    incomplete: dict[tuple[str, str], IncompleteKernel] = {}
    # Signed names are shorter, so they come first.
    for name, version in sorted(by_name):
        release = _release(name)
        if release is None or (release, version) in found:
            continue
        kernel = _group(by_name, name, version, release)
        if isinstance(kernel, DebianKernel):
            found[release, version] = kernel
            incomplete.pop((release, version), None)
        elif kernel is not None:
            incomplete[release, version] = kernel
    return Catalogue(
        kernels=tuple(sorted(found.values(), key=_order)),
        incomplete=tuple(sorted(incomplete.values(), key=_order)),
        suite_aliases=suite_aliases or {},
    )


def key_of(kernel: AvailableKernel) -> str:
    """What the cache knows a kernel by: the content of its packages, from whichever suite or mirror."""
    return source_key(*sorted(f"{package.name}={package.version} {package.sha256}" for package in kernel.packages))


def upstream_of(version: str) -> str:
    """The upstream part of a package version: ``6.12.107-1~deb12u1`` is of 6.12.107."""
    return version.rpartition("-")[0] or version


def in_series(version: str, series: str) -> bool:
    """Whether the package `version` is of upstream `series`: ``6.12.107-1`` is of 6, 6.12 and 6.12.107."""
    upstream = upstream_of(version)
    # "7.3~rc7" is on the way to 7.3.
    return upstream == series or upstream.startswith((f"{series}.", f"{series}~"))


def _order(kernel: DebianKernel | IncompleteKernel) -> tuple[Version, str]:
    return Version(kernel.version), kernel.release


def _release(name: str) -> str | None:
    match = _IMAGE.fullmatch(name)
    if match is None or match["release"].endswith(_OTHER_FLAVOURS):
        return None
    return match["release"] if flavour_of(match["release"]) in FLAVOURS else None


def _group(
    by_name: Mapping[tuple[str, str], Sequence[IndexEntry]], name: str, version: str, release: str
) -> DebianKernel | IncompleteKernel | None:
    flavour = flavour_of(release) or default_flavour()
    image = by_name[name, version][0]
    base = f"linux-base-{release}"
    if f"linux-binary-{release}" in image.depends or f"linux-modules-{release}" in image.depends:
        layout = PackageLayout.SPLIT
        wanted = [f"linux-binary-{release}", f"linux-modules-{release}", base]
        missing = tuple(part for part in wanted if (part, version) not in by_name)
        if missing:
            return IncompleteKernel(release=release, version=version, flavour=flavour, missing=missing)
    elif any(other.startswith("linux-image-") for other in image.depends):
        # "linux-image-6.12-amd64" only points at the newest of a series.
        return None
    else:
        layout = PackageLayout.SINGLE
        # From 6.16 to 6.18 the changelog alone is in linux-base; not every suite keeps that.
        wanted = [name] + ([base] if (base, version) in by_name else [])
    suites = dict.fromkeys(entry.package.suite for entry in by_name[name, version])
    return DebianKernel(
        release=release,
        version=version,
        flavour=flavour,
        suites=tuple(suites),
        layout=layout,
        packages=tuple(by_name[part, version][0].package for part in wanted),
    )


def _nearby(selector: str, pool: Sequence[AvailableKernel]) -> str:
    if not pool:
        return "The mirror offers no kernel at all."
    suites = sorted({suite for kernel in pool for suite in kernel.suites})
    series = list(dict.fromkeys(".".join(kernel.version.split("~")[0].split("-")[0].split(".")[:2]) for kernel in pool))
    releases = [kernel.release for kernel in pool]
    parts = selector.split("-")[0].split("+")[0].split(".")
    near = [kernel.release for kernel in pool if len(parts) > 1 and in_series(kernel.version, ".".join(parts[:2]))]
    if not near:
        near = difflib.get_close_matches(selector, releases, n=3, cutoff=0.6)
    lines = [f"Near it: {', '.join(near[-_NEARBY:])}."] if near else []
    lines += [f"Series: {', '.join(series)}.", f"Suites: {', '.join(suites)}.", "All: `kab kernels list`."]
    return "\n".join(lines)
