"""What an operator sees of a running engine: its log lines, its management port, its metrics over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine import Engine
from exporter.door import Clock
from exporter.management import ManagementServer


class Lookout:
    """Asks as an operator would, from outside; knows nothing of the engine but its port and its log."""

    def __init__(self, api: httpx.Client, log: pytest.LogCaptureFixture) -> None:
        self._api = api
        self._log = log

    def lines(self, part: str = "") -> list[str]:
        """What the engine has said at WARNING or above, as far as it holds `part`.

        Without one, lines about a record that takes long are left out: on a busy machine any may.
        """
        said = [
            record.getMessage()
            for record in self._log.get_records("call")
            if record.name.startswith("penstock") and record.levelno >= logging.WARNING
        ]
        return [line for line in said if (part in line if part else not line.startswith("the processor of partition"))]

    def get(self, path: str) -> Any:
        return self._api.get(path).json()

    def health(self) -> tuple[int, str, str, list[str]]:
        """HTTP status, status, reason and notes of the whole."""
        answer = self._api.get("/actuator/health")
        details = answer.json()["details"]
        return answer.status_code, answer.json()["status"], details["reason"], details.get("notes", [])

    def notes(self) -> list[str]:
        return self.health()[3]

    def is_alive(self) -> bool:
        return self._api.get("/actuator/health/liveness").status_code == 200

    def is_ready(self) -> bool:
        return self._api.get("/actuator/health/readiness").status_code == 200

    def subtasks(self, task: str) -> list[dict[str, Any]]:
        """What /api/back-pressure says of each subtask."""
        (found,) = (seen for seen in self.get("/api/back-pressure")["tasks"] if seen["task"] == task)
        subtasks: list[dict[str, Any]] = found["subtasks"]
        return subtasks

    def metric(self, name: str, **labels: str) -> float | None:
        """The sum of the samples of that name and these labels in one scrape; None when there is none."""
        text = self._api.get("/metrics").text
        found = [
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    def count(self, name: str, **labels: str) -> float:
        """Like `metric`, of one that must be there."""
        value = self.metric(name, **labels)
        assert value is not None, f"{name} {labels} is told"
        return value


@contextmanager
def looking_at(engine: Engine, log: pytest.LogCaptureFixture, *, clock: Clock | None = None) -> Iterator[Lookout]:
    """Opens the management port of an engine that may run or not."""
    with (
        log.at_level(logging.INFO, "penstock"),
        ManagementServer(engine, port=0, clock=clock) as server,
        httpx.Client(base_url=server.url, timeout=30) as api,
    ):
        yield Lookout(api, log)
