"""The line between two configurations: rungs with their fragments, and the step at an edge."""

from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.kbuild.configdiff import counter_spec, effect_at, plan_config_line
from harness.model.kconfig import MAY_BE_LOST
from harness.model.source import BuildSettings, GitSpec
from harness.parse.gitspec import parse_git
from harness.parse.kconfig import parse_config
from harness.report.search.options import effect_sentence

pytestmark = pytest.mark.unit

SPEC = GitSpec(tree=Path("/trees/linux"), revision="0" * 40)
GOOD = "CONFIG_BLOCK=y\n# CONFIG_DEBUG_KERNEL is not set\nCONFIG_SWAP=y\n"
BAD = "CONFIG_BLOCK=y\nCONFIG_DEBUG_KERNEL=y\nCONFIG_PROVE_LOCKING=y\n# CONFIG_SWAP is not set\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.config").write_text(GOOD)
    (tmp_path / "bad.config").write_text(BAD)
    return tmp_path / "good.config", tmp_path / "bad.config", tmp_path / "kept"


def as_they_are(spec, texts):
    """Stands for kconfig, in whose eyes these configurations are complete."""
    assert Path(spec.build.config).read_text() == texts[0]
    return texts


def specs(rungs):
    return [parse_git(rung.spec, rung.spec.removeprefix("git:")) for rung in rungs]


def test_rungs_add_one_option_each(files):
    good, bad, kept = files
    rungs = plan_config_line(good, bad, SPEC, folder=kept, resolve=as_they_are)
    assert [rung.title for rung in rungs[1:]] == ["DEBUG_KERNEL: n -> y", "PROVE_LOCKING: n -> y", "SWAP: y -> n"]
    assert len({rung.release for rung in rungs}) == len({rung.version for rung in rungs}) == 4
    base, *stepped = specs(rungs)
    (start,) = base.build.fragments
    assert start.read_text().splitlines() == [MAY_BE_LOST, *GOOD.splitlines()]
    assert Path(base.build.config).read_text() == GOOD
    for count, spec in enumerate(stepped, start=1):
        assert (spec.revision, spec.build.config) == (SPEC.revision, base.build.config)
        first, fragment = spec.build.fragments
        assert first == start
        assert fragment.read_text().splitlines()[0] == MAY_BE_LOST
        assert len(parse_config(fragment.read_text())) == count


def test_the_users_files_may_change_afterwards(files):
    good, bad, kept = files
    before = plan_config_line(good, bad, SPEC, folder=kept, resolve=as_they_are)
    assert plan_config_line(good, bad, SPEC, folder=kept, resolve=as_they_are) == before
    good.write_text(GOOD + "CONFIG_NEW=y\n")
    assert Path(specs(before)[0].build.config).read_text() == GOOD
    assert plan_config_line(good, bad, SPEC, folder=kept, resolve=as_they_are) != before


def test_other_fragments_come_first(files):
    good, bad, kept = files
    spec = GitSpec(tree=SPEC.tree, revision="v7.2", build=BuildSettings(fragments=(Path("mine"),), compiler="gcc-12"))
    last = specs(plan_config_line(good, bad, spec, folder=kept, resolve=as_they_are))[-1]
    assert last.build.fragments[0] == Path("mine")
    assert len(last.build.fragments) == 3
    assert last.build.compiler == "gcc-12"


@pytest.mark.parametrize("build", [BuildSettings(config="x"), BuildSettings(builder=Path("x"))])
def test_a_spec_with_a_configuration_of_its_own(files, build):
    good, bad, kept = files
    with pytest.raises(ConfigError, match="of its own"):
        plan_config_line(
            good, bad, GitSpec(tree=SPEC.tree, revision="v7.2", build=build), folder=kept, resolve=as_they_are
        )


def test_files_that_will_not_do(files, tmp_path):
    good, _bad, kept = files
    with pytest.raises(ConfigError, match="alike"):
        plan_config_line(good, good, SPEC, folder=kept, resolve=as_they_are)
    with pytest.raises(ConfigError, match="cannot read"):
        plan_config_line(good, tmp_path / "missing", SPEC, folder=kept, resolve=as_they_are)
    (tmp_path / "image").write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read"):
        plan_config_line(good, tmp_path / "image", SPEC, folder=kept, resolve=as_they_are)
    assert not kept.exists()


def test_the_far_end_without_the_step(files):
    good, bad, kept = files
    first, _debug, after, last = specs(plan_config_line(good, bad, SPEC, folder=kept, resolve=as_they_are))
    without = counter_spec(after, last, folder=kept)
    options = parse_config(without.build.fragments[-1].read_text())
    assert {name: option.value for name, option in options.items()} == {
        "DEBUG_KERNEL": "y", "SWAP": "n", "PROVE_LOCKING": "n",
    }  # fmt: skip
    alone = counter_spec(after, first, folder=kept)
    assert alone.build.config == first.build.config
    assert alone.build.fragments[-1].read_text() == f"{MAY_BE_LOST}\nCONFIG_PROVE_LOCKING=y\n"


def test_the_step_at_an_edge(files, tmp_path):
    good, bad, kept = files
    after = specs(plan_config_line(good, bad, SPEC, folder=kept, resolve=as_they_are))[2]
    (tmp_path / "1").write_text("CONFIG_BLOCK=y\nCONFIG_DEBUG_KERNEL=y\nCONFIG_SWAP=y\n")
    (tmp_path / "2").write_text(
        "CONFIG_BLOCK=y\nCONFIG_DEBUG_KERNEL=y\nCONFIG_SWAP=y\nCONFIG_PROVE_LOCKING=y\nCONFIG_LOCKDEP=y\n"
    )
    effect = effect_at(after, (tmp_path / "1", tmp_path / "2"))
    assert effect_sentence(effect) == "PROVE_LOCKING=y; LOCKDEP=y follows"
    same = effect_at(after, (tmp_path / "2", tmp_path / "2"))
    assert same.nothing
    assert effect_sentence(same) == "PROVE_LOCKING=y changes nothing in the resulting configuration"
    with pytest.raises(ConfigError, match="no step"):
        effect_at(SPEC, (tmp_path / "1", tmp_path / "2"))


MINIMAL_GOOD = "CONFIG_BTRFS_FS=y\n"
MINIMAL_BAD = "CONFIG_BTRFS_FS=y\n# CONFIG_SCHED_AUTOGROUP is not set\nCONFIG_DEBUG_KERNEL=y\n"
FULL = {
    MINIMAL_GOOD: "CONFIG_BTRFS_FS=y\nCONFIG_SCHED_AUTOGROUP=y\n# CONFIG_DEBUG_KERNEL is not set\nCONFIG_HZ=250\n",
    MINIMAL_BAD: "CONFIG_BTRFS_FS=y\n# CONFIG_SCHED_AUTOGROUP is not set\nCONFIG_DEBUG_KERNEL=y\n"
    "# CONFIG_DEBUG_MISC is not set\nCONFIG_HZ=250\n",
}


def test_minimal_configurations_are_resolved_before_they_are_compared(tmp_path):
    """An option that the one unsets and the other leaves to its default differs where the default is y."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(MINIMAL_GOOD)
    bad.write_text(MINIMAL_BAD)
    rungs = plan_config_line(
        good, bad, SPEC, folder=tmp_path / "kept", resolve=lambda _spec, texts: [FULL[text] for text in texts]
    )
    assert [rung.title for rung in rungs[1:]] == ["DEBUG_KERNEL: n -> y", "SCHED_AUTOGROUP: y -> n"]
    start, *stepped = specs(rungs)
    # What the steps bring into sight stays as the bad one has it, whatever its default is.
    assert parse_config(start.build.fragments[0].read_text())["DEBUG_MISC"].value == "n"
    # Where the option stood before the step is known from what was resolved.
    counter = counter_spec(stepped[1], stepped[1], folder=tmp_path / "kept")
    assert "CONFIG_SCHED_AUTOGROUP=y" in counter.build.fragments[-1].read_text()


def test_alike_once_they_are_resolved(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("CONFIG_A=y\n")
    bad.write_text("CONFIG_A=y\nCONFIG_B=y\n")
    with pytest.raises(ConfigError, match="alike, once kconfig has resolved them"):
        plan_config_line(good, bad, SPEC, folder=tmp_path / "kept", resolve=lambda _spec, _texts: ["CONFIG_A=y\n"] * 2)
