"""What befalls brokers while a partition is written: three of them, of which some are killed or hang.

Long, so only where it is asked for: `make chaos-kafka`.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.core.errors import AppendError
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Unit
from engine.log.codec import decode_batch
from engine.log.partition_log import PartitionLog
from tests.support.kafka_broker import KafkaCluster, kafka_cluster, why_not
from tests.support.kafka_logs import KafkaLogs
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif("KAFKA_CHAOS" not in os.environ, reason="minutes: make chaos-kafka")
ALL = (1, 2, 3)


class Writer:
    """Writes one small unit after the other, and notes how long the longest took, with all that was refused of it."""

    def __init__(self, log: PartitionLog) -> None:
        self._log = log
        self._stopping = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self.written = 0
        self.refused = 0
        self.longest_seconds = 0.0
        self._thread.start()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stopping.is_set():
            value = self.written
            record = Record(RecordType.COMMAND, "t", "create", "k", value)
            try:
                self._log.append(Unit(source=WriteSource.USER_COMMAND, records=[record], state={"n": b"%d" % value}))
            except AppendError:
                self.refused += 1
                continue
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - started)
            self.written += 1
            started = time.monotonic()

    def goes_on(self, seconds: float) -> bool:
        """Whether some more are written within the time."""
        before = self.written
        return wait_until(lambda: self.written >= before + 5, seconds=seconds)

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(120)


def befall(cluster: KafkaCluster, what: str, leader: int) -> None:
    nodes = ALL if what == "all are killed for a minute" else (leader,)
    number, seconds = {
        "the leader is killed": (signal.SIGKILL, 20),
        "the leader hangs for 3 s": (signal.SIGSTOP, 3),
        "the leader hangs for 30 s": (signal.SIGSTOP, 30),
        "all are killed for a minute": (signal.SIGKILL, 60),
    }[what]
    for node in nodes:
        cluster.signal(node, number)
    Event().wait(seconds)
    for node in nodes:
        if number is signal.SIGKILL:
            cluster.launch(node)
        else:
            cluster.signal(node, signal.SIGCONT)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "what",
    [
        "the leader is killed",
        "the leader hangs for 3 s",
        "the leader hangs for 30 s",
        "all are killed for a minute",
    ],
)
def test_nothing_is_lost_or_doubled_when(what: str, tmp_path: Path) -> None:
    if missing := why_not():
        pytest.skip(missing)
    with kafka_cluster(3) as cluster:
        logs = KafkaLogs(
            cluster.servers,
            tmp_path,
            replication_factor=3,
            min_insync_replicas=2,
            allow_unsafe=False,
            transaction_timeout_ns=30 * NS_PER_SECOND,
            commit_timeout_ns=30 * NS_PER_SECOND,
        )
        storage = logs.storage()
        log = PartitionLog(1, storage, SystemClock(), committed=lambda _: None)
        log.open()
        writer = Writer(log)
        assert writer.goes_on(30)
        befall(cluster, what, cluster.leader_of(logs.topics.log))
        assert writer.goes_on(120)
        writer.stop()
        log.close()
        print(
            f"{what}: {writer.written} written, {writer.refused} refused, the longest took "
            f"{writer.longest_seconds:.1f} s"
        )
        print(f"transactions {storage.transactions.counts}, fenced {storage.fenced}")
        logs.lose_cache()
        again = logs.storage()
        recovered = again.recover()
        found: list[object] = []
        while batches := again.read(len(found) + 1, 5000):
            found += [record.value for batch in batches for record in decode_batch(batch).records]
        assert found == [*range(writer.written)]
        assert again.state_get("n") == b"%d" % (writer.written - 1)
        assert recovered.last_position == writer.written
        again.close()
        cluster.await_answers()
        assert cluster.hanging_transactions() == ""


def write_until_it_fails(log: PartitionLog) -> None:
    """The first may still be taken by both, before the cluster has noticed."""
    for n in range(100):
        log.append(Unit(source=WriteSource.USER_COMMAND, records=[Record(RecordType.COMMAND, "t", "create", "k", n)]))


@pytest.mark.timeout(300)
def test_a_copy_too_few_is_said_and_writes_go_on_when_it_is_back(tmp_path: Path) -> None:
    if missing := why_not():
        pytest.skip(missing)
    with kafka_cluster(3) as cluster:
        logs = KafkaLogs(cluster.servers, tmp_path, replication_factor=2, min_insync_replicas=2, allow_unsafe=False)
        storage = logs.storage()
        log = PartitionLog(1, storage, SystemClock(), committed=lambda _: None)
        log.open()
        log.append(Unit(source=WriteSource.USER_COMMAND, records=[Record(RecordType.COMMAND, "t", "create", "k", 1)]))
        leader, follower = cluster.copies_of(logs.topics.log)
        cluster.signal(follower, signal.SIGKILL)
        assert cluster.copies_of(logs.topics.log)[0] == leader
        with pytest.raises(
            AppendError, match=rf"partition 1: 1 of 2 wanted copies of topic {logs.topics.log} are in sync"
        ) as caught:
            write_until_it_fails(log)
        assert caught.value.passing
        assert log.append_failures["not_enough_replicas"] == 1
        cluster.launch(follower)
        writer = Writer(log)
        assert writer.goes_on(60)
        writer.stop()
        log.close()
        cluster.await_answers()
        assert cluster.hanging_transactions() == ""
