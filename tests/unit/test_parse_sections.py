"""parse.sections: what guest scripts print."""

import pytest

from harness.parse.sections import failed_steps, parse_files, parse_pairs, parse_sections

pytestmark = pytest.mark.unit


def test_sections_in_order_without_what_stands_before():
    text = "motd\n\n@@kab one\n\na\nb\n\n@@kab two\n@@kab three\nc\n"
    assert parse_sections(text) == {"one": "a\nb", "two": "", "three": "c"}
    assert list(parse_sections(text)) == ["one", "two", "three"]


def test_no_section():
    assert parse_sections("nothing here\n") == {}


def test_pairs():
    assert parse_pairs("name=nvme0n1\nnoise\nopts=a=b\nempty=\n") == {"name": "nvme0n1", "opts": "a=b", "empty": ""}


def test_files_keep_colons_and_lines():
    text = "/proc/cmdline:root=a:b\n/sys/x/y:first\n/sys/x/y:second\ngrep: noise\n"
    assert parse_files(text) == {"/proc/cmdline": "root=a:b", "/sys/x/y": "first\nsecond"}


def test_failed_steps():
    assert failed_steps({"write": "0", "fsck": "1", "read": "84"}) == {"fsck": "1", "read": "84"}
