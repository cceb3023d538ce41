"""Configurations: read, compared, put into a line of steps, and what a step did."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.history.configline import effect_of, order_changes
from harness.model.kconfig import MAY_BE_LOST, OptionChange
from harness.parse.kconfig import diff_configs, parse_config, render_config

pytestmark = pytest.mark.unit

# README.md there says how they were found.
DATA = Path(__file__).parents[2] / "data" / "configs"

GOOD = """\
#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 7.2.13 Kernel Configuration
#
CONFIG_CC_VERSION_TEXT="gcc-12 (Debian) 12.2.0"
CONFIG_GCC_VERSION=120200
CONFIG_CC_HAS_INT128=y

#
# General setup
#
CONFIG_LOCALVERSION="-good"
# CONFIG_PREEMPT_NONE is not set
CONFIG_PREEMPT_VOLUNTARY=y
# end of General setup

#
# Processor type and features
#
CONFIG_HZ_250=y
# CONFIG_HZ_1000 is not set
CONFIG_HZ=250
CONFIG_MICROCODE=y
CONFIG_MICROCODE_LATE_LOADING=y
CONFIG_MICROCODE_LATE_SECONDS=5
# end of Processor type and features

CONFIG_BTRFS_FS=y
"""
BAD = """\
CONFIG_CC_VERSION_TEXT="gcc-13 (Debian) 13.1.0"
CONFIG_GCC_VERSION=130100

#
# General setup
#
CONFIG_LOCALVERSION="-bad"
CONFIG_PREEMPT_NONE=y
# CONFIG_PREEMPT_VOLUNTARY is not set
# end of General setup

#
# Processor type and features
#
# CONFIG_HZ_250 is not set
CONFIG_HZ_1000=y
CONFIG_HZ=1000
# end of Processor type and features

CONFIG_BTRFS_FS=y
#
# Kernel hacking
#

#
# Memory Debugging
#
# Not a menu
CONFIG_PAGE_POISONING=y
# end of Memory Debugging
CONFIG_LOCKDEP_BITS=15
# end of Kernel hacking
"""


def changes():
    return diff_configs(parse_config(GOOD), parse_config(BAD))


def test_options_have_values_and_menus():
    options = parse_config(BAD)
    assert options["LOCALVERSION"].value == '"-bad"'
    assert options["PREEMPT_VOLUNTARY"].value == "n"
    assert options["PAGE_POISONING"].menu == ("Kernel hacking", "Memory Debugging")
    assert options["LOCKDEP_BITS"].menu == ("Kernel hacking",)
    assert options["BTRFS_FS"].menu == ()


def test_the_last_value_counts():
    assert parse_config("CONFIG_A=y\n# CONFIG_A is not set\nCONFIG_B=y\n")["A"].value == "n"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "CONFIG_A=y\n<<<<<<< HEAD\n", "config A\n"])
def test_what_is_no_configuration(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(text, name="bad.config")
    assert "bad.config" in caught.value.message
    assert caught.value.remedy


def test_differences_with_both_values():
    found = {change.name: (change.good, change.bad) for change in changes()}
    assert found == {
        "LOCALVERSION": ('"-good"', '"-bad"'),
        "PREEMPT_NONE": ("n", "y"),
        "PREEMPT_VOLUNTARY": ("y", "n"),
        "HZ_250": ("y", "n"),
        "HZ_1000": ("n", "y"),
        "HZ": ("250", "1000"),
        "PAGE_POISONING": ("n", "y"),
        "LOCKDEP_BITS": ("n", "15"),
        "MICROCODE": ("y", "n"),
        "MICROCODE_LATE_LOADING": ("y", "n"),
    }


def test_equal_configurations_do_not_differ():
    assert diff_configs(parse_config(GOOD), parse_config(GOOD)) == ()


def test_on_parents_first_and_off_children_first_by_subsystem():
    assert [change.short for change in order_changes(changes())] == [
        'LOCALVERSION="-bad"',
        "PREEMPT_NONE=y",
        "PREEMPT_VOLUNTARY=n",
        "HZ_1000=y",
        "HZ=1000",
        "MICROCODE_LATE_LOADING=n",
        "MICROCODE=n",
        "HZ_250=n",
        "PAGE_POISONING=y",
        "LOCKDEP_BITS=15",
    ]


def test_a_fragment_is_read_back():
    text = render_config([("A", "y"), ("B", "n"), ("C", '"x"')], comment=MAY_BE_LOST)
    assert text == '# kab: may be lost\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C="x"\n'
    assert {name: option.value for name, option in parse_config(text).items()} == {"A": "y", "B": "n", "C": '"x"'}


def test_a_step_without_effect_until_a_later_one():
    """A child set before its parent is lost; the parent's step brings both, and what they select."""
    steps = [OptionChange(name=name, good="n", bad="y") for name in ("CHILD", "PARENT", "OTHER")]
    results = [
        parse_config(text)
        for text in (
            "CONFIG_X=y\n# CONFIG_PARENT is not set\n",
            "CONFIG_X=y\n# CONFIG_PARENT is not set\n",
            "CONFIG_X=y\nCONFIG_PARENT=y\nCONFIG_CHILD=y\nCONFIG_SELECTED=y\n",
            "CONFIG_X=y\nCONFIG_PARENT=y\nCONFIG_CHILD=y\nCONFIG_SELECTED=y\nCONFIG_OTHER=y\n",
        )
    ]
    lost = effect_of(steps, 0, results[0], results[1])
    assert lost.nothing
    brought = effect_of(steps, 1, results[1], results[2])
    assert brought.took
    assert [change.name for change in brought.enabled] == ["CHILD"]
    assert [str(change) for change in brought.derived] == ["SELECTED: n -> y"]


def test_a_step_that_undoes_something_else():
    """One of a choice: its sibling goes, and that is told as derived."""
    steps = [OptionChange(name="HZ_1000", good="n", bad="y"), OptionChange(name="HZ_250", good="y", bad="n")]
    before, after = parse_config("CONFIG_HZ_250=y\n"), parse_config("# CONFIG_HZ_250 is not set\nCONFIG_HZ_1000=y\n")
    effect = effect_of(steps, 0, before, after)
    assert effect.took
    assert [str(change) for change in effect.derived] == ["HZ_250: y -> n"]


NAMES = st.sampled_from([f"OPTION_{index}" for index in range(12)])
CONFIGS = st.dictionaries(NAMES, st.sampled_from(["y", "n", "m"]), min_size=1)


@given(good=CONFIGS, bad=CONFIGS)
def test_all_steps_together_make_the_bad_configuration(good, bad):
    steps = order_changes(diff_configs(_config(good), _config(bad)))
    results = [_config(good | {step.name: step.bad for step in steps[:count]}) for count in range(len(steps) + 1)]
    assert diff_configs(results[-1], _config(bad)) == ()
    # Without dependencies every step takes, alone.
    for position, (before, after) in enumerate(pairwise(results)):
        assert len(diff_configs(before, after)) == 1
        assert effect_of(steps, position, before, after).took


def _config(values):
    return parse_config(render_config(values.items()))


def test_the_recorded_pair_differs_in_many_options_and_in_the_one_that_matters():
    good, bad = (parse_config((DATA / f"{name}.config").read_text(), name=f"{name}.config") for name in ("good", "bad"))
    steps = order_changes(diff_configs(good, bad))
    assert len(steps) >= 40
    names = [step.name for step in steps]
    assert 5 < names.index("BTRFS_EXPERIMENTAL") < len(names) - 5
    # A menu is on before what is in it, and off after it.
    assert names.index("SQUASHFS") < names.index("SQUASHFS_ZLIB")
    assert names.index("JOLIET") < names.index("ISO9660_FS")
    assert names.index("SOFT_WATCHDOG") < names.index("WATCHDOG")


@pytest.mark.parametrize(
    "name", ["CC_OPTIMIZE_FOR_SIZE", "GCC_PLUGINS", "LD_DEAD_CODE_DATA_ELIMINATION", "RUST_DEBUG_ASSERTIONS"]
)
def test_what_people_set_about_the_compiler_is_a_difference(name):
    (change,) = diff_configs(parse_config("CONFIG_A=y\n"), parse_config(f"CONFIG_A=y\nCONFIG_{name}=y\n"))
    assert change.name == name


@pytest.mark.parametrize(
    "name", ["CC_HAS_INT128", "CC_IS_GCC", "GCC10_NO_ARRAY_BOUNDS", "AS_HAS_OTHER", "LD_IS_BFD", "RUSTC_VERSION"]
)
def test_what_kconfig_finds_out_is_none(name):
    assert diff_configs(parse_config("CONFIG_A=y\n"), parse_config(f"CONFIG_A=y\nCONFIG_{name}=y\n")) == ()
