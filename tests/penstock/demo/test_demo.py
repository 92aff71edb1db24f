"""The demo as a whole: its story on a real engine, and `penstock demo` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from engine import SystemClock
from penstock.demo.readings import Readings
from penstock.demo.script import CATCHING_UP, SLOW_EXPORTER, Phase, Until, flow_control
from penstock.demo.show import play
from penstock.demo.stage import Stage
from penstock.demo.tally import Tally
from penstock.demo.timeline import Moment, Timeline

SECONDS_MAX = 60
Started = subprocess.Popen[str]

# The part of the story that is about throttling, each phase as short as what it waits for.
SHORT = (
    Phase(name="calm", seconds=0.5, sentence="calm"),
    Phase(name="slow exporter", seconds=40, sentence="slow", exporter_speed=SLOW_EXPORTER, until=Until.THROTTLED),
    Phase(name="throttled", seconds=40, sentence="free", exporter_speed=CATCHING_UP, until=Until.FREE),
    Phase(name="recovery", seconds=0.5, sentence="recovery"),
)


class Watcher:
    """A view that remembers in which phases a partition was throttled."""

    def __init__(self) -> None:
        self.throttled: dict[str, list[bool]] = {}

    def show(self, now: Readings, moment: Moment) -> None:
        self.throttled.setdefault(moment.phase.name, []).append(bool(now.throttled_partitions))

    def ending(self, text: str) -> None:
        raise AssertionError("that is said behind the last frame")


def test_a_slow_exporter_throttles_and_a_quick_one_ends_it(tmp_path: Path) -> None:
    stage, watcher, tally = Stage(tmp_path, flow_control(0.1)), Watcher(), Tally()
    with stage.engine:
        play(stage, Timeline(SHORT, SystemClock()), watcher, tally, threading.Event().wait)
        stage.clear()
    assert [*watcher.throttled] == ["calm", "slow exporter", "throttled", "recovery"]
    assert not any(watcher.throttled["calm"] + watcher.throttled["slow exporter"])
    assert all(watcher.throttled["throttled"])
    assert not any(watcher.throttled["recovery"])
    assert "partition 1  throttled once, for " in tally.summary(stage.engine.snapshot(), 1, "here")


def test_it_ends_when_told_to(tmp_path: Path) -> None:
    stage, watcher = Stage(tmp_path, flow_control(1)), Watcher()
    with stage.engine:
        play(stage, Timeline(SHORT, SystemClock()), watcher, Tally(), lambda _seconds: True)
    assert watcher.throttled == {}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts `penstock demo` with a folder for temporary files of its own; what still runs is killed."""
    started: list[Started] = []
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    def run(*arguments: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "demo", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def until(process: Started, words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"it ended with {process.wait()}: {process.stderr and process.stderr.read()}")


def test_a_demo_of_a_given_duration_ends_with_0_and_a_summary_and_leaves_nothing(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    process = start("--duration", "2s", "--port", "0")
    out, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, err) == (0, "")
    assert " 0:00  -- calm: " in out
    assert re.search(r"^The demo ran for \d+ s\.$", out, re.MULTILINE)
    assert int(re.search(r"read +([\d,]+) flights", out)[1].replace(",", "")) > 100  # type: ignore[index]
    assert "exported     all" in out
    assert [*(tmp_path / "tmp").iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["Ctrl-C", "SIGTERM", "closed"])
def test_a_signal_ends_it_with_0_and_a_summary(
    start: Callable[..., Started], tmp_path: Path, number: signal.Signals
) -> None:
    process = start("--loop", "--port", "0")
    until(process, "-- calm")
    process.send_signal(number)
    out, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, err) == (0, "")
    assert "The demo ran for" in out
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_a_second_demo_over_the_same_folder_goes_on_where_the_first_stood(
    start: Callable[..., Started], tmp_path: Path
) -> None:
    last: list[int] = []
    for _ in range(2):
        out, _ = start("--duration", "1s", "--port", "0", "--data", "kept").communicate(timeout=SECONDS_MAX)
        assert "data         kept, kept" in out
        lines = (tmp_path / "kept/out/archive-1.ndjson").read_text().splitlines()
        positions = [int(re.search(r'"position":(\d+)', line)[1]) for line in lines]  # type: ignore[index]
        assert positions == sorted(set(positions)), "nothing twice, nothing back"
        last.append(positions[-1])
    assert last[1] > last[0]


def test_the_management_port_answers_while_it_runs(start: Callable[..., Started]) -> None:
    process = start("--loop", "--port", "0")
    url = until(process, "http://").split()[0]
    until(process, "-- calm")
    metrics = httpx.get(f"{url}/metrics").text
    assert 'penstock_throttled{partition="1",pipeline="flights"} 0' in metrics


def test_a_port_in_use_is_one_line_and_2(start: Callable[..., Started], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        out, err = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, out) == (2, "")
    assert err.count("\n") == 1
    assert "is in use; --host and --port name another" in err
    assert [*(tmp_path / "tmp").iterdir()] == []


@pytest.mark.parametrize("value", ["0", "-5s", "soon"])
def test_a_duration_that_is_none_is_one_line_and_2(start: Callable[..., Started], value: str) -> None:
    process = start("--duration", value)
    _, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 2
    assert err.count("\n") == 1
    assert "--duration" in err
