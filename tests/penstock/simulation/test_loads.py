"""Loads as people write them, and files of what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.errors import ConfigurationError
from penstock.simulation.loads import read_load


def test_a_rate_holds_for_ever() -> None:
    given_load = read_load("4000", "--offered")
    assert given_load.changes == ((0.0, 4000.0),)
    assert (given_load.load(0), given_load.load(1e9), given_load.last_change) == (4000, 4000, 0)
    assert given_load.text == "4000/s"


def test_steps_are_a_first_rate_and_others_with_their_times() -> None:
    given_load = read_load("3500, 10m:800, 1h30m:0.5", "--capacity")
    assert given_load.changes == ((0.0, 3500.0), (600.0, 800.0), (5400.0, 0.5))
    assert [given_load.load(at) for at in (0, 599.9, 600, 5399, 5400)] == [3500, 3500, 800, 800, 0.5]
    assert given_load.last_change == 5400
    assert given_load.text == "3500/s, from 10m 800/s, from 1h30m 0.5/s"
    assert read_load("0:3500,600:800", "x").changes == ((0.0, 3500.0), (600.0, 800.0))


@pytest.mark.parametrize(
    "text",
    [
        "seconds,rate\n0,3500\n600,800.5\n",
        "0,3500\n\n600,800.5",
        "\ufeffTime;,x\n0,3500\n600,800.5\n".replace(";", ""),
        '{"seconds": 0, "rate": 3500}\n\n{"seconds": 600, "rate": 800.5, "more": 1}\n',
    ],
    ids=["headed", "bare", "marked", "ndjson"],
)
def test_a_file_has_seconds_and_rates(tmp_path: Path, text: str) -> None:
    file = tmp_path / "history"
    file.write_text(text, encoding="utf-8")
    given_load = read_load(str(file), "--offered")
    assert given_load.changes == ((0.0, 3500.0), (600.0, 800.5))
    assert given_load.text == "800.5 to 3500/s as in history"
    # What was measured changes all the time: settling is measured from the beginning.
    assert (given_load.last_change, given_load.seconds) == (0, 600)


def test_unix_times_count_from_the_first(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    file.write_text("1700000000.5,1\n1700000060.5,2\n")
    assert read_load(str(file), "x").changes == ((0.0, 1.0), (60.0, 2.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rates"),
        ("seconds,rate\n", "has no rates"),
        ("0,1\n0,2\n", "h.csv:2: times must rise"),
        ("0,1\n5\n", "h.csv:2: must have two columns, seconds and rate, not 1"),
        ("0,1\n5,x\n", "h.csv:2: 'x' is no number"),
        ("0,1\nnan,2\n", "h.csv:2: 'nan' is no number"),
        ("0,-1\n", "h.csv:1: a rate must lie between 0 and"),
        ('{"seconds": 0}\n', "h.csv:1: must be like"),
        ('{"seconds": 0, "rate": "x"}\n', "h.csv:1: 'x' is no number"),
        ("{\n", "h.csv:1: must be like"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "h.csv").write_text(text)
    with pytest.raises(ConfigurationError) as refusal:
        read_load(str(tmp_path / "h.csv"), "--offered")
    assert said in str(refusal.value)


def test_a_folder_or_bytes_are_no_load(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    for name in (tmp_path, tmp_path / "b"):
        with pytest.raises(ConfigurationError, match="cannot be read"):
            read_load(str(name), "--offered")


@given(st.text(alphabet="0123456789.,:msh-e x\0", max_size=30))
def test_whatever_is_written_is_a_load_or_refused_in_a_sentence(written: str) -> None:
    try:
        given_load = read_load(written, "--offered")
    except ConfigurationError as refusal:
        given_load = None
        said = str(refusal)
    assert given_load.load(0) >= 0 if given_load is not None else said.startswith(("--offered: ", written))
