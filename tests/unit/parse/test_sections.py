"""parse.sections: what guest scripts print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import WorkloadError
from harness.parse.sections import failed_steps, parse_disk_name, parse_files, parse_pairs, parse_sections, section

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


def test_a_part_that_is_missing_fails_the_workload():
    assert section({"a": ""}, "a") == ""
    with pytest.raises(WorkloadError, match="no part 'disk'"):
        section({}, "disk")


@pytest.mark.parametrize("text", ["", "name=", "name=a b", "name=$(reboot)", "name=../sda", "name=" + "a" * 33, "x"])
def test_what_is_no_disk_is_not_taken_for_one(text):
    assert parse_disk_name("name=nvme0c0n1") == "nvme0c0n1"
    with pytest.raises(WorkloadError, match="disk's name"):
        parse_disk_name(text)


def test_only_line_feeds_end_a_line():
    """A kernel that prints a form feed, or Unicode's line separator, opens no section."""
    assert list(parse_sections("@@kab one\na\x0c@@kab two\u2028@@kab three\x85@@kab four\n")) == ["one"]


@given(text=st.text() | st.lists(st.sampled_from(["@@kab a", "/x:y", "b=1", "\x85", ""])).map("\n".join))
def test_any_text_is_read(text):
    for found in parse_sections(text).values():
        failed_steps(parse_pairs(found))
        parse_files(found)
