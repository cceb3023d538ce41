"""A real git repository with a side branch, a merge and a stray history, and ways to change and look at it."""

import hashlib
import os
import subprocess
from pathlib import Path

from harness.git.repository import Repository
from harness.model.source import Operation, OperationKind

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


def make_tree(tree: Path) -> None:
    """main: base, fs-one, top, merge(side: fs-two, fs-three), last; stray: unrelated; tag v1 is fs-one."""
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


def patches(tree: Path, target: Path, *options: str) -> list[Path]:
    git(tree, "format-patch", "-q", "--cover-letter", "-o", target, *options, "v1..side")
    return sorted(path for path in target.iterdir() if not path.name.startswith("0000"))


def commit_file(tree: Path, name: str, subject: str) -> str:
    """Commit one more line of the file `name`, made where missing; the commit."""
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{subject}\n")
    git(tree, "add", name)
    git(tree, "commit", "-qm", subject)
    return git(tree, "rev-parse", "HEAD")


RESTORED = "btrfs: set SB_NOSEC again, for direct writes without the exclusive lock"
BACKPORTED = "btrfs: fix a lock in direct writes"


def make_linux(tree: Path) -> dict[str, str]:
    """A small Linux with tags: v6.18 and v7.2 on main, v6.18.15 and v7.2.6 on branches of their own.

    Between v6.18 and v7.2 are RESTORED (by a merge), BACKPORTED (v6.18.15 has it, too), and commits elsewhere. Returns
    hashes by subject, of main where there are several.
    """
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main", ".")
    made: dict[str, str] = {}

    def commit(name: str, subject: str) -> None:
        made.setdefault(subject, commit_file(tree, name, subject))

    commit("Makefile", "Linux 6.18")
    commit("fs/btrfs/super.c", "btrfs: begin")
    git(tree, "tag", "v6.18")
    git(tree, "checkout", "-qb", "topic")
    commit("fs/btrfs/super.c", RESTORED)
    git(tree, "checkout", "-q", "main")
    commit("fs/btrfs/file.c", BACKPORTED)
    commit("drivers/net/wifi.c", "wifi: take a lock")
    git(tree, "merge", "-q", "--no-ff", "-m", "Merge btrfs: direct writes", "topic")
    commit("mm/filemap.c", "mm/filemap: tidy up")
    commit("Makefile", "Linux 7.2")
    git(tree, "tag", "-am", "Linux 7.2", "v7.2")
    git(tree, "checkout", "-qb", "linux-6.18.y", "v6.18")
    commit("Makefile", "Linux 6.18.1")
    commit("fs/btrfs/file.c", BACKPORTED)
    commit("fs/btrfs/inode.c", "btrfs: a change that only 6.18 took")
    git(tree, "tag", "v6.18.15")
    git(tree, "checkout", "-qb", "linux-7.2.y", "v7.2")
    commit("fs/btrfs/inode.c", "btrfs: a stable update")
    git(tree, "tag", "v7.2.6")
    git(tree, "checkout", "-q", "main")
    return made
