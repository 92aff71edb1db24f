"""Several engines behind one port: `?pipeline=` says which one, and what is said of all is said of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from engine.core.clock import NS_PER_SECOND, ManualClock
from exporter.management import ManagementServer
from exporter.management.rooms import Rooms
from tests.support.engines import FakeEngines
from tests.support.snapshots import bridge_snapshot, bridged_snapshot, busy_snapshot
from tests.support.waiting import wait_until


@pytest.fixture
def engines() -> FakeEngines:
    return FakeEngines(bridge_snapshot(), bridged_snapshot(), busy_snapshot())


@pytest.fixture
def client(engines: FakeEngines) -> Iterator[httpx.Client]:
    with ManagementServer(engines, port=0) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        # The rooms of the others are there after the first look.
        assert wait_until(lambda: client.get("/api/history?pipeline=orders").status_code == 200)
        yield client


def test_all_of_them_are_listed_the_first_one_first(client: httpx.Client) -> None:
    told = client.get("/api/pipelines").json()["pipelines"]
    assert [(one["pipeline"], one["isBridge"], one["bridge"]) for one in told] == [
        ("flink", True, "flink"),
        ("orders", False, "flink"),
        ("flights", False, None),
    ]


def test_a_scrape_has_the_series_of_all_of_them(client: httpx.Client) -> None:
    body = client.get("/metrics").text
    assert 'penstock_bridge_up{pipeline="flink"} 1.0' in body
    assert 'penstock_bottleneck{pipeline="orders",task="count"} 1.0' in body
    assert 'penstock_throttled{partition="1",pipeline="flights"} 1.0' in body
    ages = [line for line in body.splitlines() if line.startswith("penstock_snapshot_age_seconds")]
    assert len(ages) == 3
    assert client.get("/metrics?pipeline=orders").status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/history", lambda body: body["pipeline"]),
        ("/api/back-pressure", lambda body: body["pipeline"]),
        ("/actuator/info", lambda body: body["pipeline"]["name"]),
    ],
)
def test_each_is_asked_for_by_its_name_and_the_first_without_one(client: httpx.Client, path: str, name: object) -> None:
    assert callable(name)
    assert name(client.get(path).json()) == "flink"
    for pipeline in ("flink", "orders", "flights"):
        assert name(client.get(path, params={"pipeline": pipeline}).json()) == pipeline


def test_the_page_is_of_the_pipeline_that_is_asked_for(client: httpx.Client) -> None:
    assert "<h1>orders</h1>" in client.get("/?pipeline=orders").text


def test_other_parameters_stay_what_they_are(client: httpx.Client) -> None:
    assert client.get("/api/history?pipeline=orders&since=x").status_code == 400
    assert client.get("/api/history?pipeline=orders&since=1e9").status_code == 200


def test_one_that_is_not_there_is_a_404_that_says_where_they_are_listed(client: httpx.Client) -> None:
    answer = client.get("/api/history", params={"pipeline": "no/such"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "there is no pipeline 'no/such' here at this moment; see /api/pipelines"
    assert client.get("/api/nothing?pipeline=orders").status_code == 404
    assert client.post("/api/history?pipeline=orders").status_code == 405


def test_a_change_reaches_the_engine_that_is_named_and_no_other(client: httpx.Client, engines: FakeEngines) -> None:
    body = {"write": {"enabled": True, "limit": 100}}
    assert client.patch("/api/flow-control?pipeline=flights", json=body).status_code == 200
    assert [len(engine.applied) for engine in engines.engines()] == [0, 0, 1]


def test_flinks_routes_list_every_job_and_find_each_by_its_id(client: httpx.Client) -> None:
    jobs = {job["name"]: job["jid"] for job in client.get("/v1/jobs/overview").json()["jobs"]}
    assert set(jobs) == {"orders", "flights"}
    assert client.get("/overview").json()["jobs-running"] == 2
    for name, job_id in jobs.items():
        assert client.get(f"/v1/jobs/{job_id}").json()["name"] == name
    told = client.get(f"/v1/jobs/{jobs['orders']}").json()
    source, _ = told["vertices"]
    assert (source["metrics"]["accumulated-busy-time"], source["metrics"]["read-records-complete"]) == ("NaN", False)


def test_one_speaks_for_all_when_it_is_asked_whether_it_is_ready(client: httpx.Client, engines: FakeEngines) -> None:
    engines.others[0].told = replace(bridged_snapshot(), failure="Flink calls the job FAILED")
    assert client.get("/actuator/health").status_code == 200


class TestRooms:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def rooms(self, engines: FakeEngines, clock: ManualClock) -> Iterator[Rooms]:
        rooms = Rooms(engines, clock=clock)
        yield rooms
        rooms.close()

    def test_a_pipeline_that_comes_back_soon_has_the_history_it_had(
        self, engines: FakeEngines, rooms: Rooms, clock: ManualClock
    ) -> None:
        rooms.sample()
        room = rooms.find("orders")
        assert room is not None
        orders = engines.others.pop(0)
        rooms.sample()
        assert rooms.find("orders") is None
        clock.advance(600)
        engines.others.append(orders)
        rooms.sample()
        assert rooms.find("orders") is room

    def test_a_pipeline_that_stays_away_gives_its_memory_back(
        self, engines: FakeEngines, rooms: Rooms, clock: ManualClock
    ) -> None:
        rooms.sample()
        room = rooms.find("orders")
        orders = engines.others.pop(0)
        clock.advance_ns(901 * NS_PER_SECOND)
        rooms.sample()
        engines.others.append(orders)
        rooms.sample()
        assert rooms.find("orders") is not room

    def test_there_is_room_for_so_many_and_no_more(
        self, engines: FakeEngines, rooms: Rooms, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("exporter.management.rooms.ROOMS_MAX", 1)
        rooms.sample()
        assert rooms.find("orders") is not None
        assert rooms.find("flights") is None
