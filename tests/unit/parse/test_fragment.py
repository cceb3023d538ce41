"""Fragments of kernel configurations: what they want, laying them over a .config, and what was lost."""

from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.kbuild.compiler import installed_gccs, suits
from harness.kbuild.recipe import read_recipe
from harness.model.source import BuildSettings
from harness.parse.fragment import (
    Need,
    conditions,
    config_values,
    defined_options,
    lay_over,
    loss_text,
    lost_options,
    parse_fragment,
    tree_version,
)

pytestmark = pytest.mark.unit

KCONFIG = """\
menuconfig BTRFS_FS
	tristate "Btrfs filesystem support"
	depends on BLOCK
	select LIBCRC32C

config BTRFS_FS_POSIX_ACL
	bool "Btrfs POSIX Access Control Lists"
	depends on BTRFS_FS && !TINY
	depends on EXPERT
	help
		config HELP_IS_NO_OPTION of a sort

config BTRFS_ASSERT
	bool "Btrfs assert support"
"""


def test_options_and_conditions():
    found = parse_fragment(
        "CONFIG_A=y\n# CONFIG_B is not set # if known\n# prose\n\n"
        'CONFIG_C="a # b" # if possible\nCONFIG_D=0x10 # why\n',
        name="x.config",
    )
    assert [(option.line, option.need, option.where) for option in found] == [
        ("CONFIG_A=y", Need.ALWAYS, "x.config:1"),
        ("# CONFIG_B is not set", Need.IF_KNOWN, "x.config:2"),
        ('CONFIG_C="a # b"', Need.IF_POSSIBLE, "x.config:5"),
        ("CONFIG_D=0x10", Need.ALWAYS, "x.config:6"),
    ]


def test_another_fragment_in_its_place():
    texts = {"b": "CONFIG_B=y\n", "c": "# kab: fragment b\nCONFIG_C=y\n"}
    found = parse_fragment("CONFIG_A=y\n# kab: fragment c\nCONFIG_D=y\n", name="a", include=texts.__getitem__)
    assert [(option.name, option.where) for option in found] == [("A", "a:1"), ("B", "b:1"), ("C", "c:2"), ("D", "a:3")]


def test_wishes_as_a_whole():
    found = parse_fragment("# kab: may be lost\nCONFIG_A=y\n# CONFIG_B is not set\n", name="x")
    assert {option.need for option in found} == {Need.IF_POSSIBLE}
    assert lost_options("# CONFIG_A is not set\nCONFIG_B=y\n", found) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CONFIG_A=y\nA=y\n", "x.config:2: `A=y`"),
        ("CONFIG_A\n", "x.config:1"),
        ("CONFIG_A=y # if it rains\n", "x.config:1: cannot read the condition"),
    ],
)
def test_what_is_no_fragment(text, said):
    with pytest.raises(ConfigError) as caught:
        parse_fragment(text, name="x.config")
    assert said in caught.value.message
    assert caught.value.remedy


def test_the_last_one_wins():
    wanted = parse_fragment("CONFIG_A=y\nCONFIG_B=y\n# CONFIG_A is not set\n", name="x")
    laid = lay_over("# a title\nCONFIG_A=m\nCONFIG_Z=y\n# CONFIG_B is not set\n", wanted)
    assert laid == "CONFIG_Z=y\n# CONFIG_A is not set\nCONFIG_B=y\n"
    assert config_values(laid) == {"Z": "y", "B": "y"}


def test_lost_options_are_named_with_what_they_are_instead():
    text = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_D=y # if possible\n"
    wanted = parse_fragment(f'{text}CONFIG_E=""\n# CONFIG_F is not set\nCONFIG_G="x"\n', name="x")
    lost = lost_options('CONFIG_A=m\nCONFIG_B=y\nCONFIG_G="x"\n', wanted)
    assert [(option.wanted.name, option.got) for option in lost] == [("A", "m"), ("B", "y"), ("C", "n")]
    assert loss_text(lost, {"C": "this version has no such option"}).splitlines() == [
        "  CONFIG_A=y (x:1): it is m",
        "  # CONFIG_B is not set (x:2): it is y",
        "  CONFIG_C=y (x:3): it is not set; this version has no such option",
    ]


def test_what_a_kconfig_file_says():
    assert defined_options(KCONFIG) == {"BTRFS_FS", "BTRFS_FS_POSIX_ACL", "BTRFS_ASSERT"}
    assert conditions(KCONFIG, "BTRFS_FS_POSIX_ACL") == ("BTRFS_FS && !TINY", "EXPERT")
    assert conditions(KCONFIG, "BTRFS_ASSERT") == ()


def test_versions_of_trees():
    assert tree_version("# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 43\nEXTRAVERSION =\nNAME = X\n") == (
        6,
        12,
        43,
    )
    assert tree_version("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n") == (7, 3, 0)
    assert tree_version("all:\n\tcc x.c\n") is None


def test_the_micro_recipe_is_whole():
    recipe = read_recipe(BuildSettings())
    last = {option.name: option for option in recipe.wanted}
    for name in ("BTRFS_FS", "XFS_FS", "EXT4_FS", "VIRTIO_BLK", "BLK_DEV_NVME", "BLK_DEV_NULL_BLK", "PVH", "IO_URING"):
        assert (last[name].value, last[name].need) == ("y", Need.ALWAYS)
    assert last["LOCALVERSION_AUTO"].value == "n"


def test_recipes_are_told_apart(tmp_path: Path):
    fragment = tmp_path / "a.config"
    fragment.write_text("CONFIG_BTRFS_ASSERT=y\n")
    config = tmp_path / "whole.config"
    config.write_text("CONFIG_64BIT=y\n")
    plain, more = read_recipe(BuildSettings()), read_recipe(BuildSettings(fragments=(fragment,)))
    other = read_recipe(BuildSettings(config=str(config)))
    assert plain.base_digest == more.base_digest != other.base_digest
    assert len({plain.digest, more.digest, other.digest}) == 3
    # What reproducibility needs comes last, whatever a fragment says.
    fragment.write_text("CONFIG_LOCALVERSION_AUTO=y\n")
    wanted = read_recipe(BuildSettings(fragments=(fragment,))).wanted
    assert [option.value for option in wanted if option.name == "LOCALVERSION_AUTO"] == ["y", "n"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (BuildSettings(config="mikro"), "cannot read the configuration mikro"),
        (BuildSettings(config="~nobody-of-this-name/x"), "cannot look at ~nobody"),
        (BuildSettings(fragments=(Path("nowhere.config"),)), "cannot read the configuration nowhere.config"),
        (BuildSettings(fragments=(Path("/dev/null"),)), "sets no option"),
    ],
)
def test_recipes_that_are_not_there(settings, said):
    with pytest.raises(ConfigError, match=said) as caught:
        read_recipe(settings)
    assert caught.value.remedy


def test_localmod_keeps_what_is_loaded(tmp_path: Path):
    import platform

    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/modules").write_text("nvme 1 0 - Live 0x0\nbtrfs 2 0 - Live 0x0\n")
    with pytest.raises(ConfigError, match="is neither in /boot nor in"):
        read_recipe(BuildSettings(config="localmod"), tmp_path)
    (tmp_path / "boot").mkdir()
    (tmp_path / f"boot/config-{platform.release()}").write_text("CONFIG_64BIT=y\n")
    first = read_recipe(BuildSettings(config="localmod"), tmp_path)
    assert {"VIRTIO_BLK", "BTRFS_FS"} <= {option.name for option in first.wanted}
    # Use counts change all the time; which modules are loaded is what counts.
    (tmp_path / "proc/modules").write_text("btrfs 2 7 - Live 0x0\nnvme 1 0 - Live 0x0\n")
    assert read_recipe(BuildSettings(config="localmod"), tmp_path).digest == first.digest
    (tmp_path / "proc/modules").write_text("btrfs 2 7 - Live 0x0\n")
    assert read_recipe(BuildSettings(config="localmod"), tmp_path).digest != first.digest


@pytest.mark.parametrize(
    ("major", "version", "fits"),
    [(12, (5, 10), True), (14, (6, 14), True), (15, (6, 14), False), (15, (6, 15), True), (7, (6, 16), False)],
)
def test_compilers_of_an_era(major, version, fits):
    assert suits(major, version) is fits


def test_the_newest_gcc_first(tmp_path: Path):
    for name in ("gcc-9", "gcc-12", "gcc-11", "gcc-ar-12", "gcc"):
        (tmp_path / name).touch()
    assert installed_gccs([str(tmp_path)]) == ["gcc-12", "gcc-11", "gcc-9"]
