"""Several `penstock run` over one Kafka: a topic feeds them, a client writes through all, and the log says the rest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka.cimpl import NewTopic

from engine.core.clock import NS_PER_SECOND
from engine.kafka.client import Cluster, TopicPartition
from engine.kafka.settings import KafkaConnection
from engine.log.codec import decode_batch
from engine.log.kafka.batches import batch_of
from tests.support.kafka_broker import free_ports
from tests.support.kafka_logs import KafkaLogs
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
SESSION_SECONDS = 6
# Of each topic: as many as the broker has nodes.
COPIES = int(os.environ.get("TEST_KAFKA_COPIES", "1"))


class Instance:
    """One process, by its name. Its folder stays when it dies."""

    def __init__(self, name: str, folder: Path, document: str) -> None:
        self.name = name
        self.folder = folder
        self.management, self.gateway = free_ports(2)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "p.yaml").write_text(
            document
            + f"gateway: {{port: {self.gateway}}}\nmanagement: {{port: {self.management}}}\nlogging: {{level: info}}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "said").open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from penstock.cli.main import main; main()", "run", "p.yaml"],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text(errors="replace")

    def signal(self, which: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(which)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            for which in (signal.SIGKILL, signal.SIGCONT):
                self.process.send_signal(which)
            self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def get(self, path: str) -> Any:
        """The answer; None where nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.management}{path}", timeout=3) as answer:
                text = answer.read()
        except (OSError, urllib.error.URLError):
            return None
        return text.decode() if path == "/metrics" else json.loads(text)

    def post(self, path: str) -> Any:
        """The answer; raises where it is no good one."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.management}{path}", method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    @property
    def is_ready(self) -> bool:
        return self.get("/-/ready") is not None

    def metrics(self) -> dict[str, float]:
        """Each series with its labels as they stand."""
        lines = (self.get("/metrics") or "").splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def written(self, partitions: set[int]) -> float:
        """How many records the log of these has, together."""
        return sum(
            value
            for name, value in self.metrics().items()
            if name.startswith("penstock_last_written_position{") and {*_partitions_of(name)} <= partitions
        )

    def moves(self) -> float:
        """How many partitions have come to it and left it."""
        return sum(value for name, value in self.metrics().items() if name.startswith("penstock_rebalances_total{"))

    def limits(self, partitions: set[int]) -> dict[int, float]:
        """What writes to these are limited to, by partition."""
        return {
            number: value
            for name, value in self.metrics().items()
            if name.startswith("penstock_write_rate_limit_records_per_second{")
            for number in _partitions_of(name)
            if number in partitions
        }

    def running(self) -> set[int]:
        """The partitions that it says it runs."""
        return running_in(self.metrics())


def running_in(scrape: Mapping[str, float]) -> set[int]:
    """The partitions that run, by one scrape."""
    return {
        number
        for name, value in scrape.items()
        if name.startswith("penstock_partition_state{") and 'state="running"' in name and value == 1
        for number in _partitions_of(name)
    }


def told_of(scrape: Mapping[str, float]) -> set[int]:
    """The partitions of which one scrape has any series, by partition or by the subtask that stands for one."""
    found = {number for name in scrape for number in _partitions_of(name)}
    subtasks = {name.partition('subtask="')[2].partition('"')[0] for name in scrape if 'subtask="' in name}
    return found | {int(subtask) + 1 for subtask in subtasks if subtask.isdecimal() and subtask != "0"}


def _partitions_of(series: str) -> list[int]:
    number = series.partition("{")[2].partition('partition="')[2].partition('"')[0]
    return [int(number)] if number else []


class Client:
    """Writes single records through all gateways in turn, and remembers which were acknowledged."""

    def __init__(self, gateways: Callable[[], list[int]]) -> None:
        self._gateways = gateways
        self._stopping = threading.Event()
        self.acknowledged: dict[str, tuple[int, int]] = {}
        # What may be there or not.
        self.unknown: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.unexpected: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._count = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for port in self._gateways():
                self._write(port)
            self._stopping.wait(0.005)

    def _write(self, port: int) -> None:
        self._count += 1
        name = f"g-{self._count}"
        body = json.dumps({"id": name, "key": f"key-{self._count % 97}"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/records", data=body, headers={"content-type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                (place,) = json.loads(answer.read())["positions"]
                self.acknowledged[name] = (place["partition"], place["position"])
                self.answers[200] += 1
        except urllib.error.HTTPError as error:
            self.answers[error.code] += 1
            said = error.read().decode(errors="replace")
            if error.code == 503 and error.headers.get("retry-after"):
                if "may have been written" in said or "could not store" in said or "stopping" in said:
                    self.unknown.add(name)
            else:
                self.unexpected.append(f"{error.code} {said}")
        except (OSError, urllib.error.URLError):
            # Refused, or cut off on the way.
            self.answers[0] += 1
            self.unknown.add(name)


class SharedPipeline:
    """A pipeline of four partitions with a topic in front of it."""

    def __init__(
        self,
        servers: str,
        folder: Path,
        *,
        static: bool = False,
        settings: str = "",
        processor: str = "Counting",
        pace: int | None = None,
        session_seconds: int = SESSION_SECONDS,
    ) -> None:
        self.servers = servers
        self.prefix = f"t-{uuid.uuid4().hex[:10]}"
        self._folder = folder
        self._static = static
        self._settings = settings
        self._processor = processor
        self._session_seconds = session_seconds
        # How many records a second each partition's exporter takes.
        self._pace = "" if pace is None else f", maxRecordsPerSecond: {pace}"
        self.topic = f"{self.prefix}-orders"
        self._cluster = Cluster(KafkaConnection(bootstrap_servers=servers))
        # Its answers come only as long as it is held.
        admin = self._cluster.admin()
        admin.create_topics([NewTopic(self.topic, PARTITIONS, COPIES)])[self.topic].result(20)
        self.instances: dict[str, Instance] = {}
        self.sent = 0
        self._sending = threading.Event()
        self._sender: threading.Thread | None = None
        self.client = Client(lambda: [one.gateway for one in self.instances.values()])

    def document(self, name: str) -> str:
        instance = f", instance: {name}" if self._static else ""
        return f"""\
pipeline:
  name: shared
  partitions: {PARTITIONS}
  key: key
  sources: {{orders: {{kafka: {{topic: {self.topic}, bootstrapServers: "{self.servers}"}}}}}}
  processor: "tests.support.kafka_instances:{self._processor}"
  exporters: {{out: {{jsonl: {{path: out.jsonl}}{self._pace}}}}}
data:
  storage: kafka
  path: data
  retainedRecords: 100000000
  kafka: {{bootstrapServers: "{self.servers}", topicPrefix: {self.prefix}, replicationFactor: {COPIES},
          allowUnsafe: true, sessionTimeout: {self._session_seconds}s{instance}}}
{self._settings}"""

    def start(self, name: str) -> Instance:
        one = self.instances.get(name)
        if one is None:
            one = self.instances[name] = Instance(name, self._folder / name, self.document(name))
        one.start()
        return one

    def remove(self, name: str) -> None:
        self.instances.pop(name).kill()

    def send(self, per_second: int) -> None:
        """Values come into the topic from now on."""
        self._sender = threading.Thread(target=self._send, args=(per_second,), daemon=True)
        self._sender.start()

    def _send(self, per_second: int) -> None:
        producer = self._cluster.idempotent(timeout_ns=60 * NS_PER_SECOND)
        while not self._sending.wait(0.05):
            for _ in range(max(1, per_second // 20)):
                n, self.sent = self.sent, self.sent + 1
                value = {"n": n, "key": f"key-{n * 7919 % 50}"}
                producer.produce(self.topic, json.dumps(value).encode(), partition=n % PARTITIONS)
            producer.poll(0)
        assert producer.flush(60) == 0

    def fill(self, count: int) -> None:
        """So many values at once."""
        producer = self._cluster.idempotent(timeout_ns=60 * NS_PER_SECOND)
        for n in range(self.sent, self.sent + count):
            value = {"n": n, "key": f"key-{n}"}
            while True:
                try:
                    producer.produce(self.topic, json.dumps(value).encode(), partition=n % PARTITIONS)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0
        self.sent += count

    def stop_sending(self) -> None:
        self._sending.set()
        if self._sender is not None:
            self._sender.join(90)

    def owners(self) -> dict[int, list[str]]:
        """Who says that it runs each partition."""
        found: dict[int, list[str]] = {number: [] for number in range(1, PARTITIONS + 1)}
        for one in list(self.instances.values()):
            for number in one.running():
                found[number].append(one.name)
        return found

    def await_all_owned(self, seconds: float = 60) -> None:
        assert wait_until(lambda: all(len(names) == 1 for names in self.owners().values()), seconds), (
            self.owners(),
            {name: one.said[-1500:] for name, one in self.instances.items()},
        )

    def await_done(self, seconds: float = 120) -> None:
        """Everything that is in the topic has come through, and what it led to, too."""
        log = self.log()

        def is_done() -> bool:
            log.read()
            if log.values < self.sent or log.received < len(range(0, self.sent, 10)):
                return False
            looks = [one.metrics() for one in self.instances.values()]
            wanted = {
                name: [value for look in looks for series, value in look.items() if series.startswith(f"{name}{{")]
                for name in (
                    "penstock_last_written_position",
                    "penstock_last_processed_position",
                    "penstock_exporting_backlog_records",
                )
            }
            written, processed, backlog = wanted.values()
            return len(written) == PARTITIONS and sum(backlog) == 0 and sum(written) == sum(processed)

        try:
            assert wait_until(is_done, seconds), (
                self.sent,
                log.values,
                log.received,
                {name: one.said[-2500:] for name, one in self.instances.items()},
            )
        finally:
            log.close()

    def log(self) -> LogReader:
        return LogReader(self._cluster, f"{self.prefix}.log")

    def close(self) -> None:
        self._sending.set()
        for one in self.instances.values():
            one.kill()

    def found(self) -> Found:
        return Found(self.servers, self.prefix, self._folder / f"look-{uuid.uuid4().hex[:6]}")


class LogReader:
    """Looks at the log beside those who write it, and takes nobody anything."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self._reader = cluster.reader()
        self._reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        # Those counted, and messages that arrived.
        self.values = 0
        self.received = 0
        self.records = 0

    def read(self) -> None:
        while messages := [m for m in self._reader.consume(1000, 0.2) if m.error() is None]:
            for message in messages:
                for record in decode_batch(batch_of(message.headers(), message.value())).records:  # type: ignore[arg-type]
                    self.records += 1
                    self.values += record.record_type == "event" and record.value_type == "count"
                    self.received += record.intent == "receive"

    def count(self) -> int:
        self.read()
        return self.records

    def close(self) -> None:
        self._reader.close()


class Found:
    """All that the log holds, read from an empty cache."""

    def __init__(self, servers: str, prefix: str, cache: Path) -> None:
        cache.mkdir(parents=True)
        logs = KafkaLogs(servers, cache, partitions=PARTITIONS, topic_prefix=prefix)
        # Values of the topic and of gateways, each as often as it was counted, and by place.
        self.values: Counter[int] = Counter()
        self.written: dict[str, list[tuple[int, int]]] = {}
        self.state: Counter[str] = Counter()
        self.timers = 0
        for number in range(1, PARTITIONS + 1):
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
                            self.values[record.value["n"]] += 1
                        elif (
                            record.record_type == "command" and isinstance(record.value, dict) and "id" in record.value
                        ):
                            self.written.setdefault(record.value["id"], []).append((number, record.position))
            assert position == recovered.last_position + 1
            self.timers += len(recovered.timers)
            storage.close()

    def check(self, sent: int, client: Client) -> None:
        """Everything is once in the log, and what it led to, too."""
        wrong = {n: count for n, count in self.values.items() if count != 1}
        assert not wrong, f"not once: {sorted(wrong.items())[:10]}"
        assert sorted(self.values) == [*range(sent)]
        assert self.state["n"] == sent
        assert self.state["receive"] == len([n for n in range(sent) if n % 10 == 0])
        assert self.state["fire"] + self.timers == len([n for n in range(sent) if n % 100 == 0])
        for name, place in client.acknowledged.items():
            assert self.written.get(name) == [place], f"{name} was acknowledged at {place}"
        others = {*self.written} - {*client.acknowledged}
        assert others <= client.unknown, "what was refused is not there"
        assert all(len(places) == 1 for places in self.written.values())
        assert not client.unexpected, client.unexpected[:3]


class Remembering:
    """Keeps a row for each value, and tells nobody."""

    def process(self, record: Any, context: Any) -> None:
        context.state.put(f"row:{record.value.get('n', record.value.get('id'))}", "x" * 80)


class Counting:
    """Counts by key; every tenth value is told to another partition, every hundredth sets a timer."""

    def process(self, record: Any, context: Any) -> None:
        state = context.state
        if record.intent in ("receive", "fire"):
            state.put(record.intent, state.get(record.intent, 0) + 1)
            return
        if "id" in record.value:
            state.put("gateway", state.get("gateway", 0) + 1)
            return
        n = record.value["n"]
        count = state.get(f"n:{record.key}", 0) + 1
        state.put(f"n:{record.key}", count)
        context.emit("count", {"key": record.key, "count": count, "n": n})
        if n % 10 == 0:
            context.send(f"key-{n // 10 % 50}", "note", {"from": n})
        if n % 100 == 0:
            context.schedule(0.2, "note", {"at": n})


class Picky:
    """Takes nothing until a file says that it may."""

    def process(self, record: Any, context: Any) -> None:
        if not Path("../mended").exists():
            raise ValueError("not yet")
        context.emit("count", {"n": record.value["n"]})
