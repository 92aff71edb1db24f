"""Partitions that open and close while an engine runs, by the word of who deals them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.core.clock import ManualClock
from engine.core.errors import DataFolderError, NewerFormatError, PenstockError, TaskFailedError, WriteFailedError
from engine.core.records import Record
from engine.core.snapshot import EngineState, PartitionState
from engine.flow.gate import Refusal
from engine.flow.settings import FlowControlSettings, WriteLimitSettings
from engine.instances.board import InstanceRow, OwnerRow, instance_key, owner_key, packed
from engine.instances.control import Told
from engine.instances.engine import InstanceEngine
from engine.log.codec import decode_batch
from engine.log.storage import LogStorage
from engine.processing.protocol import ProcessingContext
from engine.runtime.data_folder import DataFolder
from engine.runtime.intake import Written
from engine.runtime.pipeline import Pipeline
from tests.support.instances import Place, WireEnd, World, open_partitions
from tests.support.waiting import wait_until

POISON = 13


class Summing:
    """Adds up by key; every fifth value is told to another key; falls over a poisoned one, and over one of its own."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        if record.intent == "receive":
            context.state.put("told", context.state.get("told", 0) + 1)
            return
        n = record.value["n"]
        if n == POISON:
            raise ValueError("thirteen")
        context.state.put("sum", context.state.get("sum", 0) + n)
        context.emit("added", {"n": n})
        if n % 5 == 0:
            context.send(f"k{n + 1}", "told", {"n": n})


def pipeline(on_error: str = "reject") -> Pipeline:
    made = Pipeline("shared", partitions=3)
    made.process(Summing, key=lambda value: f"k{value['n']}", on_error=on_error, attempts=1)  # type: ignore[arg-type]
    return made


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, pipeline)
    yield made
    made.close()


def await_let_go(engine: InstanceEngine) -> None:
    """Whoever opens next what has left is fenced by nothing here but us: local files have no fence, as Kafka has."""
    assert wait_until(lambda: not engine.snapshot().closed), engine.snapshot().closed


def written(engine: InstanceEngine, numbers: range, **where: Any) -> Written:
    answer = engine.write([{"n": n} for n in numbers], **where)
    assert isinstance(answer, Written), answer
    return answer


def counted(world: World) -> tuple[list[int], int, int]:
    """What the log says in the end: the values that were added, their sum, and how many were told."""
    values: list[int] = []
    total = told = 0
    for number in (1, 2, 3):
        storage = world.storage(number)
        last = storage.recover().last_position
        position = 1
        while position <= last:
            for batch in storage.read(position, 1000):
                for record in decode_batch(batch).records:
                    assert record.position == position, "positions are dense"
                    position += 1
                    if record.value_type == "added":
                        values.append(record.value["n"])
        state = {key: msgspec.msgpack.decode(value) for key, value in storage.state_scan("")}
        total += state.get("sum", 0)
        told += state.get("told", 0)
        storage.close()
    return sorted(values), total, told


def test_partitions_that_move_between_instances_lose_and_double_nothing(world: World) -> None:
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1, 2)
    world.give(b, 3)
    assert (open_partitions(a), open_partitions(b)) == ([1, 2], [3])
    written(a, range(100, 200))
    a.taken([2])
    assert open_partitions(a) == [1]
    world.give(b, 2)
    written(b, range(200, 300))
    world.lose(b, 3)
    assert open_partitions(b) == [2]
    world.give(a, 3)
    written(a, range(300, 400))
    written(b, range(400, 500))
    wanted = [*range(100, 500)]

    # What one partition tells another travels by hand here: they meet at the end.
    b.taken([2])
    world.give(a, 2)

    def is_done() -> bool:
        seen = a.snapshot().partitions
        return all(p.last_processed_position == p.last_written_position and not p.outbox_records for p in seen)

    assert wait_until(is_done), [
        (p.partition, p.last_processed_position, p.last_written_position, p.outbox_records)
        for p in a.snapshot().partitions
    ]
    world.close()
    assert counted(world) == (wanted, sum(wanted), len(wanted) // 5)


def test_what_moves_is_refused_for_a_moment_and_what_was_handed_on_is_not_handed_on_again(world: World) -> None:
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1)
    world.give(b, 2)
    assert {place.partition for place in written(a, range(1), partition=2).places} == {2}
    hands = world.forward.hands
    with pytest.raises(WriteFailedError, match="partition 3 is moving") as refused:
        a.write([{"n": 1}], partition=3)
    assert (refused.value.passing, refused.value.after_seconds, world.forward.hands) == (True, 1, hands)
    b.taken([2])
    # As long as nobody has said that it left, it is asked for there, once.
    with pytest.raises(WriteFailedError, match="partition 2 is") as refused:
        a.write([{"n": 1}], partition=2)
    assert refused.value.passing


def test_a_partition_that_refuses_has_nothing_written_to_any_instance(world: World) -> None:
    limit = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    a = world.instance("a")
    b = world.instance("b", flow_control=limit)
    world.give(a, 1, 2)
    world.give(b, 3)
    before = {p.partition: p.last_written_position for e in (a, b) for p in e.snapshot().partitions}
    answers = [a.write([{"n": n} for n in range(1000, 1030)]) for _ in range(5)]
    refusals = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refusals
    assert {refusal.partition for refusal in refusals} == {3}
    after = {p.partition: p.last_written_position for e in (a, b) for p in e.snapshot().partitions}
    accepted = sum(len(answer.places) for answer in answers if isinstance(answer, Written))
    assert accepted in (0, 30)
    # Results come behind, so this bounds from below what came in.
    assert (after != before) or not accepted


def test_a_failure_stays_with_its_partition_until_somebody_lets_it_try_again(world: World) -> None:
    class Broken:
        is_broken = True

        def __init__(self) -> None:
            if Broken.is_broken:
                raise RuntimeError("no luck")

        def process(self, record: Record, context: ProcessingContext) -> None:
            return

    world._pipeline = lambda: Pipeline("shared", partitions=3).process(Broken, key="n")
    a = world.instance("a")
    a.given([1])
    assert wait_until(lambda: [c.state for c in a.snapshot().closed] == [PartitionState.FAILED])
    (closed,) = a.snapshot().closed
    assert closed.why is not None
    assert "no luck" in closed.why
    assert a.state is EngineState.RUNNING
    Broken.is_broken = False
    world.give(a, 2)
    a.reopen(1)
    assert wait_until(lambda: open_partitions(a) == [1, 2])


def test_where_the_policy_is_to_stop_the_instance_ends_and_no_other_runs_into_the_same_record(
    world: World, tmp_path: Path
) -> None:
    world._pipeline = lambda: pipeline("stop")
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1, 2, 3)
    written(a, range(POISON, POISON + 1), partition=2)
    with pytest.raises(TaskFailedError, match=r"partition 2: .*thirteen"):
        a.wait(10)
    b.given([1, 2])
    assert wait_until(lambda: open_partitions(b) == [1])
    assert wait_until(lambda: [c.state for c in b.snapshot().closed] == [PartitionState.FAILED])
    (closed,) = b.snapshot().closed
    assert closed.why is not None
    assert "stands still since instance a stopped at it" in closed.why
    assert b.snapshot().instances is not None
    assert b.state is EngineState.RUNNING


def test_limits_set_by_hand_are_in_force_everywhere_and_go_on_where_a_partition_moves(world: World) -> None:
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1, 2)
    world.give(b, 3)
    slow = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=7))
    a.apply_flow_control({2: slow, 3: slow}, by="alice")
    assert b.flow_settings()[3] == slow
    assert {p.partition: p.flow.write_limit_per_second for p in b.snapshot().partitions} == {3: 7.0}
    a.taken([2])
    world.give(b, 2)
    assert {p.partition: p.flow.write_limit_per_second for p in b.snapshot().partitions} == {2: 7.0, 3: 7.0}
    b.revert_flow_control([2])
    assert {p.partition: p.flow.write_limit_per_second for p in b.snapshot().partitions} == {2: None, 3: 7.0}
    a.taken([1])
    world.give(b, 1)


def test_durations_that_are_told_for_all_partitions_together_never_fall_when_one_leaves(world: World) -> None:
    a = world.instance("a")
    world.give(a, 1, 2)
    written(a, range(12), partition=1)
    written(a, range(20, 32), partition=2)

    before = appends(a)
    assert before > 0
    a.taken([2])
    assert [p.partition for p in a.snapshot().partitions] == [1]
    assert appends(a) >= before
    world.give(a, 2)
    assert appends(a) >= before


def appends(engine: InstanceEngine) -> int:
    seen = engine.snapshot()
    return sum(sum(p.append_duration.counts) for p in (*seen.partitions, *seen.departed))


def told_of(engine: InstanceEngine) -> set[int]:
    return {one.partition for one in engine.snapshot().belonging}


def test_what_is_lost_is_not_told_of_any_more_from_that_moment_on_and_no_duration_falls(world: World) -> None:
    a = world.instance("a")
    world.give(a, 1, 2)
    written(a, range(20, 32), partition=2)
    before = appends(a)
    a.lost([2])
    assert told_of(a) == {1}
    assert appends(a) >= before
    assert wait_until(lambda: len(a._roster.tenants()) == 1)
    assert (told_of(a), appends(a) >= before) == ({1}, True)


def test_who_may_have_lost_all_while_it_stood_still_tells_of_nothing_until_it_knows(world: World) -> None:
    place = Place()
    a = world.instance("a", membership=place)
    world.give(a, 1, 2)
    written(a, range(20, 32), partition=2)
    before = appends(a)
    place.is_in_doubt = True
    assert told_of(a) == set()
    assert appends(a) >= before
    place.is_in_doubt = False
    assert told_of(a) == {1, 2}
    assert appends(a) >= before


def test_an_instance_without_partitions_shows_the_same_graph_as_one_that_has_some(world: World) -> None:
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1)
    assert b.snapshot().partitions == ()
    assert b.snapshot().vertices == a._roster.tenants()[0].snapshot().vertices
    assert b.snapshot().edges == a.snapshot().edges
    seen = b.look_at_back_pressure(b.snapshot().vertices[0].vertex_id)
    assert (seen.subtasks, seen.problem) == ({}, "no partition is open here")


def test_an_instance_that_is_too_old_for_a_partition_leaves_it_to_others(world: World) -> None:
    a = world.instance("a")

    def too_new(number: int) -> LogStorage:
        raise NewerFormatError(f"partition {number} was written by a newer Penstock")

    a._storage = too_new
    a.given([1])
    with pytest.raises(TaskFailedError, match="written by a newer Penstock"):
        a.wait(10)
    assert a.state is EngineState.FAILED


def where(engine: InstanceEngine, number: int) -> tuple[str | None, PartitionState | None, str | None]:
    """Who has it, in which state, and why: by what this one knows."""
    seen = engine.snapshot().instances
    assert seen is not None
    found = seen.places[number - 1]
    return found.owner, found.state, found.why


def test_every_instance_says_the_same_of_each_partition_wherever_that_is(world: World) -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("no luck")

    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1)
    world._pipeline = lambda: Pipeline("shared", partitions=3).process(Broken, key="n")  # type: ignore[arg-type]
    c = world.instance("c")
    c.given([2])
    assert wait_until(lambda: where(b, 2)[:2] == ("c", PartitionState.FAILED))
    why = where(b, 2)[2]
    assert why is not None
    assert "no luck" in why
    for engine in (a, b, c):
        assert wait_until(lambda engine=engine: where(engine, 1)[:2] == ("a", PartitionState.RUNNING))  # type: ignore[misc]
        assert where(engine, 2) == ("c", PartitionState.FAILED, why)
        assert where(engine, 3) == (None, None, None)
        seen = engine.snapshot().instances
        assert seen is not None
        assert seen.without_owner == (2, 3)
    c.taken([2])
    assert wait_until(lambda: where(a, 2) == (None, None, None))


def test_who_does_not_know_yet_that_another_has_its_partition_does_not_say_that_it_is_its_own(world: World) -> None:
    a, b = world.instance("a"), world.instance("b")
    world.give(a, 1)
    taken_over = OwnerRow(instance="z", process="p-z", since_wall_ns=2**62)
    world.wire.put(instance_key("z"), packed(InstanceRow(name="z", process="p-z", since_wall_ns=1)))
    world.wire.put(owner_key(1), packed(taken_over))
    a._presence.pulse(a._by_hand.applied)
    assert a._board.said_owner(1) == taken_over
    assert where(a, 1)[0] == "z"
    # Where nobody has it any more it says so again.
    world.wire.put(owner_key(1), packed(OwnerRow(instance="", process="", since_wall_ns=2**62)))
    assert wait_until(lambda: where(b, 1)[0] == "a")


def test_a_process_that_leaves_takes_nothing_back_of_what_another_of_its_name_has_said(world: World) -> None:
    first = world.instance("a")
    second = world.instance("a", folder="elsewhere")
    first.expelled("another process calls itself instance a")
    with pytest.raises(TaskFailedError, match="another process calls itself"):
        first.wait(10)
    words = [value and msgspec.json.decode(value)["process"] for key, value in world.wire.rows if key == "instance/a"]
    assert second.state is EngineState.RUNNING
    assert {second._presence.me.process, first._presence.me.process} <= {*words}
    for before, word in pairwise(words):
        assert word is not None or before == first._presence.me.process


def test_of_an_instance_that_died_nothing_is_kept_for_ever(world: World) -> None:
    clock = ManualClock()
    a = world.instance("a", clock=clock)
    dead = InstanceRow(name="dead", process="x", since_wall_ns=1)
    world.wire.put("instance/dead", msgspec.json.encode(dead))
    assert [one.name for one in a._board.instances()] == ["a", "dead"]
    clock.advance(599)
    a.reached_at(management="here")
    assert wait_until(lambda: [one.name for one in a._board.instances()] == ["a"])
    assert ("instance/dead", None) not in world.wire.rows
    clock.advance(2)
    a.reached_at(management="there")
    assert wait_until(lambda: ("instance/dead", None) in world.wire.rows)
    assert a._board.long_gone() == ()


class Shut(WireEnd):
    """Nobody can be told anything."""

    def start(self, told: Told) -> None:
        raise PenstockError("the topic cannot be read")


def test_an_instance_that_cannot_start_leaves_nothing_behind_and_can_be_stopped(world: World, tmp_path: Path) -> None:
    engine = InstanceEngine(pipeline(), tmp_path / "a", storage=world.storage, control=Shut(world.wire), name="a")
    with pytest.raises(PenstockError, match="cannot be read"):
        engine.start()
    engine.stop()
    assert engine.state is EngineState.FINISHED
    again = DataFolder(tmp_path / "a")
    again.open("shared", 3)
    held = InstanceEngine(pipeline(), tmp_path / "a", storage=world.storage, control=world.wire.end(), name="a")
    with pytest.raises(DataFolderError, match="is in use by another process"):
        held.start()
    held.stop()
    again.close()
