"""Gateways of several instances: whatever comes to any of them is written by its owner, or refused in its words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import httpx
import pytest

from engine.core.clock import ManualClock
from engine.core.identity import partition_of
from engine.core.snapshot import PartitionState
from engine.flow.settings import FlowControlSettings, WriteLimitSettings
from engine.instances.engine import InstanceEngine
from engine.runtime.pipeline import Pipeline
from exporter.gateway.forwarding import HttpForward
from exporter.gateway.reservations import Reservations
from exporter.gateway.server import GatewayServer
from exporter.gateway.settings import GatewaySettings
from tests.support.instances import World
from tests.support.waiting import WAIT_SECONDS, wait_until

JSON = {"content-type": "application/json"}


@dataclass
class House:
    """Three instances, each with a gateway; partition n belongs to the n-th."""

    engines: list[InstanceEngine]
    gateways: list[GatewayServer]

    def post(self, at: int, values: Any, **more: Any) -> httpx.Response:
        headers = {**JSON, **more.pop("headers", {})}
        return httpx.post(
            f"http://127.0.0.1:{self.gateways[at].port}/v1/records", content=json.dumps(values), headers=headers, **more
        )

    def written(self, number: int) -> int:
        for engine in self.engines:
            for partition in engine.snapshot().partitions:
                if partition.partition == number:
                    return partition.last_written_position
        raise AssertionError(f"partition {number} is nowhere")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    world = World(tmp_path, lambda: Pipeline("shared", partitions=3).key_by("key"))
    tight = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=1))
    engines = [world.instance(name, flow_control=tight if name == "c" else None) for name in "abc"]
    with ExitStack() as stack:
        stack.callback(world.close)
        gateways = [stack.enter_context(GatewayServer(one, GatewaySettings(port=0))) for one in engines]
        for number, engine in enumerate(engines, 1):
            engine.given([number])
        assert wait_until(lambda: all(one._board.owner(n) is not None for one in engines for n in (1, 2, 3)))
        assert wait_until(lambda: all(r.gateway.startswith("http") for one in engines for r in one._board.instances()))
        yield House(engines, gateways)


def key_of(number: int) -> str:
    return next(key for key in map(str, range(100)) if partition_of(key, 3) == number)


def test_a_record_is_written_by_its_owner_whichever_gateway_it_comes_to(house: House) -> None:
    for at in range(3):
        answer = house.post(at, {"key": key_of(2), "n": at})
        assert answer.status_code == 200, answer.text
        assert answer.json()["positions"] == [{"partition": 2, "position": house.written(2)}]
    seen = [engine.snapshot() for engine in house.engines]
    assert [s.instances.forwarded["accepted"] for s in seen if s.instances is not None] == [1, 0, 1]
    # Each record is counted where it came in, and nowhere else.
    assert [s.gateway.records for s in seen if s.gateway is not None] == [1, 1, 1]


def test_records_for_several_owners_come_back_with_their_places_in_their_order(house: House) -> None:
    values = [{"key": key_of(n), "n": i} for i, n in enumerate([2, 1, 2, 1, 1])]
    answer = house.post(2, values)
    assert answer.status_code == 200, answer.text
    assert [place["partition"] for place in answer.json()["positions"]] == [2, 1, 2, 1, 1]
    assert house.written(1) == answer.json()["positions"][-1]["position"]


def test_the_owners_refusal_is_passed_on_in_its_own_words_and_nothing_is_written_anywhere(house: House) -> None:
    # Who comes next pays for all of them: minutes, however slow this machine is.
    assert wait_until(lambda: house.post(2, [{"key": key_of(3)}] * 300).status_code == 200)
    direct = house.post(2, {"key": key_of(3)})
    assert direct.status_code == 429
    before = [house.written(n) for n in (1, 2, 3)]
    handed_on = house.post(0, {"key": key_of(3)})
    assert handed_on.status_code == 429
    assert {**handed_on.json(), "detail": "", "retryAfterMs": 0} == {**direct.json(), "detail": "", "retryAfterMs": 0}
    assert handed_on.json()["detail"].startswith("partition 3 refused 1 record: its write limit of 1 records/s")
    assert "retry-after" in handed_on.headers
    together = house.post(0, [{"key": key_of(n)} for n in (1, 2, 3)])
    assert together.status_code == 429
    assert [house.written(n) for n in (1, 2, 3)] == before


def test_what_no_partition_can_take_is_refused_with_its_line_wherever_it_is_looked_at(house: House) -> None:
    answer = house.post(0, [{"key": key_of(2)}, {"n": 2}])
    assert answer.status_code == 400
    assert "has no key" in answer.json()["detail"]
    assert house.post(0, {"key": "1"}, params={"partition": "4"}).status_code == 400


def test_while_a_partition_moves_it_is_told_when_to_come_again(house: House) -> None:
    house.engines[1].taken([2])
    before = house.written(1)
    assert wait_until(lambda: house.engines[0]._board.owner(2) is None)
    for values in ({"key": key_of(2)}, [{"key": key_of(1)}, {"key": key_of(2)}]):
        answer = house.post(0, values)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
        assert "partition 2 is moving" in answer.json()["detail"]
    assert house.written(1) == before
    house.engines[0].given([2])
    assert wait_until(lambda: house.post(2, {"key": key_of(2)}).status_code == 200)


def test_what_was_handed_on_once_is_not_handed_on_again(house: House) -> None:
    answer = house.post(0, {"key": key_of(2)}, headers={"penstock-forwarded": "1"})
    assert answer.status_code == 503
    assert "partition 2 is with instance b" in answer.json()["detail"]


def test_what_was_admitted_and_is_never_written_is_given_back(house: House) -> None:
    port = house.gateways[1].port
    url = f"http://127.0.0.1:{port}/v1/reservations"
    token = httpx.post(url, content=json.dumps([{"key": key_of(2)}]), headers=JSON).json()["reservation"]
    assert httpx.delete(f"{url}/{token}").status_code == 200
    gone = httpx.post(f"{url}/{token}")
    assert gone.status_code == 503
    assert "was given back" in gone.json()["detail"]


def test_what_is_admitted_for_others_is_bounded_by_the_bytes_of_its_bodies() -> None:
    clock = ManualClock()
    reserved = Reservations(1000, clock)
    assert reserved.have_room(5000), "alone it may be as large as a body may be"
    reserved.begun("a", 600)
    assert reserved.have_room(400)
    assert not reserved.have_room(401)
    reserved.begun("b", 400)
    reserved.ended("a")
    assert reserved.have_room(600)
    assert not reserved.have_room(601)
    clock.advance(7)
    assert reserved.have_room(1000), "nobody ended it, and the engine gave it back"


def test_who_reserves_and_never_writes_is_told_to_come_again_and_takes_no_more_memory(house: House) -> None:
    url = f"http://127.0.0.1:{house.gateways[1].port}/v1/reservations"
    body = json.dumps([{"key": key_of(2), "text": "x" * 3_900_000}])
    answers = [httpx.post(url, content=body, headers=JSON) for _ in range(9)]
    assert [answer.status_code for answer in answers] == [200] * 8 + [503]
    assert answers[-1].headers["retry-after"]
    assert "not written yet" in answers[-1].json()["detail"]


def test_an_owner_that_does_not_answer_is_no_loss_of_what_goes_elsewhere(house: House) -> None:
    house.gateways[1].stop()
    answer = house.post(0, {"key": key_of(2)})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "does not answer" in answer.json()["detail"]
    assert house.post(0, {"key": key_of(1)}).status_code == 200
    assert house.engines[0].snapshot().partitions[0].state is PartitionState.RUNNING


def test_large_bodies_that_cross_between_two_instances_do_not_wait_for_each_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gateway has room for one of them at a time, and has it given to a client of its own."""
    both = Barrier(2)
    write = HttpForward.write

    def together(self: HttpForward, *arguments: Any) -> Any:
        both.wait(WAIT_SECONDS)
        return write(self, *arguments)

    monkeypatch.setattr(HttpForward, "write", together)
    text = "x" * 3_900_000
    answers: dict[int, httpx.Response] = {}

    def post(at: int, owner: int) -> None:
        answers[at] = house.post(at, [{"key": key_of(owner), "text": text}], timeout=WAIT_SECONDS)

    crossing = [Thread(target=post, args=(0, 2), daemon=True), Thread(target=post, args=(1, 1), daemon=True)]
    for thread in crossing:
        thread.start()
    for thread in crossing:
        thread.join(WAIT_SECONDS)
    assert {at: answer.status_code for at, answer in answers.items()} == {0: 200, 1: 200}
