"""ci/make_history.py on a source tree of a few lines: the files that its commits touch, as far as they touch them."""

import importlib.util
import io
import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from prebuilt import git

from harness.errors import ConfigError

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).parents[2] / "ci" / "make_history.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_history", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up.
    sys.modules["make_history"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_history"]


@pytest.fixture(scope="module")
def tarball(script, tmp_path_factory):
    """What the edits look for, unless an earlier one puts it there."""
    contents, later = {}, {}
    for change in script.load_changes(small=False):
        for edit in change.edits:
            if edit.old not in later.get(edit.file, b""):
                contents[edit.file] = contents.get(edit.file, b"") + edit.old + b"\n"
            later[edit.file] = later.get(edit.file, b"") + edit.new
    path = tmp_path_factory.mktemp("source") / "linux-source-7.2.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"linux-source-7.2/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, mode, kind, target in (
            ("scripts/run", 0o755, tarfile.REGTYPE, ""),
            ("scripts/link", 0o777, tarfile.SYMTYPE, "run"),
        ):
            member = tarfile.TarInfo(f"linux-source-7.2/{name}")
            member.mode, member.type, member.linkname = mode, kind, target
            archive.addfile(member)
    return path


@pytest.fixture(scope="module")
def made(script, tarball, tmp_path_factory):
    repository = tmp_path_factory.mktemp("history") / "linux"
    script.make(repository, tarball, version="7.2.13-1", small=False, checkout=True)
    return repository


def facts(repository):
    return json.loads((repository / ".git" / "kab-history.json").read_text())


def test_every_kind_of_commit_is_there_in_its_place(made):
    known = facts(made)
    commits = known["commits"]
    assert len(commits) >= 64
    kinds = Counter(commit["kind"] for commit in commits)
    assert all(kinds[kind] == 1 for kind in ("removes", "restores", "merge", "breaks-build", "breaks-boot"))
    order = [commit["sha"] for commit in commits]
    share = [order.index(known[edge]) / len(order) for edge in ("removes", "restores")]
    assert share == pytest.approx([0.4, 0.75], abs=0.05)
    assert git(made, "rev-list", "--count", "v7.2-test..main") == str(len(commits))
    assert git(made, "rev-parse", "main") == known["tip"]
    assert git(made, "rev-parse", "v7.2-test^{commit}") == known["base"]
    assert git(made, "status", "--porcelain") == ""
    assert git(made, "ls-tree", "main", "scripts/").split()[::4] == ["120000", "100755"]


def test_the_side_branch_does_not_know_the_loss(made):
    known = facts(made)
    merge = next(commit["sha"] for commit in known["commits"] if commit["kind"] == "merge")
    side = [commit["sha"] for commit in known["commits"] if commit["branch"] == "side"]
    assert git(made, "rev-list", "--reverse", f"{merge}^1..{merge}^2").split() == side
    assert git(made, "merge-base", "--all", f"{merge}^1", f"{merge}^2") != known["removes"]
    assert "SB_NOSEC" in git(made, "show", f"{merge}^2:fs/btrfs/super.c")
    assert "SB_NOSEC" not in git(made, "show", f"{merge}:fs/btrfs/super.c")
    # Nothing is lost or invented by the merge.
    assert git(made, "diff", f"{merge}^1", merge) == git(made, "diff", f"{merge}^2~{len(side)}", f"{merge}^2")


def test_comments_keep_the_number_of_lines(made):
    for commit in facts(made)["commits"]:
        if commit["kind"] == "comment":
            added, removed, _file = git(made, "show", "--numstat", "--format=", commit["sha"]).split()
            assert added == removed


def test_it_repeats(script, tarball, made, tmp_path):
    script.make(tmp_path / "again", tarball, version="7.2.13-1", small=False, checkout=False)
    assert facts(tmp_path / "again") == facts(made)


def test_the_small_history_has_all_kinds_too(script, tarball, made, tmp_path):
    script.make(tmp_path / "small", tarball, version="7.2.13-1", small=True, checkout=False)
    small = facts(tmp_path / "small")["commits"]
    assert len(small) < len(facts(made)["commits"]) / 2
    assert {commit["kind"] for commit in small} == {commit["kind"] for commit in facts(made)["commits"]}


def test_patches_give_the_same_tree(script, made, tmp_path):
    script.write_patches(made, tmp_path / "patches")
    patches = sorted(str(path) for path in (tmp_path / "patches").iterdir())
    git(tmp_path, "clone", "--quiet", "--no-checkout", str(made), "clone")
    git(tmp_path / "clone", "switch", "--quiet", "--detach", "v7.2-test")
    git(tmp_path / "clone", "am", "--quiet", *patches)
    assert git(tmp_path / "clone", "rev-parse", "HEAD^{tree}") == git(made, "rev-parse", "main^{tree}")


def test_a_source_that_the_changes_do_not_fit_leaves_nothing(script, tmp_path):
    with tarfile.open(tmp_path / "other.tar.xz", "w:xz") as archive:
        member = tarfile.TarInfo("linux-source-7.2/Makefile")
        archive.addfile(member)
    with pytest.raises(ConfigError, match="does not fit"):
        script.make(tmp_path / "made", tmp_path / "other.tar.xz", version="1", small=True, checkout=False)
    assert [path.name for path in tmp_path.iterdir()] == ["other.tar.xz"]


def test_what_is_there_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("mine\n")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--package", tmp_path / "mine", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 129
    assert "is there already" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
