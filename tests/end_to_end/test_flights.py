"""The flights example, run as a user runs it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.support.crowd import CrowdRun
from tests.support.flights import ARRIVALS, FLIGHTS, FlightsRun, Result
from tests.support.waiting import wait_until

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> FlightsRun:
    run = FlightsRun(tmp_path_factory.mktemp("flights"))
    ended = run.run()
    assert ended.returncode == 0, ended.stderr
    return run


@pytest.fixture(scope="module")
def expected(undisturbed: FlightsRun) -> Result:
    return undisturbed.result()


def test_every_flight_is_in_the_output_exactly_once(expected: Result) -> None:
    kinds = Counter()  # type: ignore[var-annotated]
    for line, count in expected.lines.items():
        kinds[line.split('"')[1]] += count
    assert kinds == {"departure": FLIGHTS, "arrival_counted": ARRIVALS}
    departures = sum(s["flights"] + s["cancelled"] for key, s in expected.state.items() if "/departures/" in key)
    arrivals = sum(s["flights"] for key, s in expected.state.items() if "/arrivals/" in key)
    assert (departures, arrivals) == (FLIGHTS, ARRIVALS)


def test_a_second_run_adds_nothing(undisturbed: FlightsRun, expected: Result) -> None:
    before = [file.read_bytes() for file in undisturbed.files()]
    ended = undisturbed.run()
    assert ended.returncode == 0, ended.stderr
    assert "0 read" in ended.stdout
    assert [file.read_bytes() for file in undisturbed.files()] == before
    assert undisturbed.result() == expected


def test_many_flights_at_a_time_leave_the_same_as_one_by_one(expected: Result, tmp_path: Path) -> None:
    run = FlightsRun(tmp_path, in_batches=True)
    ended = run.run()
    assert ended.returncode == 0, ended.stderr
    result = run.result()
    assert (result.digest, result.state) == (expected.digest, expected.state)


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.timeout(300)
def test_kill_9_at_any_moment_changes_nothing_in_the_end(round_: int, expected: Result, tmp_path: Path) -> None:
    """`CRASH_ROUNDS=50 TEST_SEED=…` runs more of them, or the same ones again."""
    # Every other one in batches, which are to leave the same.
    run = FlightsRun(tmp_path, in_batches=round_ % 2 == 1)
    kills = killed_and_finished(run, round_, longest_seconds=1.6)
    result = run.result()
    print(f"{kills} kills, digest {result.digest}")
    assert result.digest == expected.digest
    assert result.state == expected.state


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.timeout(300)
def test_kill_9_changes_nothing_either_with_two_sources_parallel_steps_messages_and_timers(
    round_: int, tmp_path: Path
) -> None:
    run = CrowdRun(tmp_path)
    kills = killed_and_finished(run, round_, longest_seconds=3.0)
    print(f"{kills} kills")
    result, expected = run.result(), run.expected()
    assert result.events == expected.events
    assert result.state == expected.state


def killed_and_finished(run: FlightsRun | CrowdRun, round_: int, *, longest_seconds: float) -> int:
    """Kills a few lives of the run at random moments and lets the last one end; returns how many were killed."""
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    kills = 0
    for _ in range(chance.randint(1, 4)):
        process = run.start()
        try:
            process.wait(chance.uniform(0.3, longest_seconds))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
    ended = run.run()
    assert ended.returncode == 0, ended.stderr
    return kills


def test_an_undisturbed_crowd_leaves_what_plain_counting_says(tmp_path: Path) -> None:
    run = CrowdRun(tmp_path)
    ended = run.run()
    assert ended.returncode == 0, ended.stderr
    assert run.result() == run.expected()


def test_ctrl_c_drains_and_the_next_run_goes_on(expected: Result, tmp_path: Path) -> None:
    run = FlightsRun(tmp_path)
    process = run.start()
    assert wait_until(lambda: any(file.exists() and file.stat().st_size for file in run.files()))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    assert run.run().returncode == 0
    assert run.result() == expected
