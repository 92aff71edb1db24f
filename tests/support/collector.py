"""An OpenTelemetry collector for tests: takes what is pushed to it, decodes it, and fails when it is told to."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.waiting import WAIT_SECONDS


class Collector:
    """Listens from `with` to its end."""

    def __init__(self, port: int = 0) -> None:
        self.pushed: list[ExportMetricsServiceRequest] = []
        self.traced: list[ExportTraceServiceRequest] = []
        # Of each request, in order, also of those that were refused.
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        # The status of the next answers, one each, and 200 when there is none left.
        self.statuses: list[int] = []
        self.retry_after: str | None = None
        # Called before each answer; may block.
        self.before: Callable[[], None] = lambda: None
        handler = type("_Handler", (_Handler,), {"collector": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """All that arrived, in this order."""
        return [
            span
            for request in list(self.traced)
            for of_resource in request.resource_spans
            for of_scope in of_resource.scope_spans
            for span in of_scope.spans
        ]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class Hang:
    """For `Collector.before`: answers nobody until it may."""

    def __init__(self) -> None:
        self._asked = threading.Semaphore(0)
        self._may_answer = threading.Event()

    def __call__(self) -> None:
        self._asked.release()
        self._may_answer.wait(100)

    def was_asked(self) -> bool:
        """Waits for a request that was not told of yet; it has no answer."""
        return self._asked.acquire(timeout=WAIT_SECONDS)

    def end(self) -> None:
        self._may_answer.set()


class _Handler(BaseHTTPRequestHandler):
    collector: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.collector.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.collector.paths.append(self.path)
        self.collector.before()
        status = self.collector.statuses.pop(0) if self.collector.statuses else 200
        if status == 200 and self.path.endswith("/traces"):
            self.collector.traced.append(ExportTraceServiceRequest.FromString(body))
        elif status == 200:
            self.collector.pushed.append(ExportMetricsServiceRequest.FromString(body))
        self.send_response(status)
        if self.collector.retry_after is not None:
            self.send_header("Retry-After", self.collector.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return
