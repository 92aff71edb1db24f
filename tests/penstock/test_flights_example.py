"""The first example of a newcomer: its data is what its page says, and its figures are right."""

import gzip
import hashlib
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from engine.options import EngineOptions
from penstock.settings import load_settings

FOLDER = Path(__file__).parents[2] / "examples/flights"
README = (FOLDER / "README.md").read_text()
LINES = gzip.decompress((FOLDER / "flights.ndjson.gz").read_bytes())
FLIGHTS = [json.loads(line) for line in LINES.splitlines()]


def test_the_page_names_the_checksum_the_rows_and_the_columns_of_the_data() -> None:
    assert hashlib.sha256(LINES).hexdigest() in README
    assert f"{len(FLIGHTS):,} rows" in README
    assert f"{len(LINES):,} bytes" in README
    assert all(f"`{column}`" in README for column in FLIGHTS[0])
    assert {tuple(flight) for flight in FLIGHTS} == {tuple(FLIGHTS[0])}


def test_the_page_counts_cancelled_and_diverted_flights_right() -> None:
    cancelled = sum(flight["dep_delay"] is None for flight in FLIGHTS)
    diverted = sum(f["dep_delay"] is not None and f["arr_delay"] is None for f in FLIGHTS)
    assert f"the {cancelled} cancelled flights" in README
    assert f"{diverted} diverted flights" in README
    assert f"{2 * len(FLIGHTS) - cancelled - diverted:,} in all" in README


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """All lines that an unlimited run leaves in the two files of delays."""
    folder = tmp_path_factory.mktemp("flights")
    settings = load_settings(
        FOLDER / "flights.yaml",
        {
            "PENSTOCK_FLOWCONTROL_WRITE_ENABLED": "false",
            "PENSTOCK_PIPELINE_EXPORTERS_DELAYS_JSONL_PATH": str(folder / "delays-{partition}.ndjson"),
            "PENSTOCK_PIPELINE_EXPORTERS_SUMMARIES_JSONL_PATH": str(folder / "summaries-{partition}.ndjson"),
        },
    )
    with settings.pipeline.run(
        folder / "data", flow_control=settings.flow_control, options=EngineOptions(storage="memory")
    ) as engine:
        assert engine.wait(60)
    return [
        json.loads(line)
        for partition in (1, 2)
        for line in (folder / f"delays-{partition}.ndjson").read_text().splitlines()
    ]


def test_each_departure_and_each_arrival_is_counted_once(exported: list[dict[str, Any]]) -> None:
    departures = Counter(line["intent"] for line in exported if line["valueType"] == "departure")
    arrivals = sum(line["valueType"] == "arrival_counted" for line in exported)
    assert departures == Counter("cancelled" if flight["dep_delay"] is None else "departed" for flight in FLIGHTS)
    assert arrivals == sum(flight["arr_delay"] is not None for flight in FLIGHTS)


def test_the_last_mean_of_each_airport_is_the_mean_of_all_its_departures(exported: list[dict[str, Any]]) -> None:
    delays: dict[str, list[int]] = defaultdict(list)
    for flight in FLIGHTS:
        if flight["dep_delay"] is not None:
            delays[flight["origin"]].append(flight["dep_delay"])
    # Lines of one airport stand in one file, in the order of their positions.
    departures = [line for line in exported if line["valueType"] == "departure"]
    last = {line["key"]: line["value"]["airport_mean_delay"] for line in departures}
    assert last == {code: round(sum(minutes) / len(minutes), 1) for code, minutes in delays.items()}


def test_each_arrival_is_counted_at_its_destination(exported: list[dict[str, Any]]) -> None:
    arrivals = [line["value"] for line in exported if line["valueType"] == "arrival_counted"]
    assert Counter((a["dest"], a["delay"]) for a in arrivals) == Counter(
        (flight["dest"], flight["arr_delay"]) for flight in FLIGHTS if flight["arr_delay"] is not None
    )
