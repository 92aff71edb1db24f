"""A process that appends to segments and carries, deletes and begins new ones all the time is killed at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from engine.core.unit import Message, Timer
from engine.log.codec import decode_batch
from tests.support.appending import KEYS, small

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_kill_9_of_a_writer_loses_nothing_that_it_was_told_is_stored(round_: int, tmp_path: Path) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    stored = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.appending", str(tmp_path / "1")], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        # After a number of commits and not of seconds: also a slow machine gets somewhere.
        for _ in range(chance.randint(1, 400)):
            stored = int(process.stdout.readline())
        process.kill()
        # What it said before it was dead counts too; a line may be torn.
        stored = max([stored, *(int(line) for line in process.stdout.read().split(b"\n")[:-1])])
        process.stdout.close()
        process.wait()
        holds(tmp_path / "1", stored)


def holds(folder: Path, stored: int) -> None:
    """Everything up to `stored`, and at most the one unit more that was under way."""
    storage = small(folder)
    recovered = storage.recover()
    n = recovered.last_position
    assert n in (stored, stored + 1)
    assert recovered.processed_position == n
    assert recovered.timers == [Timer(2 * i + 1, i, b"") for i in range(max(1, n - 9), n + 1)]
    assert recovered.next_timer_id == 2 * n + 2
    assert recovered.outbox == [Message(i, 2, b"") for i in range(max(1, n - 4), n + 1)]
    assert recovered.next_sequence == n + 1
    state = {f"{i % KEYS}": b"%d" % i for i in range(max(1, n - KEYS + 1), n + 1)}
    state |= {f"old {i}": b"x" for i in range(max(1, n - 9), n + 1)}
    assert dict(storage.state_scan("")) == state
    values = [
        record.value
        for batch in storage.read(recovered.oldest_position, 10**6)
        for record in decode_batch(batch).records
    ]
    assert values == [*range(recovered.oldest_position, n + 1)]
    storage.close()
