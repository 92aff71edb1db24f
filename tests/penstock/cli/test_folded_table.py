"""Tables on pages of every width."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from penstock.cli.folded_table import FoldedTable

NUMBERS = ("1,000,000", "340", "5,000", "226", "0 of 1,000")


def printed(table: FoldedTable, width: int) -> list[str]:
    page = io.StringIO()
    Console(file=page, width=width, color_system=None).print(table)
    return [line.rstrip() for line in page.getvalue().splitlines()]


def numbers() -> FoldedTable:
    table = FoldedTable()
    table.add_columns("partition", "limit/s", "of", "backlog", "exported/s", "in flight", justify="right")
    table.add_columns("state")
    table.add_row("1", *NUMBERS, "throttled")
    table.add_row("12")
    return table


def test_a_wide_page_has_one_table() -> None:
    heading, first, second = printed(numbers(), 120)
    assert heading.split() == ["partition", "limit/s", "of", "backlog", "exported/s", "in", "flight", "state"]
    assert first.split() == ["1", "1,000,000", "340", "5,000", "226", "0", "of", "1,000", "throttled"]
    assert second.split() == ["12"]


def test_what_does_not_fit_goes_below_with_the_name_of_the_row_again() -> None:
    assert printed(numbers(), 40) == [
        "partition    limit/s   of  backlog",
        "        1  1,000,000  340    5,000",
        "       12",
        "",
        "partition  exported/s   in flight",
        "        1         226  0 of 1,000",
        "       12",
        "",
        "partition  state",
        "        1  throttled",
        "       12",
    ]


@given(width=st.integers(21, 130))
def test_no_cell_is_cut_and_no_line_is_longer_than_the_page(width: int) -> None:
    lines = printed(numbers(), width)
    assert all(len(line) <= width for line in lines)
    assert "…" not in "".join(lines)
    for cell in (*NUMBERS, "throttled", "exported/s", "in flight"):
        assert cell in "\n".join(lines)


def test_square_brackets_in_a_cell_are_text() -> None:
    table = FoldedTable()
    table.add_columns("exporter")
    table.add_row("[bold]x[/bold]")
    assert printed(table, 40)[1] == "[bold]x[/bold]"
