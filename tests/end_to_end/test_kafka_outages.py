"""A broker that hangs or dies under a pipeline, seen from outside: the gateway's clients, a topic's readers."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from engine import EngineOptions, Pipeline
from engine.log.codec import decode_batch
from tests.end_to_end.test_kafka import Topic, running
from tests.support.gateway import OpenGateway, open_gateway
from tests.support.kafka_broker import KafkaCluster, kafka_cluster, why_not
from tests.support.kafka_logs import KafkaLogs, log_settings
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def cluster() -> Iterator[KafkaCluster]:
    if missing := why_not():
        pytest.skip(missing)
    with kafka_cluster() as one:
        yield one
        assert one.hanging_transactions() == ""


class Client:
    """Writes one record after the other, and notes what was answered; comes back for what was refused."""

    def __init__(self, gateway: OpenGateway, name: str) -> None:
        self._gateway = gateway
        self._name = name
        self._stopping = Event()
        self.written: list[str] = []
        self.answers: Counter[int] = Counter()
        self.untold = 0
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            value = f"{self._name}-{len(self.written)}"
            answer = self._gateway.post(b'[{"n": "%s"}]' % value.encode())
            self.answers[answer.status_code] += 1
            if answer.status_code == 200:
                self.written.append(value)
            elif "retry-after" not in answer.headers:
                self.untold += 1
            else:
                self._stopping.wait(0.2)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(90)


@pytest.mark.timeout(180)
def test_clients_of_the_gateway_are_sent_away_for_a_while_when_the_broker_hangs_and_nothing_is_lost_or_doubled(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    settings = log_settings(cluster.servers)
    options = EngineOptions(storage="kafka", kafka=settings, run_forever=True, retained_records=None)
    with Pipeline("p").run(tmp_path / "run", options=options) as engine, open_gateway(engine) as gateway:
        clients = [Client(gateway, f"client {n}") for n in range(3)]
        assert wait_until(lambda: all(len(client.written) > 2 for client in clients), seconds=30)
        cluster.signal(1, signal.SIGSTOP)
        # Those in the line wait; who comes later is sent away.
        try:
            assert wait_until(lambda: engine._partitions[1].why_away is not None, seconds=20)
            refused = gateway.post(b"[{}]")
        finally:
            cluster.signal(1, signal.SIGCONT)
        assert refused.status_code == 503
        assert "the log has not answered for" in refused.json()["detail"]
        assert refused.headers["retry-after"] == "5"
        before = [len(client.written) for client in clients]
        assert wait_until(lambda: all(len(c.written) > n + 2 for c, n in zip(clients, before, strict=True)), seconds=60)
        for client in clients:
            client.stop()
        assert sum(client.untold for client in clients) == 0, "every refusal says when to come back"
    looked = KafkaLogs(cluster.servers, tmp_path / "look", topic_prefix=settings.topic_prefix)
    storage = looked.storage()
    recovered = storage.recover()
    found: Counter[str] = Counter()
    position = 1
    while batches := storage.read(position, 5000):
        for batch in batches:
            for record in decode_batch(batch).records:
                assert record.position == position
                position += 1
                found[record.value.get("n", "")] += 1
    storage.close()
    assert position == recovered.last_position + 1
    acknowledged = [value for client in clients for value in client.written]
    assert {value: found[value] for value in acknowledged} == dict.fromkeys(acknowledged, 1)


@pytest.mark.timeout(240)
def test_a_broker_that_is_killed_between_source_and_exporter_costs_no_record(
    cluster: KafkaCluster, tmp_path: Path
) -> None:
    source, target = Topic(cluster.servers), Topic(cluster.servers)
    source.write(range(4000))
    with running("from_topic_to_topic", cluster.servers, source.name, target.name, tmp_path):
        assert wait_until(lambda: any(target.read()), seconds=60)
        for _ in range(2):
            cluster.signal(1, signal.SIGKILL)
            cluster.launch(1)
            cluster.await_answers()
        source.write(range(4000, 8000))
        assert wait_until(
            lambda: {line["value"]["n"] for lines in target.read() for line in lines} == set(range(8000)), seconds=90
        )
    by_place: dict[tuple[int, int], int] = {}
    for lines in target.read():
        for line in lines:
            assert by_place.setdefault((line["partition"], line["position"]), line["value"]["n"]) == line["value"]["n"]
    assert sorted(by_place.values()) == [*range(8000)], "each is once in the log"
