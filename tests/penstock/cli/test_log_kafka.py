"""`penstock log` and `penstock check` over a log in Kafka, as commands on a real broker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.clock import SystemClock
from engine.core.records import WriteSource
from engine.core.unit import Acknowledgement, Message, Timer, Unit
from engine.kafka.client import Cluster
from engine.kafka.settings import KafkaConnection
from engine.log.partition_log import PartitionLog
from penstock.cli.ending import ended
from penstock.cli.main import commands as program
from tests.support.kafka_logs import KafkaLogs
from tests.support.logs import commands


def file(tmp_path: Path, servers: str, prefix: str, more: str = "") -> str:
    path = tmp_path / "p.yaml"
    path.write_text(f"""\
pipeline: {{name: p, partitions: 2, key: n, sources: {{a: {{kafka: {{topic: t}}}}}}}}
data:
  storage: kafka
  kafka: {{bootstrapServers: "{servers}", topicPrefix: {prefix}, replicationFactor: 1{more}}}
""")
    return str(path)


@pytest.fixture
def written(kafka: str, tmp_path: Path) -> str:
    """The file of a pipeline whose first partition holds three records."""
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    logs = KafkaLogs(kafka, tmp_path, partitions=2, topic_prefix=prefix)
    log = PartitionLog(1, logs.storage(), SystemClock(), committed=lambda _: None)
    log.open()
    log.append(commands([{"n": 1}, {"n": 2}]))
    log.append(commands([{"n": 3}]))
    log.append(
        Unit(
            source=WriteSource.INTERNAL,
            processed_position=2,
            acknowledged={"file": Acknowledgement("file", 1, None)},
            timers_added=[Timer(1, 9, b"t")],
            outbox=[Message(1, 2, b"m")],
        )
    )
    log.close()
    return file(tmp_path, kafka, prefix)


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Code, and all that is said."""

    def invoke(*arguments: str) -> tuple[int, str]:
        code = ended(lambda: program.main(arguments, prog_name="penstock", standalone_mode=False))
        captured = capfdbinary.readouterr()
        return code, (captured.out + captured.err).decode()

    return invoke


def test_ls_says_what_the_topics_hold(written: str, run: Run) -> None:
    code, said = run("log", "ls", written)
    assert code == 0, said
    first, second = said.split("partition 2")
    assert "pipeline p, 2 partitions" in first
    for line in ("3 in 2 batches", "1 to 3", "processed      2", "exporter file  1", "1 timer, 0 messages"):
        assert line in first
    assert "0 timers, 1 message to other partitions" in second


def test_cat_prints_the_records_and_takes_the_partition_from_nobody(written: str, run: Run) -> None:
    code, said = run("log", "cat", written, "--from", "2")
    assert code == 0, said
    assert [json.loads(line)["value"] for line in said.splitlines()] == [{"n": 2}, {"n": 3}]
    assert run("log", "verify", written)[1].startswith(
        "partition 1: 3 records in 2 batches, positions 1 to 3: all whole"
    )


def test_verify_finds_what_somebody_else_has_written(written: str, kafka: str, run: Run) -> None:
    prefix = next(part for part in Path(written).read_text().split() if part.startswith("t-")).rstrip(",")
    producer = Cluster(KafkaConnection(bootstrap_servers=kafka)).idempotent(timeout_ns=10**10)
    producer.produce(f"{prefix}.log", b"nonsense", partition=0)
    assert producer.flush(10) == 0
    code, said = run("log", "verify", written)
    assert code == 1
    assert "DAMAGED" in said
    assert "it has no header of Penstock's: somebody else has written into the topic" in said
    assert "--repair is for the log of this machine" in run("log", "verify", written, "--repair", "--yes")[1]


def test_check_tries_the_broker_and_makes_nothing(kafka: str, tmp_path: Path, run: Run) -> None:
    prefix = f"t-{uuid.uuid4().hex[:10]}"
    code, said = run("check", file(tmp_path, kafka, prefix, ", allowUnsafe: true"))
    assert code == 0, said
    assert f"topic {prefix}.log does not exist yet; a start makes it" in said
    assert "the log is in Kafka at" in said
    assert "does not exist" in run("log", "ls", file(tmp_path, kafka, prefix))[1]
    assert "no broker of 127.0.0.1:1 answers" in run("check", file(tmp_path, "127.0.0.1:1", prefix))[1]
