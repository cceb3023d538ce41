"""Ladders over the real mirror, as a user prints them, and the changelog of a fetched kernel."""

import os
import subprocess
import sys

import pytest
from kernelspecs import available

from harness.errors import ConfigError, HostError
from harness.history.changelog import changes_between
from harness.history.nights import Choice, Known, Measured, baseline_of, new_kernels
from harness.host.paths import Paths
from harness.kernels.debian.changelog import read_changelog
from harness.kernels.library import KernelLibrary

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KAB_DEBIAN_MIRROR", "KAB_DEBIAN_SECURITY_MIRROR", "KAB_DEBIAN_SUITES"):
            patch.delenv(name, raising=False)
        folder = tmp_path_factory.mktemp("ladder")
        paths = Paths(cache=folder / "cache", state=folder / "state")
        with KernelLibrary(paths) as library:
            available(library)
        yield paths


def test_specs_name_the_rungs_one_by_one(paths):
    with KernelLibrary(paths) as library:
        ladder = library.ladder(["debian:6.1", "debian:6.12"])
        assert len(ladder.rungs) > 5
        for rung in ladder.rungs[:: len(ladder.rungs) // 4]:
            assert library.show(rung.spec).release == rung.kernel.release
            assert library.show(rung.spec).version == rung.kernel.version


def test_suites_by_their_role(paths):
    with KernelLibrary(paths) as library:
        by_role = library.ladder(["debian:*"], suites=["stable-backports"])
        assert all(any("backports" in suite for suite in rung.kernel.suites) for rung in by_role.rungs)
        assert library.ladder(["debian:6.12", "debian:stable-backports"]).rungs


@pytest.mark.parametrize("spec", ["debian:6.12", "debian:stable-backports", "debian:6.12/amd64"])
def test_what_is_newest_of_a_series_over_the_nights(paths, spec):
    """As `kab nightly` looks for what is new: a kernel is, until it or a newer one was measured."""
    with KernelLibrary(paths) as library:
        series = library.series(spec)
        newest = library.show(spec)
    kernels = [
        Known(
            name=rung.kernel.release,
            version=rung.kernel.version,
            identities=frozenset({f"{rung.kernel.release}={rung.kernel.version}"}),
            spec=rung.spec,
        )
        for rung in series.rungs
    ]
    assert len({kernel.spec for kernel in kernels}) == len({rung.kernel.upstream for rung in series.rungs})
    assert len(kernels) > 1
    assert kernels[-1].name == newest.release
    past = []
    for number, kernel in enumerate(kernels):
        new = new_kernels(kernels, past, newest=1, is_newer=series.is_newer)
        assert new.wanted == (kernels[-1],)
        assert new.passed_over == tuple(kernels[number:-1])
        against = baseline_of(kernel, kernels, past, given=None, there=lambda _: True)
        assert against.choice is (Choice.LAST_GOOD if number else Choice.ITSELF)
        past.insert(0, Measured(kernel=kernel, against=kernel, good=True))
    assert new_kernels(kernels, past, newest=9, is_newer=series.is_newer).wanted == ()


@pytest.mark.parametrize(
    "ends", [["debian:6.12"], ["debian:6.12.*", "debian:7.3"], ["host", "debian:6.12"], ["debian:6.12", "debian:6.1"]]
)
def test_ends_that_make_no_ladder(paths, ends):
    with KernelLibrary(paths) as library, pytest.raises(ConfigError) as caught:
        library.ladder(ends)
    assert caught.value.remedy


def test_printed(paths):
    done = subprocess.run(
        [sys.executable, "-m", "harness", "kernels", "ladder", "debian:6.1", "debian:6.12"],
        env={**os.environ, "KAB_CACHE_DIR": str(paths.cache), "KAB_STATE_DIR": str(paths.state)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    title, first, *rest = done.stdout.splitlines()
    assert title.split() == ["rung", "version", "spec", "suites", "MiB", "cached"]
    assert first.split()[0] == "0"
    assert first.split()[1].startswith("6.1.")
    assert rest[-1].split()[0] == str(len(rest))
    assert rest[-1].split()[1].startswith("6.12.")
    assert "--every" in done.stderr


def test_changelog_of_a_fetched_kernel(paths):
    with KernelLibrary(paths) as library:
        rungs = library.ladder(["debian:5.10.*"], suites=["bullseye-security"]).rungs
        kernel = library.resolve(rungs[-1].spec)
        step = changes_between(read_changelog(kernel), rungs[-2].kernel.version, kernel.version)
        assert len(step.changes) > 100
        assert step.complete
        kernel.changelog.write_bytes(b"no gzip")
        with pytest.raises(HostError, match="changelog"):
            read_changelog(kernel)
