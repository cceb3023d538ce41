"""`kab bisect` over a git history whose builds are mapped to Debian's kernels: both commits, proven and undone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kernelspecs import available
from prebuilt import PrebuiltHistory, choose_kernels, git, make_history

from harness.errors import ExitCode
from harness.host.paths import default_paths
from harness.kernels.library import KernelLibrary

pytestmark = [pytest.mark.guest, pytest.mark.timeout(2400)]

# The catalogue's workload, in less time: what is tested here is the way, not the figure.
QUICK = ("--set", "runtime=1s", "--set", "iterations=1", "--set", "warmup=0s", "--set", "file_size=16MiB")
QUICK += ("--disk", "virtio-blk,backend=nbd,latency=2ms,size=256MiB")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("git")


@pytest.fixture(scope="module")
def history(folder: Path) -> PrebuiltHistory:
    with KernelLibrary(default_paths()) as library:
        return make_history(folder, choose_kernels(available(library)))


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "KAB_STATE_DIR": str(folder / "state"),
        "KAB_CACHE_DIR": str(default_paths().cache),
        "KAB_SETTINGS": str(folder / "settings.yaml"),
    }


def kab(folder: Path, *words: str) -> tuple[int, str]:
    """Run kab to its end: status, stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words],
        env=environment(folder), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=2300,
    )  # fmt: skip
    print(done.stdout, done.stderr, sep="\n")
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def searched(folder: Path, history: PrebuiltHistory) -> dict[str, Any]:
    """The search's JSON report."""
    before = git(history.repository, "status", "--porcelain"), git(history.repository, "for-each-ref")
    report = folder / "search.json"
    words = ("bisect", history.spec(f"{history.base}..main"), "--metric", "queue_depth", "--json", str(report))
    status, out = kab(folder, *words, *QUICK)
    assert status == ExitCode.GOOD, out
    assert (git(history.repository, "status", "--porcelain"), git(history.repository, "for-each-ref")) == before
    document: dict[str, Any] = json.loads(report.read_text())
    return document


def test_both_commits_are_found_proven_and_undone(history: PrebuiltHistory, searched: dict[str, Any]) -> None:
    removed, restored = searched["edges"]
    assert removed["kind"] == "removed"
    assert removed["culprit"]["sha"] == history.removed
    assert restored["kind"] == "restored"
    assert restored["culprit"]["sha"] == history.restored
    # Reverted on the last slow commit, and applied to the first one: both bring the fast path back.
    for edge in (removed, restored):
        assert edge["proven"], edge
        assert edge["counterproof"]["holds"], edge


def test_equal_kernels_cost_no_boot(searched: dict[str, Any]) -> None:
    twins = {twin["rung"] for twin in searched["twins"]}
    booted = {boot["rung"] for boot in searched["boots"] if boot["part"] == "search"}
    assert twins
    assert twins.isdisjoint(booted)


@pytest.mark.usefixtures("searched")
def test_git_replays_the_log_and_ends_at_the_culprit(folder: Path, history: PrebuiltHistory) -> None:
    status, log = kab(folder, "bisect", "log", "--git")
    assert status == ExitCode.GOOD
    first, second = log.split("\n\n")
    for text, culprit in ((first, history.removed), (second, history.restored)):
        (folder / "bisect.log").write_text(text)
        said = git(history.repository, "bisect", "replay", str(folder / "bisect.log"))
        git(history.repository, "bisect", "reset")
        assert f"{culprit} is the first" in said


def test_git_bisect_run_with_kab_test_ends_at_the_same_commit(
    folder: Path, history: PrebuiltHistory, searched: dict[str, Any]
) -> None:
    spec = f"git:{history.repository}@$(git rev-parse HEAD),builder={history.builder}"
    command = f'{sys.executable} -m harness test "{spec}" --like {searched["run"]["id"]} --max-boots 4'
    git(history.repository, "bisect", "start", f"{history.restored}^", history.base)
    done = subprocess.run(
        ["git", "-C", history.repository, "bisect", "run", "sh", "-c", command],
        env=environment(folder), capture_output=True, text=True, check=False, timeout=2300,
    )  # fmt: skip
    git(history.repository, "bisect", "reset")
    print(done.stdout, done.stderr, sep="\n")
    assert f"{history.removed} is the first bad commit" in done.stdout
