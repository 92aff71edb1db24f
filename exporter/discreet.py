"""An engine that is looked at without its secrets: user code that fails may say what it was configured with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from engine.core.snapshot import EngineSnapshot, PartitionSnapshot
from exporter.door import EngineDoor, Secrets


def without(secrets: Secrets, engine: EngineDoor) -> EngineDoor:
    """The same engine, in whose snapshots no text holds one of `secrets`."""
    return cast(EngineDoor, _Discreet(engine, secrets)) if secrets.texts else engine


class _Discreet:
    def __init__(self, engine: EngineDoor, secrets: Secrets) -> None:
        self._engine = engine
        self._secrets = secrets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def snapshot(self) -> EngineSnapshot:
        snapshot = self._engine.snapshot()
        partitions = tuple(map(self._partition, snapshot.partitions))
        return replace(snapshot, failure=self._hidden(snapshot.failure), partitions=partitions)

    def _partition(self, partition: PartitionSnapshot) -> PartitionSnapshot:
        if partition.append_error is None and all(e.last_error is None for e in partition.exporters):
            return partition
        return replace(
            partition,
            append_error=self._hidden(partition.append_error),
            exporters=tuple(replace(e, last_error=self._hidden(e.last_error)) for e in partition.exporters),
        )

    def _hidden(self, text: str | None) -> str | None:
        return None if text is None else self._secrets.hide(text)
