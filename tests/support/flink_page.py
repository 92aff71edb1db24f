"""Flink's own web dashboard, as it comes in its jar, with another server behind it than Flink's."""

from __future__ import annotations

import mimetypes
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Passed:
    """What the dashboard asked for and what it got: path and status of all but its own files."""

    url: str
    answers: list[tuple[str, int]] = field(default_factory=list)

    @property
    def refused(self) -> list[tuple[str, int]]:
        return [(path, status) for path, status in self.answers if status >= 400]


@contextmanager
def dashboard(files: Path, behind: str) -> Iterator[Passed]:
    """Serves the files, and passes on every other GET."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            file = files / (path.lstrip("/") or "index.html")
            if file.is_file():
                self._answer(200, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes())
                return
            try:
                with opener.open(behind + self.path, timeout=30) as answer:
                    status, kind, body = answer.status, answer.headers["Content-Type"], answer.read()
            except urllib.error.HTTPError as error:
                status, kind, body = error.code, error.headers["Content-Type"], error.read()
            passed.answers.append((self.path, status))
            self._answer(status, kind, body)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # A page that goes away does not wait for its answers.
            with suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    passed = Passed(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield passed
    finally:
        server.shutdown()
        server.server_close()
