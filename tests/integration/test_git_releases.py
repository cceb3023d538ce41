"""What a clone of Linux lists between two releases: on real git repositories, whole, shallow, partial, without tags."""

import os
import subprocess
import time
from pathlib import Path

import pytest
from repositories import BACKPORTED, RESTORED, git, make_linux, state

from harness.errors import ConfigError
from harness.git.releases import list_commits
from harness.git.repository import Repository

pytestmark = pytest.mark.integration

PATHS = ("fs/btrfs", "mm/filemap.c")
OLDER, NEWER = "6.18.15-1", "7.2.6-1~bpo13+1"


@pytest.fixture
def linux(tmp_path: Path) -> Path:
    make_linux(tmp_path / "linux")
    return tmp_path / "linux"


def opened(tree: Path) -> Repository:
    return Repository.open(tree, tree.parent / "own")


def test_commits_below_paths_without_merges_and_what_both_have(linux: Path) -> None:
    before = state(linux)
    listing, commits = list_commits(opened(linux), OLDER, NEWER, PATHS)
    assert [commit.subject for commit in commits] == ["btrfs: a stable update", "mm/filemap: tidy up", RESTORED]
    assert commits[2].commit == git(linux, "rev-parse", "topic")
    assert {commit.version for commit in commits} == {NEWER}
    assert (listing.older, listing.newer, listing.exact) == ("v6.18.15", "v7.2.6", True)
    assert (listing.commits, listing.paths, listing.tree) == (3, PATHS, str(linux))
    assert listing.notes == ("Commits of v6.18.15 there that v7.2.6 lacks (stable branches fork), not listed: 1.",)
    assert state(linux) == before


def test_without_paths_all_are_listed(linux: Path) -> None:
    _, commits = list_commits(opened(linux), OLDER, NEWER, ())
    assert "wifi: take a lock" in {commit.subject for commit in commits}


def test_a_commit_that_was_taken_back_since_is_listed_again(linux: Path) -> None:
    git(linux, "checkout", "-q", "linux-6.18.y")
    git(linux, "commit", "-q", "--allow-empty", "-m", "empty")
    git(linux, "revert", "--no-edit", "HEAD~2")
    git(linux, "tag", "-f", "v6.18.15")
    _, commits = list_commits(opened(linux), OLDER, NEWER, PATHS)
    assert BACKPORTED in {commit.subject for commit in commits}


def test_releases_stand_for_stable_updates_whose_tags_are_not_there(linux: Path) -> None:
    git(linux, "tag", "-d", "v6.18.15", "v7.2.6")
    listing, commits = list_commits(opened(linux), OLDER, NEWER, PATHS)
    assert (listing.older, listing.newer, listing.exact) == ("v6.18", "v7.2", False)
    assert {commit.subject for commit in commits} == {RESTORED, BACKPORTED, "mm/filemap: tidy up"}
    assert [note.partition(";")[0] for note in listing.notes] == [
        f"{linux} has no tag v6.18.15: v6.18 stands for it",
        f"{linux} has no tag v7.2.6: v7.2 stands for it",
    ]
    # Both ends of one series: nothing of mainline lies between them.
    listing, commits = list_commits(opened(linux), "7.2.1-1", "7.2.6-1", PATHS)
    assert (listing.commits, commits) == (0, ())


def test_a_release_candidate_is_stood_for_by_nothing(linux: Path) -> None:
    with pytest.raises(ConfigError, match=rf"has no tag v7\.3-rc7\n.*git -C {linux} fetch --tags"):
        list_commits(opened(linux), OLDER, "7.3~rc7-1~exp1", PATHS)
    with pytest.raises(ConfigError, match=r"has no tag v6\.1\.192 or v6\.1\n"):
        list_commits(opened(linux), "6.1.192-1", NEWER, PATHS)


def test_a_branch_is_no_tag(linux: Path) -> None:
    git(linux, "branch", "v7.3-rc7", "main")
    with pytest.raises(ConfigError, match=r"has no tag v7\.3-rc7"):
        list_commits(opened(linux), OLDER, "7.3~rc7-1~exp1", PATHS)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_shallow_clone_is_named_with_the_remedy(linux: Path, tmp_path: Path, depth: int) -> None:
    git(tmp_path, "clone", "-q", "--depth", str(depth), "--branch", "v7.2.6", f"file://{linux}", "shallow")
    shallow = tmp_path / "shallow"
    with pytest.raises(ConfigError, match=r"has no tag v6\.18\.15 or v6\.18\n.*fetch --unshallow"):
        list_commits(opened(shallow), OLDER, NEWER, PATHS)
    # With both tags, but not all that lies between.
    git(shallow, "fetch", "-q", "--depth", str(depth), "origin", "tag", "v6.18.15")
    with pytest.raises(ConfigError, match=r"(?s)is a shallow clone, cut off below.*fetch --unshallow"):
        list_commits(opened(shallow), OLDER, NEWER, PATHS)
    git(shallow, "fetch", "-q", "--unshallow", "--tags")
    assert list_commits(opened(shallow), OLDER, NEWER, PATHS)[0].commits == 3


def test_a_partial_clone_without_files_lists_all(linux: Path, tmp_path: Path) -> None:
    git(linux, "config", "uploadpack.allowFilter", "true")
    for kind in ("blob:none", "tree:0"):
        git(tmp_path, "clone", "-q", "--bare", f"--filter={kind}", f"file://{linux}", kind)
    assert list_commits(opened(tmp_path / "blob:none"), OLDER, NEWER, PATHS)[0].commits == 3
    with pytest.raises(ConfigError, match=r"(?s)partial clone and lacks.*fetch --refetch"):
        list_commits(opened(tmp_path / "tree:0"), OLDER, NEWER, PATHS)


def test_a_range_of_many_commits_takes_seconds(tmp_path: Path) -> None:
    tree = tmp_path / "linux"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main", ".")
    with subprocess.Popen(
        ["git", "-C", tree, "fast-import", "--quiet"], stdin=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"}
    ) as importing:
        assert importing.stdin is not None
        for number in range(10_000):
            name = "fs/btrfs/super.c" if number % 100 == 0 else f"drivers/{number % 50}/{number % 7}.c"
            subject = f"change {number}"
            importing.stdin.write(
                f"commit refs/heads/main\ncommitter A <a@b> {number} +0000\ndata {len(subject)}\n{subject}\n"
                f"M 100644 inline {name}\ndata {len(subject)}\n{subject}\n".encode()
            )
    git(tree, "tag", "v6.18", "main~9000")
    git(tree, "tag", "v7.2", "main")
    begun = time.monotonic()
    listing, commits = list_commits(opened(tree), "6.18-1", "7.2-1", ("fs/btrfs",))
    assert listing.commits == len(commits) == 90
    assert time.monotonic() - begun < 10
