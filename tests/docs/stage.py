"""Where the manual's commands are run: a folder with the examples, and a pipeline that runs beside them."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.blocks import ROOT
from tests.support.prometheus import free_port
from tests.support.waiting import wait_until

# Enough flights for each command to have something to show.
_FLIGHTS = 2_000
_RUNNING = """\
pipeline:
  name: stage
  partitions: 2
  key: origin
  exporters:
    search: {class: "stage:Search", valueTypes: [record]}
flowControl:
  write: {enabled: true, limit: 4000, throttling: {enabled: true, acceptableBacklog: 5000}}
data: ./running
gateway: {enabled: true}
"""
# Leaves rejects of an exporter `search` in the folder `data`.
_ENDED = """\
pipeline:
  name: ended
  sources: {orders: {lines: {path: orders.ndjson, format: json}}}
  exporters:
    search: {class: "stage:Refuses", attempts: 1}
data: ./data
management: {enabled: false}
"""
_CODE = """\
from penstock import RefusedRecordsError


class Search:
    def open(self, context): ...
    def export(self, records): ...
    def close(self): ...


class Refuses(Search):
    def export(self, records):
        bad = {record.position: "it is too long" for record in records if record.value["amount"] > 99}
        if bad:
            raise RefusedRecordsError(bad)
"""


@dataclass(frozen=True, slots=True)
class Stage:
    """The folder, and the ports of the pipeline that runs there."""

    folder: Path
    management: int
    gateway: int

    def understood(self, command: str) -> str:
        """The command with the ports of this run, and with a program of the repository where it names one."""
        command = re.sub(r"(127\.0\.0\.1|localhost):9600", rf"127.0.0.1:{self.management}", command)
        command = re.sub(r"(127\.0\.0\.1|localhost):8600", rf"127.0.0.1:{self.gateway}", command)
        asks = r"(penstock (?:flow-control|back-pressure|exporters)\b[^#|]*?)(?=\s*(?:[#|]|$))"
        command = re.sub(asks, rf"\1 --url http://127.0.0.1:{self.management}", command)
        # Others run beside it on this machine, so it has to be named.
        named = "env -u PENSTOCK_MANAGEMENT_PORT penstock health running.yaml"
        command = re.sub(r"penstock health(?=\s*(?:#|$))", named, command)
        return re.sub(r"^make\b", f"make --dry-run -C {ROOT}", command)

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "PATH": path, "PENSTOCK_MANAGEMENT_PORT": "0", "PENSTOCK_FLOWCONTROL_WRITE_LIMIT": "1000000"}

    def run(self, command: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        # `head` hangs up on who is before it, which is no failure.
        strict = "set -e" if "| head" in command else "set -e -o pipefail"
        return subprocess.run(
            ["bash", "-c", f"{strict}\n{self.understood(command)}"],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """The stage, from before its pipeline is ready until after it has ended."""
    _furnish(folder)
    stage = Stage(folder, free_port(), free_port())
    ports = {
        "PENSTOCK_MANAGEMENT_PORT": str(stage.management),
        "PENSTOCK_GATEWAY_PORT": str(stage.gateway),
        "PENSTOCK_FLOWCONTROL_WRITE_LIMIT": "4000",
    }
    # As the file of a pipeline whose port is known, for `penstock health`.
    (folder / "running.yaml").write_text(f"{_RUNNING}management: {{port: {stage.management}}}\n")
    with (folder / "running.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "run", "running.yaml"],
            cwd=folder,
            env={**stage.environment(), **ports},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            assert wait_until(lambda: stage.run("penstock health").returncode == 0), (
                folder / "running.log"
            ).read_text()
            for command in ("penstock run ended.yaml", "penstock run examples/flights/flights.yaml"):
                done = stage.run(command)
                assert done.returncode == 0, done.stderr
            yield stage
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _furnish(folder: Path) -> None:
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("data", "out", "__pycache__"))
    flights = folder / "examples" / "flights" / "flights.ndjson.gz"
    lines = gzip.decompress(flights.read_bytes()).splitlines(keepends=True)[:_FLIGHTS]
    flights.write_bytes(gzip.compress(b"".join(lines)))
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "stage.py").write_text(_CODE)
    (folder / "ended.yaml").write_text(_ENDED)
    (folder / "orders.ndjson").write_text(
        '{"customer": "ada", "amount": 12}\n' * 9 + '{"customer": "bob", "amount": 120}\n'
    )


def runs_until_interrupted(stage: Stage, command: str, seconds: float = 30) -> tuple[str, int]:
    """Starts what ends by a signal alone, ends it when it has said something; what it said and its exit code.

    By SIGTERM: who is started in the background of a shell does not hear SIGINT.
    """
    said = stage.folder / "said.txt"
    with said.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", f"exec {stage.understood(command)}"],
            cwd=stage.folder,
            env=stage.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + seconds
            wait_until(lambda: said.stat().st_size or process.poll() is not None, deadline - time.monotonic())
        finally:
            process.terminate()
            process.wait(timeout=30)
    return said.read_text(), process.returncode
