"""What becomes of records whose partition leaves between being admitted and being written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.core.errors import WriteFailedError
from engine.core.identity import partition_of
from engine.flow.gate import Refusal
from engine.flow.settings import (
    FixedSettings,
    FlowControlSettings,
    RequestAlgorithm,
    RequestLimitSettings,
    WriteLimitSettings,
)
from engine.instances.engine import InstanceEngine
from engine.instances.intake import Caller
from engine.runtime.intake import Written
from engine.runtime.pipeline import Pipeline
from tests.support.instances import World
from tests.support.waiting import wait_until

TIGHT = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, lambda: Pipeline("shared", partitions=2).key_by("key"))
    yield made
    made.close()


def key_of(number: int) -> str:
    return next(key for key in map(str, range(100)) if partition_of(key, 2) == number)


def open_at(engine: InstanceEngine, number: int) -> None:
    engine.given([number])
    assert wait_until(lambda: engine._board.owner(number) is not None)


def test_what_was_admitted_for_others_is_refused_for_a_moment_once_the_partition_has_left(world: World) -> None:
    a = world.instance("a")
    open_at(a, 1)
    token = a.reserve_for([{"key": key_of(1)}], Caller(is_instance=True))
    assert isinstance(token, str)
    a.taken([1])
    with pytest.raises(WriteFailedError, match="partition 1 has just left") as failed:
        a.write_reserved(token)
    assert (failed.value.passing, failed.value.after_seconds, failed.value.written) == (True, 1, {})
    # Nor does it hurt to give back what has left.
    a.give_back(token)


def test_of_records_for_two_instances_those_that_were_written_are_named_when_the_others_partition_leaves(
    world: World,
) -> None:
    a, b = world.instance("a"), world.instance("b")
    open_at(a, 1)
    open_at(b, 2)
    write_reserved = world.forward.write_reserved

    def slow(url: str, token: str, caller: Caller) -> object:
        a._roster.here.remove(1, 0)
        return write_reserved(url, token, caller)

    world.forward.write_reserved = slow  # type: ignore[method-assign, assignment]
    with pytest.raises(WriteFailedError, match="partition 1 has just left") as failed:
        a.write([{"key": key_of(2)}, {"key": key_of(1)}])
    assert failed.value.passing
    assert {index: place.partition for index, place in failed.value.written.items()} == {0: 2}


def test_a_partition_that_left_and_came_back_has_admitted_nothing_of_what_it_admitted_before(tmp_path: Path) -> None:
    one_at_a_time = FlowControlSettings(
        request=RequestLimitSettings(enabled=True, algorithm=RequestAlgorithm.FIXED, fixed=FixedSettings(limit=1))
    )
    world = World(tmp_path, lambda: Pipeline("shared", partitions=2).key_by("key"))
    record, caller = [{"key": key_of(1)}], Caller(is_instance=True)
    try:
        a = world.instance("a", flow_control=one_at_a_time)
        open_at(a, 1)
        lasting, late = a.reserve_for(record, caller), a.reserve_for(record, caller)
        assert isinstance(lasting, str)
        assert isinstance(late, Refusal), "one at a time"
        a.taken([1])
        a.given([1])
        assert wait_until(lambda: 1 in a._roster.here)
        with pytest.raises(WriteFailedError, match="partition 1 has just left"):
            a.write_reserved(lasting)
        now, too_many = a.reserve_for(record, caller), a.reserve_for(record, caller)
        assert isinstance(now, str), "what was admitted before the partition left takes no place in it"
        assert isinstance(too_many, Refusal), "nor does what is given back of it make one free"
    finally:
        world.close()


def test_records_that_are_handed_on_beside_others_are_counted_by_what_became_of_them(world: World) -> None:
    a, b = world.instance("a"), world.instance("b", flow_control=TIGHT)
    open_at(a, 1)
    open_at(b, 2)
    together = [{"key": key_of(1)}, {"key": key_of(2)}, {"key": key_of(2)}]

    def forwarded() -> Mapping[str, int]:
        instances = a.snapshot().instances
        assert instances is not None
        return instances.forwarded

    # Who comes next pays for all of them.
    assert wait_until(lambda: isinstance(b.write([{"key": key_of(2)}] * 300), Written))
    assert isinstance(a.write(together), Refusal)
    assert forwarded() == {"accepted": 0, "refused": 2, "failed": 0}
    b.apply_flow_control({2: FlowControlSettings()})
    assert isinstance(a.write(together), Written)
    assert forwarded() == {"accepted": 2, "refused": 2, "failed": 0}
    del world.engines["b"]
    with pytest.raises(WriteFailedError, match="does not answer"):
        a.write(together)
    assert forwarded() == {"accepted": 2, "refused": 2, "failed": 2}
    b.stop()
