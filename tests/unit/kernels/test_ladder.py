"""Ladders over what the suites of November 2026 held (recorded package lists)."""

import gzip
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from debian.debian_support import Version
from kernelspecs import NOWHERE, parse_kernel_spec

from harness.errors import ConfigError
from harness.host.paths import Paths
from harness.kernels.debian.catalogue import Catalogue, IndexEntry, build_catalogue
from harness.kernels.debian.source import DebianSource
from harness.kernels.library import KernelLibrary
from harness.model.kernel import Package
from harness.parse.packages import dependency_names, parse_stanzas

pytestmark = pytest.mark.unit

DATA = Path(__file__).parents[2] / "data" / "kernels"


def recorded():
    for path in sorted(DATA.glob("Packages-*.gz")):
        for fields in parse_stanzas(gzip.decompress(path.read_bytes()).decode()):
            package = Package(
                name=fields["Package"],
                version=fields["Version"],
                filename=fields["Filename"],
                size_bytes=int(fields["Size"]),
                sha256=fields["SHA256"],
                suite=path.stem.removeprefix("Packages-"),
            )
            yield IndexEntry(package=package, depends=dependency_names(fields.get("Depends", "")))


@pytest.fixture(scope="module")
def kernels():
    return build_catalogue(recorded(), {"stable-backports": "trixie-backports"})


def ladder(kernels, *ends, **options):
    """Made as a user's is, of these kernels."""

    class Recorded(DebianSource):
        def listing(self, _flavour=None):
            return kernels

    with KernelLibrary(Paths(cache=NOWHERE, state=NOWHERE), sources=[Recorded]) as library:
        return library.ladder(ends, **options)


matching = ladder


def upstream(rung):
    return rung.kernel.version.rpartition("-")[0]


def test_ends_are_included_and_order_is_by_version(kernels):
    found = ladder(kernels, "debian:6.1", "debian:7.3")
    assert found.flavour == "cloud-amd64"
    assert found.rungs[0].kernel.version == "6.1.192-2"
    assert found.rungs[-1].kernel.version == "7.3.4-1~bpo13+1"
    assert len(found.rungs) >= 20
    assert all(Version(a.kernel.version) < Version(b.kernel.version) for a, b in pairwise(found.rungs))
    # 6.2 sorts after 6.12 as text, and a release candidate before its release.
    versions = [upstream(rung) for rung in found.rungs]
    assert versions.index("6.12.94") < versions.index("6.12.117") < versions.index("7.3~rc7") < versions.index("7.3.4")


def test_one_package_per_upstream_version_the_newest(kernels):
    found = ladder(kernels, "debian:6.1", "debian:7.3")
    versions = [upstream(rung) for rung in found.rungs]
    assert len(set(versions)) == len(versions)
    assert "6.12.107-1" in [rung.kernel.version for rung in found.rungs]
    every = ladder(kernels, "debian:6.1", "debian:7.3", every=True)
    assert {"6.12.107-1", "6.12.107-1~deb12u1"} <= {rung.kernel.version for rung in every.rungs}
    assert found.left_out == len(every.rungs) - len(found.rungs) > 0
    assert every.left_out == 0


def test_an_end_stays_though_its_upstream_version_has_a_newer_package(kernels):
    found = ladder(kernels, "debian:6.12.107-1~deb12u1", "debian:6.12.117+deb12-cloud-amd64")
    assert found.rungs[0].kernel.version == "6.12.107-1~deb12u1"
    assert found.rungs[-1].kernel.version == "6.12.117-1~deb12u1"
    assert "6.12.107-1" not in [rung.kernel.version for rung in found.rungs]


def test_specs_resolve_to_the_very_rung(kernels):
    for flavour in ("cloud-amd64", "amd64"):
        for rung in ladder(kernels, "debian:5.10", "debian:7.3", flavour=flavour, every=True).rungs:
            assert kernels.choose(parse_kernel_spec(rung.spec)) == rung.kernel
            assert rung.spec == f"debian:{rung.kernel.release}"


def test_two_packages_that_call_themselves_the_same(kernels):
    """Candidates of 7.3 are all named 7.3-cloud-amd64: the release alone would name the newest."""
    candidate = next(kernel for kernel in kernels.kernels if kernel.release == "7.3-cloud-amd64")
    both = (*kernels.kernels, replace(candidate, version="7.3~rc6-1~exp1"))
    catalogue = Catalogue(kernels=tuple(sorted(both, key=lambda kernel: Version(kernel.version))))
    specs = [rung.spec for rung in ladder(catalogue, "debian:7.2", "debian:7.3").rungs]
    assert "debian:7.3~rc6-1~exp1/cloud-amd64" in specs
    assert "debian:7.3~rc7-1~exp1/cloud-amd64" in specs
    chosen = [catalogue.choose(parse_kernel_spec(spec)) for spec in specs]
    assert [kernel.version for kernel in chosen if "rc" in kernel.version] == ["7.3~rc6-1~exp1", "7.3~rc7-1~exp1"]


def test_suites_narrow_a_ladder(kernels):
    found = ladder(kernels, "debian:6.1", "debian:6.12", suites=["bookworm-security", "trixie-security"])
    assert all({"bookworm-security", "trixie-security"} & set(rung.kernel.suites) for rung in found.rungs)
    assert len(found.rungs) < len(ladder(kernels, "debian:6.1", "debian:6.12").rungs)
    with pytest.raises(ConfigError, match="no kernel is in the suite `trixie-sec`") as caught:
        ladder(kernels, "debian:6.1", "debian:6.12", suites=["trixie-sec"])
    assert "trixie-security" in caught.value.remedy


def test_an_end_may_be_a_suite_by_its_role(kernels):
    found = ladder(kernels, "debian:6.12", "debian:stable-backports")
    assert found.rungs[-1].kernel.version == "7.3.4-1~bpo13+1"


@pytest.mark.parametrize(
    ("first", "last", "flavour"),
    [
        ("debian:6.1/amd64", "debian:7.3", None),
        ("debian:6.1", "debian:7.3.4+deb13-amd64", None),
        ("debian:6.1", "debian:7.3", "amd64"),
    ],
)
def test_a_flavour_named_once_holds_for_all(kernels, first, last, flavour):
    found = ladder(kernels, first, last, flavour=flavour)
    assert found.flavour == "amd64"
    assert {rung.kernel.flavour for rung in found.rungs} == {"amd64"}


@pytest.mark.parametrize(
    ("first", "last", "flavour"),
    [
        ("debian:6.1/amd64", "debian:7.3/cloud-amd64", None),
        ("debian:6.1/amd64", "debian:7.3", "cloud-amd64"),
        ("debian:6.1", "debian:7.3.4+deb13-amd64", "cloud-amd64"),
    ],
)
def test_flavours_must_agree(kernels, first, last, flavour):
    with pytest.raises(ConfigError, match="one flavour, not amd64 and cloud-amd64"):
        ladder(kernels, first, last, flavour=flavour)


def test_ends_in_the_wrong_order(kernels):
    with pytest.raises(ConfigError, match="wrong order") as caught:
        ladder(kernels, "debian:7.3", "debian:6.1")
    assert caught.value.remedy.endswith("debian:6.1 debian:7.3")
    assert "7.3.4-1~bpo13+1" in caught.value.message


@pytest.mark.parametrize("other", ["debian:6.12", "debian:6.12.117", "debian:6.12.117+deb13-cloud-amd64"])
def test_the_same_end_twice(kernels, other):
    with pytest.raises(ConfigError, match="the same kernel"):
        ladder(kernels, "debian:6.12", other)


def test_an_end_that_is_not_on_offer(kernels):
    with pytest.raises(ConfigError, match=r"debian:6\.13") as caught:
        ladder(kernels, "debian:6.13", "debian:7.3")
    assert "6.12" in caught.value.remedy


def test_an_end_that_is_in_other_suites(kernels):
    with pytest.raises(ConfigError, match=r"debian:6\.1 \(--suite trixie-security\)"):
        ladder(kernels, "debian:6.1", "debian:6.12", suites=["trixie-security"])


def test_a_pattern(kernels):
    found = matching(kernels, "debian:6.12.*")
    assert found.rungs[0].kernel.version.startswith("6.12.43")
    assert found.rungs[-1].kernel.version == "6.12.117-1"
    assert all(upstream(rung).startswith("6.12.") for rung in found.rungs)
    assert {rung.kernel.flavour for rung in matching(kernels, "debian:6.12.*/amd64").rungs} == {"amd64"}
    assert {rung.kernel.suites for rung in matching(kernels, "debian:*+deb12-cloud-amd64").rungs} <= {
        ("bookworm-backports",),
        ("bookworm-security",),
    }


@pytest.mark.parametrize(("ending", "flavour"), [("-amd64", "amd64"), ("-cloud-amd64", "cloud-amd64")])
def test_a_pattern_that_ends_with_a_flavour(kernels, ending, flavour):
    found = matching(kernels, f"debian:6.12.*{ending}")
    assert found.flavour == flavour
    assert {rung.kernel.flavour for rung in found.rungs} == {flavour}
    with pytest.raises(ConfigError, match="one flavour"):
        matching(kernels, f"debian:6.12.*{ending}", flavour="cloud-amd64" if flavour == "amd64" else "amd64")


def test_a_pattern_with_one_rung(kernels):
    with pytest.raises(ConfigError, match=r"matches debian:6\.12\.107\+deb13-cloud-amd64.*two rungs") as caught:
        matching(kernels, "debian:6.12.107*")
    assert "--every" in caught.value.message
    assert "6.12.105" in caught.value.remedy
    assert len(matching(kernels, "debian:6.12.107*", every=True).rungs) == 2


@pytest.mark.parametrize("pattern", ["debian:9.*", "debian:6.12.*/rt-amd64"])
def test_patterns_that_make_no_ladder(kernels, pattern):
    with pytest.raises(ConfigError) as caught:
        matching(kernels, pattern)
    assert caught.value.remedy
