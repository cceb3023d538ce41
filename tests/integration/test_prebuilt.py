"""The history of prebuilt kernels that guest tests search, made with real git and real package lists."""

import subprocess

import pytest
from kernelspecs import available
from prebuilt import BROKEN, choose_kernels, git, make_history

from harness.host.paths import default_paths
from harness.kernels.library import KernelLibrary

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kernels():
    with KernelLibrary(default_paths()) as library:
        return choose_kernels(available(library))


def test_kernels_are_on_offer_and_of_the_right_series(kernels):
    with KernelLibrary(default_paths()) as library:
        versions = [library.show(spec).version for spec in (kernels.fast, *kernels.slow, *kernels.restored)]
    assert len(set(versions)) == 5
    assert versions[0].startswith("6.1.")
    assert all(version.startswith("6.12.") for version in versions[1:3])
    assert all(version.startswith(("7.2", "7.3")) for version in versions[3:])


def test_the_history_has_a_merge_and_repeats(kernels, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    history = make_history(tmp_path / "one", kernels)
    assert make_history(tmp_path / "two", kernels).commits == history.commits
    assert len(history.commits) == 15
    parents = git(history.repository, "rev-list", "--parents", "-1", history.merge).split()[1:]
    assert len(parents) == 2
    # The side branch forked before the fast path was lost, and knows nothing of it.
    assert git(history.repository, "merge-base", *parents) != history.removed
    assert git(history.repository, "show", f"{parents[1]}:NOSEC") == "yes"
    assert git(history.repository, "show", f"{history.merge}:NOSEC") == "no"
    assert git(history.repository, "status", "--porcelain") == ""


def test_the_builder_maps_a_commit_to_its_kernel(kernels, tmp_path):
    history = make_history(tmp_path, kernels)
    out = tmp_path / "out"
    out.mkdir()
    mapped = {}
    for title, commit in history.commits.items():
        tree = tmp_path / "trees" / commit
        git(history.repository, "worktree", "add", "--quiet", "--detach", str(tree), commit)
        done = subprocess.run([history.builder, tree, out], cwd=tree, capture_output=True, text=True, check=False)
        mapped[title] = done.stdout.splitlines()[-1] if done.returncode == 0 else BROKEN
        assert (done.returncode != 0) == (commit == history.broken)
    assert mapped["btrfs: simplify the mount path"] == mapped["block: fix a comment"] == kernels.slow[0]
    assert mapped["btrfs: set the flags that mount lost"] == kernels.restored[0]
    assert mapped["mm: keep less in the cache"] == kernels.restored[1]
