"""The management port opens, says why when it cannot, answers many at once, and closes."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from time import monotonic

import httpx
import pytest

from engine.core.errors import PenstockError
from engine.core.snapshot import EngineSnapshot
from exporter.management import ManagementServer
from tests.support.engines import FakeEngine
from tests.support.management import open_port
from tests.support.snapshots import wide_snapshot


def test_a_port_in_use_is_one_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PenstockError) as raised:
            ManagementServer(FakeEngine(), port=port).start()
    assert str(raised.value) == f"port {port} on 127.0.0.1 is in use"
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("host", "port", "sentence"),
    [
        ("127.0.0.1", 70_000, "a port lies between 0 and 65535, not at 70000"),
        ("no such host", 0, "host 'no such host' cannot be resolved"),
        ("192.0.2.1", 0, "192.0.2.1 is not an address of this machine"),
    ],
)
def test_a_place_that_cannot_be_had_is_one_clear_sentence(host: str, port: int, sentence: str) -> None:
    with pytest.raises(PenstockError) as raised:
        ManagementServer(FakeEngine(), host=host, port=port).start()
    assert str(raised.value) == sentence


def test_port_0_takes_a_free_port_and_tells_it() -> None:
    with ManagementServer(FakeEngine(), port=0) as server:
        assert server.port > 0
        assert httpx.get(f"http://127.0.0.1:{server.port}/-/healthy", timeout=20).status_code == 200


def test_ipv6_loopback_can_be_served() -> None:
    with ManagementServer(FakeEngine(), host="::1", port=0) as server:
        assert server.url == f"http://[::1]:{server.port}"
        assert httpx.get(f"{server.url}/-/healthy", timeout=20).status_code == 200


def test_stop_closes_the_port_and_idle_connections_at_once_and_may_be_repeated() -> None:
    server = ManagementServer(FakeEngine(), port=0).start()
    with httpx.Client(base_url=server.url, timeout=20) as client:
        client.get("/-/healthy")
        began = monotonic()
        server.stop()
        assert monotonic() - began < 2
        with pytest.raises(httpx.TransportError):
            client.get("/-/healthy")
    server.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "penstock-management"]


def test_the_same_port_can_be_opened_again_after_a_stop() -> None:
    with ManagementServer(FakeEngine(), port=0) as first:
        httpx.get(f"{first.url}/metrics", timeout=20)
    with ManagementServer(FakeEngine(), port=first.port) as second:
        assert httpx.get(f"{second.url}/-/healthy", timeout=20).status_code == 200


class SlowEngine(FakeEngine):
    """Gives a snapshot only when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)
        self.may_answer = threading.Event()

    def snapshot(self) -> EngineSnapshot:
        # The history looks at it too, once a second.
        if threading.current_thread().name != "penstock-history":
            self.asked.release()
        assert self.may_answer.wait(30)
        return super().snapshot()


def test_liveness_answers_while_every_scrape_is_stuck() -> None:
    engine = SlowEngine()
    with open_port(engine) as port, ThreadPoolExecutor(4) as pool:
        stuck = [pool.submit(httpx.get, f"{port.server.url}/metrics", timeout=30) for _ in range(4)]
        assert all(engine.asked.acquire(timeout=20) for _ in range(2)), "two scrapes run at once"
        assert not engine.asked.acquire(blocking=False), "and no third"
        assert port.client.get("/-/healthy").status_code == 200
        engine.may_answer.set()
        assert [future.result(timeout=30).status_code for future in stuck] == [200] * 4


def test_a_stop_does_not_wait_for_a_stuck_scrape() -> None:
    engine = SlowEngine()
    server = ManagementServer(engine, port=0).start()
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(httpx.get, f"{server.url}/metrics", timeout=30)
        assert engine.asked.acquire(timeout=20)
        began = monotonic()
        server.stop()
        took = monotonic() - began
        engine.may_answer.set()
        assert stuck.exception(timeout=30) is not None or stuck.result().status_code >= 500
    assert took < 3


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /-/healthy HTTP/1.1\r\nHost: loc",
        b"POST /actuator/flowControl HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 20\r\n\r\n{",
    ],
    ids=["nothing", "half a head", "half a body"],
)
def test_who_never_finishes_a_request_is_cut_off(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr("exporter.management.connection.REQUEST_SECONDS_MAX", 0.2)
    with open_port() as port, socket.create_connection(("127.0.0.1", port.server.port), timeout=20) as slow:
        slow.sendall(sent)
        # An end, by whichever name; a time-out of our own would be another exception.
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(1) == b""


def test_a_connection_that_rests_between_two_requests_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.management.connection.REQUEST_SECONDS_MAX", 0.2)
    with open_port() as port:
        scraper = http.client.HTTPConnection("127.0.0.1", port.server.port, timeout=20)
        scraper.connect()
        # It must not open another one unasked.
        scraper.auto_open = 0
        for _ in range(3):
            scraper.request("GET", "/-/healthy")
            assert scraper.getresponse().read().startswith(b'{"status":"UP"')
            # Longer than a request may take.
            threading.Event().wait(0.3)
        scraper.close()


def test_a_head_without_end_is_refused_before_it_fills_the_memory() -> None:
    with open_port() as port, socket.create_connection(("127.0.0.1", port.server.port), timeout=20) as endless:
        with contextlib.suppress(OSError):
            for _ in range(1000):
                endless.sendall(b"GET /-/healthy HTTP/1.1\r\nX: " + b"x" * 100_000)
        with contextlib.suppress(ConnectionResetError):
            assert endless.recv(100).startswith(b"HTTP/1.1 400")


def test_twenty_parallel_scrapes_all_succeed_and_see_the_same_series() -> None:
    with open_port(FakeEngine(wide_snapshot(partitions=20, subtasks=20))) as port, ThreadPoolExecutor(20) as pool:
        scrapes = [pool.submit(httpx.get, f"{port.server.url}/metrics", timeout=60) for _ in range(20)]
        answers = [future.result(timeout=60) for future in scrapes]
    assert {answer.status_code for answer in answers} == {200}

    def series(text: str) -> list[str]:
        return [line.rpartition(" ")[0] for line in text.splitlines()]

    assert len({tuple(series(answer.text)) for answer in answers}) == 1


def test_scrapes_beyond_what_may_wait_are_refused_and_told_when_to_come_back() -> None:
    engine = SlowEngine()
    with open_port(engine) as port, ThreadPoolExecutor(60) as pool:
        scrapes = [pool.submit(httpx.get, f"{port.server.url}/metrics", timeout=60) for _ in range(60)]
        # 42 run or wait; the other 18 are answered while none of those is.
        refused = [future.result().status_code for future in islice(as_completed(scrapes, timeout=60), 18)]
        assert refused == [503] * 18
        engine.may_answer.set()
        answers = [future.result(timeout=60) for future in scrapes]
    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(200), statuses.count(503)) == (42, 18)
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 503)
