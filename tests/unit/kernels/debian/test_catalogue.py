"""Selection among what the suites of November 2026 held (recorded package lists)."""

import gzip
from itertools import pairwise
from pathlib import Path

import pytest
from debian.debian_support import Version
from kernelspecs import parse_kernel_spec

from harness.errors import NoKernelError
from harness.kernels.debian.catalogue import IndexEntry, PackageLayout, build_catalogue, in_series
from harness.model.kernel import Package
from harness.parse.packages import dependency_names, parse_stanzas

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[3] / "data" / "kernels"
ALIASES = {"stable-backports": "trixie-backports", "testing": "forky", "unstable": "sid", "oldstable": "bookworm"}


def entry(fields, suite):
    package = Package(
        name=fields["Package"],
        version=fields["Version"],
        filename=fields["Filename"],
        size_bytes=int(fields["Size"]),
        sha256=fields["SHA256"],
        suite=suite,
    )
    return IndexEntry(package=package, depends=dependency_names(fields.get("Depends", "")))


def recorded():
    for path in sorted(DATA.glob("Packages-*.gz")):
        suite = path.stem.removeprefix("Packages-")
        for fields in parse_stanzas(gzip.decompress(path.read_bytes()).decode()):
            yield entry(fields, suite)


@pytest.fixture(scope="module")
def catalogue():
    return build_catalogue(recorded(), ALIASES)


def choose(catalogue, text):
    found = catalogue.find(parse_kernel_spec(text))
    return None if found is None else (found.release, found.version)


@pytest.mark.parametrize(
    ("text", "release", "version"),
    [
        # A series: the newest of it, over all suites.
        ("debian:6.12", "6.12.117+deb13-cloud-amd64", "6.12.117-1"),
        ("debian:6.12/amd64", "6.12.117+deb13-amd64", "6.12.117-1"),
        ("debian:6.1", "6.1.0-56-cloud-amd64", "6.1.192-2"),
        ("debian:6.12.107", "6.12.107+deb13-cloud-amd64", "6.12.107-1"),
        ("debian:7", "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
        # Not 6.12 nor 6.16.
        ("debian:5.10", "5.10.0-46-cloud-amd64", "5.10.262-1"),
        # A series, though the release candidate calls itself 7.3-cloud-amd64.
        ("debian:7.3", "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
        # Full releases, with and without flavour.
        ("debian:7.2.12+deb13-cloud-amd64", "7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"),
        ("debian:7.2.12+deb13", "7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"),
        ("debian:7.3-cloud-amd64", "7.3-cloud-amd64", "7.3~rc7-1~exp1"),
        ("debian:6.18.15+deb13-amd64", "6.18.15+deb13-amd64", "6.18.15-1~bpo13+1"),
        # Package versions.
        ("debian:6.12.107-1", "6.12.107+deb13-cloud-amd64", "6.12.107-1"),
        ("debian:6.12.107-1~deb12u1", "6.12.107+deb12-cloud-amd64", "6.12.107-1~deb12u1"),
        # Suites, by name and by role.
        ("debian:trixie-backports", "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
        ("debian:stable-backports", "7.3.4+deb13-cloud-amd64", "7.3.4-1~bpo13+1"),
        ("debian:bookworm", "6.1.0-50-cloud-amd64", "6.1.176-1"),
        ("debian:testing", "7.2.12+deb14-cloud-amd64", "7.2.12-1"),
        ("debian:experimental", "7.3-cloud-amd64", "7.3~rc7-1~exp1"),
    ],
)
def test_selectors(catalogue, text, release, version):
    assert choose(catalogue, text) == (release, version)


@pytest.mark.parametrize(
    "text", ["debian:6.12", "debian:6.12/amd64", "debian:trixie-backports", "debian:unstable", "debian:6.12.107-1"]
)
def test_all_that_a_selector_means_ends_with_the_newest(catalogue, text):
    spec = parse_kernel_spec(text)
    found = catalogue.matching(spec)
    assert found[-1] == catalogue.choose(spec)
    pool = catalogue.list(flavour=found[-1].flavour)
    assert [kernel for kernel in pool if kernel in found] == [*found]
    assert all(
        catalogue.is_newer(new.version, old.version) for old, new in pairwise(found) if new.version != old.version
    )


def test_a_series_holds_no_other_one(catalogue):
    found = catalogue.matching(parse_kernel_spec("debian:6.12"))
    assert len(found) > 3
    assert {in_series(kernel.version, "6.12") for kernel in found} == {True}
    with pytest.raises(NoKernelError, match=r"6\.13"):
        catalogue.matching(parse_kernel_spec("debian:6.13"))


def test_versions_that_are_not_on_offer_are_compared_too(catalogue):
    assert catalogue.is_newer("6.12.107-1", "6.12.99-1")
    assert catalogue.is_newer("6.12.107-1", "6.12.107-1~deb12u1")
    assert not catalogue.is_newer("7.3~rc7-1~exp1", "7.3.0-1")


def test_oldest_first_by_debian_version(catalogue):
    versions = [Version(kernel.version) for kernel in catalogue.kernels]
    assert versions == sorted(versions)
    assert catalogue.kernels[0].version.startswith("5.10.")
    assert catalogue.kernels[-1].version.startswith("7.3.")


def test_both_flavours_and_nothing_else(catalogue):
    cloud = [kernel for kernel in catalogue.kernels if kernel.flavour == "cloud-amd64"]
    full = [kernel for kernel in catalogue.kernels if kernel.flavour == "amd64"]
    assert len(cloud) == len(full) == 71
    assert len(catalogue.kernels) == 142
    assert not any("rt-amd64" in kernel.release for kernel in catalogue.kernels)


def test_signed_packages_are_preferred(catalogue):
    assert not any(package.name.endswith("-unsigned") for kernel in catalogue.kernels for package in kernel.packages)


def test_unsigned_package_stands_in_when_signing_lags_behind():
    entries = [e for e in recorded() if e.package.name == "linux-image-6.12.107+deb13-cloud-amd64-unsigned"]
    (kernel,) = build_catalogue(entries).kernels
    assert kernel.release == "6.12.107+deb13-cloud-amd64"
    assert [package.name for package in kernel.packages] == ["linux-image-6.12.107+deb13-cloud-amd64-unsigned"]


def test_a_kernel_in_two_suites_is_one_kernel(catalogue):
    (kernel,) = [k for k in catalogue.kernels if k.release == "6.12.107+deb13-cloud-amd64"]
    assert set(kernel.suites) == {"trixie", "trixie-security"}


def test_layouts(catalogue):
    for kernel in catalogue.kernels:
        names = [package.name.removesuffix(kernel.release).rstrip("-") for package in kernel.packages]
        if Version(kernel.version) >= Version("7.0"):
            assert kernel.layout is PackageLayout.SPLIT
            assert names == ["linux-binary", "linux-modules", "linux-base"]
        else:
            assert kernel.layout is PackageLayout.SINGLE
            assert names == ["linux-image"]


def test_kernels_whose_modules_the_mirror_lacks_are_not_offered(catalogue):
    assert choose(catalogue, "debian:7.1") is None
    message = str(catalogue.no_match(parse_kernel_spec("debian:7.1")))
    assert "7.1.13+deb13-cloud-amd64 without linux-modules-7.1.13+deb13-cloud-amd64" in message


@pytest.mark.parametrize(
    "text", ["debian:6.13", "debian:buster", "debian:6.12.500", "debian:6.12.107+deb14-cloud-amd64"]
)
def test_no_match_says_what_there_is(catalogue, text):
    assert choose(catalogue, text) is None
    error = catalogue.no_match(parse_kernel_spec(text))
    assert isinstance(error, NoKernelError)
    assert "5.10, 6.1, 6.12, 6.16, 6.17, 6.18, 7.2, 7.3" in error.remedy
    assert "trixie-backports" in error.remedy
    assert ("6.12.117+deb13-cloud-amd64" in error.remedy) == ("6.12" in text)


def test_in_series():
    assert in_series("6.12.107-1", "6.12")
    assert in_series("7.3~rc7-1~exp1", "7.3")
    assert in_series("6.12.107-1~bpo12+1", "6.12.107")
    assert not in_series("6.12.107-1", "6.1")
    assert not in_series("6.12.107-1", "6.12.10")


def test_stanzas_with_continuation_lines():
    (fields,) = parse_stanzas("Package: a\nDescription: first\n second\n third\nSize: 1\n\n")
    assert fields == {"Package": "a", "Description": "first\nsecond\nthird", "Size": "1"}
    assert dependency_names("a (>= 1), b:any | c [amd64], d") == ("a", "b", "c", "d")
