"""Foreign text made printable."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.parse.foreign import printable

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("btrfs: fix it", "btrfs: fix it"),
        ("Größe 日本", "Größe 日本"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\nSubject: b", r"a\x0aSubject: b"),
        ("\x9b31m", r"\x9b31m"),
        ("evil\u202etxt.exe", r"evil\u202etxt.exe"),
        ("\udcff", r"\udcff"),
        ("\u2028", r"\u2028"),
        ("\U000e0001tag", r"\U000e0001tag"),
    ],
)
def test_what_steers_is_shown_and_the_rest_is_left(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_and_tabs_stay_where_they_are_wanted() -> None:
    assert printable("a\r\n\tb\rc", lines=True) == "a\n\tb\\x0dc"


def test_long_text_is_cut_and_says_so() -> None:
    assert printable("x" * 100, limit=20) == "xxxxxxxxxxx... (cut)"
    assert printable("x" * 20, limit=20) == "x" * 20


@given(st.text(), st.booleans())
def test_nothing_that_steers_is_left(text: str, lines: bool) -> None:
    shown = printable(text, lines=lines)
    assert all(unicodedata.category(c)[0] != "C" or c in "\n\t" or unicodedata.category(c) in "CnCo" for c in shown)
    assert lines or "\n" not in shown
    shown.encode()
