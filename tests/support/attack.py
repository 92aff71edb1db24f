"""Makes up HTTP requests as an attacker or a broken client would send them, from a seed."""

from __future__ import annotations

import json
import random
import socket
from dataclasses import dataclass

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X" * 40)
_TYPES = (
    "application/json",
    "application/merge-patch+json",
    "application/vnd.spring-boot.actuator.v3+json",
    "text/plain",
    "application/json; charset=utf-16",
    "multipart/form-data",
    "",
)
_HEADERS = (
    "Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Cookie", "Expect", "Host",
    "If-Match", "If-None-Match", "Last-Event-ID", "Origin", "Range", "Referer", "TE", "Trailer", "Transfer-Encoding",
    "Upgrade", "X-Forwarded-For", "X-Http-Method-Override",
)  # fmt: skip
_VALUES = (
    "*", "*/*;q=0", "application/openmetrics-text; version=9.9.9", "gzip;q=nan", "Basic Og==", "Basic " + "A" * 4000,
    "keep-alive, close", "upgrade", "websocket", "h2c", "100-continue", "chunked", "identity", "gzip", "bytes=0-1",
    "evil.example", "localhost:99999", "[::1", '"a", W/"b"', "null", "http://evil.example", "-1", "9" * 400, "\t",
    "a\x01b", "\xff\xfe", "é", "0" * 9000,
)  # fmt: skip
_QUERIES = (
    "", "?", "?since=1e999", "?since=-0", "?since=" + "9" * 400, "?partition=1&partition=2", "?partition=0x1",
    "?dry_run=true", "?ttl=1ns", "?ttl=-5s", "?ttl=99999999999d", "?name[]=penstock_series&name[]=%00",
    "?name[]=" * 500, "?lastEventId=1-1", "?lastEventId=%0d%0a", "?get=busyTimeMsPerSecond&agg=max",
    "?get=" + "a," * 2000, "?%ff=%fe", "?a=b;c", "?from=0&to=nan", "?get=numRecordsIn&subtasks=0-999999",
    "?get=numRecordsIn&subtasks=" + "0-999999," * 1000 + "1",
)  # fmt: skip
_LEAVES = (
    None, True, False, 0, 1, -1, 5000, 2**31, 2**63, -(2**70), 0.5, 1e308, "", "15s", "PT15S", "aimd", "VEGAS",
    "é\u0000", [], {}, [1], {"limit": 1},
)  # fmt: skip
_CHANGES: dict[str, object] = {
    "write": {
        "enabled": (True, False),
        "limit": (1, 50, 4000, 0, -1),
        "rampUp": ("0s", "5s", "-1s"),
        "throttling": {
            "enabled": (True, False),
            "acceptableBacklog": (0, 1000, -1),
            "minimumLimit": (1, 100, 5000, -1),
            "resolution": ("1s", "15s", "0s"),
            "algorithm": ("proportional", "adaptive"),
        },
    },
    "request": {
        "enabled": (True, False),
        "algorithm": ("aimd", "VEGAS", "fixed"),
        "aimd": {"minLimit": (1, 2000, 0), "backoffRatio": (0.9, 0.5, 0.1)},
        "fixed": {"limit": (20, 0)},
    },
}
_KEYS = (
    "write", "request", "enabled", "limit", "rampUp", "throttling", "acceptableBacklog", "minimumLimit", "minRate",
    "resolution", "algorithm", "useWindowed", "aimd", "backoffRatio", "fixed", "vegas", "gradient", "x",
    "", "__proto__",
)  # fmt: skip


@dataclass(frozen=True)
class Attempt:
    """A method (empty for what is no request at all), what goes over the wire, and whether an answer must come."""

    method: str
    wire: bytes
    is_whole: bool


@dataclass(frozen=True)
class Reply:
    """What came back: a status, or None when the connection was closed without a word."""

    status: int | None
    text: bytes


class Attacker:
    """Bytes of requests; the same seed gives the same ones."""

    def __init__(self, seed: int, paths: list[str]) -> None:
        self._random = random.Random(seed)
        self._paths = paths

    def request(self) -> Attempt:
        if self._random.random() < 0.05:
            return Attempt("", self._garbage(), is_whole=False)
        if self._random.random() < 0.6:
            return self._polite()
        method = self._random.choice(_METHODS)
        body = self._body()
        lines = [f"{method} {self._target()} HTTP/{self._random.choice(('1.1', '1.1', '1.1', '1.0', '2.0', '0.9'))}"]
        if self._random.random() < 0.9:
            lines.append("Host: localhost")
        lines += [f"Content-Type: {self._random.choice(_TYPES)}", *self._headers()]
        framing = self._random.random()
        if framing < 0.7:
            lines.append(f"Content-Length: {len(body)}")
        elif framing < 0.8:
            # Longer or shorter than it says.
            lines.append(f"Content-Length: {max(0, len(body) + self._random.randint(-5, 50))}")
        elif framing < 0.9:
            lines.append("Transfer-Encoding: chunked")
            body = self._chunked(body)
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return Attempt(method, head + body, is_whole=False)

    def _polite(self) -> Attempt:
        """In the form that HTTP wants; only what it asks for is made up."""
        method = self._random.choice(("GET", "GET", "GET", "HEAD", "POST", "POST", "PATCH", "DELETE"))
        path = self._random.choice(self._paths)
        if method in ("POST", "PATCH") and self._random.random() < 0.7:
            path = self._random.choice(("/actuator/flowControl", "/api/flow-control"))
        body = self._body() if method in ("POST", "PATCH") else b""
        query = self._random.choice(_QUERIES) if self._random.random() < 0.4 else ""
        head = f"{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        wire = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
        return Attempt(method, wire, is_whole=True)

    def _target(self) -> str:
        path = self._random.choice(self._paths)
        match self._random.randrange(10):
            case 0:
                path = self._random.choice(("*", "http://evil.example" + path, "//" + path, path + "/", path.upper()))
            case 1:
                path = path.replace("/", "/%2e%2e/", 1) + "%00"
            case 2:
                path = path + "/" + "a" * self._random.randint(1, 12_000)
        return path + self._random.choice(_QUERIES)

    def _headers(self) -> list[str]:
        number = self._random.choice((0, 1, 2, 5, 120))
        return [f"{self._random.choice(_HEADERS)}: {self._random.choice(_VALUES)}" for _ in range(number)]

    def _body(self) -> bytes:
        match self._random.randrange(8):
            case 0:
                return b""
            case 1:
                return self._random.randbytes(self._random.randint(1, 300))
            case 2:
                return b"[" * self._random.choice((10, 100_000))
            case 3:
                return b'{"write":{"limit":' + b"9" * self._random.choice((5, 5000, 70_000)) + b"}}"
            case _:
                text = json.dumps(self._change() if self._random.random() < 0.5 else self._document(4))
                if self._random.random() < 0.2:
                    cut = self._random.randrange(len(text) + 1)
                    text = text[:cut] + self._random.choice(("", "NaN", ",", '"', "\\ud800")) + text[cut:]
                return text.encode()

    def _document(self, depth: int) -> object:
        if depth == 0 or self._random.random() < 0.3:
            return self._random.choice(_LEAVES)
        return {self._random.choice(_KEYS): self._document(depth - 1) for _ in range(self._random.randint(0, 4))}

    def _change(self) -> object:
        """A change of limits as it should be, but for a value now and then."""

        def some(section: dict[str, object]) -> dict[str, object]:
            keys = self._random.sample(list(section), self._random.randint(0, min(3, len(section))))
            return {key: value(section[key]) for key in keys}

        def value(expected: object) -> object:
            if isinstance(expected, dict):
                return some(expected)
            if self._random.random() < 0.1:
                return self._random.choice(_LEAVES)
            assert isinstance(expected, tuple)
            return self._random.choice(expected)

        return some(_CHANGES)

    def _chunked(self, body: bytes) -> bytes:
        size = self._random.choice((b"%x" % len(body), b"ffffffffffffffff", b"-1", b"zz", b"5;" + b"x" * 2000))
        return size + b"\r\n" + body + b"\r\n0\r\n\r\n"

    def _garbage(self) -> bytes:
        return self._random.choice(
            (
                self._random.randbytes(self._random.randint(1, 2000)),
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self._random.randbytes(200),
                b"GET /metrics\r\n\r\n",
                b"\r\n" * 1000,
                b"GET /metrics HTTP/1.1\r\nX: " + b"y" * 100_000,
                b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
                b"",
            )
        )


def send(port: int, attempt: Attempt, *, seconds: float = 20.0) -> Reply:
    """Sends, and reads up to the end or as much as an endless stream shows at first.

    What may not be whole is ended by saying that no more will come; the server need not answer it then.
    """
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        try:
            connection.sendall(attempt.wire)
            if not attempt.is_whole:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            # It was cut off while it still spoke; what it was told may be there all the same.
            pass
        try:
            while part := connection.recv(65536):
                answer += part
                if b"text/event-stream" in answer[:2000]:
                    break
        except ConnectionError:
            pass
    words = answer.split(b"\r\n", 1)[0].split(b" ")
    return Reply(int(words[1]) if len(words) > 1 and words[1].isdigit() else None, answer)
