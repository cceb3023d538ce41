"""Configurations in every packing and encoding that people have them in; what is no text is refused."""

import gzip
import os

import pytest

from harness.errors import ConfigError
from harness.kbuild.configfile import read_config
from harness.kbuild.recipe import read_recipe
from harness.model.source import BuildSettings
from harness.parse.fragment import config_values, lay_over, parse_fragment
from harness.parse.kconfig import diff_configs, parse_config

pytestmark = pytest.mark.unit

TEXT = '# Gr\u00f6\u00dfe\nCONFIG_A=y\nCONFIG_NAME="\u00e4 # b"\n# CONFIG_B is not set\n'


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        TEXT.encode("latin-1"),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        b"\xfe\xff" + TEXT.encode("utf-16-be"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r\n").encode("latin-1"),
        # A time stamp would be part of the test's name, which workers must agree on.
        gzip.compress(TEXT.encode(), mtime=0),
        gzip.compress(TEXT.encode("latin-1"), mtime=0),
        gzip.compress(TEXT.replace("\n", "\r\n").encode("utf-8-sig"), mtime=0),
    ],
    ids=["utf-8", "latin-1", "bom", "utf-16", "utf-16-be", "crlf", "latin-1-crlf", "gzip", "gzip-latin-1", "gzip-bom"],
)
def test_every_way_of_writing_it_down(tmp_path, content):
    path = tmp_path / "config"
    path.write_bytes(content)
    assert read_config(path) == TEXT
    # Both --config and --fragment read it so.
    recipe = read_recipe(BuildSettings(config=str(path), fragments=(path,)))
    assert recipe.base == TEXT
    assert [option.line for option in recipe.wanted][:3] == TEXT.splitlines()[1:]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x7fELF\x02\x01", "it is no text"),
        (b"CONFIG_A=y\n\0", "it is no text"),
        (b"CONFIG_A=\x1b[31my\n", "it is no text"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "gzip, and damaged"),
        (b"\x1f\x8b nonsense", "gzip, and damaged"),
        (gzip.compress(b"#" * (17 * 1024 * 1024), mtime=0), "far too long"),
    ],
)
def test_what_is_no_configuration(tmp_path, content, said):
    (tmp_path / "config").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_config(tmp_path / "config")
    assert caught.value.remedy


def test_what_does_not_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", tmp_path, "/dev/zero"):
        with pytest.raises(ConfigError, match="not a file"):
            read_config(tmp_path / path)
    assert read_config(tmp_path / "/dev/null") == ""


def test_what_stands_behind_an_option_is_no_part_of_it():
    text = 'CONFIG_A=y # why\nCONFIG_N=16\t# so many\nCONFIG_S="x # y" # a text\n# CONFIG_B is not set # never\n'
    values = {"A": "y", "N": "16", "S": '"x # y"'}
    assert {name: option.value for name, option in parse_config(text).items()} == {**values, "B": "n"}
    assert config_values(text) == values
    plain = 'CONFIG_A=y\nCONFIG_N=16\nCONFIG_S="x # y"\n# CONFIG_B is not set\n'
    assert diff_configs(parse_config(text), parse_config(plain)) == ()
    # kconfig gets it without.
    assert lay_over(text, ()) == plain
    assert lay_over("CONFIG_A=y # x\nCONFIG_C=m # y\n", parse_fragment("CONFIG_A=n\n", name="f")) == (
        "CONFIG_C=m\n# CONFIG_A is not set\n"
    )


def test_only_a_line_feed_ends_a_line():
    text = 'CONFIG_A="a\u2028b\x85c"\nCONFIG_B=y\n'
    assert [option.name for option in parse_config(text).values()] == ["A", "B"]
    assert list(config_values(text)) == ["A", "B"]


def test_messages_show_foreign_lines_made_printable():
    for parse in (lambda text: parse_config(text, name="f"), lambda text: parse_fragment(text, name="f")):
        with pytest.raises(ConfigError, match="f:2:") as caught:
            parse("CONFIG_A=y\nx\u202e\n")
        assert caught.value.message.isprintable()
