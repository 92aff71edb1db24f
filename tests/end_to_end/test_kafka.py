"""kill -9 of pipelines that have to do with Kafka: a log on another machine each time, topics in and out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest
from confluent_kafka.cimpl import NewTopic

from engine.core.clock import NS_PER_SECOND
from engine.kafka.client import Cluster, TopicPartition
from engine.kafka.settings import KafkaConnection
from engine.log.codec import decode_batch
from tests.support.kafka_logs import KafkaLogs
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("TEST_SEED", random.randrange(1 << 30)))
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "1"))
VALUES = 20_000


@contextmanager
def running(run: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that runs a pipeline, from the moment that it does."""
    folder = Path(str(arguments[2] if run == "over_kafka" else arguments[3]))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "said").open("a") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.kafka_pipelines", run, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "runs\n", (folder / "said").read_text()[-2000:]
        yield process
    finally:
        process.kill()
        process.wait()


class Found:
    """All that a log in Kafka holds, read from an empty cache."""

    def __init__(self, servers: str, prefix: str, cache: Path) -> None:
        logs = KafkaLogs(servers, cache, partitions=2, topic_prefix=prefix)
        self.state: Counter[str] = Counter()
        self.counted: list[int] = []
        self.timers = 0
        self.behind = 0
        for number in (1, 2):
            storage = logs.storage(number)
            recovered = storage.recover()
            for key, value in storage.state_scan(""):
                self.state[key.split(":")[0]] += msgspec.msgpack.decode(value)
            position = 1
            while batches := storage.read(position, 5000):
                for batch in batches:
                    for record in decode_batch(batch).records:
                        assert record.position == position, "positions are dense"
                        position += 1
                        if record.record_type == "event" and record.value_type == "count":
                            self.counted.append(record.value["n"])
            assert position == recovered.last_position + 1
            self.timers += len(recovered.timers)
            self.behind += sum(recovered.last_position - a.position for a in recovered.acknowledged.values())
            storage.close()


@pytest.mark.timeout(300 + 120 * ROUNDS)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_pipeline_that_is_killed_twice_and_goes_on_elsewhere_loses_and_doubles_nothing(
    kafka: str, tmp_path: Path, round_: int
) -> None:
    print(f"TEST_SEED={SEED}, round {round_}")
    chance = random.Random(SEED + round_)
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    for machine in range(2):
        with running("over_kafka", kafka, prefix, tmp_path / f"machine-{machine}", VALUES, 1):
            Event().wait(chance.uniform(0.1, 1.5))
    last = tmp_path / "last"
    with running("over_kafka", kafka, prefix, last, VALUES, 1) as process:
        assert process.wait(240) == 0, (last / "said").read_text()[-2000:]
    found = Found(kafka, prefix, tmp_path / "look")
    assert sorted(found.counted) == [*range(min(found.counted), min(found.counted) + VALUES)]
    assert found.state["n"] == VALUES
    assert found.state["receive"] == VALUES // 10
    assert found.state["fire"] + found.timers == VALUES // 100
    assert found.behind == 0, "both exporters are done"


class Topic:
    """A topic of a test, with two partitions."""

    def __init__(self, servers: str) -> None:
        self.name = f"t-{uuid.uuid4().hex[:10]}"
        self.cluster = Cluster(KafkaConnection(bootstrap_servers=servers))
        admin = self.cluster.admin()
        admin.create_topics([NewTopic(self.name, 2, 1)])[self.name].result(20)

    def write(self, values: range) -> None:
        producer = self.cluster.idempotent(timeout_ns=20 * NS_PER_SECOND)
        for n in values:
            producer.produce(self.name, json.dumps({"n": n}).encode(), partition=n % 2)
        assert producer.flush(30) == 0

    def read(self) -> list[list[dict[str, Any]]]:
        """What is in each partition, in its order."""
        found: list[list[dict[str, Any]]] = []
        for partition in range(2):
            reader = self.cluster.reader()
            reader.assign([TopicPartition(self.name, partition, 0)])
            found.append([])
            is_over = False
            while not is_over:
                for message in reader.consume(1000, 0.3):
                    is_over = message.error() is not None
                    if not is_over:
                        found[-1].append(json.loads(message.value()))
            reader.close()
        return found


def test_from_a_topic_through_the_local_log_into_another_each_message_is_once_in_the_log_and_in_order_outside(
    kafka: str, tmp_path: Path
) -> None:
    source, target = Topic(kafka), Topic(kafka)
    source.write(range(3000))
    with running("from_topic_to_topic", kafka, source.name, target.name, tmp_path):
        assert wait_until(lambda: any(target.read()), seconds=60)
    source.write(range(3000, 6000))
    with running("from_topic_to_topic", kafka, source.name, target.name, tmp_path):
        wanted = set(range(6000))
        assert wait_until(
            lambda: {line["value"]["n"] for lines in target.read() for line in lines} == wanted, seconds=60
        )
    by_place: dict[tuple[int, int], int] = {}
    for lines in target.read():
        for line in lines:
            place = (line["partition"], line["position"])
            assert by_place.setdefault(place, line["value"]["n"]) == line["value"]["n"]
    assert sorted(by_place.values()) == [*range(6000)], "each is once in the log"
    # In order for each key, but for what was sent again.
    for key in range(7):
        last_new = (0, 0)
        for lines in target.read():
            seen: set[tuple[int, int]] = set()
            for line in (one for one in lines if one["key"] == str(key)):
                place = (line["partition"], line["position"])
                if place not in seen:
                    assert place > last_new
                    last_new = place
                seen.add(place)


def test_an_instance_whose_partitions_are_taken_over_says_by_whom_and_ends(kafka: str, tmp_path: Path) -> None:
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    first = tmp_path / "first"
    with (
        running("over_kafka", kafka, prefix, first, 50_000_000, 1) as process,
        running("over_kafka", kafka, prefix, tmp_path / "second", 50_000_000, 1) as second,
    ):
        assert process.wait(60) == 1
        assert second.poll() is None
    said = (first / "said").read_text()
    assert "belongs to instance" in said
    assert "what was not committed here is dropped" in said
