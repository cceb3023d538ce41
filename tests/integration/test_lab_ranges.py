"""From words of the command line to the line of kernels that a search runs over, on real git repositories."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from ladders import World, loop, request
from prebuilt import PrebuiltHistory, PrebuiltKernels, git, make_history

from harness.errors import ConfigError, DoesNotApplyError
from harness.interfaces import NullProgress
from harness.lab import Lab
from harness.lab.ranges import (
    BuildOptions,
    config_counter,
    config_range,
    continued_range,
    git_counter,
    git_range,
    series_range,
)
from harness.model.bisection import BisectionPlan, EdgeKind, FoundEdge

pytestmark = pytest.mark.integration

KERNELS = PrebuiltKernels(fast="debian:6.1", slow=("debian:6.12", "debian:6.12"), restored=("debian:7.2", "debian:7.3"))
PLAIN = BuildOptions()


class Told(NullProgress):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> PrebuiltHistory:
    return make_history(tmp_path_factory.mktemp("history"), KERNELS)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    for name in ("STATE", "CACHE"):
        monkeypatch.setenv(f"KAB_{name}_DIR", str(tmp_path / name.lower()))
    with Lab(progress=Told()) as opened:
        yield opened


def test_a_range_with_a_merge_is_one_line(lab: Lab, history: PrebuiltHistory) -> None:
    line = git_range(lab, (history.spec(f"{history.base}..main"),), PLAIN, ())
    titles = [rung.title for rung in line.rungs]
    assert titles == [
        "start", "README: say more", "net: reword a message", "mm: rename a function", "mm: rename its callers",
        "btrfs: simplify the mount path", "block: fix a comment", "docs: describe the tree", "docs: describe it better",
        "Merge branch 'side'", "mm: keep more in the cache", "block: fix another comment",
        "btrfs: set the flags that mount lost", "README: say less", "mm: keep less in the cache",
    ]  # fmt: skip
    # What the merge brings is tested on top of the mainline, which has lost the fast path already.
    side = line.rungs[titles.index("docs: describe the tree")]
    before = history.commits["block: fix a comment"]
    assert f"@{before}+merge={history.commits['docs: describe the tree']}," in side.spec
    assert line.rungs[5].release == history.removed[:12]
    plan = BisectionPlan(rungs=line.rungs)
    edge = FoundEdge(before=4, after=5, kind=EdgeKind.REMOVED)
    assert git_counter(plan, edge, 11).partition(",")[0] == (
        f"git:{history.repository}@{history.commits['block: fix another comment']}+revert={history.removed}"
    )


def test_paths_leave_commits_out_and_proofs_look_at_the_parent(lab: Lab, history: PrebuiltHistory) -> None:
    line = git_range(lab, (history.spec(f"{history.base}..main"), "NOSEC", "block"), PLAIN, ())
    titles = [rung.title for rung in line.rungs]
    assert titles[1:-1] == [
        "btrfs: simplify the mount path",
        "block: fix a comment",
        "block: fix another comment",
        "btrfs: set the flags that mount lost",
    ]
    assert f"@{history.commits['mm: rename its callers']}," in line.rungs[1].parent


def test_wrong_words_are_told(lab: Lab, history: PrebuiltHistory) -> None:
    with pytest.raises(ConfigError, match="wrong way round"):
        git_range(lab, (history.spec(f"main..{history.base}"),), PLAIN, ())
    with pytest.raises(ConfigError, match="no revision `nowhere`"):
        git_range(lab, (history.spec("nowhere..main"),), PLAIN, ())
    with pytest.raises(ConfigError, match="plain revisions of one tree"):
        git_range(lab, (f"git:{history.repository}@main~2", "git:/elsewhere@main"), PLAIN, ())


def test_a_series_goes_on_top_of_a_revision(lab: Lab, history: PrebuiltHistory, tmp_path: Path) -> None:
    patches = tmp_path / "patches"
    git(history.repository, "format-patch", "--quiet", "-o", str(patches), f"{history.restored}..main")
    base = f"git:{history.repository}@{history.restored},builder={history.builder}"
    line = series_range(lab, patches, base, PLAIN, (history.base,))
    assert [rung.title for rung in line.rungs] == [
        "btrfs: set the flags that mount lost",
        "README: say less",
        "mm: keep less in the cache",
    ]
    assert line.build_fixes == (history.base,)
    assert series_range(lab, patches, base, PLAIN, ()).rungs == line.rungs
    with pytest.raises(DoesNotApplyError, match="0002-mm"):
        series_range(lab, patches, f"git:{history.repository}@{history.base}", PLAIN, ())


# What kconfig does: an option that a configuration does not speak of gets its default.
KCONFIG = """\
VERSION = 7
PATCHLEVEL = 2
olddefconfig:
	@grep -q 'CONFIG_D[ =]' $(O)/.config || echo CONFIG_D=y >>$(O)/.config
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A git tree that kconfig runs in, as far as kab can tell."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "Makefile").write_text(KCONFIG)
    (folder / "Kconfig").write_text("")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "start")
    return folder


def test_two_configurations_are_a_line(lab: Lab, tree: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.config", tmp_path / "bad.config.gz"
    good.write_text("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=10\n")
    bad.write_bytes(
        gzip.compress(b"# CONFIG_A is not set\r\nCONFIG_B=y\r\nCONFIG_C=20 # why\r\n# CONFIG_D is not set\r\n")
    )
    line = config_range(lab, good, bad, f"git:{tree}@main", PLAIN)
    # D is unset in the bad one; the good one does not speak of it.
    assert [rung.release for rung in line.rungs] == ["good.config", "B=y", "C=20", "D=n", "A=n"]
    plan = BisectionPlan(rungs=line.rungs)
    assert plan.built
    spec = config_counter(lab)(plan, FoundEdge(before=0, after=1, kind=EdgeKind.REMOVED), 4)
    fragment = Path(spec.rpartition("fragment=")[2]).read_text()
    assert "# CONFIG_B is not set" in fragment
    assert "CONFIG_C=20" in fragment
    with pytest.raises(ConfigError, match="exclude one another"):
        config_range(lab, good, bad, f"git:{tree}@main", BuildOptions(config="micro"))


def test_a_tree_that_is_none_of_linux(lab: Lab, history: PrebuiltHistory, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.config", tmp_path / "bad.config"
    good.write_text("CONFIG_A=y\n")
    bad.write_text("CONFIG_A=n\n")
    with pytest.raises(ConfigError, match="holds no Linux at"):
        config_range(lab, good, bad, f"git:{history.repository}@main", PLAIN)
    with pytest.raises(ConfigError, match="holds no Linux at"):
        lab.resolve(f"git:{history.repository}@main")


def test_a_search_over_packages_goes_on_in_git(lab: Lab, tmp_path: Path) -> None:
    run, outcome = loop(lab.store, World()).execute(request())
    assert [edge.after for edge in outcome.edges] == [1, 16]
    tree = tmp_path / "linux"
    tree.mkdir()
    git(tree, "init", "--quiet", "--initial-branch=main")
    for branch, tag in (
        ("main", "v6.1"), ("linux-6.1.y", "v6.1.192"), ("main", "v6.12"), ("main", "v7.2"), ("linux-7.2.y", "v7.2.6"),
    ):  # fmt: skip
        if branch != git(tree, "branch", "--show-current"):
            git(tree, "switch", "--quiet", *(["main"] if branch == "main" else ["-c", branch]))
        git(tree, "commit", "--quiet", "--allow-empty", "-m", f"Linux {tag}")
        git(tree, "tag", tag)
    # The older package lies on a branch of its own: the line begins where that parted.
    line = continued_range(lab, run, f"git:{tree}", (), PLAIN, ())
    assert [rung.title for rung in line.rungs] == ["Linux v6.1", "Linux v6.12", "Linux v7.2", "Linux v7.2.6"]
    # A clone of mainline has the releases only.
    git(tree, "tag", "-d", "v6.1.192", "v7.2.6")
    line = continued_range(lab, run, f"git:{tree}", (), PLAIN, ())
    assert [rung.title for rung in line.rungs] == ["Linux v6.1", "Linux v6.12", "Linux v7.2"]
    assert f"{tree} has no tag v7.2.6: v7.2 stands for it" in lab.progress.said[-2]
    git(tree, "tag", "-d", "v7.2")
    with pytest.raises(ConfigError, match=r"has no tag v7\.2\.6 or v7\.2\n"):
        continued_range(lab, run, f"git:{tree}", (), PLAIN, ())
