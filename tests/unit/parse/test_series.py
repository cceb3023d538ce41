"""Which mails of a thread are the series, and in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mails import diff, mail, patch

from harness.errors import ConfigError
from harness.parse.patchmail import read_mail, split_mails
from harness.parse.series import Series, choose, counted_as_people_do, message_id, parse_version

pytestmark = pytest.mark.unit


def chosen(*mails: str, version: str | None = None) -> Series:
    read = [read_mail(name, content) for name, content in split_mails("t.mbox", "".join(mails).encode())]
    return choose("t.mbox", read, parse_version(version) if version else None)


def titles(*mails: str, version: str | None = None) -> list[str]:
    return [one.title for one in chosen(*mails, version=version).patches]


def numbered(version: str, total: int, *numbers: int) -> list[str]:
    return [patch(f"[PATCH{version} {number}/{total}] {number}{version}", f"{number}{version}") for number in numbers]


COVER = mail("[PATCH v2 0/3] all", f"Interdiff:\n{diff('interdiff')}")
REPLY = mail("Re: [PATCH v2 2/3] two", f"Rather:\n\n---\n{diff('rather')}")


def test_numbers_order_the_patches_not_the_archive() -> None:
    assert titles(*numbered("", 4, 4, 3, 2, 1)) == ["1", "2", "3", "4"]
    assert titles(*numbered("", 12, *range(12, 0, -1))) == [str(number) for number in range(1, 13)]
    # An afterthought.
    assert titles(*numbered("", 2, 3, 2, 1)) == ["1", "2", "3"]


def test_the_newest_version_counts_and_that_is_said() -> None:
    mails = [*numbered("", 2, 1, 2), *numbered(" v2", 3, 3, 2, 1), COVER, REPLY]
    found = chosen(*mails)
    assert [one.title for one in found.patches] == ["1 v2", "2 v2", "3 v2"]
    assert found.notes == (
        "t.mbox: v2 of the series is used, not v1 (--series-version chooses)",
        "t.mbox: left out 1 cover letter, 1 reply",
    )
    assert titles(*mails, version="1") == ["1", "2"]
    assert titles(*mails, version="v2") == ["1 v2", "2 v2", "3 v2"]
    # v10 is newer than v9.
    assert titles(*numbered(" v10", 1, 1), *numbered(" v9", 1, 1)) == ["1 v10"]
    with pytest.raises(ConfigError, match=r"no v3 of the series\nIt holds v1, v2"):
        chosen(*mails, version="3")
    assert chosen(*numbered("", 2, 1, 2)).notes == ()


@pytest.mark.parametrize(
    ("mails", "said"),
    [
        (numbered("", 4, 1, 2, 4), r"lacks the patch 3/4 of v1"),
        (numbered("", 9, 2), r"lacks the patch 1/9, 3/9, 4/9, 5/9, 6/9 and 3 more"),
        # One patch of v2 alone, in the thread of v1.
        ([*numbered("", 2, 1, 2), *numbered(" v2", 2, 2)], r"lacks the patch 1/2 of v2"),
        ([*numbered("", 2, 1), mail("[PATCH 2/2] 2", "mangled")], r"lacks the patch 2/2 .*a diff: t.mbox, mail 2"),
        # The mails of the newest version are all mangled.
        ([*numbered("", 1, 1), mail("[PATCH v2 1/1] 1", "mangled")], r"lacks the patch 1/1 of v2"),
        ([*numbered("", 2, 1, 2), patch("[PATCH 2/2] two", "two")], r"two patches 2/2 of v1: t.mbox, mail 2, .*mail 3"),
        ([*numbered("", 2, 1, 2), *numbered("", 3, 3)], r"several series \(of 2, of 3\)"),
        ([*numbered("", 2, 1, 2), patch("[PATCH] more", "more")], r"mail 3 has no number"),
        ([*numbered(" v2", 2, 1, 2), patch("more", "more")], r"mail 3 has no number"),
        ([mail("[PATCH 0/2] x", "x"), patch("[PATCH] x", "x")], "has no number"),
        ([COVER, REPLY], "no patches, only 1 cover letter, 1 reply"),
        ([mail("hello", "x")], "no patches, only 1 mail without a diff"),
    ],
)  # fmt: skip
def test_what_is_no_whole_series(mails: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        chosen(*mails)


def test_a_mail_that_came_twice_is_one_patch() -> None:
    one, two = numbered("", 2, 1, 2)
    assert titles(two, one, two) == ["1", "2"]


def test_without_numbers_the_order_stays() -> None:
    assert titles(patch("[PATCH] b", "b"), patch("[PATCH] a", "a")) == ["b", "a"]
    assert titles(patch("[PATCH] old", "b"), patch("[PATCH v2] new", "a")) == ["new"]
    assert titles(patch("plain", "b"), REPLY) == ["plain"]


def test_names_are_sorted_as_people_count() -> None:
    names = ["10.patch", "9.patch", "2.patch", "1.patch", "v2-0010-x", "v2-0002-y", "v10-0001-z", "a", "2"]
    assert sorted(names, key=counted_as_people_do) == [
        "1.patch", "2", "2.patch", "9.patch", "10.patch", "a", "v2-0002-y", "v2-0010-x", "v10-0001-z"
    ]  # fmt: skip


@given(st.lists(st.text(max_size=12)))
def test_any_names_can_be_sorted(names: list[str]) -> None:
    sorted(names, key=counted_as_people_do)


@pytest.mark.parametrize("text", ["", "v", "x", "-1", "2.", "1/2", "9" * 5000, "٣"])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ConfigError, match="no version of a series"):
        parse_version(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("20260102-x-v1-0-abc@example.org", "20260102-x-v1-0-abc@example.org"),
        ("<a.b@c>", "a.b@c"),
        ("https://archive.example.org/all/a.b@c/", "a.b@c"),
        ("https://archive.example.org/linux-fs/a.b%40c/T/#t", "a.b@c"),
        ("patches/a@b", None),
        ("-o@x", None),
        ("patches", None),
        ("a b@c", None),
    ],
)
def test_message_ids(text: str, found: str | None) -> None:
    assert message_id(text) == found
