"""The flights are found, in a checkout and in a package."""

from __future__ import annotations

import tomllib
from pathlib import Path

from penstock.demo import example

ROOT = Path(__file__).parents[3]


def test_a_checkout_plays_the_example_itself() -> None:
    found = example.flights_example()
    assert found.data == ROOT / "examples/flights/flights.ndjson.gz"
    line = b'{"carrier":"UA","flight":1545,"year":2013,"month":1,"day":1,"origin":"EWR"}'
    assert found.parse(line)["number"] == "UA1545"
    assert hasattr(found.processor(), "process")


def test_a_wheel_carries_the_example_where_the_demo_looks_first() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    files = {"examples/flights/flights.py", "examples/flights/flights.ndjson.gz"}
    assert files <= set(wheel["only-include"])
    assert all((ROOT / file).is_file() for file in files)
    assert wheel["sources"]["examples/flights"] == example._PLACES[0].relative_to(ROOT).as_posix()
