"""Real builds of a real kernel: what is made anew, what is one kernel, and what a killed build leaves.

``KAB_TEST_LINUX=TREE@REVISION pytest -m kernelbuild`` (a git repository of Linux; nothing is written to it). Builds in
kab's own cache, so that a second run has a warm object tree.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import BuildError, ConfigError
from harness.git.repository import Repository
from harness.host.leases import reclaim
from harness.host.paths import Paths, default_paths
from harness.kernels.library import KernelLibrary
from harness.model.kernel import Kernel

pytestmark = [pytest.mark.kernelbuild, pytest.mark.timeout(7200)]

_SUPER = "fs/btrfs/super.c"


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Kernels of their own, so that all is built; repositories, objects and ccache of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    shared = default_paths()
    for name in ("git", "builds", "ccache"):
        (shared.cache / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(shared.cache / name)
    return Paths(cache=folder, state=folder / "state")


@pytest.fixture(scope="module")
def base(paths: Paths) -> tuple[Path, str]:
    """The tree, and the commit to begin with."""
    named = os.environ.get("KAB_TEST_LINUX", "")
    if "@" not in named:
        pytest.skip("KAB_TEST_LINUX=TREE@REVISION names no tree")
    tree, _, revision = named.rpartition("@")
    return Path(tree), Repository.open(Path(tree), paths.git).resolve(revision)


@pytest.fixture
def library(paths: Paths) -> Iterator[KernelLibrary]:
    with KernelLibrary(paths) as opened:
        yield opened


def changed(paths: Paths, base: tuple[Path, str], name: str, old: str, new: str) -> str:
    """A commit in kab's own repository: `base` with a file's first `old` replaced by `new`."""
    tree, sha = base
    repository = Repository.open(tree, paths.git)
    text = repository.text(sha, name)
    assert text is not None
    assert old in text
    # Any bytes that differ are another tree.
    git = ["git", f"--git-dir={repository.git_dir}"]
    index = paths.cache / f"index-{random.getrandbits(64):x}"
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


def resolve(library: KernelLibrary, base: tuple[Path, str], sha: str, options: str = "") -> tuple[Kernel, float]:
    since = time.monotonic()
    kernel = library.resolve(f"git:{base[0]}@{sha}{options}")
    taken_s = time.monotonic() - since
    print(f"{sha[:12]}{options}: {taken_s:.1f} s, load {os.getloadavg()[0]:.1f}, {kernel.digest[:12]}")
    return kernel, taken_s


def test_one_file_then_nothing(library, paths, base):
    first, _ = resolve(library, base, base[1])
    assert first.release.endswith("-kab")
    assert first.modules is None
    assert first.vmlinux is not None
    said = f"kab-test-{random.getrandbits(32):x}"
    sha = changed(paths, base, _SUPER, '"using free-space-tree"', f'"using free-space-tree {said}"')
    second, _ = resolve(library, base, sha)
    assert second.digest != first.digest
    assert second.release == first.release
    # A commit with a known tree is that kernel, and costs nothing.
    again, taken_s = resolve(library, base, sha)
    assert again.digest == second.digest
    assert taken_s < 5


def test_comments_are_no_change(library, paths, base):
    """Inside a line; and a line more, which moves all line numbers below it."""
    first, _ = resolve(library, base, base[1])
    same_line = changed(paths, base, _SUPER, "GPL-2.0", f"GPL-2.0 /* {random.getrandbits(32):x} */")
    kernel, _ = resolve(library, base, same_line)
    assert kernel.digest == first.digest
    more = changed(paths, base, _SUPER, "\n#include", f"\n/* {random.getrandbits(32):x} */\n#include")
    kernel, _ = resolve(library, base, more)
    print("a comment that adds a line:", "the same image" if kernel.digest == first.digest else "another image")


def test_a_file_that_does_not_compile(library, paths, base):
    sha = changed(paths, base, _SUPER, "\n#include", "\nint kab_test = ;\n#include")
    with pytest.raises(BuildError) as caught:
        resolve(library, base, sha)
    assert "fs/btrfs/super.c" in caught.value.message
    assert "error: expected expression before" in caught.value.message
    assert "CC " in caught.value.log
    resolve(library, base, base[1])


def test_an_option_that_cannot_be(library, base, tmp_path):
    fragment = tmp_path / "lost.config"
    fragment.write_text("CONFIG_NFSD_V4=y\nCONFIG_NO_SUCH_OPTION=y\n")
    with pytest.raises(ConfigError) as caught:
        resolve(library, base, base[1], f",fragment={fragment}")
    assert "CONFIG_NFSD_V4=y" in caught.value.message
    assert "it depends on" in caught.value.message
    assert "this version has no such option" in caught.value.message


def test_kills_in_mid_build(paths, base):
    """What is built after a kill -9 of everything is, bit by bit, what an undisturbed build makes."""
    texts = [f'"using free-space-tree {random.getrandbits(32):x}"' for _ in range(4)]
    shas = [changed(paths, base, _SUPER, '"using free-space-tree"', text) for text in texts]
    script = (
        "import sys; from harness.kernels.library import KernelLibrary as L; from harness.host.paths import Paths\n"
    )
    script += (
        "from pathlib import Path; L(Paths(cache=Path(sys.argv[1]), state=Path(sys.argv[2]))).resolve(sys.argv[3])"
    )
    disturbed = {}
    for number, sha in enumerate(shas):
        words = [sys.executable, "-c", script, paths.cache, paths.state, f"git:{base[0]}@{sha}"]
        owner = subprocess.Popen(words, cwd=Path(__file__).parents[2])
        time.sleep(4 + 3 * number)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        reclaim(paths)
        with KernelLibrary(paths) as library:
            disturbed[sha], _ = resolve(library, base, sha)
    for sha in shas:
        # Made again from scratch as far as the killed builds touched it.
        for record in (paths.kernels / "sources").glob("*.json"):
            record.unlink()
        with KernelLibrary(paths) as library:
            kernel, _ = resolve(library, base, sha)
        assert kernel.digest == disturbed[sha].digest
