"""The table of docs/sources.md: each row has a small file beside this one, which is read or refused as the row says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from engine.core.errors import ConfigurationError, DamagedInputError
from engine.sources.lines import lines
from engine.sources.protocol import SourceStart
from engine.sources.unreadable import Unreadable

FILES = Path(__file__).parent / "dialects"
PAGE = Path(__file__).parents[3] / "docs" / "sources.md"
# What all files tell, unless their row says otherwise.
ROWS = [{"id": "1", "name": "Zoë"}, {"id": "2", "name": "José"}]
KEYS = {"lazyQuotes": "lazy_quotes", "columnNames": "column_names"}


class Row(NamedTuple):
    file: str
    options: dict[str, Any]
    becomes: str


def table() -> list[Row]:
    found = re.findall(
        r"^\| `([^`]+)` \| .*? \| (?:`(.*?)`)? ?\| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    return [
        Row(file, {KEYS.get(key, key): value for key, value in _options(written).items()}, becomes)
        for file, written, becomes in found
    ]


def _options(written: str) -> dict[str, Any]:
    """As they stand in a pipeline's file; in a table a | is escaped."""
    return yaml.safe_load("{" + written.replace("\\|", "|") + "}") or {}


def read(row: Row) -> tuple[list[dict[str, str]], list[str], str]:
    """Rows, reasons of what was put aside, and what the source said when it ended too early."""
    source = lines(FILES / row.file, format="csv", **row.options)
    source.check()
    source.open(SourceStart(0, None))
    values: list[Any] = []
    said = ""
    try:
        while (batch := source.read(100)) is not None:
            values += batch.values
    except DamagedInputError as error:
        said = str(error)
    source.close()
    aside = [value.reason for value in values if isinstance(value, Unreadable)]
    return [value for value in values if not isinstance(value, Unreadable)], aside, said


def test_each_file_has_a_row_and_each_row_a_file() -> None:
    assert sorted(row.file for row in table()) == sorted(path.name for path in FILES.iterdir())


@pytest.mark.parametrize("row", table(), ids=lambda row: row.file)
def test_a_file_is_read_or_refused_as_its_row_says(row: Row) -> None:
    verdict, _, sentence = row.becomes.partition(": ")
    if verdict == "refused":
        with pytest.raises(ConfigurationError) as refusal:
            read(row)
        assert sentence in str(refusal.value)
        assert row.file in str(refusal.value)
        return
    found, aside, said = read(row)
    match verdict:
        case "read":
            assert (found, aside, said) == (ROWS, [], "")
        case "nothing":
            assert (found, aside, said) == ([], [], "")
        case "damaged":
            assert (found[:1], aside) == (ROWS[:1], [])
            assert sentence in said
        case "aside":
            assert found in (ROWS, [])
            assert aside
            assert all(sentence in reason and row.file in reason for reason in aside)
        case _:
            cell = re.fullmatch(r"`(.*)` is `(.*)`", row.becomes)
            assert cell is not None, f"{row.becomes!r} is no verdict"
            key, value = cell[1], cell[2].replace("⏎", "\n")
            assert [r for r in found if r["id"] == key and r["name"] == value] or found[0].get(key) == value
            assert not aside
