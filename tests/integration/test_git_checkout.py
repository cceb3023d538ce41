"""Real git repositories: work trees of our own, whatever happens to them."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from repositories import git, state

from harness.errors import ConfigError
from harness.git.repository import Repository

pytestmark = pytest.mark.integration


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
