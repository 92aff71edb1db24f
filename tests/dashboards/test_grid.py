"""Panels stand on the grid without overlap, whatever their sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.grid import COLUMNS, Grid, Place

SIZES = st.lists(st.tuples(st.integers(1, COLUMNS), st.integers(1, 12)), max_size=30)


def cells_of(place: Place) -> list[tuple[int, int]]:
    return [(x, y) for x in range(place.x, place.x + place.w) for y in range(place.y, place.y + place.h)]


@given(SIZES, st.sets(st.integers(0, 30)))
def test_no_two_places_overlap_and_none_leaves_the_columns(sizes: list[tuple[int, int]], rows: set[int]) -> None:
    grid = Grid()
    places = []
    for index, (width, height) in enumerate(sizes):
        if index in rows:
            places.append(grid.row_title())
        places.append(grid.next(width, height))
    cells = [cell for place in places for cell in cells_of(place)]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < COLUMNS for x, _ in cells)


@given(SIZES)
def test_panels_keep_their_order_and_size(sizes: list[tuple[int, int]]) -> None:
    grid = Grid()
    places = [grid.next(width, height) for width, height in sizes]
    assert [(place.w, place.h) for place in places] == sizes
    assert [(p.y, p.x) for p in places] == sorted((p.y, p.x) for p in places)


def test_a_heading_has_a_line_of_its_own_below_the_tallest_panel() -> None:
    grid = Grid()
    grid.next(12, 8)
    grid.next(12, 5)
    assert grid.row_title() == Place(x=0, y=8, w=24, h=1)
    assert grid.next(6, 4) == Place(x=0, y=9, w=6, h=4)


@pytest.mark.parametrize("size", [(0, 1), (25, 1), (1, 0)])
def test_a_panel_that_fits_nowhere_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Grid().next(*size)
