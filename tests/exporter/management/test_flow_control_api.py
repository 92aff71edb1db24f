"""`/api/flow-control` and `/api/throttling/episodes`: what they show, change and refuse.

Over a running engine, in one process and over two workers; over a stand-in where the numbers of the moment must be
known, or an engine must fail.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.errors import PenstockError
from engine.flow.episodes import Episode
from engine.flow.overrides import Override
from engine.flow.settings import FlowControlSettings, RequestLimitSettings, ThrottlingSettings, WriteLimitSettings
from exporter.management import ManagementServer
from exporter.web_config import Access, Right, WebConfig
from tests.support.engines import WALL_NS, FakeEngine
from tests.support.management import OpenPort
from tests.support.surfaces import WORKERS, WORKERS_IDS, NotedPort, noted_port
from tests.support.web_config import with_users

PATH = "/api/flow-control"
WRITE = WriteLimitSettings(
    enabled=True, limit=4000, throttling=ThrottlingSettings(enabled=True, acceptable_backlog=50_000)
)
CONFIGURED = FlowControlSettings(write=WRITE)
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture(scope="module", params=WORKERS, ids=WORKERS_IDS)
def shared_running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotedPort]:
    folder = tmp_path_factory.mktemp("data")
    with noted_port(folder, workers=request.param, configured=CONFIGURED) as running:
        yield running


@pytest.fixture
def limited(shared_running: NotedPort) -> NotedPort:
    """A port before two partitions that are configured as `CONFIGURED`."""
    shared_running.engine.as_new()
    return shared_running


@pytest.fixture
def told(port: OpenPort) -> OpenPort:
    """The same before a stand-in, which says what it is told to say."""
    port.engine.configured = CONFIGURED
    port.engine.settings = {1: CONFIGURED, 2: CONFIGURED}
    return port


def patch(
    port: OpenPort | NotedPort, body: object, query: str = "", headers: dict[str, str] | None = None
) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return port.client.patch(f"{PATH}{query}", content=content, headers={**MERGE_PATCH, **(headers or {})})


def with_limit(limit: int, before: FlowControlSettings = CONFIGURED) -> FlowControlSettings:
    assert before.write is not None
    return replace(before, write=replace(before.write, limit=limit))


def settings(answer: httpx.Response, partition: int) -> Any:
    return answer.json()["partitions"][str(partition)]["settings"]


# -- GET ---


def test_the_configured_settings_stand_there_as_a_file_says_them(limited: NotedPort) -> None:
    assert limited.client.get(PATH).json()["configured"]["write"] == {
        "enabled": True,
        "limit": 4000,
        "rampUp": "0s",
        "throttling": {
            "enabled": True,
            "acceptableBacklog": 50_000,
            "minimumLimit": 100,
            "resolution": "15s",
            "algorithm": "proportional",
            "measurementWindow": "5m",
            "measurementResolution": "10s",
        },
    }


def test_each_partition_shows_its_settings_who_set_them_and_what_comes_of_them(told: OpenPort) -> None:
    override = Override(
        settings=with_limit(2000),
        since_wall_ns=WALL_NS,
        until_wall_ns=WALL_NS + 900 * NS_PER_SECOND,
        by="alice",
    )
    told.engine.settings[2] = override.settings
    told.engine.overrides[2] = override
    partitions = told.client.get(PATH).json()["partitions"]
    assert partitions["1"]["override"] is None
    assert partitions["2"]["override"] == {"since": 1_700_000_000.0, "until": 1_700_000_900.0, "by": "alice"}
    assert partitions["2"]["settings"]["write"]["limit"] == 2000
    said = told.engine.told.partitions[0]
    assert partitions["1"]["effective"] == {
        "writeLimit": said.flow.write_limit_per_second,
        "writeLimitMax": said.flow.write_limit_max_per_second,
        "rampUpRate": said.flow.ramp_up_rate_per_second,
        "throttled": said.flow.throttled,
        "throttledSeconds": said.flow.throttled_ns / NS_PER_SECOND,
        "throttleFactor": said.flow.throttle_factor,
        "reason": said.flow.reason,
        "backlog": said.backlog_records,
        "acceptableBacklog": said.flow.acceptable_backlog_records,
        "exportingRate": said.flow.exporting_rate_per_second,
        "writeRate": said.flow.write_rate_per_second,
        "load": said.flow.partition_load_ratio,
        "requestLimit": said.flow.request_limit,
        "requestsInFlight": said.flow.requests_in_flight,
        "waitingWriters": said.flow.waiting_writers,
        "nextFreeSeconds": partitions["1"]["effective"]["nextFreeSeconds"],
    }


@pytest.mark.parametrize(("next_free_ns", "shown"), [(None, None), (5, 0.0), (10**9 + 10, 1.0)])
def test_the_next_free_time_is_told_from_now_on(told: OpenPort, next_free_ns: int | None, shown: float | None) -> None:
    said = told.engine.told
    first = said.partitions[0]
    told.engine.told = replace(
        said,
        taken_monotonic_ns=10,
        partitions=(replace(first, flow=replace(first.flow, next_free_ns=next_free_ns)),),
    )
    assert told.client.get(PATH).json()["partitions"]["1"]["effective"]["nextFreeSeconds"] == shown


def test_a_partition_can_be_asked_for_alone(limited: NotedPort) -> None:
    assert list(limited.client.get(f"{PATH}?partition=2").json()["partitions"]) == ["2"]
    assert list(limited.client.get(f"{PATH}?partition=2&partition=1").json()["partitions"]) == ["1", "2"]


def test_an_engine_that_has_not_started_has_no_partitions_yet(told: OpenPort) -> None:
    told.engine.settings = {}
    answer = told.client.get(PATH)
    assert (answer.status_code, answer.json()["partitions"]) == (200, {})
    answer = patch(told, {"write": {"limit": 2000}}, "?partition=1")
    assert (answer.status_code, answer.json()["detail"]) == (404, "there is no partition 1; the engine has not started")


# -- PATCH: what is changed ---


def test_a_patch_changes_what_it_names_and_says_what_that_was(limited: NotedPort) -> None:
    answer = patch(limited, {"write": {"limit": 2000, "throttling": {"resolution": "PT5S"}}})
    assert answer.status_code == 200, answer.text
    changed = [
        {"pointer": "/write/limit", "from": 4000, "to": 2000},
        {"pointer": "/write/throttling/resolution", "from": "15s", "to": "5s"},
    ]
    assert answer.json()["changes"] == {"1": changed, "2": changed}
    assert answer.json()["dryRun"] is False
    throttling = replace(WRITE.throttling, resolution_ns=5 * NS_PER_SECOND)
    wanted = FlowControlSettings(write=replace(WRITE, limit=2000, throttling=throttling))
    assert limited.engine.applied == [({1: wanted, 2: wanted}, None)]
    assert settings(answer, 1)["write"]["limit"] == 2000


def test_a_patch_may_be_for_one_partition_and_for_a_time(limited: NotedPort) -> None:
    answer = patch(limited, {"write": {"limit": 2000}}, "?partition=2&ttl=15m")
    assert limited.engine.applied == [({2: with_limit(2000)}, 900 * NS_PER_SECOND)]
    assert list(answer.json()["partitions"]) == ["2"]
    override = answer.json()["partitions"]["2"]["override"]
    assert override["until"] - override["since"] == pytest.approx(900)


def test_a_dry_run_says_what_would_change_and_changes_nothing(limited: NotedPort) -> None:
    answer = patch(limited, {"write": {"limit": 2000}}, "?dry_run=true&partition=1")
    assert answer.json()["dryRun"] is True
    assert answer.json()["changes"] == {"1": [{"pointer": "/write/limit", "from": 4000, "to": 2000}]}
    assert settings(answer, 1)["write"]["limit"] == 4000
    assert limited.engine.applied == []


def test_a_dry_run_refuses_what_could_not_stand(limited: NotedPort) -> None:
    assert patch(limited, {"write": {"limit": 0}}, "?dry_run=true").status_code == 422


@pytest.mark.parametrize("body", [{}, {"write": {}}, {"write": {"limit": 4000}}, {"request": None, "write": None}])
def test_a_patch_of_what_holds_already_changes_nothing(limited: NotedPort, body: object) -> None:
    answer = patch(limited, body)
    assert (answer.status_code, answer.json()["changes"]) == (200, {"1": [], "2": []})
    assert limited.engine.applied == []


def test_a_time_for_what_was_set_before_counts_from_now(limited: NotedPort) -> None:
    patch(limited, {"write": {"limit": 2000}}, "?partition=1")
    patch(limited, {"write": {"limit": 2000}}, "?ttl=1m")
    # Partition 2, where this is news, and 1, where it was without an end.
    assert limited.engine.applied[1] == ({1: with_limit(2000), 2: with_limit(2000)}, 60 * NS_PER_SECOND)
    patch(limited, {}, "?ttl=2m&partition=1")
    assert limited.engine.applied[2] == ({1: with_limit(2000)}, 120 * NS_PER_SECOND)


def test_null_brings_the_configured_value_back(limited: NotedPort) -> None:
    patch(limited, {"write": {"limit": 2000, "enabled": False}, "request": {"enabled": True}})
    answer = patch(limited, {"write": {"limit": None}})
    assert settings(answer, 1)["write"]["limit"] == 4000
    assert settings(answer, 1)["write"]["enabled"] is False
    answer = patch(limited, {"write": None, "request": {"aimd": None}})
    assert limited.engine.settings[2] == FlowControlSettings(write=WRITE, request=RequestLimitSettings(enabled=True))


def test_a_write_limit_that_was_never_configured_can_be_set_and_taken_away(port: OpenPort) -> None:
    answer = patch(port, {"write": {"enabled": True, "limit": 5}})
    assert settings(answer, 1)["write"]["limit"] == 5
    assert settings(patch(port, {"write": None}), 1)["write"] is None


def test_plain_json_is_read_as_a_merge_patch_too(limited: NotedPort) -> None:
    answer = patch(limited, {"write": {"limit": 2000}}, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


# -- If-Match ---


def test_the_entity_tag_names_the_settings_and_not_the_numbers_of_the_moment(told: OpenPort) -> None:
    first = told.client.get(PATH).headers["etag"]
    said = told.engine.told
    told.engine.told = replace(said, partitions=(replace(said.partitions[0], backlog_records=77),))
    assert told.client.get(PATH).headers["etag"] == first
    changed = patch(told, {"write": {"limit": 2000}})
    assert changed.headers["etag"] == told.client.get(PATH).headers["etag"] != first


def test_a_change_made_for_other_limits_is_412_and_changes_nothing(limited: NotedPort) -> None:
    tag = limited.client.get(PATH).headers["etag"]
    assert patch(limited, {"write": {"limit": 2000}}, headers={"If-Match": tag}).status_code == 200
    for stale in (tag, "W/" + limited.client.get(PATH).headers["etag"], '"', "x"):
        answer = patch(limited, {"write": {"limit": 1000}}, headers={"If-Match": stale})
        assert answer.status_code == 412
        assert answer.headers["content-type"] == "application/problem+json"
    assert limited.client.delete(PATH, headers={"If-Match": tag}).status_code == 412
    assert len(limited.engine.applied) == 1
    assert limited.engine.reverted == []


def test_one_of_several_tags_or_a_star_is_enough(limited: NotedPort) -> None:
    tag = limited.client.get(PATH).headers["etag"]
    assert patch(limited, {"write": {"limit": 2000}}, headers={"If-Match": f'"other", {tag}'}).status_code == 200
    assert patch(limited, {"write": {"limit": 1000}}, headers={"If-Match": "*"}).status_code == 200


# -- refusals ---


def test_every_wrong_field_is_named_by_its_pointer(limited: NotedPort) -> None:
    answer = patch(
        limited,
        {
            "write": {"limit": "x", "rampup": 5, "throttling": {"resolution": [], "minRate": 1.5}},
            "requests": {},
            "request": {"aimd": 3},
        },
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "/requests",
        "/write/limit",
        "/write/rampup",
        "/write/throttling/resolution",
        "/write/throttling/minRate",
        "/request/aimd",
    ]
    assert answer.json()["errors"][2]["detail"] == "there is no key 'write.rampup'; did you mean 'rampUp'?"
    assert answer.json()["detail"].startswith("6 values cannot stand; the first: ")
    assert limited.engine.applied == []


def test_every_broken_bound_is_named_too(limited: NotedPort) -> None:
    answer = patch(
        limited,
        {
            "write": {"limit": 0, "rampUp": "-1s", "throttling": {"acceptableBacklog": -1, "resolution": 0}},
            "request": {"aimd": {"backoffRatio": 2}, "fixed": {"limit": 0}},
        },
    )
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/write/limit",
        "/write/rampUp",
        "/write/throttling/acceptableBacklog",
        "/write/throttling/resolution",
        "/request/aimd/backoffRatio",
        "/request/fixed/limit",
    }
    assert answer.json()["errors"][0]["detail"].endswith("not -1")
    assert limited.engine.applied == []


def test_a_bound_that_another_value_breaks_is_named_where_it_stands(limited: NotedPort) -> None:
    (error,) = patch(limited, {"write": {"limit": 50}}).json()["errors"]
    assert error == {
        "pointer": "/write/throttling/minimumLimit",
        "detail": "write.throttling.minimumLimit must not exceed limit (50), not 100",
    }


@pytest.mark.parametrize("body", ["", "[]", "{} x", '{"write":NaN}', "{" * 70_000])
def test_what_is_no_json_object_is_400_or_too_long(limited: NotedPort, body: str) -> None:
    assert patch(limited, body).status_code == (413 if len(body) > 65_536 else 400)


def test_another_media_type_is_415_and_says_which_is_read(limited: NotedPort) -> None:
    answer = patch(limited, {}, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.headers["accept-patch"]) == (
        415,
        "application/merge-patch+json, application/json",
    )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?partition=3", 404),
        ("?partition=0", 404),
        ("?partition=one", 400),
        ("?partition=1&partition=", 400),
        ("?partition=٣", 400),
        ("?ttl=0s", 400),
        ("?ttl=-1m", 400),
        ("?ttl=soon", 400),
        ("?ttl=1m&ttl=2m", 400),
        ("?dry_run=1", 400),
        ("?dryrun=true", 400),
    ],
)
def test_a_query_that_says_nothing_sensible_is_refused(limited: NotedPort, query: str, status: int) -> None:
    answer = patch(limited, {"write": {"limit": 2000}}, query)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert limited.engine.applied == []


def test_other_methods_are_405(limited: NotedPort) -> None:
    answer = limited.client.post(PATH, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, PATCH")


def test_an_engine_that_cannot_is_500_with_its_sentence(told: OpenPort) -> None:
    told.engine.apply_error = PenstockError("the disk is full")
    answer = patch(told, {"write": {"limit": 2000}})
    assert (answer.status_code, answer.json()["detail"]) == (500, "the disk is full")


def test_a_page_from_elsewhere_may_change_nothing(limited: NotedPort) -> None:
    answer = patch(limited, {"write": {"limit": 2000}}, headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    assert limited.engine.applied == []


# -- DELETE ---


def test_delete_brings_the_configured_limits_back(limited: NotedPort) -> None:
    patch(limited, {"write": {"limit": 2000}})
    dry = limited.client.delete(f"{PATH}?dry_run=true&partition=2")
    assert dry.json()["changes"] == {"2": [{"pointer": "/write/limit", "from": 2000, "to": 4000}]}
    assert limited.engine.reverted == []
    one = limited.client.delete(f"{PATH}?partition=2")
    assert (one.status_code, limited.engine.settings) == (200, {1: with_limit(2000), 2: CONFIGURED})
    limited.client.delete(PATH)
    assert limited.engine.reverted == [(2,), (1, 2)]
    assert limited.engine.settings == {1: CONFIGURED, 2: CONFIGURED}


def test_delete_knows_no_time(limited: NotedPort) -> None:
    assert limited.client.delete(f"{PATH}?ttl=5m").status_code == 400


# -- the documented endpoint takes a time as well ---


def test_a_post_may_be_for_a_time(limited: NotedPort) -> None:
    answer = limited.client.post("/actuator/flowControl?ttl=PT15M", json={"write": {"limit": 2000}})
    assert answer.status_code == 200
    assert limited.engine.applied == [({1: with_limit(2000), 2: with_limit(2000)}, 900 * NS_PER_SECOND)]


def test_a_post_for_no_time_is_400(limited: NotedPort) -> None:
    answer = limited.client.post("/actuator/flowControl?ttl=0", json={"write": {"limit": 2000}})
    assert (answer.status_code, answer.json()["field"]) == (400, "ttl")
    assert limited.engine.applied == []


# -- /api/throttling/episodes ---

EPISODES = "/api/throttling/episodes"
ENDED = Episode(
    partition=1,
    start_wall_ns=100 * NS_PER_SECOND,
    end_wall_ns=160 * NS_PER_SECOND,
    lowest_limit_per_second=250.5,
    peak_backlog_records=130_000,
    reason="backlog 130000 of 100000 acceptable records: 325.6 records/s exported, times 0.769",
    throttled_ns=59 * NS_PER_SECOND,
)
RUNNING = replace(ENDED, partition=2, start_wall_ns=200 * NS_PER_SECOND, end_wall_ns=None)


def test_episodes_tell_when_how_deep_at_what_backlog_and_why(told: OpenPort) -> None:
    told.engine.episodes = (ENDED, RUNNING)
    ended, running = told.client.get(EPISODES).json()["episodes"]
    assert ended == {
        "partition": 1,
        "start": 100.0,
        "end": 160.0,
        "throttledSeconds": 59.0,
        "lowestLimit": 250.5,
        "peakBacklog": 130_000,
        "reason": ENDED.reason,
    }
    assert (running["start"], running["end"]) == (200.0, None)


@pytest.mark.parametrize(
    ("query", "partitions"),
    [
        ("", [1, 2]),
        ("?partition=2", [2]),
        ("?partition=7", []),
        ("?from=160", [1, 2]),
        ("?from=160.5", [2]),
        ("?to=199", [1]),
        ("?from=120&to=130", [1]),
        ("?from=1e9", [2]),
    ],
)
def test_episodes_of_a_partition_or_a_time_can_be_asked_for(told: OpenPort, query: str, partitions: list[int]) -> None:
    told.engine.episodes = (ENDED, RUNNING)
    answer = told.client.get(f"{EPISODES}{query}")
    assert [episode["partition"] for episode in answer.json()["episodes"]] == partitions


@pytest.mark.parametrize("query", ["?from=yesterday", "?to=nan", "?since=5", "?from=1&from=2", "?partition=x"])
def test_a_time_that_is_none_is_400(limited: NotedPort, query: str) -> None:
    assert limited.client.get(f"{EPISODES}{query}").status_code == 400


# -- who ---


def test_who_changed_the_limits_is_told_where_there_are_users(tmp_path: Path) -> None:
    engine = FakeEngine()
    access = Access(WebConfig(with_users(tmp_path, "alice")), {"alice": Right.CHANGE})
    with (
        ManagementServer(engine, port=0, access=access) as server,
        httpx.Client(base_url=server.url, auth=("alice", "alice's word"), timeout=20) as client,
    ):
        client.patch(PATH, json={"write": {"limit": 2000}})
        answer = client.get(PATH).json()
        assert [p["override"]["by"] for p in answer["partitions"].values()] == ["alice", "alice"]
        client.delete(PATH)
        client.post("/actuator/flowControl", json={"write": {"limit": 2000}})
        override = engine.overrides[1]
    assert override is not None
    assert override.by == "alice"
