"""Several instances of one pipeline on a real broker: deaths, restarts, pauses and joins change nothing in the end.

`ROUNDS` more of each by `make crash-instances`.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from tests.support.kafka_broker import kafka_cluster, why_not
from tests.support.kafka_instances import (
    PARTITIONS,
    SESSION_SECONDS,
    Instance,
    SharedPipeline,
    running_in,
    told_of,
)
from tests.support.kafka_scrapes import Scraping
from tests.support.waiting import wait_until

SEED = int(os.environ.get("TEST_SEED", random.SystemRandom().randrange(10**6)))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
PER_SECOND = 400

pytestmark = [pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    """One that lets a new group begin at once."""
    if running := os.environ.get("TEST_KAFKA"):
        yield running
        return
    if missing := why_not():
        pytest.skip(missing)
    with kafka_cluster(group_initial_rebalance_delay_ms=0) as cluster:
        yield cluster.servers
        assert cluster.hanging_transactions() == ""


@contextmanager
def shared(
    broker: str, folder: Path, *names: str, static: bool = False, session_seconds: int = SESSION_SECONDS
) -> Iterator[SharedPipeline]:
    """A pipeline that these instances share, under load, from the moment that all partitions run."""
    pipeline = SharedPipeline(broker, folder, static=static, session_seconds=session_seconds)
    try:
        for name in names:
            pipeline.start(name)
        assert wait_until(lambda: all(one.is_ready for one in pipeline.instances.values()), 60), [
            one.said[-2000:] for one in pipeline.instances.values()
        ]
        pipeline.await_all_owned()
        pipeline.send(PER_SECOND)
        pipeline.client.start()
        yield pipeline
    finally:
        pipeline.close()


def settle(pipeline: SharedPipeline) -> None:
    """The load ends, everything gets through, all instances leave in good order, and the log is looked at."""
    pipeline.client.stop()
    pipeline.stop_sending()
    pipeline.await_all_owned()
    pipeline.await_done()
    for one in pipeline.instances.values():
        scrape = one.metrics()
        assert told_of(scrape) == running_in(scrape), "what has left is gone from the scrape"
    for one in pipeline.instances.values():
        assert one.stop() == 0, one.said[-2000:]
    assert pipeline.client.acknowledged
    pipeline.found().check(pipeline.sent, pipeline.client)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_instance_that_is_killed_loses_and_doubles_nothing_and_the_other_has_all_in_time(
    broker: str, tmp_path: Path, round_: int
) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    with shared(broker, tmp_path, "a", "b") as pipeline:
        Event().wait(chance.uniform(1.0, 3.0))
        victim = pipeline.instances[chance.choice("ab")]
        other = next(one for one in pipeline.instances.values() if one is not victim)
        kept = other.running()
        victim.kill()
        killed = monotonic()
        without: set[int] = set()

        def has_all() -> bool:
            running = other.running()
            without.update(kept - running)
            return len(running) == PARTITIONS

        assert wait_until(has_all, SESSION_SECONDS + 20), other.said[-2000:]
        print(f"the other had all after {monotonic() - killed:.1f} s")
        assert not without, "what it had it kept"
        victim.start()
        assert wait_until(lambda: victim.is_ready, 60), victim.said[-2000:]
        settle(pipeline)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_rolling_restart_under_load_loses_and_doubles_nothing(broker: str, tmp_path: Path, round_: int) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    with shared(broker, tmp_path, "a", "b", static=bool(round_ % 2)) as pipeline:
        for one in list(pipeline.instances.values()):
            assert one.stop() == 0, one.said[-2000:]
            one.start()
            assert wait_until(lambda one=one: one.is_ready, 60), one.said[-2000:]
            pipeline.await_all_owned()
        settle(pipeline)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_instance_that_was_paused_for_longer_than_its_session_lets_go_and_joins_again(
    broker: str, tmp_path: Path, round_: int
) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    with shared(broker, tmp_path, "a", "b") as pipeline:
        zombie, other = pipeline.instances["a"], pipeline.instances["b"]
        pipeline.instances = {"b": other}
        zombie.signal(signal.SIGSTOP)
        try:
            assert wait_until(lambda: len(other.running()) == PARTITIONS, SESSION_SECONDS + 20), other.said[-2000:]
        finally:
            zombie.signal(signal.SIGCONT)
        pipeline.instances["a"] = zombie
        assert wait_until(lambda: zombie.running() and other.running(), 60), zombie.said[-3000:]
        settle(pipeline)
        assert "was not heard for too long" in zombie.said or "belongs to instance" in zombie.said


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_instances_that_join_one_by_one_take_partitions_over_under_load(
    broker: str, tmp_path: Path, round_: int
) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    with shared(broker, tmp_path, "a") as pipeline:
        for name in "bcd":
            pipeline.start(name)
        assert wait_until(lambda: all(len(one.running()) == 1 for one in pipeline.instances.values()), 90), [
            one.said[-2000:] for one in pipeline.instances.values()
        ]
        settle(pipeline)


@pytest.mark.timeout(480)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_whoever_scrapes_all_instances_sees_no_partition_twice_and_sums_that_equal_what_was_written(
    broker: str, tmp_path: Path, round_: int
) -> None:
    """Dead ones and stopped ones do not answer; who was stopped must not tell of what it has lost when it goes on."""
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED * 1000 + round_)
    with shared(broker, tmp_path, "a", "b", "c") as pipeline:
        scraping = Scraping(lambda: list(pipeline.instances.values()))
        scraping.start()
        try:
            for event in chance.sample([_killed, _paused, _restarted, _joined], 4):
                Event().wait(chance.uniform(2.0, 4.0))
                event(pipeline, chance)
                assert wait_until(lambda: all(one.running() for one in pipeline.instances.values()), 60)
                pipeline.await_all_owned()
            pipeline.client.stop()
            pipeline.stop_sending()
            pipeline.await_done()
            ended = scraping.seconds
            assert wait_until(lambda: scraping.seconds > ended + 2, 30)
        finally:
            scraping.stop()
        numbers = range(1, PARTITIONS + 1)
        assert [wrong for number in numbers for wrong in scraping.told_twice(number)] == []
        assert [wrong for number in numbers for wrong in scraping.miscounted(number)] == []
        counted, ahead, unseen = map(sum, zip(*(scraping.counted(number) for number in numbers), strict=True))
        assert [scraping.left_in_hand(number) for number in numbers] == [0] * PARTITIONS, "all is at rest"
        lives = sum(len(scraping.lives(number)) for number in numbers)
        log = pipeline.log()
        print(
            f"{lives} lives of {PARTITIONS} partitions in {scraping.seconds} s, of which "
            f"{scraping.seconds_with_two(PARTITIONS)} with one at two; counted {counted:.0f} of {log.count()}, "
            f"{unseen:.0f} written between two scrapes, {ahead:.0f} counted by who was killed and then not written"
        )
        assert wait_until(lambda: log.count() == counted - ahead + unseen, 30), log.records
        log.close()
        assert lives > PARTITIONS
        for one in pipeline.instances.values():
            assert one.stop() == 0, one.said[-2000:]
        pipeline.found().check(pipeline.sent, pipeline.client)


def _killed(pipeline: SharedPipeline, chance: random.Random) -> None:
    one = pipeline.instances[chance.choice("abc")]
    one.kill()
    others = [other for other in pipeline.instances.values() if other is not one]
    assert wait_until(lambda: sum(len(other.running()) for other in others) == PARTITIONS, SESSION_SECONDS + 30)
    one.start()


def _paused(pipeline: SharedPipeline, chance: random.Random) -> None:
    one = pipeline.instances[chance.choice("abc")]
    others = [other for other in pipeline.instances.values() if other is not one]
    one.signal(signal.SIGSTOP)
    try:
        assert wait_until(lambda: sum(len(other.running()) for other in others) == PARTITIONS, SESSION_SECONDS + 30)
    finally:
        one.signal(signal.SIGCONT)


def _restarted(pipeline: SharedPipeline, chance: random.Random) -> None:
    one = pipeline.instances[chance.choice("abc")]
    assert one.stop() == 0, one.said[-2000:]
    one.start()


def _joined(pipeline: SharedPipeline, chance: random.Random) -> None:
    pipeline.start("d")


def test_an_instance_with_a_name_that_is_stopped_and_back_in_time_has_its_partitions_again_and_no_other_notices(
    broker: str, tmp_path: Path
) -> None:
    # Long enough for a busy machine to start it.
    with shared(broker, tmp_path, "a", "b", static=True, session_seconds=40) as pipeline:
        a, b = pipeline.instances["a"], pipeline.instances["b"]
        assert wait_until(lambda: len(a.running()) == len(b.running()) == PARTITIONS // 2, 60)
        had, others, moved = a.running(), b.running(), b.moves()
        asked = monotonic()
        assert a.stop() == 0, a.said[-2000:]
        stopped = monotonic()
        a.start()
        assert wait_until(lambda: a.running() == had, 40), a.said[-2000:]
        print(f"stopped in {stopped - asked:.1f} s, all again {monotonic() - stopped:.1f} s later")
        assert (b.running(), b.moves()) == (others, moved)
        settle(pipeline)


def test_of_two_processes_of_one_name_the_first_ends_and_says_so(broker: str, tmp_path: Path) -> None:
    pipeline = SharedPipeline(broker, tmp_path, static=True)
    try:
        first = pipeline.start("a")
        assert wait_until(lambda: first.is_ready, 60), first.said[-2000:]
        second = Instance("b", tmp_path / "b", pipeline.document("a"))
        pipeline.instances["b"] = second
        second.start()
        assert first.process is not None
        assert first.process.wait(60) == 1
        assert "another process calls itself instance a: each needs a name of its own" in first.said
        assert wait_until(lambda: len(second.running()) == PARTITIONS, 60), second.said[-2000:]
    finally:
        pipeline.close()


def test_rejects_of_all_machines_are_tried_again_once_by_whoever_has_their_partition(
    broker: str, tmp_path: Path
) -> None:
    pipeline = SharedPipeline(broker, tmp_path, processor="Picky")
    try:
        for name in "ab":
            pipeline.start(name)
        a, b = pipeline.instances["a"], pipeline.instances["b"]
        assert wait_until(lambda: len(a.running()) == len(b.running()) == PARTITIONS // 2, 60), a.said[-2000:]
        pipeline.fill(40)

        def kept(one: Instance) -> float:
            return sum(value for name, value in one.metrics().items() if name.startswith("penstock_rejects{"))

        assert wait_until(lambda: kept(a) == kept(b) == 20, 60), (kept(a), kept(b))
        # What b has set aside lies there; its partitions go to a when it leaves, and come back.
        assert b.stop() == 0
        assert wait_until(lambda: len(a.running()) == PARTITIONS, 60)
        b.start()
        assert wait_until(lambda: len(a.running()) == len(b.running()) == PARTITIONS // 2, 60), b.said[-2000:]
        (tmp_path / "mended").touch()
        answer = a.post("/api/rejects/processor/replay")
        assert answer["replayed"] == 20
        assert len(answer["instances"]) == 2
        assert {*answer["owners"].values()} == {*answer["instances"]}
        log = pipeline.log()

        def counted() -> int:
            log.read()
            return log.values

        assert wait_until(lambda: counted() >= 40 and kept(a) == kept(b) == 0, 60), (counted(), kept(a), kept(b))
        for one in (a, b):
            assert one.stop() == 0, one.said[-2000:]
        assert counted() == 40
        log.close()
    finally:
        pipeline.close()


timed = pytest.mark.skipif(
    "CRASH_ROUNDS" not in os.environ, reason="it is about time, which a busy machine has none of"
)


@timed
def test_what_a_killed_instance_had_runs_elsewhere_three_seconds_after_its_session_and_the_rest_goes_on(
    broker: str, tmp_path: Path
) -> None:
    pipeline = SharedPipeline(broker, tmp_path, processor="Remembering")
    try:
        for name in "ab":
            pipeline.start(name)
        assert wait_until(lambda: all(one.running() for one in pipeline.instances.values()), 60)
        pipeline.await_all_owned()
        pipeline.fill(100_000)
        log = pipeline.log()
        assert wait_until(lambda: log.count() >= 100_000, 120)
        pipeline.send(PER_SECOND)
        a, b = pipeline.instances["a"], pipeline.instances["b"]
        kept = b.running()
        Event().wait(3)
        rates: list[float] = []
        before, then = b.written(kept), monotonic()
        Event().wait(3)
        usual = (b.written(kept) - before) / (monotonic() - then)
        a.kill()
        killed = looked = monotonic()
        before = b.written(kept)
        while len(b.running()) < PARTITIONS and monotonic() - killed < SESSION_SECONDS + 30:
            Event().wait(2)
            now, written = monotonic(), b.written(kept)
            rates.append((written - before) / (now - looked))
            before, looked = written, now
        took = monotonic() - killed
        print(f"all ran after {took:.1f} s; the others wrote {usual:.0f}/s before, then {[round(r) for r in rates]}/s")
        assert took <= SESSION_SECONDS + 3 + 2, "looked at each two seconds"
        assert sum(rates) / len(rates) >= 0.8 * usual
    finally:
        pipeline.close()


THROTTLED = """\
flowControl:
  write:
    enabled: true
    limit: 2000
    throttling: {enabled: true, acceptableBacklog: 2000, minimumLimit: 5, resolution: 1s, measurementWindow: 60s}
"""


@timed
def test_the_limit_of_a_throttled_partition_goes_on_at_its_next_owner(broker: str, tmp_path: Path) -> None:
    pipeline = SharedPipeline(broker, tmp_path, settings=THROTTLED, pace=100)
    try:
        for name in "ab":
            pipeline.start(name)
        assert wait_until(lambda: all(one.running() for one in pipeline.instances.values()), 60)
        pipeline.await_all_owned()
        pipeline.send(2000)
        a, b = pipeline.instances["a"], pipeline.instances["b"]
        moving = a.running()
        Event().wait(30)
        before = a.limits(moving)
        assert all(limit < 500 for limit in before.values()), before
        a.kill()
        assert wait_until(lambda: len(b.running()) == PARTITIONS, SESSION_SECONDS + 30), b.said[-2000:]
        after = b.limits(moving)
        print(f"limits before {before}, after {after}")
        assert all(0.8 * before[number] <= after[number] <= 1.2 * before[number] for number in moving)
    finally:
        pipeline.close()
