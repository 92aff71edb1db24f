"""Places at a port are bounded, and whoever rests keeps nobody out."""

from __future__ import annotations

import logging
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import httpx
import pytest

from exporter.crowd import Crowd, Guest
from exporter.descriptors import places
from exporter.management import ManagementServer
from exporter.seldom import Seldom
from exporter.web_config import Access, WebConfig
from tests.support.certificates import authority, signed
from tests.support.engines import FakeEngine
from tests.support.gateway import FakeIntake, everything, head, open_gateway
from tests.support.management import open_port
from tests.support.waiting import wait_until
from tests.support.web_config import write

ASKS = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Clock:
    """Seconds that a test counts."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@contextmanager
def guests(number: int) -> Iterator[list[tuple[Guest, socket.socket]]]:
    """Each with the other end of its connection."""
    with ExitStack() as stack:
        pairs = [socket.socketpair() for _ in range(number)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        yield [(Guest(mine), other) for mine, other in pairs]


def is_cut_off(other: socket.socket) -> bool:
    other.setblocking(False)
    try:
        return other.recv(1) == b""
    except BlockingIOError:
        return False


# -- who makes way ---


def test_the_oldest_stranger_makes_way_for_the_next(clock: Clock) -> None:
    crowd = Crowd(2, kept_seconds=0, now=clock)
    with guests(3) as [(first, far_first), (second, far_second), (third, _)]:
        assert all(crowd.try_enter(guest) for guest in (first, second, third))
        assert (len(crowd), crowd.refused) == (2, 1)
        assert is_cut_off(far_first)
        assert not is_cut_off(far_second)


def test_who_works_makes_way_for_nobody(clock: Clock) -> None:
    crowd = Crowd(2, kept_seconds=0, now=clock)
    with guests(3) as [(first, far_first), (second, _), (third, _)]:
        for guest in (first, second):
            crowd.try_enter(guest)
            crowd.work(guest)
        assert not crowd.has_room
        assert not crowd.try_enter(third)
        assert not is_cut_off(far_first)
        crowd.rest(second)
        assert crowd.has_room
        assert crowd.try_enter(third)


def test_strangers_make_way_before_those_who_were_answered(clock: Clock) -> None:
    crowd = Crowd(2, kept_seconds=0, now=clock)
    with guests(3) as [(known, far_known), (stranger, far_stranger), (new, _)]:
        crowd.try_enter(known)
        known.is_known = True
        crowd.rest(known)
        crowd.try_enter(stranger)
        clock.seconds = 1
        assert crowd.try_enter(new)
        assert is_cut_off(far_stranger)
        assert not is_cut_off(far_known)


def test_who_has_just_come_is_not_cut_off_for_the_next_while_somebody_rests_who_was_answered(clock: Clock) -> None:
    crowd = Crowd(2, kept_seconds=0, now=clock)
    with guests(3) as [(known, far_known), (new, far_new), (newer, _)]:
        crowd.try_enter(known)
        known.is_known = True
        crowd.rest(known)
        crowd.try_enter(new)
        clock.seconds = 0.5
        assert crowd.try_enter(newer)
        assert is_cut_off(far_known)
        assert not is_cut_off(far_new)


def test_who_was_answered_a_moment_ago_keeps_its_place_for_a_while(clock: Clock) -> None:
    crowd = Crowd(1, kept_seconds=5, now=clock)
    with guests(2) as [(known, _), (new, _)]:
        crowd.try_enter(known)
        known.is_known = True
        crowd.rest(known)
        assert not crowd.try_enter(new)
        clock.seconds = 5
        assert crowd.try_enter(new)


def test_whatever_happens_there_are_never_more_than_there_are_places() -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    random, clock = Random(seed), Clock()
    crowd = Crowd(7, kept_seconds=2, now=clock)
    inside: set[Guest] = set()
    with guests(60) as everybody:
        for guest, _ in everybody:
            if crowd.try_enter(guest):
                inside.add(guest)
            for known in random.sample(sorted(inside, key=id), len(inside) // 2):
                known.is_known = known.is_known or random.random() < 0.5
                random.choice((crowd.work, crowd.rest, crowd.leave))(known)
            clock.seconds += random.random()
            assert len(crowd) <= 7
        for guest in inside:
            crowd.leave(guest)
        assert len(crowd) == 0
        # Nobody who has left may come to rest.
        for guest in inside:
            crowd.rest(guest)
        assert all(crowd.try_enter(Guest(guest.sock)) for guest in list(inside)[:7])


# -- at the ports ---


@pytest.mark.parametrize(
    "each", [b"", b"GET /-/healthy HTTP/1.1\r\nHost: loc", ASKS], ids=["silent", "slow", "answered"]
)
def test_of_five_hundred_idle_connections_half_are_held_and_health_answers(each: bytes) -> None:
    with open_port() as port, ExitStack() as stack:
        for _ in range(500):
            connection = socket.create_connection(("127.0.0.1", port.server.port), timeout=20)
            stack.enter_context(connection).sendall(each)
        assert httpx.get(f"{port.server.url}/-/healthy", timeout=20).status_code == 200
        told = port.client.get("/metrics").text.splitlines()
        values = {line.split("{")[0]: float(line.rsplit(" ")[-1]) for line in told if not line.startswith("#")}
        assert values["penstock_management_connections"] <= 256
        assert values["penstock_management_refused_connections_total"] >= 244


def test_streams_beyond_their_places_keep_health_from_nobody() -> None:
    stream = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with open_port() as port, ExitStack() as stack:
        for _ in range(400):
            connection = socket.create_connection(("127.0.0.1", port.server.port), timeout=20)
            stack.enter_context(connection).sendall(stream)
        assert httpx.get(f"{port.server.url}/-/healthy", timeout=20).status_code == 200


def test_who_asks_three_hundred_times_and_reads_nothing_keeps_health_from_nobody() -> None:
    with open_port() as port, ExitStack() as stack:
        for _ in range(100):
            connection = socket.create_connection(("127.0.0.1", port.server.port), timeout=20)
            stack.enter_context(connection).sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 300)
        assert httpx.get(f"{port.server.url}/-/healthy", timeout=20).status_code == 200


def test_silence_before_tls_is_agreed_on_takes_no_more_places_than_silence_after(tmp_path: Path) -> None:
    root = authority(tmp_path, "root")
    signed(tmp_path, "server", root)
    config = write(tmp_path / "web.yml", "tls_server_config: {cert_file: server.pem, key_file: server.key}\n")
    server = ManagementServer(FakeEngine(), port=0, access=Access(WebConfig(config)))
    with server, ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)) for _ in range(400)
        ]
        assert httpx.get(f"{server.url}/-/healthy", timeout=20, verify=False).status_code == 200
        assert wait_until(lambda: sum(map(is_cut_off, silent)) >= 144)


def test_a_gateway_full_of_strangers_takes_records() -> None:
    engine = FakeIntake()
    with open_gateway(engine, connections_max=20) as gateway, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(gateway.connected()).sendall(head()[:-2])
        assert gateway.post(b"{}").status_code == 200
        seen = engine.gateway
        assert seen is not None
        assert seen().connections <= 20
        assert seen().refused_connections >= 40


# -- what a request may hold ---


@pytest.mark.parametrize("kind", ["one header", "many headers", "the line", "trailers", "an extension of a chunk"])
def test_a_gateway_refuses_a_head_without_end(kind: str) -> None:
    begin, block = {
        "one header": (head()[:-2] + b"x: ", b"a" * 65536),
        "many headers": (head()[:-2], b"x: y\r\n" * 10_000),
        "the line": (b"POST /", b"a" * 65536),
        "trailers": (head(transfer_encoding="chunked") + b"2\r\n{}\r\n0\r\n", b"x: y\r\n" * 10_000),
        "an extension of a chunk": (head(transfer_encoding="chunked") + b"2;", b"a" * 65536),
    }[kind]
    engine = FakeIntake()
    with open_gateway(engine) as gateway, gateway.connected() as connection:

        def send() -> None:
            try:
                connection.sendall(begin)
                for _ in range(200):
                    connection.sendall(block)
            except OSError:
                return

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        answer = everything(connection)
        sender.join(20)
        # What came before it was cut off may have been lost on the way.
        assert answer == b"" or b"must not exceed 16384 bytes" in answer
        assert engine.gateway is not None
        assert engine.gateway().malformed_requests == 1
    assert engine.values == []


def test_a_head_of_less_than_16_kb_is_taken_in_whatever_portions_it_comes() -> None:
    engine = FakeIntake()
    wire = head(content_length=2, x_long="a" * 15_000) + b"{}"
    with open_gateway(engine) as gateway, gateway.connected() as connection:
        for start in range(0, len(wire), 700):
            connection.sendall(wire[start : start + 700])
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(wire)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_requests_that_were_sent_ahead_are_all_answered_and_wait_as_they_came() -> None:
    engine = FakeIntake()
    request = head(content_length=2) + b"{}"
    with open_gateway(engine) as gateway, gateway.connected() as connection:
        sender = threading.Thread(target=connection.sendall, args=(request * 3000,), daemon=True)
        sender.start()
        got = 0
        while got < 3000:
            part = connection.recv(1 << 20)
            assert part, "the connection ended early"
            got += part.count(b'"positions"')
        sender.join(20)
    assert len(engine.values) == 3000


def test_a_body_in_a_single_piece_with_the_next_request_behind_it_is_taken_whole() -> None:
    engine = FakeIntake()
    body = b'{"a":"' + b"x" * 100_000 + b'"}'
    wire = head(content_length=len(body)) + body
    with open_gateway(engine) as gateway, gateway.connected() as connection:
        connection.sendall(wire * 3)
        got = b""
        while got.count(b'"positions"') < 3:
            got += connection.recv(65536)
    assert [len(value["a"]) for value in engine.values] == [100_000] * 3


# -- descriptors and the log ---


def test_a_process_with_few_descriptors_leaves_most_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    management = places("management port", connections=256, backlog=128)
    gateway = places("gateway", connections=1000, backlog=1024)
    together = management.connections + management.backlog + gateway.connections + gateway.backlog
    assert 1024 - together >= 256
    assert management.connections == 256


@pytest.mark.parametrize("soft", [resource.RLIM_INFINITY, 65_536])
def test_with_enough_of_them_all_that_was_wanted_is_given(monkeypatch: pytest.MonkeyPatch, soft: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))
    room = places("gateway", connections=1000, backlog=1024)
    assert (room.connections, room.backlog) == (1000, 1024)


def test_the_same_line_is_said_once_in_ten_seconds_and_then_with_its_number(clock: Clock) -> None:
    seldom = Seldom(clock)
    said: list[str] = []

    def say(text: str, *values: object) -> None:
        record = logging.LogRecord("penstock", logging.WARNING, "", 1, text, values, None)
        if seldom.filter(record):
            said.append(record.getMessage())

    for second in range(25):
        clock.seconds = second
        say("no request from %s", second)
        if second == 3:
            say("something else")
    assert said == [
        "no request from 0",
        "something else",
        "no request from 10 (9 more like this before)",
        "no request from 20 (9 more like this before)",
    ]


def test_malformed_requests_are_counted_and_fill_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with open_port() as port:
        for _ in range(30):
            with socket.create_connection(("127.0.0.1", port.server.port), timeout=20) as connection:
                connection.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
                assert everything(connection).startswith(b"HTTP/1.1 400")
        assert 'penstock_management_malformed_requests_total{pipeline="flights"} 30' in port.client.get("/metrics").text
    lines = [record for record in caplog.records if record.name == "penstock.management.http"]
    assert len(lines) == 1
