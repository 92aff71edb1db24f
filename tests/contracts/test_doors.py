"""What an engine can be asked and told is the same in one process, over workers, and where instances share it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from engine import (
    ConfigurationError,
    EngineOptions,
    FlowControlSettings,
    NotReadyError,
    WriteFailedError,
    WriteLimitSettings,
    Written,
)
from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.identity import stable_id
from engine.core.snapshot import EngineState, ExporterSnapshot
from engine.instances.engine import InstanceEngine
from engine.runtime.door import Door
from engine.writing.rejects import Reject, RejectFile
from tests.support.instances import World
from tests.support.snapshots import busy_snapshot
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.worker_pipelines import doored, engine_of

CONFIGURED = FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=4000))
FOREVER = EngineOptions(run_forever=True)
BOTH = {1, 2}


def limited(limit: int) -> FlowControlSettings:
    return FlowControlSettings(write=WriteLimitSettings(enabled=True, limit=limit))


class OneOfTwo:
    """Two instances that have a partition each; the first one is asked."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, doored)
        self.door = self.world.instance("a", flow_control=CONFIGURED)
        self.world.give(self.door, 1)
        self.world.give(self.world.instance("b", flow_control=CONFIGURED), 2)


KINDS = ("one process", "two workers", "two instances")


@pytest.fixture(scope="module", params=KINDS)
def door(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """An engine of two partitions in which nothing happens by itself. Each test leaves it as it found it."""
    folder = tmp_path_factory.mktemp("door")
    if request.param == KINDS[2]:
        both = OneOfTwo(folder)
        yield both.door
        both.world.close()
        return
    workers = 1 + KINDS.index(request.param)
    with engine_of("doored", folder, workers=workers, flow_control=CONFIGURED, options=FOREVER) as engine:
        yield engine
        engine.stop(drain=False)


@pytest.fixture(params=KINDS)
def ended(request: pytest.FixtureRequest, tmp_path: Path) -> Door:
    """One that has not begun; over instances it begins alone."""
    if request.param == KINDS[2]:
        return InstanceEngine(doored(), tmp_path, flow_control=CONFIGURED, options=FOREVER)
    workers = 1 + KINDS.index(request.param)
    return engine_of("doored", tmp_path, workers=workers, flow_control=CONFIGURED, options=FOREVER)


def limits(door: Door) -> dict[int, int | None]:
    return {number: settings.write.limit for number, settings in door.flow_settings().items()}


def seen(door: Door) -> list[ExporterSnapshot]:
    """The exporter on each partition that the door sees."""
    return [exporter for partition in door.snapshot().partitions for exporter in partition.exporters]


# -- limits ---


def test_one_partition_can_be_limited_and_the_configured_limit_brought_back(door: Door) -> None:
    assert door.configured_flow_settings == CONFIGURED
    assert {*door.request_limiter_states()} == BOTH
    before_ns = SystemClock().wall_ns()
    door.apply_flow_control({2: limited(50)}, by="alice")
    assert limits(door) == {1: 4000, 2: 50}
    override = door.flow_overrides()[2]
    assert override is not None
    assert (override.settings, override.until_wall_ns, override.by) == (limited(50), None, "alice")
    assert before_ns <= override.since_wall_ns <= SystemClock().wall_ns()
    door.revert_flow_control()
    assert limits(door) == {1: 4000, 2: 4000}
    assert door.flow_overrides() == {1: None, 2: None}


def test_what_is_set_for_a_time_goes_by_itself(door: Door) -> None:
    door.apply_flow_control({1: limited(50), 2: limited(60)}, ttl_ns=NS_PER_SECOND // 2)
    assert limits(door) == {1: 50, 2: 60}
    door.apply_flow_control({2: limited(70)})
    assert wait_until(lambda: limits(door) == {1: 4000, 2: 70})
    door.revert_flow_control([2])
    assert limits(door) == {1: 4000, 2: 4000}


def test_a_change_of_a_partition_that_there_is_not_changes_none(door: Door) -> None:
    with pytest.raises(ConfigurationError, match="there is no partition 3"):
        door.apply_flow_control({1: limited(50), 3: limited(50)})
    with pytest.raises(ConfigurationError, match="there is no partition 3"):
        door.revert_flow_control([1, 3])
    door.apply_flow_control({})
    door.revert_flow_control([])
    assert door.flow_overrides() == {1: None, 2: None}


def test_the_changes_of_limits_are_told_in_their_order(door: Door) -> None:
    before = len(door.limit_changes())
    for limit in (51, 52, 53):
        door.apply_flow_control({1: limited(limit)})
    door.revert_flow_control()
    changes = [(c.partition, c.old_limit_per_second, c.new_limit_per_second) for c in door.limit_changes()[before:]]
    assert changes == [(1, 4000, 51), (1, 51, 52), (1, 52, 53), (1, 53, 4000)]
    assert door.throttling_episodes() == ()


# -- exporters ---


def test_an_exporter_is_held_by_somebody_and_let_go_on_by_somebody(door: Door) -> None:
    door.pause_exporter("out", paused=True, soft=True, by="alice")
    assert {(one.pause.by, one.pause.soft) if one.pause else None for one in seen(door)} == {("alice", True)}
    door.pause_exporter("out", paused=False, by="alice")
    assert {one.pause for one in seen(door)} == {None}


def test_an_exporter_that_is_not_there_is_refused(door: Door) -> None:
    with pytest.raises(ConfigurationError, match="there is no exporter 'other'"):
        door.pause_exporter("other", paused=True)
    with pytest.raises(ConfigurationError, match="there is no exporter 'other'"):
        door.pace_exporter("other", 1.0)


def test_an_exporter_hands_over_no_faster_than_it_is_told(door: Door) -> None:
    def backlog() -> int:
        return sum(partition.backlog_records for partition in door.snapshot().partitions)

    door.pace_exporter("out", 1.0)
    some = [{"k": "any"}] * 30
    for _ in range(2):
        # The first ones pass, and those behind them wait for so many seconds.
        assert wait_until(lambda: isinstance(door.write(some, partition=1), Written))
    assert not wait_until(lambda: backlog() == 0, seconds=0.2)
    door.pace_exporter("out", None)
    assert wait_until(lambda: backlog() == 0)


# -- rejects ---


def test_what_was_set_aside_is_shown_and_dropped(door: Door) -> None:
    assert door.data_folder is not None
    for said in (door.rejects, lambda task, _most: door.drop_rejects(task)):
        with pytest.raises(ConfigurationError, match=r"there are no rejects of 'parse'|nothing was rejected"):
            said("parse", 10)
    with pytest.raises(ConfigurationError, match=r"of 'nobody'|no task 'nobody'|nothing was rejected"):
        door.replay_rejects("nobody")
    file = RejectFile(door.data_folder / "rejects", "parse", SystemClock())
    file.put([Reject(source="lines", offset=n, reason="no number", value={"n": n}) for n in range(5)])
    assert [one["value"] for one in door.rejects("parse", 2)] == [{"n": 0}, {"n": 1}]
    assert {one.task: one.count for one in door.snapshot().rejects} == {"parse": 5}
    assert door.drop_rejects("parse") == 5
    assert door.snapshot().rejects == ()


# -- back pressure ---


def test_a_vertex_can_be_looked_at_and_one_that_is_not_there_cannot(door: Door) -> None:
    (vertex_id,) = [vertex.vertex_id for vertex in door.snapshot().vertices if vertex.task == "out"]
    assert door.look_at_back_pressure(vertex_id).vertex_id == vertex_id
    assert isinstance(door.sample_back_pressure(vertex_id), bool)
    door.flame_graph(vertex_id)
    for look in (door.look_at_back_pressure, door.sample_back_pressure, door.flame_graph):
        with pytest.raises(ConfigurationError, match="there is no"):
            look(stable_id("nobody"))


# -- what is seen ---


def test_a_snapshot_says_what_runs_and_of_the_gateway_that_is_attached(door: Door) -> None:
    snapshot = door.snapshot()
    assert (snapshot.pipeline, snapshot.job_id, snapshot.state) == ("doored", stable_id("doored"), door.state)
    assert snapshot.gateway is None
    gateway = busy_snapshot().gateway
    assert gateway is not None
    door.attach_gateway(lambda: gateway)
    assert door.snapshot().gateway == gateway
    door._gateway = None


# -- life ---


def test_before_the_beginning_nothing_is_said_of_limits_and_after_the_end_nothing_is_changed(ended: Door) -> None:
    for early in (
        ended.flow_settings,
        ended.flow_overrides,
        ended.request_limiter_states,
        ended.throttling_episodes,
        ended.limit_changes,
        ended.revert_flow_control,
        lambda: ended.apply_flow_control({1: limited(1)}),
    ):
        with pytest.raises(NotReadyError, match="the engine is starting"):
            early()
    with pytest.raises(WriteFailedError, match="is starting and takes no records yet"):
        ended.write([{"k": "one"}])
    ended.snapshot()
    with ended as running:
        assert running.state is EngineState.RUNNING
        assert not running.wait(0)
    assert ended.wait(WAIT_SECONDS)
    assert ended.state is EngineState.FINISHED
    assert {*ended.flow_settings()} <= BOTH
    with pytest.raises(NotReadyError, match="the engine has finished and takes no changes"):
        ended.apply_flow_control({1: limited(1)})
    with pytest.raises(WriteFailedError) as refused:
        ended.write([{"k": "one"}])
    assert refused.value.passing


def test_one_that_never_began_can_be_stopped_at_once(ended: Door) -> None:
    stopping = Thread(target=ended.stop, daemon=True)
    stopping.start()
    stopping.join(WAIT_SECONDS)
    assert not stopping.is_alive()
