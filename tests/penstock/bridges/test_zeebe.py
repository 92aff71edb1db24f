"""The bridge to Zeebe over a stub of the documented shapes; nothing of Zeebe's is run here."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.errors import ConfigurationError, PenstockError, SettingError
from engine.core.records import WriteSource
from engine.core.snapshot import EngineState, ExporterState, Outcome, PartitionSnapshot
from exporter.door import EngineDoor
from exporter.prometheus import Exposer
from penstock.bridges.zeebe_http.cluster import ZeebeBridge, ZeebeSettings
from penstock.bridges.zeebe_http.series import read_series
from tests.support.zeebe_stub import Cluster

URLS = ("http://admin:opensesame@broker-0:9600", "http://broker-1:9600")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["new", "old"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return Cluster(generation=request.param)


@pytest.fixture
def bridge(cluster: Cluster, clock: ManualClock) -> ZeebeBridge:
    bridge = ZeebeBridge(ZeebeSettings(urls=URLS), clock=clock, requests=cluster.requests())
    bridge.look()
    return bridge


def partition(bridge: ZeebeBridge, number: int = 1) -> PartitionSnapshot:
    (found,) = (one for one in bridge.snapshot().partitions if one.partition == number)
    return found


def culprit(bridge: ZeebeBridge) -> tuple[str, str] | None:
    found = bridge.snapshot().culprit
    return None if found is None else (found.task, found.text)


def test_backlog_limits_and_rates_are_those_of_the_leader(bridge: ZeebeBridge) -> None:
    door: EngineDoor = bridge
    assert door.snapshot().state is EngineState.RUNNING
    told = partition(bridge)
    assert (told.last_written_position, told.last_processed_position, told.backlog_records) == (1000, 995, 100)
    assert [(e.exporter, e.backlog_records, e.state) for e in told.exporters] == [
        ("elasticsearch", 100, ExporterState.EXPORTING)
    ]
    flow = told.flow
    assert (flow.write_limit_per_second, flow.write_limit_max_per_second, flow.throttled) == (4000, 4000, False)
    assert (flow.exporting_rate_per_second, flow.request_limit, flow.requests_in_flight) == (120.5, 100, 3)
    assert (flow.acceptable_backlog_records, flow.partition_load_ratio) == (100_000, 0.125)
    assert flow.writes[WriteSource.USER_COMMAND, Outcome.ACCEPTED] == 700
    assert culprit(bridge) is None


def test_a_follower_that_once_led_makes_no_throttle(cluster: Cluster, bridge: ZeebeBridge) -> None:
    cluster.leads = {0: {2}, 1: {1}}
    bridge.look()
    assert [one.flow.throttled for one in bridge.snapshot().partitions] == [False, False]


def test_throttled_time_and_episodes_are_counted_from_look_to_look(
    cluster: Cluster, bridge: ZeebeBridge, clock: ManualClock
) -> None:
    cluster.partitions[1].limit = 500.0
    for _ in range(3):
        clock.advance(10)
        bridge.look()
    flow = partition(bridge).flow
    assert (flow.throttled, flow.throttled_ns, flow.throttles) == (True, 30 * NS_PER_SECOND, 1)
    assert culprit(bridge) == (
        "elasticsearch",
        "elasticsearch is 100 records behind on partition 1, so writes are throttled",
    )
    cluster.partitions[1].limit = 4000.0
    clock.advance(10)
    bridge.look()
    flow = partition(bridge).flow
    assert (flow.throttled, flow.throttled_ns, flow.throttles) == (False, 30 * NS_PER_SECOND, 1)


def test_the_age_of_the_backlog_is_known_once_the_bridge_has_seen_its_oldest_record_written(
    cluster: Cluster, bridge: ZeebeBridge, clock: ManualClock
) -> None:
    assert partition(bridge).oldest_unexported_wall_ns is None
    written_ns = {}
    for committed in (1100, 1200, 1300):
        clock.advance(10)
        cluster.partitions[1].committed = committed
        written_ns[committed] = clock.wall_ns()
        bridge.look()
    assert partition(bridge).oldest_unexported_wall_ns is None, "what was there at first may be of any age"
    cluster.partitions[1].exporters["elasticsearch"] = 1150
    clock.advance(10)
    bridge.look()
    assert partition(bridge).oldest_unexported_wall_ns == written_ns[1200]
    cluster.partitions[1].exporters["elasticsearch"] = 1300
    bridge.look()
    assert partition(bridge).oldest_unexported_wall_ns == clock.wall_ns()


def test_of_several_exporters_the_one_that_stands_still_has_exported_nothing(
    cluster: Cluster, bridge: ZeebeBridge
) -> None:
    assert [e.exported_records for e in partition(bridge).exporters] == [880]
    cluster.partitions[1].exporters = {"elasticsearch": 900, "opensearch": 400}
    bridge.look()
    cluster.partitions[1].exporters = {"elasticsearch": 950, "opensearch": 400}
    bridge.look()
    assert {e.exporter: e.exported_records for e in partition(bridge).exporters} == {
        "elasticsearch": 50,
        "opensearch": 0,
    }


@pytest.mark.parametrize(("state", "said"), [(1, ExporterState.PAUSED), (2, ExporterState.PAUSED)])
def test_a_paused_exporter_is_named_before_all_else(
    cluster: Cluster, bridge: ZeebeBridge, state: int, said: ExporterState
) -> None:
    cluster.partitions[2].exporter_state = state
    cluster.partitions[1].limit = 500.0
    bridge.look()
    assert partition(bridge, 2).exporters[0].state is said
    assert culprit(bridge) == (
        "elasticsearch",
        "elasticsearch is paused; resume it: 100 records wait on partition 2",
    )


def test_refusals_blame_the_limit_that_refuses_or_the_processing_behind_it(
    cluster: Cluster, bridge: ZeebeBridge, clock: ManualClock
) -> None:
    one = cluster.partitions[1]
    one.refused_writes = 10
    clock.advance(10)
    bridge.look()
    assert culprit(bridge) == ("flow-control", "the write limit of partition 1 is used up")
    one.refused_requests = 100
    bridge.look()
    assert culprit(bridge) == ("flow-control", "the request limit of partition 1 is used up")
    one.in_flight = 100
    bridge.look()
    assert culprit(bridge) == ("processor", "partition 1 takes too long over the commands in flight")


def test_partitions_whose_limits_differ_are_told(cluster: Cluster, bridge: ZeebeBridge) -> None:
    told = bridge.snapshot().bridge
    assert told is not None
    assert told.drifted is False
    cluster.partitions[2].acceptable_backlog = 50_000
    bridge.look()
    told = bridge.snapshot().bridge
    assert told is not None
    assert told.drifted is True
    assert partition(bridge, 2).flow.acceptable_backlog_records == 50_000


def test_one_broker_that_is_away_is_an_error_and_all_of_them_are_nothing_to_show(
    cluster: Cluster, bridge: ZeebeBridge
) -> None:
    cluster.down = {1}
    bridge.look()
    told = bridge.snapshot()
    assert len(told.partitions) == 2
    assert told.bridge is not None
    assert told.bridge.errors["unreachable"] == 1
    cluster.down = {0, 1}
    bridge.look()
    told = bridge.snapshot()
    assert (told.partitions, told.state) == ((), EngineState.FAILED)
    assert told.failure is not None
    assert "opensesame" not in told.failure
    cluster.down = set()
    bridge.look()
    assert bridge.snapshot().state is EngineState.RUNNING


def test_limits_that_are_set_for_a_time_revert_by_themselves(
    cluster: Cluster, bridge: ZeebeBridge, clock: ManualClock
) -> None:
    before = bridge.flow_settings()
    write = before[1].write
    assert write is not None
    lower = {number: replace(one, write=replace(write, limit=500)) for number, one in before.items()}
    bridge.apply_flow_control(lower, ttl_ns=60 * NS_PER_SECOND, by="alice")
    (sent,) = cluster.posted
    assert sent == {
        "write": {
            "enabled": True,
            "limit": 500,
            "rampUp": 0.0,
            "throttling": {"enabled": True, "acceptableBacklog": 100_000, "minimumLimit": 100, "resolution": 15.0},
        }
    }
    override = bridge.flow_overrides()[1]
    assert override is not None
    assert (override.by, override.until_wall_ns) == ("alice", clock.wall_ns() + 60 * NS_PER_SECOND)
    clock.advance(59)
    bridge.look()
    assert cluster.write["limit"] == 500
    assert partition(bridge).flow.overridden
    clock.advance(1)
    bridge.look()
    assert cluster.write["limit"] == 4000
    assert bridge.flow_settings() == before
    assert bridge.flow_overrides() == {1: None, 2: None}


def test_a_bridge_that_ends_brings_limits_back_whose_time_is_not_over(cluster: Cluster, bridge: ZeebeBridge) -> None:
    before = bridge.flow_settings()
    write = before[1].write
    assert write is not None
    bridge.apply_flow_control({n: replace(one, write=replace(write, limit=700)) for n, one in before.items()}, ttl_ns=1)
    bridge.stop()
    assert cluster.write["limit"] == 4000


def test_what_the_endpoint_cannot_do_is_refused_and_nothing_is_sent(cluster: Cluster, bridge: ZeebeBridge) -> None:
    before = bridge.flow_settings()
    write = before[1].write
    assert write is not None
    with pytest.raises(ConfigurationError, match="all partitions alike"):
        bridge.apply_flow_control({1: replace(before[1], write=replace(write, limit=500))})
    request = replace(before[1].request, enabled=True)
    with pytest.raises(ConfigurationError, match="request limits cannot"):
        bridge.apply_flow_control({n: replace(one, request=request) for n, one in before.items()})
    with pytest.raises(ConfigurationError, match="all partitions alike"):
        bridge.revert_flow_control([1])
    assert cluster.posted == []
    cluster.refuses = True
    with pytest.raises(PenstockError, match="Zeebe did not take the limits"):
        bridge.apply_flow_control({n: replace(one, write=replace(write, limit=500)) for n, one in before.items()})
    assert bridge.flow_overrides() == {1: None, 2: None}


def test_its_series_have_the_names_of_our_own(bridge: ZeebeBridge) -> None:
    body = Exposer(bridge).expose(accept="", accept_encoding="").body.decode()
    assert 'penstock_exporting_backlog_records{partition="1",pipeline="zeebe"} 100.0' in body
    assert 'penstock_throttled{partition="1",pipeline="zeebe"} 0.0' in body
    assert 'penstock_bridged_info{bridge="zeebe"' in body
    # What only an engine of ours can know of itself.
    for name in ("append_duration_seconds", "exporter_errors_total", "outbox_records", "waiting_writers"):
        assert f"penstock_{name}" not in body


@given(st.text())
def test_whatever_a_broker_says_is_read_or_left_out(text: str) -> None:
    read_series(f"zeebe_{text}\nzeebe_x{{{text}}} 1\nzeebe_y 2.5")


@pytest.mark.parametrize("urls", [(), tuple(f"http://b{n}:9600" for n in range(51))])
def test_no_broker_and_too_many_are_refused(urls: tuple[str, ...]) -> None:
    with pytest.raises(SettingError):
        ZeebeSettings(urls=urls)
