"""A pipeline that has a bit of everything, for tests that kill it: two sources, parallel steps, messages, timers.

All it leaves is independent of the order in which the sources' records meet, so that any two runs must agree.
"""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.support.flights import EXAMPLE, ROOT, state_of

FROM_FIRST, FROM_SECOND = 24_000, 8_000
# Of the 32,000 flights, every fifth sets a timer.
TIMER_EVERY = 5
PARTITIONS = 2

_YAML = f"""\
pipeline:
  name: crowd
  partitions: {PARTITIONS}
  sources:
    first: {{lines: {{path: first.ndjson.gz}}}}
    second: {{lines: {{path: second.csv, format: csv}}}}
  transforms:
    - parse: {{map: "crowd_code:parse", parallelism: 3}}
    - wanted: {{filter: "crowd_code:wanted", parallelism: 2}}
  key: origin
  valueType: flight
  processor: "crowd_code:Crowd"
  exporters:
    out: {{jsonl: {{path: out.ndjson}}, recordTypes: [event], valueTypes: [departed, arrived, checked]}}
flowControl:
  write: {{enabled: true, limit: 20000}}
"""

_CODE = f"""\
import json


def parse(value):
    flight = value if isinstance(value, dict) else json.loads(value)
    return {{"n": int(flight["n"]), "origin": flight["origin"], "dest": flight["dest"], "carrier": flight["carrier"]}}


def wanted(flight):
    return flight["n"] % 16 != 3


def count(context, key):
    context.state.put(key, context.state.get(key, 0) + 1)


class Crowd:
    def process(self, record, context):
        value = record.value
        if record.value_type == "flight":
            count(context, "carrier/" + value["carrier"])
            context.emit("departed", {{"n": value["n"]}})
            context.send(value["dest"], "arrival", {{"n": value["n"], "dest": value["dest"]}})
            if value["n"] % {TIMER_EVERY} == 0:
                context.schedule(value["n"] % 7 * 0.05, "check", {{"n": value["n"]}})
        elif record.value_type == "arrival":
            count(context, "arrivals/" + value["dest"])
            context.emit("arrived", {{"n": value["n"]}})
        elif record.value_type == "check":
            count(context, "checked")
            context.emit("checked", {{"n": value["n"]}})
"""


@dataclass(frozen=True)
class CrowdResult:
    """What a finished run left: every event by kind and number, timers that still wait counted as fired."""

    events: Counter[tuple[str, int]]
    state: dict[str, int]


class CrowdRun:
    """One copy of the pipeline in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "crowd.yaml").write_text(_YAML)
        (folder / "crowd_code.py").write_text(_CODE)
        flights = self._flights()
        with gzip.open(folder / "first.ndjson.gz", "wt", compresslevel=1) as file:
            file.writelines(json.dumps(flight) + "\n" for flight in flights[:FROM_FIRST])
        with (folder / "second.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["n", "origin", "dest", "carrier"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(flights[FROM_FIRST:])

    @staticmethod
    def _flights() -> list[dict[str, Any]]:
        lines = gzip.decompress((EXAMPLE / "flights.ndjson.gz").read_bytes()).splitlines()
        found = [json.loads(line) for line in lines]
        return [found[n % len(found)] | {"n": n} for n in range(FROM_FIRST + FROM_SECOND)]

    def command(self) -> list[str]:
        return [sys.executable, "-m", "penstock", "run", str(self.folder / "crowd.yaml"), "--no-management"]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(),
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(), cwd=ROOT, text=True, capture_output=True, timeout=100, check=False)

    def expected(self) -> CrowdResult:
        """What must come of the input, by plain counting."""
        events: Counter[tuple[str, int]] = Counter()
        state: Counter[str] = Counter()
        for flight in self._flights():
            n = flight["n"]
            if n % 16 == 3:
                continue
            events["departed", n] = events["arrived", n] = 1
            state["carrier/" + flight["carrier"]] += 1
            state["arrivals/" + flight["dest"]] += 1
            if n % TIMER_EVERY == 0:
                events["checked", n] = 1
                state["checked"] += 1
        return CrowdResult(events, dict(state))

    def result(self) -> CrowdResult:
        events: Counter[tuple[str, int]] = Counter()
        state: Counter[str] = Counter()
        for partition in range(1, PARTITIONS + 1):
            for line in (self.folder / f"out-{partition}.ndjson").read_text().splitlines():
                said = json.loads(line)
                events[said["valueType"], said["value"]["n"]] += 1
            database = sqlite3.connect(state_of(self.folder / "data", partition))
            for key, value in database.execute("SELECT key, value FROM state"):
                state[key] += msgspec.msgpack.decode(value)
            for (command,) in database.execute("SELECT command FROM timer"):
                # A timer that waits when the sources have ended stays stored for the next run.
                events["checked", msgspec.msgpack.decode(command)[4]["n"]] += 1
                state["checked"] += 1
            database.close()
        return CrowdResult(events, dict(state))
