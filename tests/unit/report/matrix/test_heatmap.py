"""Which axes of a matrix go down and across, and that no cell is left out."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.matrix.heatmap import Tile, heat_map

pytestmark = pytest.mark.unit


def tile(name: str) -> Tile:
    return Tile(
        name=name, link="#", sign="=", word="same", kind="same", strength=0, change="-", metric="", waived=False
    )


def cells(*counts: int, without=lambda labels: False):
    axes = [f"axis{place}" for place in range(len(counts))]
    made = product(*[[f"{axis}-{label}" for label in range(count)] for axis, count in zip(axes, counts, strict=True)])
    return [(dict(zip(axes, labels, strict=True)), tile("/".join(labels))) for labels in made if not without(labels)]


def shapes(found):
    return [(len(table.rows), table.columns) for table in found.tables]


def names(found) -> list[str]:
    return [one.name for table in found.tables for row in table.rows for one in row.tiles if one is not None]


@pytest.mark.parametrize(
    ("counts", "shape"),
    [
        ((4,), [(4, 1)]),
        ((2, 3), [(3, 2)]),
        ((6, 2), [(6, 2)]),
        ((2, 2, 2), [(2, 4)]),
        ((10, 5, 2), [(20, 5)]),
        ((4, 3, 2, 2), [(8, 6)]),
        # Too many rows: tables of their own for the axis of two.
        ((10, 5, 5, 2), [(50, 5)] * 2),
        ((5, 4, 3, 2, 2), [(15, 8)] * 2),
    ],
)
def test_shapes(counts, shape) -> None:
    assert shapes(heat_map(cells(*counts))) == shape


def test_axes_that_do_not_vary_are_named_once() -> None:
    found = heat_map(cells(3, 1, 2))
    assert found.fixed == (("axis1", "axis1-0"),)
    assert shapes(found) == [(3, 2)]


def test_headings_span_what_they_are_of() -> None:
    (table,) = heat_map(cells(4, 3, 2, 2)).tables
    assert table.row_axes == ("axis0", "axis3")
    assert [[head.span for head in heads] for heads in table.heads] == [[2, 2, 2], [1] * 6]
    assert [[head.span for head in row.heads] for row in table.rows[:3]] == [[2, 1], [1], [2, 1]]
    for row in table.rows:
        assert len(row.tiles) == 6


def test_a_cell_that_is_excluded_leaves_a_hole() -> None:
    found = heat_map(cells(3, 2, without=lambda labels: labels == ("axis0-1", "axis1-0")))
    assert [row.tiles[0] is None for row in found.tables[0].rows] == [False, True, False]


def test_a_matrix_of_which_most_is_missing_is_a_list() -> None:
    diagonal = cells(6, 6, without=lambda labels: labels[0][-1] != labels[1][-1])
    assert shapes(heat_map(diagonal)) == [(6, 1)]


def test_cells_without_axes_are_a_list() -> None:
    assert shapes(heat_map([({}, tile("one"))])) == [(1, 1)]
    assert shapes(heat_map([({"a": "1"}, tile("one")), ({"b": "1"}, tile("two"))])) == [(2, 1)]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.sets(st.integers(0, 200), max_size=40),
)
def test_every_cell_is_shown_once(counts: list[int], missing: set[int]) -> None:
    some = [one for place, one in enumerate(cells(*counts)) if place not in missing]
    found = heat_map(some)
    assert sorted(names(found)) == sorted(one.name for _, one in some)
    for table in found.tables:
        beside = sum(head.span for row in table.rows for head in row.heads)
        assert beside == len(table.rows) * len(table.row_axes)
        assert all(sum(head.span for head in heads) == table.columns for heads in table.heads)
