"""An HTTP server that keeps what it is sent, and misbehaves in every way a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What to answer. `hold` delays the answer until it is set."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


# May be set by a test: what to do instead of what the target is for. None is the usual.
Behaviour = Callable[[Posted], Reply | None]


class HttpTarget:
    """A server on loopback; its port stays its own while it is down, so that it can come back."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.behave: Behaviour = lambda _: None
        self.hold = threading.Event()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                posted = Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                if target._server is None:
                    self.close_connection = True
                    return
                reply = target._reply(posted)
                if reply.hold is not None:
                    reply.hold.wait(30)
                try:
                    self.send_response(reply.status)
                    for name, value in {**reply.headers, "content-length": str(len(reply.body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                return

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Goes down; who is connected is cut off at its next request."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _reply(self, posted: Posted) -> Reply:
        with self._lock:
            self.posted.append(posted)
            return self.behave(posted) or self.take(posted)

    def take(self, posted: Posted) -> Reply:
        """What the target is for: keeps the lines."""
        return Reply(200)


class LineTarget(HttpTarget):
    """Keeps newline-delimited JSON, in the order of its coming."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        super().__init__()

    def take(self, posted: Posted) -> Reply:
        self.lines += [json.loads(line) for line in posted.body.splitlines()]
        return Reply(204)

    def positions(self, partition: int = 1) -> list[int]:
        return [line["position"] for line in self.lines if line["partition"] == partition]


class BulkTarget(HttpTarget):
    """Our own stub of the bulk API: documents by index and id, an answer for each.

    Written after the public description of the API; no real Elasticsearch stood behind these tests.
    """

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {}
        # In the order of their coming.
        self.ids: list[str] = []
        # May give a status and a reason instead of taking a document.
        self.judge: Callable[[dict[str, Any]], tuple[int, str] | None] = lambda _: None
        super().__init__()

    def take(self, posted: Posted) -> Reply:
        if not posted.path.endswith("/_bulk") or posted.headers["content-type"] != "application/x-ndjson":
            return Reply(400, b'{"error":"no bulk"}')
        lines = [json.loads(line) for line in posted.body.splitlines()]
        items = [self._item(lines[i]["index"], lines[i + 1]) for i in range(0, len(lines), 2)]
        errors = any(item["index"]["status"] >= 300 for item in items)
        answer = {"took": 1, "errors": errors, "items": items}
        return Reply(200, json.dumps(answer).encode(), {"content-type": "application/json"})

    def _item(self, action: dict[str, str], document: dict[str, Any]) -> dict[str, Any]:
        place = {"_index": action["_index"], "_id": action["_id"]}
        verdict = self.judge(document)
        if verdict is not None:
            status, reason = verdict
            return {"index": {**place, "status": status, "error": {"type": "stub_exception", "reason": reason}}}
        is_new = (action["_index"], action["_id"]) not in self.documents
        self.documents[action["_index"], action["_id"]] = document
        self.ids.append(action["_id"])
        return {"index": {**place, "status": 201 if is_new else 200, "result": "created" if is_new else "updated"}}

    def positions(self, partition: int = 1) -> list[int]:
        """Of the documents, by position."""
        return sorted(d["position"] for d in self.documents.values() if d["partition"] == partition)


@contextmanager
def line_target() -> Iterator[LineTarget]:
    target = LineTarget()
    try:
        yield target
    finally:
        target.hold.set()
        target.stop()


@contextmanager
def bulk_target() -> Iterator[BulkTarget]:
    target = BulkTarget()
    try:
        yield target
    finally:
        target.hold.set()
        target.stop()
