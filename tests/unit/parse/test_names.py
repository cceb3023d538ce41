"""One text has one name in each form, two texts have two, and no name breaks the format that it is for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matrices import HOSTILE, cells, hostile

from harness.parse.names import NameForm, name_of

pytestmark = pytest.mark.unit

FITS = {
    # The schema of KCIDB 5.3 says so of its paths.
    NameForm.PATH: r"[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*",
    NameForm.FILE: r"(?!-)[a-z0-9_.-]{1,120}",
    NameForm.LINE: r"(?![-+* ])[^#\x00-\x1f\x7f\u2028]{1,200}(?<! )",
}
texts = st.text(st.characters(codec=None) | st.sampled_from("/-. #aA0"), max_size=40)


@pytest.mark.parametrize("form", NameForm)
def test_a_plain_cell_reads_as_it_is_written(form: NameForm) -> None:
    as_written = "shared-dio/btrfs/nvme" if form is NameForm.LINE else "shared-dio.btrfs.nvme"
    assert name_of(form, "shared-dio/btrfs/nvme") == as_written
    assert name_of(form, "shared-dio/btrfs", "nvme") == as_written


@pytest.mark.parametrize("form", NameForm)
def test_names_of_cells_that_differ_in_what_is_lost_differ(form: NameForm) -> None:
    for some in (cells(), hostile().plan.cells):
        names = {name_of(form, cell.name) for cell in some}
        assert len(names) == len(some)
    assert name_of(form, "a b") != name_of(form, "a-b")
    assert name_of(form, "a#b") != name_of(form, "a b")
    assert name_of(form, "") != name_of(form, "unnamed")


def test_capital_letters_are_lost_in_files_only() -> None:
    assert name_of(NameForm.FILE, "ext4").lower() != name_of(NameForm.FILE, "EXT4").lower()
    assert name_of(NameForm.PATH, "EXT4") == "EXT4"


@pytest.mark.parametrize("form", NameForm)
def test_what_looks_like_a_name_with_a_hash_is_none(form: NameForm) -> None:
    forged = name_of(form, "a#b")
    assert re.search(r"-[0-9a-f]{8}$", forged)
    assert name_of(form, forged) != forged


@pytest.mark.parametrize("form", NameForm)
def test_long_and_hostile_texts_have_short_names(form: NameForm) -> None:
    for text in (HOSTILE, "x" * 5000, "a/" * 300, "..", "/", "con", "-rf", "- - -"):
        name = name_of(form, text)
        assert re.fullmatch(FITS[form], name), name
    assert name_of(form, "x" * 5000 + "1") != name_of(form, "x" * 5000 + "2") or form is NameForm.PATH


@pytest.mark.parametrize("form", NameForm)
@given(texts, texts)
def test_every_text_has_a_name_of_its_own_that_fits(form: NameForm, one: str, other: str) -> None:
    assert re.fullmatch(FITS[form], name_of(form, one))
    assert (name_of(form, one) == name_of(form, other)) == (one == other)
