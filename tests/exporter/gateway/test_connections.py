"""What a stranger can do to the port: large, slow, broken, too many. The answers are clear, memory is bounded."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic

import httpx
import pytest

from engine import Place, Written
from engine.core.clock import NS_PER_MS
from tests.support.gateway import PATH, FakeIntake, OpenGateway, everything, head, open_gateway
from tests.support.waiting import WAIT_SECONDS, wait_until

MB = 1024 * 1024


@pytest.fixture
def engine() -> FakeIntake:
    return FakeIntake()


@pytest.fixture
def gateway(engine: FakeIntake) -> Iterator[OpenGateway]:
    with open_gateway(engine, body_bytes_max=64 * 1024) as gateway:
        yield gateway


@pytest.fixture
def impatient(engine: FakeIntake) -> Iterator[OpenGateway]:
    """Gives nobody more than an instant; on a busy machine that may hit a good client too."""
    with open_gateway(engine, body_bytes_max=64 * 1024, request_timeout_ns=300 * NS_PER_MS) as gateway:
        yield gateway


def takes(gateway: OpenGateway) -> bool:
    try:
        return gateway.post(b"{}").is_success
    except httpx.TransportError:
        return False


def peak_mb() -> float:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def send_until_refused(connection: socket.socket, parts: Iterator[bytes]) -> int:
    """How much could be sent before the other side had enough."""
    sent = 0
    for part in parts:
        try:
            connection.sendall(part)
        except OSError:
            break
        sent += len(part)
    return sent


@pytest.mark.parametrize("chunked", [False, True])
def test_of_a_huge_body_next_to_nothing_is_held_and_the_answer_is_413(gateway: OpenGateway, chunked: bool) -> None:
    block = b"x" * MB
    parts = iter([b"%x\r\n%s\r\n" % (MB, block)] * 300) if chunked else iter([block] * 300)
    before_mb = peak_mb()
    with gateway.connected() as connection:
        length = {"transfer_encoding": "chunked"} if chunked else {"content_length": 300 * MB}
        connection.sendall(head(**length))
        sender = threading.Thread(target=send_until_refused, args=(connection, parts), daemon=True)
        sender.start()
        answer = everything(connection)
        sender.join(WAIT_SECONDS)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"the body must not exceed 65536 bytes" in answer
    assert b"connection: close" in answer
    assert peak_mb() - before_mb < 30
    assert gateway.post(b"{}").status_code == 200


def test_a_client_that_asks_first_is_told_before_it_sends(gateway: OpenGateway) -> None:
    with gateway.connected() as connection:
        connection.sendall(head(content_length=300 * MB, expect="100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    with gateway.connected() as connection:
        connection.sendall(head(content_length=2, expect="100-continue"))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"{}")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /v1/rec", head(content_length=10), head(content_length=10) + b'{"a"', head()[:-2] + b"x-more: "],
)
def test_who_does_not_come_to_an_end_is_cut_off_in_time(impatient: OpenGateway, beginning: bytes) -> None:
    began = monotonic()
    with impatient.connected() as connection:
        connection.sendall(beginning)
        answer = everything(connection)
    # Far below what is the default.
    assert monotonic() - began < 15
    assert answer.startswith(b"HTTP/1.1 408 ") if beginning else answer == b""


def test_a_drip_of_bytes_does_not_prolong_the_time(impatient: OpenGateway) -> None:
    pause = threading.Event()
    began = monotonic()
    with impatient.connected() as connection:
        connection.sendall(head(content_length=1000))
        while monotonic() - began < 19:
            try:
                connection.sendall(b" ")
            except OSError:
                break
            pause.wait(0.02)
    assert monotonic() - began < 15


def test_a_slow_client_holds_nobody_up(gateway: OpenGateway) -> None:
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(gateway.connected()).sendall(head(content_length=10) + b"{")
        assert all(gateway.post(b"{}").status_code == 200 for _ in range(20))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        head(content_length=-1),
        head(content_length="1, 2"),
        head(transfer_encoding="chunked") + b"zz\r\n",
        b"POST /v1/records HTTP/1.1\r\n" + b"x" * 100_000,
    ],
)
def test_what_is_no_http_is_400_and_ends_the_connection(
    engine: FakeIntake, impatient: OpenGateway, garbage: bytes
) -> None:
    with impatient.connected() as connection:
        connection.sendall(garbage)
        answer = everything(connection)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert engine.values == []
    assert wait_until(lambda: takes(impatient))


def test_a_client_that_leaves_in_the_midst_of_its_body_writes_nothing(engine: FakeIntake, gateway: OpenGateway) -> None:
    for _ in range(20):
        with gateway.connected() as connection:
            connection.sendall(head(content_length=100) + b'{"a": 1}')
    assert gateway.post(b"{}").status_code == 200
    assert engine.values == [{}]


def test_requests_on_one_connection_are_answered_in_order(engine: FakeIntake, gateway: OpenGateway) -> None:
    with gateway.connected() as connection:
        request = head(content_length=2) + b"{}"
        connection.sendall(request * 20)
        got = b""
        while got.count(b'"position":') < 20:
            got += connection.recv(65536)
    positions = [int(part.split(b"}")[0]) for part in got.split(b'"position":')[1:]]
    assert positions == list(range(1, 21))


def test_one_connection_too_many_is_told_and_the_others_go_on(engine: FakeIntake) -> None:
    with open_gateway(engine, connections_max=10) as gateway, ExitStack() as stack:
        held = [stack.enter_context(gateway.connected()) for _ in range(10)]
        for connection in held:
            connection.sendall(head(content_length=2) + b"{}")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        with gateway.connected() as connection:
            answer = everything(connection)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        held.pop().close()
        # The room is free as soon as the server has seen it.
        assert wait_until(lambda: gateway.client.post(PATH, json={}, headers={"connection": "close"}).is_success)


def test_a_crowd_is_turned_away_in_bounded_memory_and_who_is_in_is_served(engine: FakeIntake) -> None:
    with open_gateway(engine, connections_max=50) as gateway, ExitStack() as stack:
        gateway.post(b"{}")
        before_mb = peak_mb()
        crowd = []
        for _ in range(2000):
            try:
                crowd.append(stack.enter_context(gateway.connected()))
            except OSError:
                break
        assert gateway.post(b"{}").status_code == 200
        assert peak_mb() - before_mb < 60
    assert len(crowd) > 500


def test_bodies_share_a_memory_and_nobody_waits_for_another(engine: FakeIntake) -> None:
    may_answer = threading.Event()

    def wait(values: object) -> Written:
        may_answer.wait(WAIT_SECONDS)
        return Written((Place(1, 1),))

    engine.answer = wait
    body = b'{"a": "' + b"x" * 900 + b'"}'
    with (
        open_gateway(engine, body_bytes_max=1000, bodies_bytes_max=3000) as gateway,
        ThreadPoolExecutor(8) as pool,
    ):
        answers = [pool.submit(gateway.post, body) for _ in range(8)]
        # Three have room; the others are told at once.
        assert wait_until(lambda: sum(answer.done() for answer in answers) == 5)
        refused = [answer.result() for answer in answers if answer.done()]
        may_answer.set()
        statuses = sorted(answer.result().status_code for answer in answers)
        assert statuses == [200] * 3 + [503] * 5
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert gateway.post(body).status_code == 200


def test_a_stop_answers_what_is_being_written(engine: FakeIntake) -> None:
    may_answer, asked = threading.Event(), threading.Event()

    def wait(values: object) -> None:
        asked.set()
        may_answer.wait(WAIT_SECONDS)

    engine.answer = wait
    with open_gateway(engine) as gateway, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(gateway.post, b"{}")
        assert asked.wait(WAIT_SECONDS)
        stop = threading.Thread(target=gateway.server.stop)
        stop.start()
        may_answer.set()
        assert answer.result(WAIT_SECONDS).status_code == 200
        stop.join(WAIT_SECONDS)
    assert not [thread for thread in threading.enumerate() if thread.name == "penstock-gateway"]
