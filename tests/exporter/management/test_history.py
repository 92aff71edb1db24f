"""`/api/history` and `/api/events` as a browser sees them."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot
from exporter.history import CLIENTS_MAX
from tests.support.engines import FakeEngine
from tests.support.management import OpenPort, open_port
from tests.support.snapshots import busy_snapshot, wide_snapshot
from tests.support.waiting import wait_until


class TickingEngine(FakeEngine):
    """Each snapshot is a second later."""

    def snapshot(self) -> EngineSnapshot:
        told = super().snapshot()
        later = told.taken_monotonic_ns + NS_PER_SECOND
        self.told = replace(told, taken_monotonic_ns=later, taken_wall_ns=told.taken_wall_ns + NS_PER_SECOND)
        return told


@pytest.fixture(scope="module")
def ticking() -> Iterator[OpenPort]:
    with open_port(TickingEngine(busy_snapshot())) as port:
        assert wait_until(lambda: len(port.client.get("/api/history").json()["times"]) >= 2)
        yield port


def frames(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """The events of a stream, as their fields."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields
            fields = {}


def events(port: OpenPort, stack: ExitStack, **options: Any) -> tuple[httpx.Response, Iterator[dict[str, str]]]:
    """A stream that is open as long as the stack; what it brings without its first frame, `retry`."""
    answer = stack.enter_context(port.client.stream("GET", "/api/events", **options))
    told = frames(answer.iter_lines())
    if answer.status_code == 200:
        assert next(told) == {"retry": "2000"}
    return answer, told


# -- history ---


def test_the_history_has_a_value_for_every_time_in_every_column(ticking: OpenPort) -> None:
    answer = ticking.client.get("/api/history")
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    things = [*told["partitions"], *told["vertices"]]
    assert [thing["partition"] for thing in told["partitions"]] == [1, 2]
    assert [thing["task"] for thing in told["vertices"]] == ["flights", "parse", "processor", "file"]
    for thing in things:
        assert {len(column) for column in thing["columns"].values()} == {len(told["times"])}
    assert told["times"] == sorted(told["times"])


def test_since_brings_only_what_is_newer(ticking: OpenPort) -> None:
    times = ticking.client.get("/api/history").json()["times"]
    newer = ticking.client.get("/api/history", params={"since": times[0]}).json()["times"]
    assert newer[: len(times) - 1] == times[1:]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("since=yesterday", "since must be a Unix time in seconds, such as 1767225600.5"),
        ("since=nan", "since must be a Unix time in seconds, such as 1767225600.5"),
        ("since=", "since must be a Unix time in seconds, such as 1767225600.5"),
        ("since=1&since=2", "since may be given once"),
        ("from=1", "there is no query parameter 'from'; there is since"),
    ],
)
def test_a_history_that_is_asked_for_wrongly_is_a_400(ticking: OpenPort, query: str, sentence: str) -> None:
    answer = ticking.client.get(f"/api/history?{query}")
    assert (answer.status_code, answer.json()["detail"]) == (400, sentence)


def test_a_long_history_is_compressed_where_that_is_welcome() -> None:
    with open_port(TickingEngine(wide_snapshot(partitions=20, subtasks=1))) as port:
        assert wait_until(lambda: len(port.client.get("/api/history").content) > 4096)
        with port.client.stream("GET", "/api/history", headers={"Accept-Encoding": "gzip"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert json.loads(gzip.decompress(raw))["pipeline"] == "flights"
        plain = port.client.get("/api/history", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers


# -- events ---


def test_a_sample_arrives_each_second_in_the_form_of_the_history(ticking: OpenPort) -> None:
    with ExitStack() as stack:
        answer, told = events(ticking, stack)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        one, two = next(told), next(told)
    assert (one["event"], two["event"]) == ("sample", "sample")
    times = [json.loads(event["data"])["times"] for event in (one, two)]
    assert times[1][0] == times[0][0] + 1
    assert json.loads(one["data"]).keys() == ticking.client.get("/api/history").json().keys() - {"lastEventId"}


def test_a_page_that_loads_the_history_and_then_listens_misses_nothing(ticking: OpenPort) -> None:
    loaded = ticking.client.get("/api/history").json()
    assert wait_until(lambda: ticking.client.get("/api/history").json()["lastEventId"] != loaded["lastEventId"])
    with ExitStack() as stack:
        _, told = events(ticking, stack, params={"lastEventId": loaded["lastEventId"]})
        first = json.loads(next(told)["data"])
    assert first["times"] == [loaded["times"][-1] + 1]


def test_a_browser_that_comes_back_gets_what_it_missed(ticking: OpenPort) -> None:
    with ExitStack() as stack:
        _, told = events(ticking, stack)
        seen = next(told)["id"]
    later = [f"{seen.split('-')[0]}-{int(seen.split('-')[1]) + n}" for n in (1, 2)]
    assert wait_until(lambda: ticking.client.get("/api/history").json()["lastEventId"] == later[1])
    with ExitStack() as stack:
        # The header of a browser counts, not what the page once put into the address.
        _, told = events(ticking, stack, headers={"Last-Event-ID": seen}, params={"lastEventId": "0-0"})
        assert [next(told)["id"], next(told)["id"]] == later


def test_an_id_of_another_life_of_the_server_is_told_to_load_anew(ticking: OpenPort) -> None:
    with ExitStack() as stack:
        _, told = events(ticking, stack, headers={"Last-Event-ID": "feed-1"})
        assert next(told)["event"] == "reset"


def test_an_endless_id_is_a_400(ticking: OpenPort) -> None:
    with ExitStack() as stack:
        answer, _ = events(ticking, stack, headers={"Last-Event-ID": "1" * 65})
        assert answer.status_code == 400


def test_the_seventeenth_client_is_told_to_come_back_and_a_place_is_free_once_one_leaves() -> None:
    with open_port(TickingEngine()) as port, ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        # Kept, because what is forgotten is closed.
        listening = [events(port, first), *(events(port, stack) for _ in range(CLIENTS_MAX - 1))]
        answer, _ = events(port, stack)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        answer.read()
        assert answer.json()["detail"] == "as many clients listen as may"
        assert len(listening) == CLIENTS_MAX
        first.close()

        def has_a_place() -> bool:
            with ExitStack() as attempt:
                answer, _ = events(port, attempt)
                return answer.status_code == 200

        assert wait_until(has_a_place)


def test_a_head_of_the_events_takes_no_place(ticking: OpenPort) -> None:
    for _ in range(CLIENTS_MAX + 1):
        answer = ticking.client.head("/api/events")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_a_stop_ends_every_stream_cleanly_and_at_once() -> None:
    with open_port(TickingEngine()) as port, ExitStack() as stack:
        _, told = events(port, stack)
        port.server.stop()
        # Ends by itself, without an error of the transport.
        assert {event["event"] for event in told} <= {"sample"}


def test_a_client_that_reads_nothing_is_cut_off_and_its_place_given_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.management.connection.UNREAD_SECONDS_MAX", 0.2)
    with open_port() as port, socket.socket() as deaf:
        # The smallest window there is fills at once, and then the server's own buffers.
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(("127.0.0.1", port.server.port))
        deaf.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        history = port.server.history
        assert history is not None
        assert wait_until(lambda: history.feed.watchers == 1)
        for _ in range(40):
            history.feed.publish("large", b"x" * 100_000)
        assert wait_until(lambda: history.feed.watchers == 0)
        assert history.feed.dropped == 0, "it was cut off before too much waited for it"


def test_ids_look_like_ids(ticking: OpenPort) -> None:
    assert re.fullmatch(r"[0-9a-f]+-\d+", ticking.client.get("/api/history").json()["lastEventId"])
