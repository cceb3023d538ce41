"""Real builds of a real kernel: what is made anew, what is one kernel, and what a killed build leaves.

``KAB_TEST_LINUX=TREE@REVISION pytest -m kernelbuild`` (a git repository of Linux, only read). Builds in the
build folder of the user's cache, so that a second run has a warm object tree.
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.errors import BuildError, NoKernelError
from harness.git.repository import Repository
from harness.host.leases import reclaim
from harness.host.paths import Paths, default_paths
from harness.kbuild.builder import Builder
from harness.model.source import BuildSettings

pytestmark = [pytest.mark.kernelbuild, pytest.mark.timeout(7200)]

_SUPER = "fs/btrfs/super.c"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The user's cache, for its objects; leases of our own."""
    return Paths(cache=default_paths().cache, state=tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def base(paths: Paths) -> tuple[Path, str]:
    """The tree, and the commit to begin with."""
    named = os.environ.get("KAB_TEST_LINUX", "")
    if "@" not in named:
        pytest.skip("KAB_TEST_LINUX=TREE@REVISION names no tree")
    tree, _, revision = named.rpartition("@")
    return Path(tree), Repository.open(Path(tree), paths.git).resolve(revision)


def changed(paths: Paths, base: tuple[Path, str], name: str, old: str, new: str) -> str:
    """A commit in kab's own repository: `base` with a file's first `old` replaced by `new`."""
    tree, sha = base
    repository = Repository.open(tree, paths.git)
    text = repository.text(sha, name)
    assert text is not None
    assert old in text
    # Any bytes that differ are another tree.
    git = ["git", f"--git-dir={repository.git_dir}"]
    index = paths.state / f"index-{random.getrandbits(64):x}"
    env = {**os.environ, "GIT_INDEX_FILE": str(index)} | {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "A"), ("EMAIL", "a@example.org"), ("DATE", "1700000000 +0000"))
    }

    def run(*words: str, stdin: str = "") -> str:
        done = subprocess.run([*git, *words], input=stdin, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("read-tree", sha)
    blob = run("hash-object", "-w", "--stdin", stdin=text.replace(old, new, 1))
    run("update-index", "--cacheinfo", f"100644,{blob},{name}")
    return run("commit-tree", run("write-tree"), "-p", sha, "-m", f"test: change {name}")


def build(paths: Paths, base: tuple[Path, str], sha: str, *fragments: Path) -> str:
    """Build `sha`, known or not; the image's hash."""
    since = time.monotonic()
    builder = Builder(paths)
    repository = Repository.open(base[0], paths.git)
    request = builder.request(repository, repository.commit(sha), BuildSettings(fragments=fragments))
    with builder.build(repository, request) as built:
        digest = hashlib.sha256((built.objects / "arch/x86/boot/bzImage").read_bytes()).hexdigest()
        assert not built.has_modules
    print(f"{sha[:12]}: {time.monotonic() - since:.1f} s, load {os.getloadavg()[0]:.1f}, {digest[:12]}")
    return digest


def test_one_file_and_back(paths, base):
    first = build(paths, base, base[1])
    sha = changed(paths, base, _SUPER, '"skip_balance"', f'"skip_balance{random.getrandbits(32):x}"')
    assert build(paths, base, sha) != first
    assert build(paths, base, base[1]) == first


def test_comments_are_no_change(paths, base):
    """Inside a line; and a line more, which moves all line numbers below it."""
    first = build(paths, base, base[1])
    same_line = changed(paths, base, _SUPER, "GPL-2.0", f"GPL-2.0 /* {random.getrandbits(32):x} */")
    assert build(paths, base, same_line) == first
    more = build(paths, base, changed(paths, base, _SUPER, "\n#include", "\n/* one line more */\n#include"))
    print("a comment that adds a line:", "the same image" if more == first else "another image")


def test_a_file_that_does_not_compile(paths, base):
    sha = changed(paths, base, _SUPER, "\n#include", "\nint kab_test = ;\n#include")
    with pytest.raises(BuildError) as caught:
        build(paths, base, sha)
    assert "fs/btrfs/super.c" in caught.value.message
    assert "error: expected expression before" in caught.value.message
    assert "CC " in caught.value.log
    build(paths, base, base[1])


def test_an_option_that_cannot_be(paths, base, tmp_path):
    fragment = tmp_path / "lost.config"
    fragment.write_text("CONFIG_NFSD_V4=y\nCONFIG_NO_SUCH_OPTION=y\n")
    with pytest.raises(NoKernelError) as caught:
        build(paths, base, base[1], fragment)
    assert "CONFIG_NFSD_V4=y" in caught.value.message
    assert "it depends on" in caught.value.message
    assert "this version has no such option" in caught.value.message


def test_kills_in_mid_build(paths, base):
    """What is built after a kill -9 of everything is, bit by bit, what an undisturbed build makes."""
    texts = [f'"skip_balance{random.getrandbits(32):x}"' for _ in range(4)]
    shas = [changed(paths, base, _SUPER, '"skip_balance"', text) for text in texts]
    disturbed = {}
    for number, sha in enumerate(shas):
        words = [sys.executable, __file__, paths.cache, paths.state, base[0], sha]
        owner = subprocess.Popen(words, cwd=Path(__file__).parents[2])
        time.sleep(3 + number)
        assert owner.poll() is None, "too late to kill it"
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        reclaim(paths)
        disturbed[sha] = build(paths, base, sha)
    # Another kernel between, so that each is made again.
    build(paths, base, base[1])
    for sha in shas:
        assert build(paths, base, sha) == disturbed[sha]


if __name__ == "__main__":
    cache, state, tree, revision = sys.argv[1:]
    build(Paths(cache=Path(cache), state=Path(state)), (Path(tree), ""), revision)
