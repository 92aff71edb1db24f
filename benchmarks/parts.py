"""A processor and an exporter that cost next to nothing, so that what is measured is the engine."""

from __future__ import annotations

from engine import ProcessingContext, Record


class Echo:
    """Each command has one result."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)


class Nowhere:
    """Takes everything; the engine sets its pace."""

    def open(self, context: object) -> None:
        return

    def export(self, records: object) -> None:
        return

    def close(self) -> None:
        return
