"""Pushes every few seconds, from a thread of its own that nobody ever waits for."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from threading import Event, Thread
from types import TracebackType
from typing import Self

from exporter.catalogue import PUSH_OUTCOMES
from exporter.door import NS_PER_SECOND, Clock, SnapshotSource, SystemClock, imported_with
from exporter.otlp.settings import OtlpSettings, secrets_of
from exporter.otlp.standing import Standing, overheard
from exporter.scraper import Scraper

with imported_with("otlp", "opentelemetry"):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
    from opentelemetry.sdk.resources import Resource

    from exporter.otlp.points import metrics_data, resource

_COMPRESSIONS = {"gzip": Compression.Gzip, "none": Compression.NoCompression}
# The last push, when the engine has ended; an exit must not wait longer.
_LAST_SECONDS_MAX = 2.0
_log = logging.getLogger("penstock.otlp")
_LIBRARY_LOG = "opentelemetry.exporter.otlp.proto.http.metric_exporter"


class OtlpPusher:
    """Pushes all metrics of one engine, from `start` to `stop`, which are for one thread.

    A push that fails is tried again with growing pauses, or after the pause that the collector asks for, until
    `timeout_ns` is over; then the next one has everything, because all counts are since the start. So nothing is
    queued, and an interval that a slow push overran is left out and counted.
    """

    def __init__(self, engine: SnapshotSource, settings: OtlpSettings, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._settings = settings
        self._scraper = Scraper(engine, clock=self._clock)
        self._exporter = OTLPMetricExporter(
            endpoint=settings.url,
            timeout=settings.timeout_ns / NS_PER_SECOND,
            compression=_COMPRESSIONS[settings.compression],
            headers=dict(settings.headers),
        )
        # Written by the pushing thread alone.
        self._outcomes: Counter[str] = Counter(dict.fromkeys(PUSH_OUTCOMES, 0))
        self._standing = Standing(
            "metrics", settings.url, consequence="it is tried again and again", secrets=secrets_of(settings)
        )
        self._resource: Resource | None = None
        self._stop = Event()
        self._thread = Thread(target=self._run, name="penstock-otlp", daemon=True)

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How pushes ended, since the start: `success`, `failure`, `skipped`."""
        return dict(self._outcomes)

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Pushes what came since the last push, if the collector can be reached, and ends. May be repeated."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LAST_SECONDS_MAX)
            # Ends a try that is still under way.
            self._exporter.shutdown()

    def push(self) -> bool:
        """One push, now; False if it failed. Never raises: who watches must not disturb who runs."""
        try:
            data = self._scraper.read(lambda reading: metrics_data(reading, self._who(reading.pipeline)))
            is_done, reason = self._export(data)
        except Exception as error:
            _log.debug("a push failed", exc_info=True)
            is_done, reason = False, f"{type(error).__name__}: {error}"
        self._outcomes["success" if is_done else "failure"] += 1
        self._standing.succeeded() if is_done else self._standing.failed(reason)
        return is_done

    def _export(self, data: MetricsData) -> tuple[bool, str]:
        with overheard(_LIBRARY_LOG) as heard:
            is_done = self._exporter.export(data) is MetricExportResult.SUCCESS
        return is_done, heard.reason

    def _run(self) -> None:
        due_ns = self._clock.monotonic_ns()
        while not self._stop.is_set():
            self.push()
            now_ns = self._clock.monotonic_ns()
            overrun = (now_ns - due_ns) // self._settings.interval_ns
            self._outcomes["skipped"] += overrun
            due_ns += self._settings.interval_ns * (overrun + 1)
            self._stop.wait((due_ns - now_ns) / NS_PER_SECOND)
        # A collector that was away a moment ago is not waited for.
        if not self._standing.is_failing:
            self.push()

    def _who(self, pipeline: str) -> Resource:
        if self._resource is None:
            self._resource = resource(pipeline)
        return self._resource

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
