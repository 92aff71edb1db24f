"""`penstock bridge` and `penstock watch` on the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from penstock.cli.health import _understood
from tests.support.commands import penstock
from tests.support.kafka_broker import free_ports
from tests.support.waiting import wait_until


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command with a port of its own, and the address of that."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "penstock", *arguments, "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/-/healthy").status_code == 200
        except httpx.HTTPError:
            return False

    try:
        assert wait_until(answers, 60), process.stderr
        yield process, url
    finally:
        process.kill()
        process.wait()


def test_a_bridge_to_nobody_serves_that_it_sees_nothing_and_ends_when_it_is_told_to() -> None:
    (nobody,) = free_ports(1)
    with started("bridge", "flink", f"http://alice:opensesame@127.0.0.1:{nobody}") as (process, url):
        assert wait_until(lambda: 'penstock_bridge_up{pipeline="flink"} 0.0' in httpx.get(f"{url}/metrics").text, 30)
        health = httpx.get(f"{url}/actuator/health")
        assert health.status_code == 503
        assert "connection refused" in health.text
        assert "opensesame" not in health.text
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "opensesame" not in said
        assert f"http://127.0.0.1:{nobody}" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bridge", "flink", "flink:8081"], "an address begins with http:// or https://"),
        (["bridge", "flink", "http://f:8081", "--interval", "soon"], "is no duration"),
        (["bridge", "flink", "http://f:8081", "--interval", "100ms"], "interval must be at least 1s"),
        (["bridge", "zeebe"], "Missing argument 'URL...'"),
        (["watch", "0"], "0 is not in the range"),
        (["watch", str(2**22 + 1)], "there is no process"),
        (["watch", "1", "--graph", "read"], "--graph names at least two threads"),
        (["watch", "1", "--held", "put"], "'put' is no rule; write FUNCTION@FILE"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_with_exit_code_2(arguments: list[str], said: str) -> None:
    code, out, err = penstock(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("penstock: ")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        (["penstock", "bridge", "flink", "http://f:8081", "--port", "9700"], 9700),
        (["python", "/opt/bin/penstock", "bridge", "zeebe", "http://a:9600", "http://b:9600"], 9600),
        (["penstock", "watch", "4711", "--port", "9701", "--graph", "a,b"], 9701),
    ],
)
def test_the_check_of_the_image_finds_what_only_looks(arguments: list[str], port: int) -> None:
    running = _understood(arguments, dict(os.environ), Path.cwd())
    assert running is not None
    assert running.management is not None
    assert (running.management.host, running.management.port) == ("127.0.0.1", port)
