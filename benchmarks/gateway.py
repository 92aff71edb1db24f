"""The gateway: durable against non-durable, and against a bare server with the same append. Needs `wrk` (Debian)."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.study import Pace, Report

ROOT = Path(__file__).parents[1]
_FIELDS = ",".join(f'"f{n}":"abcdefghijklmnop"' for n in range(40))
# About 1 KB, and 100 rows of about 300 bytes.
ONE = f'{{"k":"a",{_FIELDS}}}'
ROWS = (f'{{"k":"a",{",".join(_FIELDS.split(",")[:12])}}}\n') * 100
_SCRIPT = """\
wrk.method = "POST"
wrk.headers["content-type"] = "{media_type}"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
"""


@dataclass(frozen=True)
class Load:
    """What is sent, over how many connections."""

    name: str
    body: str
    media_type: str
    connections: int
    records: int


LOADS = (
    Load("1 KB JSON, 32 connections", ONE, "application/json", 32, 1),
    Load("1 KB JSON, 128 connections", ONE, "application/json", 128, 1),
    Load("100 rows of NDJSON, 32 connections", ROWS, "application/x-ndjson", 32, 100),
)

# Each goal's load, and the two servers whose ratio it is about.
GOALS = {
    "post, 32": (LOADS[0].name, ("full", "normal")),
    "post, 128": (LOADS[1].name, ("full", "normal")),
    "ingest": (LOADS[2].name, ("normal", "bare")),
}


@dataclass(frozen=True)
class Outcome:
    """Of one run of wrk."""

    requests_per_second: float
    p99_ms: float


@contextmanager
def server(kind: str) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gateway_server", kind, f"{folder}/data"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(30)


def knock(port: int, load: Load, seconds: int) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        body, script = Path(folder) / "body", Path(folder) / "post.lua"
        body.write_text(load.body)
        script.write_text(_SCRIPT.format(media_type=load.media_type, body=body))
        url = f"http://127.0.0.1:{port}/v1/records"
        done = subprocess.run(
            ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--latency", "-s", str(script), url],
            capture_output=True,
            text=True,
            check=True,
        )
    assert "Non-2xx" not in done.stdout, done.stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    assert rate is not None
    assert p99 is not None
    assert float(rate[1]) > 0, "the server answers nothing"
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[p99[2]]
    return Outcome(float(rate[1]), float(p99[1]) * scale)


def run(pace: Pace) -> Report:
    if shutil.which("wrk") is None:
        missing = "wrk is not installed (apt install wrk)"
        return Report(f"gateway: {missing}", missing=dict.fromkeys(GOALS, missing))
    seconds = pace.of(3, 1)
    found: dict[tuple[str, str], list[Outcome]] = {}
    for _ in pace.repetitions(5, 2):
        for load in LOADS:
            kinds = ("full", "normal") if load.records == 1 else ("full", "normal", "bare")
            for kind in kinds:
                with server(kind) as port:
                    knock(port, load, 1)
                    found.setdefault((load.name, kind), []).append(knock(port, load, seconds))
    rows = ["| load | log | requests/s | records/s | p99 ms | ratio |", "|---|---|---|---|---|---|"]
    for load in LOADS:
        for kind in ("full", "normal", "bare"):
            outcomes = found.get((load.name, kind))
            if outcomes is not None:
                rows.append(_row(load, kind, outcomes, found))
    repetitions = len(found[LOADS[0].name, "full"])
    head = f"gateway, n = {repetitions} of {seconds} s, wrk with one thread on the same cores; {conditions()}"
    samples = {
        goal: ratios(*(_rates(found[load, kind]) for kind in kinds)).values for goal, (load, kinds) in GOALS.items()
    }
    return Report("\n".join([head, "", *rows]), samples)


def _rates(outcomes: list[Outcome]) -> list[float]:
    return [outcome.requests_per_second for outcome in outcomes]


def _row(load: Load, kind: str, outcomes: list[Outcome], found: dict[tuple[str, str], list[Outcome]]) -> str:
    rates = _rates(outcomes)
    against = {"full": "normal", "normal": "bare"}.get(kind, "")
    ratio = "–"
    if (load.name, against) in found:
        other = _rates(found[load.name, against])
        ratio = f"{ratios(rates, other).text()} of {against}"
    return (
        f"| {load.name} | {kind} | {Spread.of(rates).text('{:.0f}')} | "
        f"{Spread.of([rate * load.records for rate in rates]).median:.0f} | "
        f"{Spread.of([outcome.p99_ms for outcome in outcomes]).text('{:.0f}')} | {ratio} |"
    )
