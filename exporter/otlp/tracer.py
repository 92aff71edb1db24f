"""One span for each processed batch, pushed from a thread of its own that no task ever waits for."""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Mapping
from threading import Event, Lock, Thread
from typing import Self

from exporter.catalogue import SPAN_OUTCOMES
from exporter.door import NS_PER_SECOND, Mark, ProcessedBatch, imported_with, shown_address
from exporter.otlp.settings import TraceSettings, secrets_of
from exporter.otlp.standing import Standing, overheard

with imported_with("otlp", "opentelemetry"):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    from exporter.otlp.spans import Identity, span_of, tracing_resource

_COMPRESSIONS = {"gzip": Compression.Gzip, "none": Compression.NoCompression}
# A span waits for others this long, unless so many have come.
_GATHER_SECONDS = 1.0
_PUSH_SPANS = 512
# The last push, when the engine has ended; an exit must not wait longer.
_LAST_SECONDS_MAX = 2.0
_GIVING_UP_SECONDS_MAX = 0.5
_TRACE_ID_BITS = 128
_SPAN_ID_BITS = 64
_LIBRARY_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_log = logging.getLogger("penstock.otlp")


class BatchTracer:
    """Observes the batches of one process, from `start` to `close`.

    A task only puts a batch into the queue; the span is made of it where it is pushed. (Made with OpenTelemetry's
    tracer, it would cost the task four times as much.) A full queue drops what comes, a push that fails for
    `timeout_ns` loses what it had; both are counted.
    """

    def __init__(self, pipeline: str, settings: TraceSettings) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._exporter = OTLPSpanExporter(
            endpoint=settings.url,
            timeout=settings.timeout_ns / NS_PER_SECOND,
            compression=_COMPRESSIONS[settings.compression],
            headers=dict(settings.headers),
        )
        self._resource = tracing_resource(pipeline)
        # Its own: user code may seed the one that all share, and several processes would draw the same identifiers.
        self._random = random.Random()
        # The rule of OpenTelemetry's samplers: the lower half of the trace identifier lies below it.
        self._bound = round(settings.ratio * (1 << _SPAN_ID_BITS))
        # A push is due when so many wait: a full one, or half of a queue that has no room for it.
        self._due_spans = max(1, min(_PUSH_SPANS, settings.queue_spans // 2))
        self._lock = Lock()
        # Guarded by the lock.
        self._queue: deque[tuple[Identity, ProcessedBatch]] = deque()
        self._outcomes: Counter[str] = Counter(dict.fromkeys(SPAN_OUTCOMES, 0))
        self._closed = Event()
        # Set when a push is due before its time.
        self._due = Event()
        self._standing = Standing(
            "spans", settings.url, consequence="those of pushes that fail are lost", secrets=secrets_of(settings)
        )
        self._thread = Thread(target=self._run, name="penstock-traces", daemon=True)

    def start(self) -> Self:
        self._thread.start()
        _log.info("spans of processed batches are pushed to %s", shown_address(self._settings.url))
        return self

    # -- as an observer ---

    def processed(self, batch: ProcessedBatch) -> Mark | None:
        """Queues a span; None when it is not sampled or there is no room."""
        trace_id = self._random.getrandbits(_TRACE_ID_BITS)
        if trace_id & ((1 << _SPAN_ID_BITS) - 1) >= self._bound:
            return None
        # An identifier of zeros is none.
        identity = Identity(trace_id or 1, self._random.getrandbits(_SPAN_ID_BITS) or 1)
        with self._lock:
            waiting = len(self._queue)
            if waiting >= self._settings.queue_spans or self._closed.is_set():
                self._outcomes["dropped"] += 1
                return None
            self._queue.append((identity, batch))
        if waiting + 1 >= self._due_spans:
            self._due.set()
        return identity.mark

    def counts(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._outcomes)

    def close(self) -> None:
        """Pushes what waits, if the collector can be reached, and drops the rest. May be repeated."""
        with self._lock:
            self._closed.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS_MAX)
            # Ends a try that is still under way.
            self._exporter.shutdown()  # type: ignore[no-untyped-call]
            self._thread.join(_GIVING_UP_SECONDS_MAX)
        with self._lock:
            self._outcomes["dropped"] += len(self._queue)
            self._queue.clear()

    # -- pushing ---

    def _run(self) -> None:
        while not self._closed.is_set():
            self._due.wait(_GATHER_SECONDS)
            self._due.clear()
            # A collector that was away a moment ago is not waited for at the end.
            while not (self._closed.is_set() and self._standing.is_failing) and (batches := self._take()):
                self._push(batches)
        if not self._standing.is_failing:
            while batches := self._take():
                self._push(batches)

    def _take(self) -> list[tuple[Identity, ProcessedBatch]]:
        with self._lock:
            return [self._queue.popleft() for _ in range(min(_PUSH_SPANS, len(self._queue)))]

    def _push(self, batches: list[tuple[Identity, ProcessedBatch]]) -> None:
        """Never raises: who watches must not disturb who runs, and the next push may fare better."""
        try:
            spans = [span_of(batch, identity, self._pipeline, self._resource) for identity, batch in batches]
            with overheard(_LIBRARY_LOG) as heard:
                is_done = self._exporter.export(spans) is SpanExportResult.SUCCESS
            reason = heard.reason
        except Exception as error:
            _log.debug("a push failed", exc_info=True)
            is_done, reason = False, f"{type(error).__name__}: {error}"
        with self._lock:
            self._outcomes["success" if is_done else "failure"] += len(batches)
        self._standing.succeeded() if is_done else self._standing.failed(reason)
