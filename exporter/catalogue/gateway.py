"""The gateway: what came in over HTTP, how it was answered and how long that took. Absent without a gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.core.snapshot import EngineSnapshot, GatewaySnapshot
from exporter.catalogue.labels import CODE, PIPELINE
from exporter.catalogue.metric import Combine, Kind, Metric, Sample, Unit, Value

# From a commit that others share to the time after which a request is cut off.
GATEWAY_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _of_gateway(value: Callable[[GatewaySnapshot], Value]) -> Callable[[EngineSnapshot], Iterable[Sample]]:
    """One series."""

    def read(snapshot: EngineSnapshot) -> Iterable[Sample]:
        if snapshot.gateway is not None:
            yield (snapshot.pipeline,), value(snapshot.gateway)

    return read


def _requests(snapshot: EngineSnapshot) -> Iterable[Sample]:
    if snapshot.gateway is not None:
        for code, requests in snapshot.gateway.requests.items():
            yield (snapshot.pipeline, str(code)), requests


GATEWAY_REQUESTS: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_requests_total",
    kind=Kind.COUNTER,
    unit=Unit.REQUESTS,
    labels=(PIPELINE, CODE),
    help="Requests that the gateway answered, by status; a connection that is turned away counts as a 503. Absent "
    "without a gateway.",
    combine=Combine.SUM,
    read=_requests,
)
GATEWAY_RECORDS: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_records_total",
    kind=Kind.COUNTER,
    unit=Unit.RECORDS,
    labels=(PIPELINE,),
    help="Records that the gateway brought into the log; those of requests that failed half-way too. Absent without "
    "a gateway.",
    combine=Combine.SUM,
    read=_of_gateway(lambda gateway: gateway.records),
)
GATEWAY_BYTES: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_received_bytes_total",
    kind=Kind.COUNTER,
    unit=Unit.BYTES,
    labels=(PIPELINE,),
    help="Bytes of the bodies that the gateway read to their end. Absent without a gateway.",
    combine=Combine.SUM,
    read=_of_gateway(lambda gateway: gateway.received_bytes),
)
GATEWAY_CONNECTIONS: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_connections",
    kind=Kind.GAUGE,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Connections to the gateway that are open. Absent without a gateway.",
    combine=Combine.SUM,
    read=_of_gateway(lambda gateway: gateway.connections),
)
GATEWAY_REFUSED: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_refused_connections_total",
    kind=Kind.COUNTER,
    unit=Unit.NONE,
    labels=(PIPELINE,),
    help="Connections to the gateway that found no place, or lost theirs to another while they rested. Absent without "
    "a gateway.",
    combine=Combine.SUM,
    read=_of_gateway(lambda gateway: gateway.refused_connections),
)
GATEWAY_MALFORMED: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_malformed_requests_total",
    kind=Kind.COUNTER,
    unit=Unit.REQUESTS,
    labels=(PIPELINE,),
    help="What came to the gateway and was no HTTP, or had too long a head. Absent without a gateway.",
    combine=Combine.SUM,
    read=_of_gateway(lambda gateway: gateway.malformed_requests),
)
GATEWAY_DURATION: Metric[EngineSnapshot] = Metric(
    name="penstock_gateway_request_duration_seconds",
    kind=Kind.HISTOGRAM,
    unit=Unit.SECONDS,
    labels=(PIPELINE,),
    help="Time from the head of a request to its answer: reading the body, waiting for a thread, parsing and the "
    "commit. Absent without a gateway.",
    combine=Combine.SUM,
    read=_of_gateway(lambda gateway: gateway.duration),
    buckets=GATEWAY_BOUNDS_SECONDS,
)

METRICS: tuple[Metric[EngineSnapshot], ...] = (
    GATEWAY_REQUESTS,
    GATEWAY_RECORDS,
    GATEWAY_BYTES,
    GATEWAY_CONNECTIONS,
    GATEWAY_REFUSED,
    GATEWAY_MALFORMED,
    GATEWAY_DURATION,
)
