"""Answers that a real Flink gave, by path, and ways to change them; in place of its REST API."""

from __future__ import annotations

import copy
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from engine.core.clock import NS_PER_MS, ManualClock
from penstock.bridges.asking import LookError
from penstock.bridges.flink_rest.cluster import FlinkBridge, FlinkSettings

CAPTURES = Path(__file__).parents[1] / "contracts" / "flink"
VERSIONS = ("1.20.1", "1.9.3")


@cache
def _captured(version: str) -> dict[str, Any]:
    return json.loads((CAPTURES / f"rest-{version}.json").read_text())  # type: ignore[no-any-return]


class CapturedFlink:
    """Answers as Flink `version` did, until a test changes what it says."""

    def __init__(self, version: str) -> None:
        self.answers: dict[str, Any] = {
            key.removeprefix("GET "): copy.deepcopy(answer)
            for key, answer in _captured(version).items()
            if key.startswith("GET ") and "(first call)" not in key
        }
        self.first_calls = {
            key.removeprefix("GET ").removesuffix(" (first call)"): answer["body"]
            for key, answer in _captured(version).items()
            if "(first call)" in key
        }
        # How often each path was asked for.
        self.asked: Counter[str] = Counter()
        # Raised instead of any answer, where one is set.
        self.error: LookError | None = None

    def get(self, path: str) -> Any:
        self.asked[path] += 1
        if self.error is not None:
            raise self.error
        answer = self.answers.get(path, {"status": 404, "body": None})
        if answer["status"] == 404:
            raise LookError("gone", f"there is nothing at {path}")
        if answer["status"] != 200:
            raise LookError("status", f"{path} answers {answer['status']}")
        return copy.deepcopy(answer["body"])

    def jobs(self) -> dict[str, str]:
        """Name to id."""
        return {job["name"]: job["jid"] for job in self.answers["/jobs/overview"]["body"]["jobs"]}

    def body(self, path: str) -> Any:
        """What is answered there, to be changed."""
        return self.answers[path]["body"]

    def back_pressure(self, job: str, task: str) -> str:
        """The path of a task's back pressure."""
        job_id = self.jobs()[job]
        (vertex,) = (v for v in self.body(f"/jobs/{job_id}")["vertices"] if v["name"] == task)
        return f"/jobs/{job_id}/vertices/{vertex['id']}/backpressure"

    def advance(self, seconds: float) -> None:
        """Flink's own clock goes on; what it measured does not."""
        for name, job_id in self.jobs().items():
            del name
            self.body(f"/jobs/{job_id}")["now"] += round(1000 * seconds)

    def bridge(self, clock: ManualClock | None = None, **settings: Any) -> FlinkBridge:
        """One that looks only when told to, with its clock at Flink's time."""
        now_ms = max(self.body(f"/jobs/{job_id}")["now"] for job_id in self.jobs().values())
        return FlinkBridge(
            FlinkSettings(url="http://user:secret@flink.example:8081", **settings),
            clock=clock or ManualClock(wall_ns=now_ms * NS_PER_MS),
            get=self.get,
        )
