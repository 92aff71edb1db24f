"""Every operation there is, for a stranger, a reader and one who may change, in every state of engine and rights."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from engine import Engine, EngineOptions, Exporter, ExporterContext, Pipeline, Record
from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineState
from engine.log.memory import MemoryStorage
from engine.log.storage import LogStorage
from exporter.management import ManagementServer
from exporter.management.access import SAFE_METHODS
from exporter.management.openapi.document import described
from exporter.web_config import Access, Right, WebConfig
from tests.support.pipelines import CollectingExporter
from tests.support.waiting import WAIT_SECONDS, wait_until
from tests.support.web_config import with_users, write

LIMIT = {"write": {"enabled": True, "limit": 777}}
USERS = {"stranger": None, "reader": ("bob", "bob's word"), "changer": ("alice", "alice's word")}
STATES = ("starting", "running", "draining", "after a broken reload")


@contextmanager
def port_in(state: str, folder: Path) -> Iterator[tuple[str, Engine]]:
    """A port with users before an engine in this state; its data is in memory."""
    may_go = threading.Event()
    is_held = threading.Event()

    def storage(partition: int) -> LogStorage:
        if state == "starting" and partition == 2:
            is_held.set()
            assert may_go.wait(WAIT_SECONDS)
        return MemoryStorage()

    class Slow:
        """Holds a drain up."""

        def open(self, _context: ExporterContext) -> None:
            pass

        def export(self, _records: Sequence[Record]) -> None:
            is_held.set()
            assert may_go.wait(WAIT_SECONDS)

        def close(self) -> None:
            pass

    factory: Callable[[], Exporter] = Slow if state == "draining" else CollectingExporter().factory
    pipeline = Pipeline("p", partitions=2).key_by("k").export("all", factory)
    options = EngineOptions(run_forever=True, drain_timeout_ns=20 * NS_PER_SECOND)
    engine = Engine(pipeline, folder / "data", options=options, storage=storage)
    file = with_users(folder, "alice", "bob")
    access = Access(WebConfig(file), {"alice": Right.CHANGE})
    acts = threading.Thread(target=engine.start)
    acts.start()
    if state == "starting":
        assert is_held.wait(WAIT_SECONDS)
    else:
        acts.join(WAIT_SECONDS)
    if state == "draining":
        engine.write([{"k": "a"}])
        assert is_held.wait(WAIT_SECONDS)
        acts = threading.Thread(target=engine.stop)
        acts.start()
        assert wait_until(lambda: engine.state is EngineState.STOPPING)
    if state == "after a broken reload":
        write(file, "basic_auth_users:\n")
    try:
        with ManagementServer(engine, port=0, access=access) as server:
            yield server.url, engine
    finally:
        may_go.set()
        acts.join(WAIT_SECONDS)
        engine.stop(drain=False)


@pytest.mark.parametrize("state", STATES)
def test_each_operation_answers_each_user_as_the_rights_and_the_state_say(tmp_path: Path, state: str) -> None:
    seen: Counter[tuple[str, int]] = Counter()
    with port_in(state, tmp_path) as (url, engine), httpx.Client(base_url=url, timeout=20) as client:
        names = {
            "jobid": engine.snapshot().job_id,
            "vertexid": "0" * 32,
            "subtaskindex": "0",
            "attempt": "0",
            "name": "all",
            "path": "x",
        }
        for who, auth in USERS.items():
            for operation in described():
                path = operation.path
                for name, value in names.items():
                    path = path.replace(f"{{{name}}}", value)
                changes = operation.method.upper() not in SAFE_METHODS
                body = LIMIT if operation.body is not None else None
                with client.stream(operation.method, path, json=body, auth=auth) as answer:
                    status = answer.status_code
                    after = answer.headers.get("retry-after")
                what = f"{who}: {operation.method} {path} while {state} -> {status}"
                seen[who, status] += 1
                if who == "stranger":
                    assert status == 401, what
                elif who == "reader" and changes:
                    assert status == 403, what
                elif changes and path.startswith("/api/instances"):
                    # This pipeline runs as one, in every state.
                    assert status == 404, what
                elif changes and state in ("starting", "draining"):
                    assert (status, after) == (503, "1" if state == "starting" else "5"), what
                elif changes:
                    # The vertex that is asked for is not there.
                    # Nothing was set aside, and nobody is sampled: there is nothing of that name.
                    empty = "back-pressure" in path or "/api/rejects/" in path
                    assert status in (200, 202, 204) or (status == 404 and empty), what
                else:
                    assert status in (200, 404, 503), what
                    assert status != 503 or state == "starting" or path in ("/-/ready", "/actuator/health/readiness"), (
                        what
                    )
        if state in ("starting", "draining"):
            assert not any(p.flow.overridden for p in engine.snapshot().partitions)
    print(f"{state}: {dict(sorted(seen.items()))}, {len(described())} operations")
