"""What a crowd in front of the ports does to a running pipeline: descriptors, memory, health and throughput.

`python -m benchmarks.crowd` prints a table; `ulimit -n 1024` beforehand is the usual default of a shell.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 8.0
_FILE = """\
pipeline:
  name: crowd
  partitions: 2
  key: key
  sources: {{g: {{generator: {{rate: 2000, keys: 50}}}}}}
  exporters: {{out: {{jsonl: {{path: out.ndjson, rotate: {{size: 1MB, keep: 2}}}}}}}}
data: {{path: data}}
management: {{port: {management}}}
gateway: {{enabled: true, port: {gateway}}}
"""
Attack = Callable[[int, int, threading.Event], None]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def holding(port: int, count: int, said: bytes, stop: threading.Event) -> None:
    """Keeps so many connections open, opens those again that were closed, and reads nothing."""
    held: list[socket.socket] = []
    while not stop.is_set():
        alive = []
        for connection in held:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError, OSError):
                if connection.recv(1, socket.MSG_PEEK) == b"":
                    connection.close()
                    continue
            if connection.fileno() >= 0:
                alive.append(connection)
        held = alive
        for _ in range(count - len(held)):
            if stop.is_set():
                break
            with contextlib.suppress(OSError):
                connection = socket.create_connection(("127.0.0.1", port), timeout=1)
                connection.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    connection.sendall(said)
                held.append(connection)
        stop.wait(0.1)
    for connection in held:
        connection.close()


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


_POST = b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
ATTACKS: dict[str, Attack | None] = {
    "nobody": None,
    "5000 idle, management": lambda m, _, stop: holding(m, 5000, b"", stop),
    "5000 idle, gateway": lambda _, g, stop: holding(g, 5000, b"", stop),
    "slowloris: 1000 half heads, management": lambda m, _, stop: holding(m, 1000, _get("/metrics")[:-2], stop),
    "slowloris: 1000 half bodies, gateway": lambda _, g, stop: holding(g, 1000, _POST[:-1], stop),
    "100 × 300 unread requests, management": lambda m, _, stop: holding(m, 100, _get("/metrics") * 300, stop),
    "100 × 300 unread requests, gateway": lambda _, g, stop: holding(g, 100, _POST * 300, stop),
    "500 event streams": lambda m, _, stop: holding(m, 500, _get("/api/events"), stop),
    "200 endless heads, gateway": lambda _, g, stop: holding(g, 200, _POST[:20] + b"a" * 1_000_000, stop),
}


@contextmanager
def pipeline(folder: Path, management: int, gateway: int) -> Iterator[int]:
    (folder / "crowd.yaml").write_text(_FILE.format(management=management, gateway=gateway))
    command = [sys.executable, "-m", "penstock", "run", str(folder / "crowd.yaml")]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not is_well(management)[0]:
            assert process.poll() is None, (folder / "log.txt").read_text()
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def is_well(port: int) -> tuple[bool, float]:
    """Whether liveness answers 200 within five seconds, and after how many."""
    began = time.monotonic()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/healthy", timeout=5) as answer:
            return answer.status == 200, time.monotonic() - began
    except OSError:
        return False, time.monotonic() - began


def accepted(port: int) -> float:
    """Records in the log."""
    path = "/metrics?name[]=penstock_last_written_position"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as got:
        return sum(float(line.rsplit(b" ", 1)[1]) for line in got.read().splitlines() if not line.startswith(b"#"))


def row(name: str, attack: Attack | None) -> str:
    with tempfile.TemporaryDirectory() as made:
        folder, management, gateway = Path(made), free_port(), free_port()
        with pipeline(folder, management, gateway) as pid:
            stop = threading.Event()
            before, began = accepted(management), time.monotonic()
            attackers = [] if attack is None else [threading.Thread(target=attack, args=(management, gateway, stop))]
            for thread in attackers:
                thread.start()
            time.sleep(2)
            answers, descriptors, resident = [], 0, 0
            while time.monotonic() - began < 2 + SECONDS:
                answers.append(is_well(management))
                descriptors = max(descriptors, len(os.listdir(f"/proc/{pid}/fd")))
                resident = max(resident, int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4 // 1024)
                time.sleep(0.1)
            stop.set()
            for thread in attackers:
                thread.join()
            rate = (accepted(management) - before) / (time.monotonic() - began)
    well = [seconds * 1000 for is_up, seconds in answers if is_up]
    failed = len(answers) - len(well)
    health = f"{statistics.median(well):.0f}, {max(well):.0f} | {failed} of {len(answers)}"
    return f"| {name} | {descriptors} | {resident} | {health} | {rate:,.0f} |"


def main() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"limit of open files: {soft}, {hard}; {SECONDS:.0f} s each; 2000 records/s offered")
    print("| crowd | descriptors, most | memory, MB | health: median, longest, ms | health: failed | records/s |")
    print("|---|---|---|---|---|---|")
    for name, attack in ATTACKS.items():
        print(row(name, attack), flush=True)


if __name__ == "__main__":
    main()
