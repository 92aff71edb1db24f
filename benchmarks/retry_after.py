"""Clients that obey `Retry-After`, against a gateway in a process of its own, for a minute: how much gets through?

Each case is one server with one write limit. A client sends until it is refused, waits as long as the header says
(whole seconds), and goes on. Counted is from the first refusal on: what was saved up before it is left aside.
"""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.study import Pace, Report

ROOT = Path(__file__).parents[1]
DEVIATION_MAX = 0.05
_STARTING_SECONDS_MAX = 30.0
_HEADERS = {"content-type": "application/x-ndjson"}
_SETTINGS = """\
pipeline: {{name: obeying}}
gateway: {{port: 0}}
management: {{port: 0}}
data: {folder}/data
flowControl: {{write: {{enabled: true, limit: {limit}}}}}
"""


@dataclass(frozen=True)
class Case:
    """A limit in records per second, and what each client sends at once."""

    limit: int
    records: int
    clients: int


CASES = (Case(100, 1, 1), Case(100, 1, 4), Case(1000, 50, 1), Case(4000, 100, 1), Case(4000, 100, 8))


@dataclass
class Tally:
    """What the clients of one case were answered. Written under the lock; times in seconds, monotonic."""

    accepted: int = 0
    refused: int = 0
    # Refusals without a usable `Retry-After`.
    unhelpful: int = 0
    began: float = 0.0
    ended: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rate(self) -> float:
        return self.accepted / (self.ended - self.began)


@contextmanager
def gateway(limit: int) -> Iterator[int]:
    """The port of a `penstock run` with this limit."""
    with tempfile.TemporaryDirectory() as folder:
        settings, log = Path(folder) / "run.yaml", Path(folder) / "log"
        settings.write_text(_SETTINGS.format(folder=folder, limit=limit))
        with log.open("w") as stderr:
            command = [sys.executable, "-m", "penstock", "run", str(settings)]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr)
        try:
            yield _port(process, log)
        finally:
            process.terminate()
            process.wait(30)


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Once the gateway answers: it says 503 until the engine runs."""
    deadline = time.monotonic() + _STARTING_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r":(\d+)/v1/records takes records", log.read_text())
        if found is not None and _post(connection := _connected(int(found[1])), b'{"n":0}\n')[0] == 200:
            connection.close()
            return int(found[1])
        time.sleep(0.1)
    raise RuntimeError(f"the server does not take records:\n{log.read_text()}")


def _connected(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=60)


def _post(connection: http.client.HTTPConnection, body: bytes) -> tuple[int, str]:
    """The status, and what `Retry-After` says."""
    connection.request("POST", "/v1/records", body, _HEADERS)
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers.get("retry-after", "")


def obey(port: int, case: Case, seconds: float, tally: Tally) -> None:
    """One client, from its first refusal to the first one after `seconds`."""
    body = b"".join(json.dumps({"n": n}).encode() + b"\n" for n in range(case.records))
    connection = _connected(port)
    while True:
        status, after = _post(connection, body)
        if status == 200:
            if tally.began:
                with tally.lock:
                    tally.accepted += case.records
            continue
        if status != 429:
            raise RuntimeError(f"the gateway answers {status}")
        now = time.monotonic()
        with tally.lock:
            tally.began = tally.began or now
            tally.refused += 1
            tally.unhelpful += not after.isdecimal()
            tally.ended = now
        if now - tally.began >= seconds:
            connection.close()
            return
        time.sleep(int(after) if after.isdecimal() else 1)


def measured(case: Case, seconds: float) -> Tally:
    tally = Tally()
    with gateway(case.limit) as port, ThreadPoolExecutor(case.clients) as pool:
        for client in [pool.submit(obey, port, case, seconds, tally) for _ in range(case.clients)]:
            client.result()
    return tally


def report(found: Sequence[tuple[Case, Tally]], seconds: float) -> str:
    rows = [
        "| limit/s | records a request | clients | got through/s | of the limit | refusals | without `Retry-After` |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, tally in found:
        share = tally.rate / case.limit
        verdict = "" if abs(share - 1) <= DEVIATION_MAX else " **off**"
        rows.append(
            f"| {case.limit} | {case.records} | {case.clients} | {tally.rate:.1f} | {share:.3f}{verdict} | "
            f"{tally.refused} | {tally.unhelpful} |"
        )
    head = f"obeying clients, {seconds:g} s each against a running gateway; {conditions()}"
    return "\n".join([head, "", *rows])


def run(pace: Pace) -> Report:
    seconds = float(pace.of(60, 10))
    found = []
    for number in pace.repetitions(len(CASES), 2, "obeying clients"):
        found.append((CASES[number], measured(CASES[number], seconds)))
    return Report(report(found, seconds))
