"""`/api/instances` says who shares the pipeline and who has what, and lets a partition try again."""

from __future__ import annotations

from dataclasses import replace

from engine.core.snapshot import ClosedSnapshot, EngineSnapshot, PartitionState
from tests.support.management import OpenPort
from tests.support.snapshots import TAKEN_WALL_NS, busy_snapshot, engine_snapshot


def shared() -> EngineSnapshot:
    """`a` was asked and runs partition 1; partition 2 belongs to it and stands still."""
    failed = ClosedSnapshot(
        partition=2, state=PartitionState.FAILED, since_wall_ns=TAKEN_WALL_NS, why="task processor/1 failed: no luck"
    )
    return replace(engine_snapshot(), instances=busy_snapshot().instances, closed=(failed,))


def test_each_instance_and_each_partition_is_told_with_its_owner(port: OpenPort) -> None:
    port.engine.told = shared()
    answer = port.client.get("/api/instances").json()
    assert answer["me"] == "a"
    assert [(one["name"], one["isMe"], one["partitions"], one["differs"]) for one in answer["instances"]] == [
        ("a", True, [1], []),
        ("b", False, [], ["processor"]),
    ]
    assert answer["instances"][1]["gateway"] is None
    first, second = answer["partitions"]
    assert (first["owner"], first["state"], first["since"]) == ("a", "running", TAKEN_WALL_NS / 1e9)
    assert (second["owner"], second["state"], second["why"]) == ("a", "failed", "task processor/1 failed: no luck")


def test_where_nobody_shares_the_pipeline_there_is_nothing_to_see_and_nothing_to_reopen(port: OpenPort) -> None:
    port.engine.told = engine_snapshot()
    for answer in (port.client.get("/api/instances"), port.client.post("/api/instances/partitions/1/reopen")):
        assert answer.status_code == 404
        assert "no other instance shares it" in answer.json()["detail"]


def test_the_limits_say_which_instance_has_each_partition(port: OpenPort) -> None:
    port.engine.told = shared()
    partitions = port.client.get("/api/flow-control").json()["partitions"]
    assert {number: one.get("owner") for number, one in partitions.items()}.get("1") == "a"


def test_a_partition_whose_state_is_being_read_has_an_owner_and_one_that_stands_still_has_none() -> None:
    seen = shared().instances
    assert seen is not None
    places = [replace(seen.places[0], partition=n, state=state) for n, state in enumerate((*PartitionState, None), 1)]
    without = replace(seen, places=tuple(places)).without_owner
    held = (PartitionState.RUNNING, PartitionState.RESTORING)
    assert without == tuple(place.partition for place in places if place.state not in held)
    assert len(without) == len(places) - 2


def test_a_replay_may_be_asked_of_any_and_the_answer_says_who_does_it(port: OpenPort) -> None:
    port.engine.told = replace(shared(), rejects=())
    answer = port.client.post("/api/rejects/file/replay")
    assert answer.status_code == 202
    assert answer.json() == {
        "task": "file",
        "replayed": 3,
        "instances": ["a", "b"],
        "owners": {"1": "a", "2": "a"},
    }
    assert port.client.delete("/api/rejects/file").status_code == 404, "what is dropped is what lies here"
