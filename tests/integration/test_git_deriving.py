"""Real git repositories: revisions that nobody committed, and patch series."""

import re
from pathlib import Path

import pytest
from repositories import change, content, git, operation, patches

from harness.errors import ConfigError, DoesNotApplyError
from harness.git.repository import Repository

pytestmark = pytest.mark.integration


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


def test_titles_and_names_are_fit_to_be_shown(opened: Repository, tree: Path) -> None:
    git(tree, "checkout", "-qb", "rival\u202e", "v1")
    lines = (tree / "fs/file.c").read_text().splitlines(keepends=True)
    (tree / "fs/file.c").write_text("".join([*lines[:20], "another two\n", *lines[21:]]))
    git(tree, "commit", "-qam", "\x1b[2Jfs: rival\rof two")
    git(tree, "checkout", "-q", "main")
    with pytest.raises(DoesNotApplyError) as refused:
        opened.derive(opened.resolve("main"), [operation("pick", "rival\u202e")])
    assert r"\x1b[2Jfs: rival" in refused.value.message
    assert refused.value.message.isprintable()
    with pytest.raises(ConfigError) as unknown:
        opened.resolve("rivel\u202e")
    assert "rival" in unknown.value.remedy
    assert (unknown.value.message + unknown.value.remedy).isprintable()


# Series.


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
