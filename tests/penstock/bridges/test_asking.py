"""Asking a server that answers too much, too slowly, wrongly, or not at all."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from engine.core.errors import ConfigurationError
from penstock.bridges.asking import HttpSource, LookError


@contextmanager
def server(answer: Callable[[socket.socket, bytes], None]) -> Iterator[tuple[str, list[bytes]]]:
    """`answer` writes what a connection gets for the heads it sends; gives the address and all heads."""
    heads: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            buffer = b""
            while data := connection.recv(65536):
                buffer += data
                while b"\r\n\r\n" in buffer:
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    heads.append(head)
                    answer(connection, head)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        listener.close()


def plain(body: bytes, status: str = "200 OK") -> Callable[[socket.socket, bytes], None]:
    return lambda connection, _: connection.sendall(
        f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    )


def reason(answer: Callable[[socket.socket, bytes], None], **settings: object) -> tuple[str, str]:
    with server(answer) as (where, _):
        source = HttpSource(f"http://alice:opensesame@{where}", **settings)  # type: ignore[arg-type]
        with pytest.raises(LookError) as caught:
            source.get("/jobs/overview")
        source.close()
        return caught.value.reason, str(caught.value)


def test_one_connection_serves_many_questions_and_brings_user_and_password() -> None:
    with server(plain(b'{"a": 1}')) as (where, heads):
        source = HttpSource(f"http://alice:open%3Asesame@{where}/flink/")
        assert [source.get("/config") for _ in range(3)] == [{"a": 1}] * 3
        source.close()
    assert all(head.startswith(b"GET /flink/config HTTP/1.1") for head in heads)
    expected = base64.b64encode(b"alice:open:sesame")
    assert all(b"Authorization: Basic " + expected in head for head in heads)


def test_a_connection_that_was_closed_while_it_rested_is_opened_anew() -> None:
    def once(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        connection.shutdown(socket.SHUT_RDWR)

    with server(once) as (where, heads):
        source = HttpSource(f"http://{where}")
        assert [source.get("/config") for _ in range(3)] == [{}] * 3
        source.close()
    assert len(heads) >= 3


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("404 Not Found", "gone"),
        ("401 No", "refused"),
        ("403 No", "refused"),
        ("500 No", "status"),
        ("302 Found", "status"),
    ],
)
def test_each_refusal_has_its_reason_and_says_the_place_without_the_password(status: str, expected: str) -> None:
    found, said = reason(plain(b"{}", status))
    assert found == expected
    assert "/jobs/overview" in said
    assert "opensesame" not in said


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"{" * 50, b"\xff\xfe", b"1" * 10_000])
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    assert reason(plain(body))[0] == "malformed"


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    def endless(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    found, said = reason(endless, answer_bytes_max=1024 * 1024)
    assert (found, said.partition(" answers with ")[2]) == ("too_large", "more than 1 MB, which is not read")


def test_an_answer_that_drips_is_given_up_in_time() -> None:
    stop = threading.Event()

    def dripping(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            connection.sendall(b"x")

    found, said = reason(dripping, timeout_seconds=0.3)
    stop.set()
    assert (found, said.partition(" does ")[2]) == ("timeout", "not answer within 0.3 s")


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    assert reason(lambda *_: None, timeout_seconds=0.2)[0] == "timeout"


def test_nobody_there_and_nonsense_are_unreachable() -> None:
    assert reason(lambda connection, _: connection.sendall(b"\0\1\2\r\n\r\n"))[0] == "unreachable"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LookError) as caught:
        HttpSource(f"http://127.0.0.1:{port}").get("/config")
    assert str(caught.value) == f"http://127.0.0.1:{port}/config cannot be asked: connection refused"


def test_a_bare_nan_is_read() -> None:
    with server(plain(b'{"busyRatio": NaN}')) as (where, _):
        assert HttpSource(f"http://{where}").get("/x")["busyRatio"] != 0


@pytest.mark.parametrize(
    "url", ["flink:8081", "ftp://flink", "http://", "http://flink:port", "http://flink/?a=b", "", "http://u:secret@"]
)
def test_what_is_no_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HttpSource(url)
    assert "secret" not in str(caught.value)
