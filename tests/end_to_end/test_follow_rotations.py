"""A followed log, whatever rotation does to it and however often its reader is killed: every line once, in order."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.follow_reader import stored
from tests.support.rotations import WAYS, LogWriter
from tests.support.waiting import WAIT_SECONDS

ROUNDS = int(os.environ.get("FOLLOW_ROUNDS", "16"))
SEED = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(10**6))
ROOT = Path(__file__).parents[2]
# Never set: to wait for what other processes do.
PAUSE = threading.Event()


def started(path: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.support.follow_reader", path, out], cwd=ROOT)


def lines_of(out: Path) -> list[str]:
    return [value for batch in stored(out) for value in batch.values]


@pytest.mark.timeout(60 + 20 * ROUNDS)
@pytest.mark.parametrize("way", WAYS)
def test_every_line_comes_once_whenever_the_reader_is_killed(way: str, tmp_path: Path) -> None:
    made = random.Random(f"{SEED} {way}")
    print(f"TEST_SEED={SEED}, {way}")
    writer = LogWriter(tmp_path / "logs", way, made.randrange(10**6))
    out = tmp_path / "out.ndjson"
    writer.write(5)
    # What is rotated before the first look is never seen.
    _until_read([writer], writer.shown, out)
    for _ in range(max(1, ROUNDS // len(WAYS))):
        reader = started(writer.shown, out)
        try:
            # From a kill while it starts to one after it has read all.
            killed_at = time.monotonic() + made.choice((0.1, 0.3, 0.5, 1.0)) * made.uniform(0.5, 1.5)
            while time.monotonic() < killed_at:
                _act(writer, made)
        finally:
            reader.kill()
            reader.wait()
        for _ in range(made.randrange(4)):
            _act(writer, made)
    _until_read([writer], writer.shown, out)
    writer.close()
    numbers = [int(line.split()[1]) for line in lines_of(out)]
    assert numbers == list(range(writer.written))


@pytest.mark.timeout(60 + 20 * ROUNDS)
def test_every_line_of_all_logs_of_a_pattern_comes_once_and_new_ones_join(tmp_path: Path) -> None:
    made = random.Random(f"{SEED} pattern")
    print(f"TEST_SEED={SEED}")
    # The pattern matches most of what rotation makes.
    pattern, out = tmp_path / "*" / "app*log*", tmp_path / "out.ndjson"
    ways = [way for way in WAYS if way != "pods"]
    made.shuffle(ways)
    writers: list[LogWriter] = []
    for round_ in range(max(len(ways), ROUNDS // 2)):
        if ways and round_ % 2 == 0:
            way = ways.pop()
            writers.append(LogWriter(tmp_path / f"{way} logs", way, made.randrange(10**6)))
            writers[-1].write(5)
            # What is rotated before the first look is never seen.
            _until_read(writers, pattern, out)
        reader = started(pattern, out)
        try:
            killed_at = time.monotonic() + made.choice((0.3, 0.5, 1.0)) * made.uniform(0.5, 1.5)
            while time.monotonic() < killed_at:
                _act(made.choice(writers), made)
        finally:
            reader.kill()
            reader.wait()
        for _ in range(made.randrange(4)):
            _act(made.choice(writers), made)
    _until_read(writers, pattern, out)
    for writer in writers:
        writer.close()
        assert _numbers(lines_of(out), writer) == list(range(writer.written)), writer.path


def _numbers(lines: list[str], writer: LogWriter) -> list[int]:
    # Behind the way there is filling.
    return [int(line.split()[1]) for line in lines if line.partition(" of ")[2].rstrip("x") == f"{writer.way} "]


def _until_read(writers: list[LogWriter], path: Path, out: Path) -> None:
    wanted = sum(writer.written for writer in writers)
    reader = started(path, out)
    try:
        read, deadline = 0, time.monotonic() + WAIT_SECONDS
        while read < wanted and time.monotonic() < deadline and reader.poll() is None:
            PAUSE.wait(0.2)
            before, read = read, len(lines_of(out))
            if read > before:
                # There may be many files to be read.
                deadline = time.monotonic() + WAIT_SECONDS
    finally:
        reader.kill()
        reader.wait()


def _act(writer: LogWriter, made: random.Random) -> None:
    """Some lines, a rotation perhaps, and a moment in which others may run."""
    writer.write(made.randrange(1, 30))
    if made.random() < 0.15:
        writer.rotate()
        writer.write(1)
    PAUSE.wait(made.uniform(0.005, 0.02))
