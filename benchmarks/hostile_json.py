"""JSON made to hurt, as large as a body may be: what the gateway answers, how long it takes and how its memory grows.

Each body goes alone to a gateway in a process of its own, and then eight of it at once. Memory is the peak of the
process above what it had after a first request.
"""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.study import Pace, Report

ROOT = Path(__file__).parents[1]
BYTES = 4 * 1024 * 1024
AT_ONCE = 8


def _repeated(begin: bytes, part: bytes, end: bytes) -> bytes:
    """Filled up to the size of a body."""
    room = BYTES - len(begin) - len(end) - 1
    return begin + (part + b",") * (room // (len(part) + 1)) + part + end if part else begin + end


def _deep(begin: bytes, close: bytes) -> bytes:
    levels = (BYTES - 16) // (len(begin) + len(close))
    return b'{"a":' + begin * levels + b"1" + close * levels + b"}"


BODIES: dict[str, Callable[[], bytes]] = {
    "2 million arrays in one another": lambda: _deep(b"[", b"]"),
    "2 million arrays, never closed": lambda: b'{"a":' + b"[" * (BYTES // 2),
    "objects in one another": lambda: _deep(b'{"a":', b"}"),
    "101 levels": lambda: b'{"a":' + b"[" * 100 + b"]" * 100 + b"}",
    "empty objects in an array": lambda: _repeated(b"[", b"{}", b"]"),
    "empty objects, a line each": lambda: b"{}\n" * (BYTES // 3),
    "one record of empty arrays": lambda: _repeated(b'{"a":[', b"[]", b"]}"),
    "one record of empty objects": lambda: _repeated(b'{"a":[', b"{}", b"]}"),
    "one record of short texts": lambda: _repeated(b'{"a":[', b'"a"', b"]}"),
    "one record of numbers": lambda: _repeated(b'{"a":[', b"0.5", b"]}"),
    "one record of many keys": lambda: b"{" + b",".join(b'"%x":0' % n for n in range(BYTES // 10)) + b"}",
    "one long text": lambda: b'{"a":"' + b"x" * (BYTES - 10) + b'"}',
}


@contextmanager
def gateway() -> Iterator[tuple[int, int]]:
    """Its port and process id."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.gateway_server", "full", f"{folder}/data"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process.pid
        finally:
            process.stdin.close()
            process.wait(60)


def _post(port: int, body: bytes, media_type: str) -> tuple[int, float]:
    """The status and the seconds until it came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.monotonic()
    connection.request("POST", "/v1/records", body, {"content-type": media_type})
    answer = connection.getresponse()
    answer.read()
    took = time.monotonic() - began
    connection.close()
    return answer.status, took


def _peak_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def measured(name: str, body: bytes, at_once: int) -> str:
    media_type = "application/x-ndjson" if "line each" in name else "application/json"
    with gateway() as (port, process), ThreadPoolExecutor(at_once) as pool:
        _post(port, b'{"n":0}', "application/json")
        before_mb = _peak_mb(process)
        answers = [pool.submit(_post, port, body, media_type) for _ in range(at_once)]
        found = [answer.result() for answer in answers]
        grown_mb = _peak_mb(process) - before_mb
        after, _ = _post(port, b'{"n":1}', "application/json")
    statuses = ", ".join(f"{status} ({count}×)" for status, count in sorted(Counter(s for s, _ in found).items()))
    slowest = max(seconds for _, seconds in found)
    return f"| {name} | {at_once} | {statuses} | {slowest * 1000:.0f} | {grown_mb:.0f} | {after} |"


def run(pace: Pace) -> Report:
    rows = [
        "| body | at once | answers | slowest ms | memory MB | the next request |",
        "|---|---|---|---|---|---|",
    ]
    names = list(BODIES)
    for number in pace.repetitions(len(names), 2, "hostile JSON"):
        body = BODIES[names[number]]()
        rows += [measured(names[number], body, at_once) for at_once in (1, AT_ONCE)]
    head = f"hostile JSON, bodies of up to {BYTES // 1024**2} MB, one run each; {conditions()}"
    return Report("\n".join([head, "", *rows]))
