"""Real git repositories: what is read of the user's, which stays as it is."""

import os
import subprocess
from pathlib import Path

import pytest
from repositories import change, git, operation, patches, state

from harness.errors import ConfigError, HostError
from harness.git.repository import Repository

pytestmark = pytest.mark.integration


def test_revisions_mean_what_they_mean_to_the_user(opened: Repository, tree: Path) -> None:
    assert opened.resolve(":/fs-two") == git(tree, "rev-parse", "side~1")
    for revision in (
        "HEAD",
        "@",
        "@~1",
        "@{0}",
        "main",
        "v1",
        "side~1",
        "HEAD@{0}",
        "main~1^2",
        git(tree, "rev-parse", "--short", "v1"),
    ):
        assert opened.resolve(revision) == git(tree, "rev-parse", f"{revision}^{{commit}}")


def test_a_linked_work_tree_has_its_own_head_and_the_same_repository(tree: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(tree, "worktree", "add", "-q", "--detach", linked, "v1")
    one, other = (Repository.open(place, tmp_path / "own") for place in (tree, linked))
    assert other.git_dir == one.git_dir
    assert other.resolve("HEAD") == one.resolve("v1") != one.resolve("HEAD")


def test_a_bare_repository_is_read_too(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", tree, "linux.git")
    bare = Repository.open(tmp_path / "linux.git", tmp_path / "own")
    assert bare.resolve("main") == git(tree, "rev-parse", "main")
    assert bare.dirty() is False
    bare.checkout(tmp_path / "work", bare.resolve("main"))
    assert (tmp_path / "work/Makefile").read_text().splitlines()[35] == "last"


def test_a_repository_that_borrows_its_objects_is_read_too(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--shared", tree, "one")
    git(tmp_path, "clone", "-q", "--shared", "one", "two")
    # By a relative path, as `git repack` and people make them.
    (tmp_path / "two/.git/objects/info/alternates").write_text("../../../one/.git/objects\n")
    two = Repository.open(tmp_path / "two", tmp_path / "own")
    assert len(two.commits(two.resolve("v1"), two.resolve("main"))) == 5


def test_an_unknown_revision_names_near_ones(opened: Repository) -> None:
    with pytest.raises(ConfigError, match=r"no revision `mian`\n.*main"):
        opened.resolve("mian")
    with pytest.raises(ConfigError, match="no revision `-n`"):
        opened.resolve("-n")
    with pytest.raises(ConfigError, match="no revision"):
        opened.resolve("1234567890123456789012345678901234567890")


def test_an_ambiguous_prefix_is_said_to_be_so(opened: Repository, tree: Path) -> None:
    starts: dict[str, str] = {}
    for number in range(4000):
        commit = git(tree, "commit-tree", "main^{tree}", "-m", str(number))
        if commit[:4] in starts:
            break
        starts[commit[:4]] = commit
    with pytest.raises(ConfigError, match="ambiguous"):
        opened.resolve(commit[:4])


@pytest.mark.parametrize("name", ["fs", "../plain", "missing", "Makefile", "x" * 5000, "x\0y"])
def test_what_is_no_repository_is_refused(tree: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(ConfigError, match=r"not a git repository|there is no folder|cannot look at"):
        Repository.open(tree / name, tmp_path / "own")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user_is_refused_until_it_is_called_safe(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in [tree, *tree.rglob("*")]:
        os.chown(path, 12345, 12345)
    config = tmp_path / "gitconfig"
    config.touch()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    with pytest.raises(ConfigError, match=r"belongs to another user\n.*safe.directory"):
        Repository.open(tree, tmp_path / "own")
    config.write_text(f"[safe]\n\tdirectory = {tree}\n")
    repository = Repository.open(tree, tmp_path / "own")
    repository.checkout(tmp_path / "work", repository.resolve("HEAD"))


def test_changes_that_are_not_committed_are_noticed(opened: Repository, tree: Path) -> None:
    assert opened.dirty() is False
    (tree / "untracked").touch()
    (tree / "Makefile").touch()
    assert opened.dirty() is False
    (tree / "Makefile").write_text("changed\n")
    assert opened.dirty() is True


def test_a_commit_has_its_names(opened: Repository) -> None:
    commit = opened.commit(opened.resolve("v1"))
    assert (commit.title, commit.author, commit.email) == ("fs/file.c: fs-one", "Ann Ö", "ann@example.org")
    assert commit.date == "2026-01-02T03:04:05+01:00"
    assert commit.parents == (opened.resolve("v1~1"),)
    assert opened.commit(opened.resolve("v1~1")).parents == ()


def test_a_commit_says_who_signed_it_and_whether_stable_kernels_take_it(opened: Repository, tree: Path) -> None:
    sha, made = "0123456789abcdef0123456789abcdef01234567", []
    for message in (
        "one\n\nSigned-off-by: A <a@b.c>\nCc: <stable@vger.kernel.org> # 6.1\nSigned-off-by: B, C\n <b@b.c>\n",
        f"two\n\ncommit {sha} upstream.\n\nText.\n\nSigned-off-by: A <a@b.c>\nSigned-off-by: A <a@b.c>\n",
        f"three\n\n[ Upstream commit {sha} ]\n\nText.\n",
        f"four\n\nIt is like commit {sha} upstream, and stable@vger.kernel.org.\n",
    ):
        git(tree, "commit", "-q", "--allow-empty", "-m", message)
        made.append(opened.resolve("HEAD"))
    listed = {commit.sha: commit for commit in opened.commits(opened.resolve("HEAD~4"), made[-1])}
    assert [listed[one].signers for one in made] == [("A <a@b.c>", "B, C <b@b.c>"), ("A <a@b.c>",), (), ()]
    assert [listed[one].stable for one in made] == [True, True, True, False]
    assert [opened.commit(one) for one in made] == [listed[one] for one in made]


# The range.


def test_a_range_has_all_commits_parents_first(opened: Repository) -> None:
    commits = opened.commits(opened.resolve("v1"), opened.resolve("main"))
    titles = [commit.title for commit in commits]
    assert sorted(titles) == sorted(
        ["fs/file.c: fs-two", "fs/file.c: fs-three", "Makefile: top", "Merge side", "Makefile: last"]
    )
    assert titles[-2:] == ["Merge side", "Makefile: last"]
    assert titles.index("fs/file.c: fs-two") < titles.index("fs/file.c: fs-three")


def test_paths_name_the_commits_that_touch_them(opened: Repository) -> None:
    ends = opened.resolve("v1"), opened.resolve("main")
    assert opened.touching(*ends, ["fs"]) == {opened.resolve("side"), opened.resolve("side~1")}
    assert opened.touching(*ends, ["Makefile"]) == {opened.resolve("main"), opened.resolve("main~2")}
    with pytest.raises(ConfigError, match=r"nothing between .* changes mm, drivers/nvme"):
        opened.touching(*ends, ["mm", "drivers/nvme"])
    with pytest.raises(ConfigError, match="outside"):
        opened.touching(*ends, ["../elsewhere"])
    assert opened.touching(*ends, ["./fs/", "fs/*.c"]) == opened.touching(*ends, ["fs"])


def test_what_is_changed_and_changed_back_touches(opened: Repository, tree: Path) -> None:
    git(tree, "checkout", "-qb", "back", "v1")
    there = change(tree, "fs/file.c", 9, "there")
    back = change(tree, "fs/file.c", 9, "line 10")
    git(tree, "checkout", "-q", "main")
    git(tree, "merge", "-q", "--no-ff", "-m", "Merge back", "back")
    found = opened.touching(opened.resolve("v1"), opened.resolve("main"), ["fs"])
    assert {there, back} < found


def test_a_merge_that_has_changes_of_its_own_touches(opened: Repository, tree: Path) -> None:
    git(tree, "checkout", "-qb", "evil", "v1")
    change(tree, "fs/file.c", 9, "there")
    git(tree, "checkout", "-q", "main")
    git(tree, "merge", "-q", "--no-ff", "--no-commit", "evil")
    (tree / "fs/file.c").write_text("neither\n")
    git(tree, "commit", "-qam", "Merge evil")
    evil = opened.resolve("main")
    assert evil in opened.touching(opened.resolve("v1"), evil, ["fs"])


@pytest.mark.parametrize(
    ("older", "newer", "message"),
    [
        ("main", "main", "nothing between"),
        ("main", "v1", "wrong way round"),
        ("v1", "stray", "unrelated"),
        ("main~2", "side", "parted at"),
    ],
)
def test_ends_that_make_no_range_are_refused(opened: Repository, older: str, newer: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened.commits(opened.resolve(older), opened.resolve(newer))


# Clones that lack something.


def test_a_shallow_clone_is_named_with_what_it_lacks(tree: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "3", f"file://{tree}", "shallow")
    shallow = Repository.open(tmp_path / "shallow", tmp_path / "own")
    head = shallow.resolve("HEAD")
    with pytest.raises(ConfigError, match=r"shallow clone.*fetch --unshallow"):
        shallow.resolve("v1")
    # Both sides of the merge are cut: nobody can say what they share.
    with pytest.raises(ConfigError, match=r"(?s)shallow clone, cut off.*--unshallow"):
        shallow.commits(shallow.resolve("HEAD~2"), head)
    with pytest.raises(ConfigError, match=r"(?s)shallow clone, cut off.*--unshallow"):
        shallow.derive(head, [operation("revert", "HEAD~2")])
    # What is there can be used.
    assert [commit.sha for commit in shallow.commits(shallow.resolve("HEAD~1"), head)] == [head]
    shallow.checkout(tmp_path / "work", head)
    git(tmp_path / "shallow", "fetch", "-q", "--unshallow")
    complete = Repository.open(tmp_path / "shallow", tmp_path / "own")
    assert len(complete.commits(complete.resolve("HEAD~3"), head)) == 5


def test_a_partial_clone_is_named_and_never_fetched_from(tree: Path, tmp_path: Path) -> None:
    git(tree, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{tree}", "partial")
    partial = Repository.open(tmp_path / "partial", tmp_path / "own")
    before = state(tmp_path / "partial")
    patches(tree, tmp_path / "series")
    older, newer = partial.resolve("v1"), partial.resolve("HEAD")
    # History needs no files.
    assert len(partial.commits(older, newer)) == 5
    assert len(partial.touching(older, newer, ["fs"])) == 2
    for attempt in (
        lambda: partial.checkout(tmp_path / "work", newer),
        lambda: partial.derive(newer, [operation("revert", "HEAD~1^2~1")]),
        lambda: partial.add_series(partial.resolve("HEAD~2"), tmp_path / "series"),
    ):
        with pytest.raises(ConfigError, match=r"(?s)partial clone and lacks.*fetch --refetch"):
            attempt()
    with pytest.raises(ConfigError, match="no revision"):
        partial.resolve("1234567890123456789012345678901234567890")
    assert state(tmp_path / "partial") == before
    # The remedy that is given helps.
    with pytest.raises(ConfigError) as refused:
        partial.checkout(tmp_path / "work", newer)
    subprocess.run(["sh", "-c", refused.value.remedy.split("itself: ")[1]], check=True, capture_output=True)
    Repository.open(tmp_path / "partial", tmp_path / "own").checkout(tmp_path / "work", newer)
    assert (tmp_path / "work/fs/file.c").read_text() == (tree / "fs/file.c").read_text()


# The user's repository stays as it is.


def test_nothing_of_the_user_changes(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = patches(tree, tmp_path / "series")
    for hook in ("post-checkout", "post-commit", "post-index-change", "reference-transaction"):
        (tree / ".git/hooks").mkdir(exist_ok=True)
        (tree / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-ran\n")
        (tree / ".git/hooks" / hook).chmod(0o755)
    git(tree, "config", "core.fsmonitor", f"touch {tmp_path}/hook-ran;")
    (tree / "Makefile").touch()
    before = state(tree)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tree / ".git/index"))
    config = tmp_path / "gitconfig"
    config.write_text("[core]\n\tautocrlf = true\n[merge]\n\trenames = false\n[commit]\n\tgpgSign = true\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    repository = Repository.open(tree, tmp_path / "own")
    older, newer = repository.resolve("v1"), repository.resolve("main")
    assert repository.dirty() is False
    repository.commits(older, newer)
    repository.touching(older, newer, ["fs"])
    repository.derive(repository.resolve("main~2"), [operation("merge", "side~1")])
    repository.derive(newer, [operation("revert", "side")])
    repository.checkout(tmp_path / "work", newer)
    repository.add_series(repository.resolve("main~2"), files[0].parent)
    assert state(tree) == before
    assert not (tmp_path / "hook-ran").exists()
    assert b"\r" not in (tmp_path / "work/Makefile").read_bytes()


def test_an_unwritable_folder_is_the_hosts_fault(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot open the lock file"):
        Repository.open(tree, tmp_path / "file/own")


# Programs that a repository's configuration can name, each for something that reading might do.
_PROGRAMS = (
    "core.alternateRefsCommand", "core.askPass", "core.editor", "core.fsmonitor", "core.gitProxy", "core.pager",
    "core.sshCommand", "credential.helper", "diff.evil.command", "diff.evil.textconv", "diff.external",
    "filter.evil.clean", "filter.evil.smudge", "filter.odd.na=me.process", "gpg.program", "gpg.ssh.program",
    "hook.evil.command", "merge.evil.driver", "remote.origin.uploadpack", "sequence.editor",
    "uploadpack.packObjectsHook",
)  # fmt: skip


@pytest.mark.parametrize("attributes", [".gitattributes", ".git/info/attributes"])
@pytest.mark.parametrize("broken", [False, True])
def test_reading_a_tree_runs_nothing_of_its_owner(tree: Path, tmp_path: Path, broken: bool, attributes: str) -> None:
    (tree / attributes).parent.mkdir(exist_ok=True)
    (tree / attributes).write_text("* filter=evil diff=evil merge=evil\nfs/* filter=odd.na=me\n")
    if attributes.startswith(".gitattributes"):
        git(tree, "add", attributes)
        git(tree, "commit", "-qm", "attributes")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n" + ("exit 1\n" if broken else "cat\n"))
    program.chmod(0o755)
    for key in _PROGRAMS:
        git(tree, "config", key, str(program))
    for key in ("filter.evil.required", "filter.odd.na=me.required", "log.showSignature", "commit.gpgSign"):
        git(tree, "config", key, "true")
    git(tree, "config", "hook.evil.event", "post-index-change")
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (tree / ".git/hooks").mkdir(exist_ok=True)
        (tree / ".git/hooks" / hook).write_bytes(program.read_bytes())
        (tree / ".git/hooks" / hook).chmod(0o755)
    # git cannot believe its index about these, and has to look.
    for name in ("Makefile", "fs/file.c"):
        os.utime(tree / name, (1, 1))
    before = state(tree)
    repository = Repository.open(tree, tmp_path / "own")
    assert repository.dirty() is False
    older, newer = repository.resolve("v1"), repository.resolve("main")
    repository.commits(older, newer)
    repository.subjects(older, newer, ["fs"])
    repository.touching(older, newer, ["fs"])
    repository.derive(newer, [operation("revert", "side")])
    repository.checkout(tmp_path / "work", newer)
    assert state(tree) == before
    (tree / "fs/file.c").write_text("changed\n")
    assert repository.dirty() is True
    assert not (tmp_path / "ran").exists()


def test_a_filter_that_cannot_be_named_is_refused_and_the_home_of_nobody_too(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot look at ~nobody-of-this-name"):
        Repository.open(Path("~nobody-of-this-name/linux"), tmp_path / "own")
    with (tree / ".git/config").open("ab") as config:
        config.write(b'[filter "\xff"]\n\tclean = false\n')
    with pytest.raises(ConfigError, match="no UTF-8"):
        Repository.open(tree, tmp_path / "own").dirty()
