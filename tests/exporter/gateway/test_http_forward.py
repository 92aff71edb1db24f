"""The way to another instance's gateway, where not only gateways may answer: a proxy may stand in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from engine.core.clock import ManualClock
from exporter.door import Caller, Refusal, WriteFailedError, Written, WrongRecordError
from exporter.gateway.forwarding import HttpForward
from tests.support.waiting import wait_until

CALLER = Caller(authorization="Basic bWU6c2VjcmV0")


class Stub:
    """Says what it is told to say, and counts who is connected."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"{}"
        self.open = 0
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                stub.open += 1

            def finish(self) -> None:
                super().finish()
                stub.open -= 1

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                self.send_response(stub.status)
                self.send_header("content-length", str(len(stub.body)))
                self.end_headers()
                self.wfile.write(stub.body)

            do_POST = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def says(self, status: int, said: object) -> None:
        self.status, self.body = status, said if isinstance(said, bytes) else json.dumps(said).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    yield made
    made.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def forward(clock: ManualClock) -> Iterator[HttpForward]:
    made = HttpForward(clock)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (429, b"<html>Too Many Requests</html>"),
        (429, {"detail": "slow down"}),
        (429, {"reason": "moon", "partition": 1, "limit": 1, "retryAfterMs": 1, "detail": "no"}),
        (429, []),
        (200, b"<html>Welcome</html>"),
        (200, b""),
        (200, {"positions": "all"}),
        (200, []),
        (400, {"line": "seven", "detail": "no"}),
        (507, {"written": 7, "detail": "no"}),
        (503, {"written": [{"record": "x"}], "detail": "no"}),
        (302, b""),
    ],
)
def test_an_answer_that_no_gateway_gives_is_a_failure_of_which_the_outcome_is_not_known(
    stub: Stub, forward: HttpForward, status: int, said: object
) -> None:
    stub.says(status, said)
    for ask in (
        lambda: forward.write(stub.url, [1], None, CALLER),
        lambda: forward.reserve(stub.url, [1], None, CALLER),
    ):
        with pytest.raises(WriteFailedError, match=rf"the instance at {stub.url[7:]} ") as failed:
            ask()
        assert failed.value.passing
        assert not failed.value.written


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_proxy_that_reaches_nobody_is_trouble_that_passes_and_no_full_disk(
    stub: Stub, forward: HttpForward, status: int
) -> None:
    stub.says(status, b"Bad Gateway")
    with pytest.raises(WriteFailedError, match=f"answers {status}") as failed:
        forward.write(stub.url, [1], None, CALLER)
    assert failed.value.passing


@pytest.mark.parametrize("url", ["http://[::1:8600", "http://penstock-1:port"])
def test_an_address_that_is_none_is_said_with_what_mends_it(forward: HttpForward, url: str) -> None:
    with pytest.raises(WriteFailedError, match=r"mend its data\.kafka\.advertisedUrl") as failed:
        forward.write(url, [1], None, CALLER)
    assert failed.value.passing


def test_what_a_gateway_answers_is_ours(stub: Stub, forward: HttpForward) -> None:
    stub.says(200, {"positions": [{"partition": 2, "position": 7}]})
    written = forward.write(stub.url, [1], None, CALLER)
    assert isinstance(written, Written)
    assert [(place.partition, place.position) for place in written.places] == [(2, 7)]
    stub.says(
        429,
        {"reason": "write_rate_limit_exhausted", "partition": 2, "limit": 5, "retryAfterMs": 30, "detail": "slower"},
    )
    refused = forward.reserve(stub.url, [1], None, CALLER)
    assert isinstance(refused, Refusal)
    assert (refused.partition, refused.retry_after_ns, refused.text) == (2, 30_000_000, "slower")
    stub.says(400, {"line": 3, "detail": "line 3: record 3 has no key"})
    with pytest.raises(WrongRecordError, match="record 3 has no key") as wrong:
        forward.write(stub.url, [1, 2, 3], None, CALLER)
    assert wrong.value.index == 2
    stub.says(507, {"written": [{"record": 1, "partition": 2, "position": 8}], "detail": "the disk is full"})
    with pytest.raises(WriteFailedError, match="the disk is full") as failed:
        forward.write(stub.url, [1, 2], None, CALLER)
    assert (failed.value.passing, {n: p.position for n, p in failed.value.written.items()}) == (False, {0: 8})
    stub.says(401, {"detail": "who are you?"})
    with pytest.raises(WriteFailedError, match="takes no records of ours: who are you"):
        forward.write(stub.url, [1], None, CALLER)


def test_connections_to_instances_that_are_gone_are_not_kept(
    stub: Stub, forward: HttpForward, clock: ManualClock
) -> None:
    other = Stub()
    for one in (stub, other):
        one.says(200, {"positions": []})
        forward.write(one.url, [], None, CALLER)
    forward.write(stub.url, [], None, CALLER)
    assert (stub.open, other.open) == (1, 1), "they are kept for the next"
    clock.advance(21)
    forward.write(stub.url, [], None, CALLER)
    assert wait_until(lambda: (stub.open, other.open) == (1, 0))
    forward.close()
    assert wait_until(lambda: stub.open == 0)
    other.close()
