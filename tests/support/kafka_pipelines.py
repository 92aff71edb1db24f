"""A pipeline over a log in Kafka, run in a process of its own: `python -m tests.support.kafka_pipelines RUN…`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.core.errors import TaskFailedError
from engine.core.records import Record
from engine.exporting.jsonl import jsonl
from engine.exporting.kafka import kafka
from engine.exporting.protocol import RecordFilter
from engine.kafka.settings import KafkaConnection
from engine.options import EngineOptions
from engine.processing.protocol import ProcessingContext
from engine.runtime.engine import Engine
from engine.runtime.pipeline import Pipeline
from engine.sources.kafka import kafka_partitions
from engine.sources.protocol import SourceBatch, SourceStart
from tests.support.kafka_logs import log_settings


class Numbers:
    """The same values on every machine, which the engine's own generator does not promise: it is one a machine."""

    prompt = True

    def __init__(self, count: int) -> None:
        self._count = count

    def describe(self) -> str:
        return f"{self._count} numbers"

    def check(self) -> None:
        return

    def open(self, start: SourceStart) -> None:
        self._at = start.offset

    def read(self, max_values: int) -> SourceBatch | None:
        first = self._at + 1
        if first > self._count:
            return None
        self._at = min(self._at + max_values, self._count)
        return SourceBatch(first, [{"n": n, "key": f"key-{n * 7919 % 50}"} for n in range(first, self._at + 1)])

    def close(self) -> None:
        return


class Counting:
    """Counts by key; every tenth value is told to another partition, every hundredth sets a timer."""

    def process(self, record: Record, context: ProcessingContext) -> None:
        state = context.state
        if record.intent in ("receive", "fire"):
            state.put(record.intent, state.get(record.intent, 0) + 1)
            return
        n = record.value["n"]
        count = state.get(f"n:{record.key}", 0) + 1
        state.put(f"n:{record.key}", count)
        context.emit("count", {"key": record.key, "count": count, "n": n})
        if n % 10 == 0:
            context.send(f"key-{n // 10 % 50}", "note", {"from": n})
        if n % 100 == 0:
            context.schedule(0.2, "note", {"at": n})


def over_kafka(servers: str, prefix: str, folder: str, count: str, copies: str) -> Engine:
    """Made-up records through a processor into two files of each partition; the log is in the cluster."""
    base = Path(folder)
    pipeline = (
        Pipeline("counting", partitions=2)
        .source("made", Numbers(int(count)))
        .key_by("key")
        .process(Counting)
        .export("first", jsonl(base / "first-{partition}.jsonl"))
        .export("second", jsonl(base / "second-{partition}.jsonl"))
    )
    settings = log_settings(
        servers,
        topic_prefix=prefix,
        replication_factor=int(copies),
        min_insync_replicas=min(2, int(copies)),
    )
    options = EngineOptions(storage="kafka", kafka=settings, retained_records=None)
    return Engine(pipeline, base, options=options)


def from_topic_to_topic(servers: str, source: str, target: str, folder: str) -> Engine:
    """A topic into the local log, and out of it into another topic. Goes on until it is killed."""
    connection = KafkaConnection(bootstrap_servers=servers)
    pipeline = Pipeline("through", partitions=2).key_by(lambda value: str(value["n"] % 7))
    for number, one in enumerate(kafka_partitions(connection, source, partitions=2), 1):
        pipeline.source(f"in-{number}", one)
    # Without what the engine writes for itself.
    pipeline.export("out", kafka(connection, target), filter=RecordFilter(value_types=frozenset({"record"})))
    return Engine(pipeline, Path(folder), options=EngineOptions(run_forever=True, retained_records=None))


RUNS: dict[str, Callable[..., Engine]] = {"over_kafka": over_kafka, "from_topic_to_topic": from_topic_to_topic}


def main(arguments: list[Any]) -> None:
    import logging

    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    engine = RUNS[arguments[0]](*arguments[1:])
    engine.start()
    print("runs", flush=True)
    try:
        engine.wait()
    except TaskFailedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
