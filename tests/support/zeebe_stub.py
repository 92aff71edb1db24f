"""Brokers in the shapes that Zeebe's public documentation describes: metrics of both generations, and the endpoint."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from penstock.bridges.asking import LookError


@dataclass
class Partition:
    """What the leader of a partition says of it, and what is configured."""

    committed: int = 1000
    exporters: dict[str, int] = field(default_factory=lambda: {"elasticsearch": 900})
    exporter_state: int = 0
    limit: float = 4000.0
    maximum: float = 4000.0
    refused_writes: int = 0
    refused_requests: int = 0
    in_flight: int = 3
    request_limit: int = 100
    exporting_rate: float = 120.5
    acceptable_backlog: int = 100_000


class Cluster:
    """Brokers by number, each with its roles; the endpoint is the same on all of them."""

    def __init__(self, partitions: int = 2, *, generation: str = "new") -> None:
        self.partitions = {number: Partition() for number in range(1, partitions + 1)}
        self.generation = generation
        # Broker to the partitions it leads.
        self.leads: dict[int, set[int]] = {0: set(self.partitions), 1: set()}
        self.write: dict[str, Any] = {
            "enabled": True,
            "limit": 4000,
            "rampUp": 0.0,
            "throttling": {"enabled": True, "acceptableBacklog": 100_000, "minRate": 100, "resolution": 15.0},
        }
        self.posted: list[Any] = []
        self.down: set[int] = set()
        self.refuses = False

    def requests(self) -> list[Any]:
        return [lambda method, path, body, broker=n: self._answer(broker, method, path, body) for n in self.leads]

    def _answer(self, broker: int, method: str, path: str, body: bytes | None) -> bytes:
        if broker in self.down:
            raise LookError("unreachable", f"http://broker-{broker}:9600{path} cannot be asked: connection refused")
        if path == "/actuator/prometheus":
            return self._metrics(broker).encode()
        assert path == "/actuator/flowControl"
        if method == "POST":
            if self.refuses:
                raise LookError("status", f"http://broker-{broker}:9600{path} answers 500")
            assert body is not None
            sent = json.loads(body)
            self.posted.append(sent)
            # As documented: what is left out takes its default, and minimumLimit comes back as minRate.
            throttling = {"enabled": False, "acceptableBacklog": 100_000, "minimumLimit": 100, "resolution": 15.0}
            write = {"enabled": False, "limit": 0, "rampUp": 0.0, **sent["write"]}
            throttling |= sent["write"].get("throttling", {})
            throttling["minRate"] = throttling.pop("minimumLimit")
            self.write = {**write, "throttling": throttling}
        return json.dumps(self._limits()).encode()

    def _limits(self) -> dict[str, Any]:
        limiter = {"limit": 100, "minLimit": 1, "maxLimit": 1000, "backoffRatio": 0.9, "expectedRTT": 200000000}
        found = {}
        for number, partition in self.partitions.items():
            write = json.loads(json.dumps(self.write))
            if partition.acceptable_backlog != 100_000:
                write["throttling"]["acceptableBacklog"] = partition.acceptable_backlog
            found[str(number)] = {"requestLimiter": limiter, "writeRateLimit": write}
        return found

    def _metrics(self, broker: int) -> str:
        flow = "zeebe_flow_control_total" if self.generation == "new" else "zeebe_flow_control_outcome_total"
        lines = ["# HELP zeebe_log_appender_last_committed_position told", "jvm_threads_live_threads 42.0"]
        for number, one in self.partitions.items():
            leads = number in self.leads[broker]
            at, committed = f'partition="{number}"', one.committed if leads else one.committed - 50
            # A follower knows an older position, and a former leader's gauges go on to stand.
            lines += [
                f'atomix_role{{{at},partitionGroup="raft-partition"}} {3.0 if leads else 1.0}',
                f"zeebe_log_appender_last_committed_position{{{at}}} {committed}.0",
                f"zeebe_flow_control_write_rate_limit{{{at}}} {one.limit if leads else 250.0}",
                f"zeebe_flow_control_write_rate_maximum{{{at}}} {one.maximum}",
                f"zeebe_flow_control_exporting_rate{{{at}}} {one.exporting_rate}",
                f"zeebe_flow_control_partition_load{{{at}}} 12.5",
                f"zeebe_backpressure_requests_limit{{{at}}} {one.request_limit}.0",
                f"zeebe_backpressure_inflight_requests_count{{{at}}} {one.in_flight}.0",
                f"zeebe_stream_processor_last_processed_position{{{at}}} {one.committed - 5}.0",
                f"zeebe_exporter_state{{{at}}} {one.exporter_state}.0",
                f'zeebe_exporter_events_total{{action="exported",{at},valueType="JOB"}} 880.0',
                f'{flow}{{context="userCommand",outcome="accepted",{at}}} 700.0',
                f'{flow}{{context="processingResult",outcome="accepted",{at}}} 300.0',
                f'{flow}{{context="userCommand",outcome="writeRateLimitExhausted",{at}}} {one.refused_writes}.0',
                f'{flow}{{context="userCommand",outcome="requestLimitExhausted",{at}}} {one.refused_requests}.0',
                f"zeebe_flow_control_something_else{{{at}}} NaN",
            ]
            lines += [
                f'zeebe_exporter_last_updated_exported_position{{exporter="{name}",{at}}} {position}.0'
                for name, position in one.exporters.items()
            ]
        return "\n".join(lines) + "\n"
