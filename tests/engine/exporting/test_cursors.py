"""A cursor that no log can store is its exporter's fault alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, Record
from engine.core.clock import NS_PER_MS
from engine.exporting.protocol import ExporterContext, Safe
from engine.exporting.retry import RetryPolicy
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import wait_until

FAST = RetryPolicy(first_ns=NS_PER_MS, longest_ns=5 * NS_PER_MS)


class Told:
    """Gives what it is told to as its cursor."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def open(self, context: ExporterContext) -> None:
        return

    def export(self, records: Sequence[Record]) -> Any:
        return self._cursor

    def close(self) -> None:
        return


class ToldLater(Told):
    """Says it later; what `export` returns is nobody's business."""

    def __init__(self, cursor: Any) -> None:
        super().__init__("not a cursor")
        self._later = cursor
        self._position = 0

    def export(self, records: Sequence[Record]) -> Any:
        self._position = records[-1].position
        return super().export(records)

    def acknowledged(self) -> Safe | None:
        return Safe(self._position, self._later) if self._position else None


@pytest.mark.parametrize("storage", ["local", "memory"])
@pytest.mark.parametrize("kind", [Told, ToldLater])
@pytest.mark.parametrize(("cursor", "name"), [(7, "int"), (True, "bool"), ("c", "str")])
def test_it_is_retried_and_seen_while_all_others_go_on(
    cursor: Any, name: str, kind: type[Told], storage: Any, tmp_path: Path
) -> None:
    others = CollectingExporter()
    pipeline = (
        Pipeline("p")
        .source("n", ListSource(range(100)))
        .export("bad", lambda: kind(cursor), retry=FAST)
        .export("good", others.factory)
    )
    with pipeline.run(tmp_path, options=EngineOptions(storage=storage)) as engine:
        assert wait_until(lambda: others.values("record") == [*range(100)])

        def bad() -> Any:
            return next(e for e in engine.snapshot().partitions[0].exporters if e.exporter == "bad")

        assert wait_until(lambda: bad().errors >= 2)
        assert bad().last_error == f"TypeError: the cursor of an exporter is bytes or None, not {name}"
        assert bad().acknowledged_position <= 1, "the engine's own record at most"
        engine.stop(drain=False)
