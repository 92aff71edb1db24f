"""Rejects are tried again by whoever has their partition, whichever instance is asked and wherever they lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import pytest

from engine.core.errors import ConfigurationError, RefusedRecordsError
from engine.core.records import Record
from engine.core.snapshot import PartitionSnapshot
from engine.instances.engine import InstanceEngine
from engine.processing.protocol import ProcessingContext
from engine.runtime.pipeline import Pipeline
from engine.writing.reject_folder import RejectFolder
from tests.support.instances import World
from tests.support.waiting import wait_until


class Target:
    """Where the exporters of all instances write to; it refuses what is odd until it is mended."""

    lock = Lock()
    is_mended = False
    # By partition and position.
    taken: ClassVar[Counter[tuple[int, int]]] = Counter()
    tried: ClassVar[Counter[int]] = Counter()

    @classmethod
    def clear(cls) -> None:
        cls.is_mended = False
        cls.taken.clear()
        cls.tried.clear()


class Search:
    """An exporter."""

    def open(self, context: Any) -> None:
        self._partition = context.partition

    def export(self, batch: Any) -> None:
        with Target.lock:
            refused = {
                record.position: "odd" for record in batch if not Target.is_mended and record.value.get("n", 0) % 2
            }
            # The others are safe.
            Target.taken.update((self._partition, r.position) for r in batch if r.position not in refused)
            if refused:
                raise RefusedRecordsError(refused)

    def close(self) -> None:
        return


class Odd:
    """A processor that does not like what is odd, until it is mended."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        n = record.value["n"]
        with Target.lock:
            if n % 2 and not Target.is_mended:
                raise ValueError("odd")
            Target.tried[n] += 1


def exporting() -> Pipeline:
    return Pipeline("shared", partitions=3).export("search", Search)


def processing() -> Pipeline:
    return Pipeline("shared", partitions=3).process(Odd, key="n", attempts=1)


@pytest.fixture(params=[exporting, processing])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    Target.clear()
    made = World(tmp_path, request.param)
    yield made
    made.close()


def kept(engine: InstanceEngine) -> int:
    return sum(one.count for one in engine.snapshot().rejects)


def task_of(world: World) -> str:
    return "processor" if world._pipeline is processing else "search"


def done(world: World) -> Counter[Any]:
    with Target.lock:
        return Counter(Target.tried if world._pipeline is processing else Target.taken)


def is_at_rest(partition: PartitionSnapshot) -> bool:
    return (
        partition.last_processed_position in (None, partition.last_written_position) and not partition.backlog_records
    )


def setting_aside(world: World) -> tuple[InstanceEngine, InstanceEngine]:
    """Partitions 1 and 2 are at `a`, which sets five records of each aside; then 2 moves to `b`."""
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1, 2)
    for partition in (1, 2):
        a.write([{"n": 100 * partition + n} for n in range(10)], partition=partition)
    assert wait_until(lambda: kept(a) == 10), a.snapshot().rejects
    assert wait_until(lambda: len(done(world)) == 10)
    # What is in hand when a partition leaves is done once more by its next owner.
    assert wait_until(lambda: all(is_at_rest(p) for p in a.snapshot().partitions))
    a.taken([2])
    return a, b


def once(world: World, count: int) -> bool:
    """So many are done, each once."""
    found = done(world)
    return len(found) == count and {*found.values()} == {1}


def test_whoever_is_asked_all_are_tried_again_once_by_whoever_has_their_partition(world: World) -> None:
    a, b = setting_aside(world)
    world.give(b, 2)
    Target.is_mended = True
    assert b.replay_rejects(task_of(world)) == 0, "none of them lie here"
    assert wait_until(lambda: len(done(world)) == 20), done(world)
    assert wait_until(lambda: kept(a) == kept(b) == 0)
    assert once(world, 20)
    assert wait_until(lambda: not b._board.handed(1) and not b._board.handed(2)), "what is done is taken back"


def test_what_belongs_to_a_partition_that_nobody_has_waits_for_its_next_owner(world: World) -> None:
    a, b = setting_aside(world)
    Target.is_mended = True
    assert a.replay_rejects(task_of(world)) == 10
    assert wait_until(lambda: len(done(world)) == 15), done(world)
    assert wait_until(lambda: kept(a) == 0 and not a._board.handed(1))
    assert len(a._board.handed(2)) == 1
    world.give(b, 2)
    assert wait_until(lambda: len(done(world)) == 20), done(world)
    assert wait_until(lambda: not a._board.handed(2))
    assert once(world, 20)


def test_what_fails_again_is_set_aside_again_where_its_partition_is(world: World) -> None:
    a, b = setting_aside(world)
    world.give(b, 2)
    a.replay_rejects(task_of(world))
    assert wait_until(lambda: (kept(a), kept(b)) == (5, 5)), (kept(a), kept(b))
    assert once(world, 10)


def test_a_task_that_is_not_there_is_refused_with_those_that_are(world: World) -> None:
    a = world.instance("a")
    with pytest.raises(ConfigurationError, match=f"there is no task 'nobody'; there are .*{task_of(world)}"):
        a.replay_rejects("nobody")


def test_who_begins_later_does_not_take_what_was_asked_for_before_to_be_asked_of_it(world: World) -> None:
    a, _ = setting_aside(world)
    a.stop()
    world.instance("c").replay_rejects(task_of(world))
    again = world.instance("a")
    assert wait_until(lambda: again._board.read_to >= 0)
    assert kept(again) == 10


def test_one_that_is_too_large_to_be_handed_on_waits_and_is_said_once_with_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Target.clear()
    world = World(tmp_path, exporting)
    try:
        a = world.instance("a")
        world.give(a, 1)
        folder = RejectFolder(a._folder.rejects)
        # Where others get through, it is the record that is refused.
        a.write([{"n": 2}, {"n": 1, "text": "x" * 15_000_000}, {"n": 4}], partition=1)
        assert wait_until(lambda: kept(a) == 1)
        assert a.replay_rejects("search") == 1
        assert wait_until(lambda: "line 1 has 15,000," in caplog.text)
        assert wait_until(lambda: not a._handing_out._asked)
        assert len(folder.replays()) == 1, "it is still there"
        assert caplog.text.count("instances hand each other at most 15,000,000") == 1
        assert not a._board.handed(1)
    finally:
        world.close()
