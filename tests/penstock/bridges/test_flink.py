"""The bridge to Flink: what it shows when Flink says less, says nothing, or says something else than before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.core.clock import ManualClock
from engine.core.errors import ConfigurationError, SettingError
from engine.core.snapshot import BlockReason, EngineSnapshot, EngineState
from exporter.door import EngineDoor, EnginesDoor
from exporter.prometheus import Exposer
from penstock.bridges.asking import LookError
from penstock.bridges.flink_rest.cluster import FlinkBridge, FlinkSettings
from tests.support.captured_flink import CapturedFlink

DOWN = LookError("unreachable", "http://flink.example:8081/jobs/overview cannot be asked: connection refused")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def flink() -> CapturedFlink:
    return CapturedFlink("1.20.1")


@pytest.fixture
def bridge(flink: CapturedFlink, clock: ManualClock) -> FlinkBridge:
    bridge = flink.bridge(clock)
    bridge.look()
    return bridge


def jobs(bridge: FlinkBridge) -> dict[str, EngineSnapshot]:
    return {engine.snapshot().pipeline: engine.snapshot() for engine in bridge.engines()[1:]}


def test_to_the_exporter_it_is_several_engines_of_which_it_is_the_first(bridge: FlinkBridge) -> None:
    door: EngineDoor = bridge
    assert isinstance(door, EnginesDoor)
    assert door.engines()[0] is bridge
    for engine in door.engines():
        assert (engine.flow_settings(), engine.throttling_episodes()) == ({}, ())
        with pytest.raises(ConfigurationError, match="no task with the id"):
            engine.look_at_back_pressure("0" * 32)


def test_nothing_is_shown_of_a_flink_that_is_down_and_everything_again_when_it_is_back(
    flink: CapturedFlink, bridge: FlinkBridge
) -> None:
    flink.error = DOWN
    bridge.look()
    assert jobs(bridge) == {}
    told = bridge.snapshot()
    assert told.state is EngineState.FAILED
    assert told.failure == str(DOWN)
    assert told.bridge is not None
    assert (told.bridge.is_up, told.bridge.errors["unreachable"], told.bridge.looks) == (False, 1, 2)
    flink.error = None
    bridge.look()
    assert jobs(bridge)["pushed-back"].bottleneck == "parse"
    assert bridge.snapshot().state is EngineState.RUNNING


class WatchedClock(ManualClock):
    """Whoever reads it is looked at in that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.watch: Callable[[], None] = lambda: None

    def wall_ns(self) -> int:
        self.watch()
        return super().wall_ns()


def test_at_no_moment_is_a_bridge_up_without_its_jobs_or_down_with_them(flink: CapturedFlink) -> None:
    clock = WatchedClock()
    bridge = flink.bridge(clock)
    bridge.look()
    seen: set[tuple[bool, EngineState]] = set()
    clock.watch = lambda: seen.add((bool(bridge.engines()[1:]), bridge.snapshot().state))
    for error in (DOWN, None, DOWN):
        flink.error = error
        bridge.look()
    assert seen == {(True, EngineState.RUNNING), (False, EngineState.FAILED)}


def test_before_the_first_look_nothing_is_known(flink: CapturedFlink, clock: ManualClock) -> None:
    told = flink.bridge(clock).snapshot()
    assert told.state is EngineState.STARTING
    assert told.bridge is not None
    assert told.bridge.is_up is None
    assert told.bridge.succeeded_wall_ns is None


def test_what_nobody_has_looked_at_for_long_is_not_shown(bridge: FlinkBridge, clock: ManualClock) -> None:
    clock.advance(149)
    assert jobs(bridge)
    clock.advance(2)
    assert jobs(bridge) == {}


def test_deprecated_back_pressure_is_unknown(flink: CapturedFlink, bridge: FlinkBridge) -> None:
    path = flink.back_pressure("pushed-back", "Source: flights")
    flink.answers[path]["body"] = {"status": "deprecated"}
    bridge.look()
    told = jobs(bridge)["pushed-back"]
    source = told.tasks[0]
    assert (source.back_pressure, source.recent, source.state) == (None, None, "unknown")
    assert told.back_pressure[0].level is None
    assert told.back_pressure[0].problem is not None
    # Times and counts come from elsewhere, and are known.
    assert source.records_out == 89303


@pytest.mark.parametrize("busy", ["NaN", float("nan"), None, "Infinity", -1, True])
def test_a_busy_ratio_that_is_none_is_unknown_and_blames_nobody(
    flink: CapturedFlink, clock: ManualClock, busy: object
) -> None:
    for row in flink.body(flink.back_pressure("pushed-back", "parse"))["subtasks"]:
        row["busyRatio"] = busy
    bridge = flink.bridge(clock)
    bridge.look()
    told = jobs(bridge)["pushed-back"]
    assert all(task.back_pressure is not None for task in told.tasks)
    assert [t.back_pressure.busy_ratio for t in told.tasks if t.task == "parse" and t.back_pressure] == [None, None]
    # The one task behind the one that is held back is the one it waits for, busy or not.
    assert told.bottleneck == "parse"


def test_times_are_flinks_own_counts_and_without_them_counted_from_ratios(
    flink: CapturedFlink, clock: ManualClock
) -> None:
    job_id = flink.jobs()["calm"]
    source, *_ = flink.body(f"/jobs/{job_id}")["vertices"]
    rows = flink.body(f"/jobs/{job_id}/vertices/{source['id']}")["subtasks"]
    for row in rows:
        for key in ("accumulated-busy-time", "accumulated-idle-time", "accumulated-backpressured-time"):
            del row["metrics"][key]
    bridge = flink.bridge(clock)
    bridge.look()
    first = jobs(bridge)["calm"]
    assert (first.tasks[0].busy_ns, first.tasks[0].idle_ns) == (0, 0)
    assert first.tasks[1].busy_ns == 26_338_000_000
    clock.advance(10)
    bridge.look()
    second = jobs(bridge)["calm"].tasks[0]
    assert (second.busy_ns, second.idle_ns) == (140_000_000, 9_860_000_000)
    assert second.back_pressured_ns == {BlockReason.BUFFER: 0}


def test_a_subtask_that_was_started_anew_is_not_compared_with_the_one_before(
    flink: CapturedFlink, bridge: FlinkBridge, clock: ManualClock
) -> None:
    clock.advance(10)
    bridge.look()
    assert jobs(bridge)["calm"].tasks[0].recent is not None
    job_id = flink.jobs()["calm"]
    for vertex in flink.body(f"/jobs/{job_id}")["vertices"]:
        for row in flink.body(f"/jobs/{job_id}/vertices/{vertex['id']}")["subtasks"]:
            row["start-time"] += 60_000
            row["metrics"]["read-records"] = 0
    clock.advance(10)
    bridge.look()
    assert [task.recent for task in jobs(bridge)["calm"].tasks] == [None, None, None]


def test_a_job_that_ended_between_two_questions_is_gone_without_an_error(
    flink: CapturedFlink, bridge: FlinkBridge
) -> None:
    job_id = flink.jobs()["calm"]
    for path in [path for path in flink.answers if f"/jobs/{job_id}" in path]:
        del flink.answers[path]
    bridge.look()
    assert "calm" not in jobs(bridge)
    assert jobs(bridge)["pushed-back"].bottleneck == "parse"
    told = bridge.snapshot().bridge
    assert told is not None
    assert sum(told.errors.values()) == 0


def test_one_broken_answer_costs_only_what_stands_in_it(flink: CapturedFlink, bridge: FlinkBridge) -> None:
    flink.answers[flink.back_pressure("calm", "parse")] = {"status": 500, "body": None}
    flink.answers[flink.back_pressure("skewed", "count")]["body"] = {"status": "ok", "subtasks": [[]]}
    bridge.look()
    told = jobs(bridge)
    assert [task.back_pressure is None for task in told["calm"].tasks] == [False, True, False]
    assert told["skewed"].bottleneck is not None, "one look alone changes no verdict"
    assert bridge.snapshot().bridge is not None
    errors = bridge.snapshot().bridge.errors  # type: ignore[union-attr]
    assert (errors["status"], errors["malformed"]) == (1, 1)


@pytest.mark.parametrize(
    "body", [None, [], {"jobs": 3}, {"jobs": [{"jid": "x"}]}, {"jobs": [None]}, {"jobs": [{"jid": 5, "name": "a"}]}]
)
def test_an_answer_that_is_none_of_flinks_fails_the_look_in_one_sentence(
    flink: CapturedFlink, bridge: FlinkBridge, body: object
) -> None:
    flink.answers["/jobs/overview"]["body"] = body
    bridge.look()
    assert jobs(bridge) == {}
    failure = bridge.snapshot().failure
    assert failure is not None
    assert failure.startswith("an answer of Flink")


def add_job(flink: CapturedFlink, like: str, job_id: str, **changes: object) -> None:
    """Another job that answers as `like` does."""
    old = flink.jobs()[like]
    (row,) = (row for row in flink.body("/jobs/overview")["jobs"] if row["jid"] == old)
    for path in [path for path in flink.answers if old in path]:
        flink.answers[path.replace(old, job_id)] = json.loads(json.dumps(flink.answers[path]).replace(old, job_id))
    flink.body("/jobs/overview")["jobs"].append({**row, "jid": job_id, **changes})


def test_of_two_jobs_of_one_name_the_older_keeps_it_and_both_keep_theirs(
    flink: CapturedFlink, bridge: FlinkBridge
) -> None:
    add_job(flink, "calm", "ab" * 16, **{"start-time": 1796023999999})
    bridge.look()
    assert {"calm", "calm (abababab)"} <= set(jobs(bridge))
    rows = flink.body("/jobs/overview")["jobs"]
    rows[:] = [row for row in rows if row["jid"] != jobs(bridge)["calm"].job_id]
    bridge.look()
    assert "calm (abababab)" in jobs(bridge)
    assert "calm" not in jobs(bridge)


def test_a_job_named_as_the_bridge_gets_its_id_behind_its_name(flink: CapturedFlink, clock: ManualClock) -> None:
    bridge = flink.bridge(clock, name="calm")
    bridge.look()
    assert bridge.snapshot().pipeline == "calm"
    assert f"calm ({flink.jobs()['calm'][:8]})" in jobs(bridge)


def test_a_job_that_failed_is_shown_as_failed_until_another_of_its_name_runs(
    flink: CapturedFlink, bridge: FlinkBridge
) -> None:
    failed = "cd" * 16
    add_job(flink, "legacy", failed, name="nightly", state="FAILED", **{"end-time": 1796023999999})
    flink.body(f"/jobs/{failed}").update(state="FAILED", name="nightly")
    bridge.look()
    told = jobs(bridge)["nightly"]
    assert told.state is EngineState.FAILED
    assert told.bottleneck is None
    assert all(task.back_pressure is None for task in told.tasks)
    add_job(flink, "calm", "ef" * 16, name="nightly", **{"start-time": 1796024000000})
    bridge.look()
    assert jobs(bridge)["nightly"].job_id == "ef" * 16


@pytest.mark.parametrize("state", ["FINISHED", "CANCELED"])
def test_a_job_that_is_over_is_not_shown(flink: CapturedFlink, bridge: FlinkBridge, state: str) -> None:
    (row,) = (row for row in flink.body("/jobs/overview")["jobs"] if row["name"] == "calm")
    row["state"] = state
    bridge.look()
    assert "calm" not in jobs(bridge)
    told = bridge.snapshot().bridge
    assert told is not None
    assert told.jobs[state.lower()] == 1


def test_another_culprit_is_shown_once_two_looks_in_a_row_have_named_it(
    flink: CapturedFlink, bridge: FlinkBridge
) -> None:
    row = flink.body(flink.back_pressure("pushed-back", "Source: flights"))["subtasks"][0]
    row["ratio"] = 0.02
    bridge.look()
    assert jobs(bridge)["pushed-back"].bottleneck == "parse"
    bridge.look()
    assert jobs(bridge)["pushed-back"].bottleneck is None
    row["ratio"] = 0.9
    bridge.look()
    assert jobs(bridge)["pushed-back"].bottleneck is None
    bridge.look()
    assert jobs(bridge)["pushed-back"].bottleneck == "parse"


def test_the_age_of_a_ratio_is_by_flinks_clock_however_wrong_that_is(flink: CapturedFlink, clock: ManualClock) -> None:
    path = flink.back_pressure("calm", "parse")
    job_id = flink.jobs()["calm"]
    flink.body(path)["end-timestamp"] = flink.body(f"/jobs/{job_id}")["now"] - 4000
    bridge = flink.bridge(clock)
    bridge.look()
    (task,) = (task for task in jobs(bridge)["calm"].tasks if task.task == "parse")
    assert task.back_pressure is not None
    assert task.back_pressure.sampled_wall_ns == clock.wall_ns() - 4_000_000_000


def test_more_jobs_than_a_bridge_takes_are_counted_as_omitted(
    flink: CapturedFlink, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.bridges.flink_rest.cluster.SUBTASKS_MAX", 9)
    bridge = flink.bridge(clock)
    bridge.look()
    assert len(jobs(bridge)) == 2
    told = bridge.snapshot().bridge
    assert told is not None
    assert told.omitted == 3


def test_a_name_with_half_a_character_can_still_be_written(flink: CapturedFlink, clock: ManualClock) -> None:
    (row,) = (row for row in flink.body("/jobs/overview")["jobs"] if row["name"] == "calm")
    row["name"] = 'calm \ud83d\n<b>"x"'
    bridge = flink.bridge(clock)
    bridge.look()
    body = Exposer(bridge).expose(accept="", accept_encoding="").body
    assert b'pipeline="calm ? <b>\\"x\\""' in body


def test_more_tasks_than_can_be_asked_for_leave_the_last_jobs_out(
    flink: CapturedFlink, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.bridges.flink_rest.cluster.VERTICES_MAX", 7)
    bridge = flink.bridge(clock)
    bridge.look()
    assert len(jobs(bridge)) == 2


def test_what_is_said_of_the_address_holds_no_password(flink: CapturedFlink, bridge: FlinkBridge) -> None:
    assert bridge.shown == "http://flink.example:8081"
    assert "secret" not in repr(FlinkSettings(url="http://user:secret@flink.example:8081"))
    assert bridge.secrets.hide("as user:secret") == "as ***"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"interval_ns": 10_000_000}, "interval must be at least 1s, not 0.01s"),
        ({"refresh_interval_ns": 1_000_000_000}, "refresh interval must not be shorter than the interval"),
        ({"name": " "}, "name must not be empty"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        replace(FlinkSettings(url="http://flink:8081"), **changes)  # type: ignore[arg-type]


class TestClassic:
    """Flink up to 1.12, where a look may start a measurement."""

    @pytest.fixture
    def flink(self) -> CapturedFlink:
        flink = CapturedFlink("1.9.3")
        # Nothing was measured yet.
        self.measured = {path: flink.answers[path]["body"] for path in flink.answers if path.endswith("/backpressure")}
        for path in self.measured:
            flink.answers[path] = {"status": 200, "body": {"status": "deprecated"}}
        return flink

    def measure(self, flink: CapturedFlink) -> None:
        for path, body in self.measured.items():
            job = path.split("/")[2]
            if f"/jobs/{job}" in flink.answers and "end-timestamp" in body:
                flink.answers[path] = {
                    "status": 200,
                    "body": {**body, "end-timestamp": flink.body(f"/jobs/{job}")["now"]},
                }

    def test_one_look_begins_a_measurement_and_the_next_fetches_it_and_then_none_until_the_interval_is_over(
        self, flink: CapturedFlink, bridge: FlinkBridge, clock: ManualClock
    ) -> None:
        path = flink.back_pressure("pushed-back", "Source: flights")
        assert jobs(bridge)["pushed-back"].tasks[0].back_pressure is None
        for _ in range(13):
            flink.advance(5)
            self.measure(flink) if flink.asked[path] == 1 else None
            flink.advance(5)
            clock.advance(10)
            bridge.look()
            reading = jobs(bridge)["pushed-back"].tasks[0].back_pressure
            assert reading is not None
            assert reading.ratio == 1.0
            assert jobs(bridge)["pushed-back"].bottleneck == "parse"
            if flink.asked[path] == 3:
                break
        # Begun at 0 s, there at 5 s, fetched at 10 s, and begun again once it was 60 s old.
        assert clock.monotonic_ns() == 70_000_000_000

    def test_a_measurement_of_any_age_that_flink_still_calls_ok_is_unknown(
        self, flink: CapturedFlink, bridge: FlinkBridge, clock: ManualClock
    ) -> None:
        self.measure(flink)
        flink.advance(10)
        bridge.look()
        assert jobs(bridge)["pushed-back"].tasks[0].back_pressure is not None
        for _ in range(9):
            flink.advance(10)
            clock.advance(10)
            bridge.look()
        assert flink.body(flink.back_pressure("pushed-back", "Source: flights"))["status"] == "ok"
        assert jobs(bridge)["pushed-back"].tasks[0].back_pressure is None

    def test_a_measurement_that_never_comes_is_not_asked_for_at_every_look(
        self, flink: CapturedFlink, bridge: FlinkBridge, clock: ManualClock
    ) -> None:
        path = flink.back_pressure("pushed-back", "Source: flights")
        for _ in range(5):
            flink.advance(10)
            clock.advance(10)
            bridge.look()
        assert flink.asked[path] == 4
