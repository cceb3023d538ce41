"""Real git repositories: what is read of the user's, and what is made beside it."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import ConfigError, DoesNotApplyError, HostError
from harness.git.repository import Repository
from harness.model.source import Operation, OperationKind

pytestmark = pytest.mark.integration

LINES = [f"line {number}\n" for number in range(1, 41)]


def git(tree: Path, *words: str | Path, check: bool = True) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for who in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{who}_NAME": "Ann Ö", f"GIT_{who}_EMAIL": "ann@example.org"}
        env[f"GIT_{who}_DATE"] = "2026-01-02T03:04:05+01:00"
    done = subprocess.run(["git", "-C", tree, *words], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def change(tree: Path, name: str, line: int, text: str) -> str:
    """Commit one changed line; the commit."""
    lines = (tree / name).read_text().splitlines(keepends=True)
    lines[line] = f"{text}\n"
    (tree / name).write_text("".join(lines))
    git(tree, "commit", "-qam", f"{name}: {text}")
    return git(tree, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """main: base, fs-one, top, merge(side: fs-two, fs-three), last; stray: unrelated; tag v1 is fs-one."""
    tree = tmp_path / "linux"
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main", ".")
    (tree / "fs").mkdir()
    (tree / "fs/file.c").write_text("".join(LINES))
    (tree / "Makefile").write_text("".join(LINES))
    (tree / "odd\nname").write_text("x\n")
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "base")
    change(tree, "fs/file.c", 1, "fs-one")
    git(tree, "tag", "v1")
    git(tree, "checkout", "-qb", "side")
    change(tree, "fs/file.c", 20, "fs-two")
    change(tree, "fs/file.c", 30, "fs-three")
    git(tree, "checkout", "-q", "main")
    change(tree, "Makefile", 1, "top")
    git(tree, "merge", "-q", "--no-ff", "-m", "Merge side", "side")
    change(tree, "Makefile", 35, "last")
    git(tree, "checkout", "-q", "--orphan", "stray")
    git(tree, "commit", "-qm", "stray")
    git(tree, "checkout", "-q", "main")
    return tree


@pytest.fixture
def opened(tree: Path, tmp_path: Path) -> Repository:
    return Repository.open(tree, tmp_path / "own")


def state(folder: Path) -> dict[str, str]:
    """Every file below `folder`: its content, and its time unless it is one of git's objects.

    Git sets the time of an object that it would have written too.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        + ("" if "objects" in path.parts else f" {path.stat().st_mtime_ns}")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def operation(kind: str, revision: str) -> Operation:
    return Operation(kind=OperationKind(kind), revision=revision)


def content(repository: Repository, sha: str, name: str) -> list[str]:
    return git(repository.git_dir, "show", f"{sha}:{name}").splitlines()


# Reading.


def test_revisions_mean_what_they_mean_to_the_user(opened: Repository, tree: Path) -> None:
    for revision in ("HEAD", "main", "v1", "side~1", "HEAD@{0}", "main~1^2", git(tree, "rev-parse", "--short", "v1")):
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


@pytest.mark.parametrize("name", ["fs", "../plain", "missing", "Makefile"])
def test_what_is_no_repository_is_refused(tree: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(ConfigError, match=r"not a git repository|there is no folder"):
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
    assert shallow.shallow()
    head = shallow.resolve("HEAD")
    with pytest.raises(ConfigError, match=r"shallow clone.*fetch --unshallow"):
        shallow.resolve("v1")
    # Both sides of the merge are cut: nobody can say what they share.
    with pytest.raises(ConfigError, match=r"(?s)shallow clone, cut off.*--unshallow"):
        shallow.commits(shallow.resolve("HEAD~2"), head)
    with pytest.raises(ConfigError, match=r"(?s)shallow clone, cut off.*--unshallow"):
        shallow.derive(head, [operation("revert", next(iter(shallow.shallow())))])
    # What is there can be used.
    assert [commit.sha for commit in shallow.commits(shallow.resolve("HEAD~1"), head)] == [head]
    shallow.checkout(tmp_path / "work", head)
    git(tmp_path / "shallow", "fetch", "-q", "--unshallow")
    complete = Repository.open(tmp_path / "shallow", tmp_path / "own")
    assert not complete.shallow()
    assert len(complete.commits(complete.resolve("HEAD~3"), head)) == 5


def test_a_partial_clone_is_named_and_never_fetched_from(tree: Path, tmp_path: Path) -> None:
    git(tree, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{tree}", "partial")
    partial = Repository.open(tmp_path / "partial", tmp_path / "own")
    before = state(tmp_path / "partial")
    patches(tree, tmp_path / "series")
    assert partial.partial()
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


# Derived revisions.


def test_a_merge_has_both_sides_and_always_the_same_hash(tree: Path, tmp_path: Path) -> None:
    one, other = (Repository.open(tree, tmp_path / name) for name in ("own", "other"))
    merged = [
        repository.derive(repository.resolve("main~2"), [operation("merge", "side~1")]) for repository in (one, other)
    ]
    assert merged[0] == merged[1]
    commit = one.commit(merged[0])
    assert commit.parents == (one.resolve("main~2"), one.resolve("side~1"))
    lines = content(one, merged[0], "fs/file.c")
    assert (lines[20], lines[30]) == ("fs-two", "line 31")
    assert content(one, merged[0], "Makefile")[1] == "top"
    # Derived commits are revisions like others.
    assert one.resolve(merged[0][:12]) == merged[0]


def test_the_last_place_of_a_side_has_the_tree_of_the_merge(opened: Repository) -> None:
    merged = opened.derive(opened.resolve("main~2"), [operation("merge", "side")])
    assert opened.commit(merged).tree == opened.commit(opened.resolve("main~1")).tree


def test_what_is_contained_already_changes_nothing(opened: Repository) -> None:
    main = opened.resolve("main")
    assert opened.derive(main, [operation("merge", "side")]) == main
    assert opened.derive(main, [operation("pick", "side")]) == main
    assert opened.derive(opened.resolve("v1"), [operation("merge", "side")]) == opened.resolve("side")


def test_picks_and_reverts_change_one_thing(opened: Repository, tree: Path) -> None:
    # Lines around have moved since: a patch without context to merge by would miss.
    (tree / "fs/file.c").write_text("above\n" * 9 + (tree / "fs/file.c").read_text())
    git(tree, "commit", "-qam", "moved")
    main = opened.resolve("main")
    reverted = opened.derive(main, [operation("revert", "side~1")])
    assert content(opened, reverted, "fs/file.c")[29] == "line 21"
    assert content(opened, reverted, "fs/file.c")[39] == "fs-three"
    assert opened.derive(reverted, [operation("pick", "side~1")]) != main
    assert opened.commit(opened.derive(reverted, [operation("pick", "side~1")])).tree == opened.commit(main).tree
    both = opened.derive(main, [operation("revert", "side~1"), operation("revert", "side")])
    assert content(opened, both, "fs/file.c")[39] == "line 31"
    # A merge is taken out against its first parent.
    assert opened.commit(opened.derive(opened.resolve("main~1"), [operation("revert", "main~1")])).tree == (
        opened.commit(opened.resolve("main~2")).tree
    )
    # A root adds all its files.
    with pytest.raises(DoesNotApplyError):
        opened.derive(main, [operation("pick", "v1~1")])


def test_a_conflict_names_the_files(opened: Repository, tree: Path) -> None:
    git(tree, "checkout", "-qb", "rival", "v1")
    change(tree, "fs/file.c", 20, "another two")
    git(tree, "checkout", "-q", "main")
    for kind in ("merge", "pick"):
        with pytest.raises(DoesNotApplyError, match=r"conflicts in fs/file\.c"):
            opened.derive(opened.resolve("main"), [operation(kind, "rival")])
    change(tree, "fs/file.c", 20, "three")
    with pytest.raises(DoesNotApplyError, match=r"reverting .*fs-two.* conflicts in fs/file\.c"):
        opened.derive(opened.resolve("main"), [operation("revert", "side~1")])


# Work trees.


def test_a_checkout_writes_only_what_differs(opened: Repository, tmp_path: Path) -> None:
    work = tmp_path / "deep/er/work"
    opened.checkout(work, opened.resolve("side"))
    before = state(work)
    (work / "build.o").touch()
    opened.checkout(work, opened.resolve("side~1"))
    changed = {name for name, what in state(work).items() if before.get(name) != what}
    assert changed == {"fs/file.c", "build.o"}
    assert git(work, "rev-parse", "HEAD") == opened.resolve("side~1")
    assert git(work, "status", "--porcelain") == "?? build.o"
    same = state(work)
    opened.checkout(work, opened.resolve("side~1"))
    assert state(work) == same


def test_a_checkout_mends_what_was_edited_or_deleted(opened: Repository, tmp_path: Path) -> None:
    work = tmp_path / "work"
    sha = opened.resolve("main")
    opened.checkout(work, sha)
    (work / "Makefile").write_text("edited")
    (work / "fs/file.c").unlink()
    (work / "fs").rmdir()
    opened.checkout(work, sha)
    assert git(work, "status", "--porcelain") == ""


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "index cut off": lambda work, admin: (admin / "index").write_bytes(b"DIRC"),
    "index cut": lambda work, admin: (admin / "index").write_bytes((admin / "index").read_bytes()[:-40]),
    "index lost": lambda work, admin: (admin / "index").unlink(),
    "index locked": lambda work, admin: (admin / "index.lock").touch(),
    "HEAD locked": lambda work, admin: (admin / "HEAD.lock").touch(),
    "HEAD lost": lambda work, admin: (admin / "HEAD").unlink(),
    "work tree lost": lambda work, admin: shutil.rmtree(work),
    "work tree emptied": lambda work, admin: (shutil.rmtree(work), work.mkdir()),
    "registration lost": lambda work, admin: shutil.rmtree(admin),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_work_tree_is_mended(opened: Repository, tmp_path: Path, damage: str) -> None:
    work = tmp_path / "work"
    opened.checkout(work, opened.resolve("v1"))
    DAMAGES[damage](work, Path((work / ".git").read_text().removeprefix("gitdir: ").strip()))
    opened.checkout(work, opened.resolve("main"))
    assert git(work, "status", "--porcelain") == ""
    assert git(work, "rev-parse", "HEAD") == opened.resolve("main")


def test_a_folder_of_somebody_else_is_not_touched(opened: Repository, tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "precious"
    other.mkdir()
    (other / "letter").write_text("dear")
    linked = tmp_path / "linked"
    git(tree, "worktree", "add", "-q", "--detach", linked, "v1")
    for folder in (other, linked, tree):
        before = state(folder)
        with pytest.raises(ConfigError, match="in the way"):
            opened.checkout(folder, opened.resolve("main"))
        assert state(folder) == before


def test_a_work_tree_outlives_the_loss_of_our_repository(opened: Repository, tree: Path, tmp_path: Path) -> None:
    opened.checkout(tmp_path / "work", opened.resolve("v1"))
    subprocess.run(["rm", "-r", opened.git_dir], check=True)
    again = Repository.open(tree, tmp_path / "own")
    again.checkout(tmp_path / "work", again.resolve("main"))
    assert git(tmp_path / "work", "status", "--porcelain") == ""


CHECK_OUT = """
import sys
from pathlib import Path
from harness.git.repository import Repository
tree, own, work, revision = sys.argv[1:]
repository = Repository.open(Path(tree), Path(own))
sha = repository.resolve(revision)
print("ready", flush=True)
repository.checkout(Path(work), sha)
"""


def test_a_killed_checkout_leaves_nothing_behind(tree: Path, tmp_path: Path) -> None:
    folder = tree / "many"
    folder.mkdir()
    for number in range(4000):
        (folder / f"{number}.c").write_text(f"{number}\n" * 500)
    git(tree, "add", ".")
    git(tree, "commit", "-qm", "many")
    repository = Repository.open(tree, tmp_path / "own")
    work = tmp_path / "work"
    half_done = 0
    for delay_s in (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3):
        repository.checkout(work, repository.resolve("v1"))
        words = [sys.executable, "-c", CHECK_OUT, tree, tmp_path / "own", work, "main"]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay_s)
            process.kill()
        half_done += 0 < len(list((work / "many").glob("*.c"))) < 4000
        repository.checkout(work, repository.resolve("v1"))
        # The git that it had started died with it.
        time.sleep(0.1)
        assert git(work, "status", "--porcelain", "--ignored") == ""
        assert not (work / "many").exists()
    assert half_done, "no checkout was caught in the middle"


def test_a_killed_creation_of_our_repository_is_made_good(tree: Path, tmp_path: Path) -> None:
    name = Repository.open(tree, tmp_path / "own").git_dir.name
    subprocess.run(["rm", "-r", tmp_path / "own" / name], check=True)
    (tmp_path / "own" / f".{name}.abcd.tmp").mkdir()
    (tmp_path / "own" / name / "objects").mkdir(parents=True)
    repository = Repository.open(tree, tmp_path / "own")
    assert repository.commits(repository.resolve("v1"), repository.resolve("main"))
    assert {path.name for path in (tmp_path / "own").iterdir()} == {name, f"{name}.lock"}


# Series.


def patches(tree: Path, target: Path, *options: str) -> list[Path]:
    git(tree, "format-patch", "-q", "--cover-letter", "-o", target, *options, "v1..side")
    return sorted(path for path in target.iterdir() if not path.name.startswith("0000"))


def test_a_folder_of_mails_becomes_their_commits(opened: Repository, tree: Path, tmp_path: Path) -> None:
    patches(tree, tmp_path / "series")
    base = opened.resolve("main~2")
    commits = opened.add_series(base, tmp_path / "series")
    assert commits == opened.add_series(base, tmp_path / "series")
    read = [opened.commit(sha) for sha in commits]
    assert [commit.title for commit in read] == ["fs/file.c: fs-two", "fs/file.c: fs-three"]
    assert [commit.author for commit in read] == ["Ann Ö", "Ann Ö"]
    assert read[0].parents == (base,)
    assert read[1].parents == (read[0].sha,)
    assert [commit.sha for commit in opened.commits(base, commits[-1])] == list(commits)
    merged = opened.derive(base, [operation("merge", "side")])
    assert read[1].tree == opened.commit(merged).tree


def test_a_mailbox_becomes_the_same_commits(opened: Repository, tree: Path, tmp_path: Path) -> None:
    files = patches(tree, tmp_path / "series")
    base = opened.resolve("main~2")
    answer = b"From nobody Thu Jan  1 00:00:00 1970\nFrom: B <b@c>\nSubject: Re: x\n\n> diff --git a/x b/x\nNak.\n\n"
    mails = [(tmp_path / "series/0000-cover-letter.patch").read_bytes(), files[0].read_bytes(), answer]
    (tmp_path / "thread.mbox").write_bytes(b"".join([*mails, files[1].read_bytes()]))
    assert opened.add_series(base, tmp_path / "thread.mbox") == opened.add_series(base, tmp_path / "series")


def test_a_quilt_folder_is_applied_in_its_own_order(opened: Repository, tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / "z.patch").write_text(git(tree, "diff", "v1", "side~1") + "\n")
    (folder / "a.diff").write_text(git(tree, "diff", "--no-prefix", "side~1", "side") + "\n")
    (folder / "series").write_text("# ours\n\nz.patch  # first\na.diff -p0\n#dropped.patch\n")
    commits = [opened.commit(sha) for sha in opened.add_series(opened.resolve("v1"), folder)]
    assert [commit.title for commit in commits] == ["z.patch", "a.diff"]
    assert commits[-1].tree == opened.commit(opened.resolve("side")).tree
    (folder / "series").write_text("lost.patch\n")
    with pytest.raises(ConfigError, match=r"lost\.patch, which is not there"):
        opened.add_series(opened.resolve("v1"), folder)
    (folder / "series").write_text("z.patch -R\n")
    with pytest.raises(ConfigError, match="cannot use the option `-R`"):
        opened.add_series(opened.resolve("v1"), folder)


@pytest.mark.parametrize("with_blobs", [True, False])
def test_a_patch_that_does_not_apply_names_itself_and_its_files(
    opened: Repository, tree: Path, tmp_path: Path, with_blobs: bool
) -> None:
    git(tree, "checkout", "-qb", "rival", "v1")
    change(tree, "fs/file.c", 30, "another three")
    for path in patches(tree, tmp_path / "series"):
        if not with_blobs:
            path.write_text(re.sub(r"\nindex .*", "", path.read_text()))
    with pytest.raises(DoesNotApplyError, match=r"the patch 0002-.*-three\.patch .*: conflict in fs/file\.c\n"):
        opened.add_series(opened.resolve("rival"), tmp_path / "series")


def test_patches_for_files_that_are_not_there_are_refused(opened: Repository, tmp_path: Path) -> None:
    (tmp_path / "x.patch").write_text("--- a/mm/none.c\n+++ b/mm/none.c\n@@ -1 +1 @@\n-a\n+b\n")
    with pytest.raises(DoesNotApplyError, match=r"x\.patch does not apply.*mm/none\.c"):
        opened.add_series(opened.resolve("main"), tmp_path / "x.patch")


def test_what_holds_no_patches_is_refused(opened: Repository, tmp_path: Path) -> None:
    base = opened.resolve("main")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.patch").write_text("--- a/Makefile\n+++ b/Makefile\n@@ -1,9 +1,9 @@\n line 1\n-top\n")
    (tmp_path / "note.patch").write_text("hello\n")
    for name, message in (
        ("empty", "holds no patches"), ("none", "there is no"), ("cut.patch", "damaged"), ("note.patch", "no patch")
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            opened.add_series(base, tmp_path / name)


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
    repository.add_series(repository.resolve("main~2"), files[0])
    assert state(tree) == before
    assert not (tmp_path / "hook-ran").exists()
    assert b"\r" not in (tmp_path / "work/Makefile").read_bytes()


def test_an_unwritable_folder_is_the_hosts_fault(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="cannot open the lock file"):
        Repository.open(tree, tmp_path / "file/own")
