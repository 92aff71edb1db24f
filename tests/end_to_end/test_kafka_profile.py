"""The broker of the Compose profile, as far as it is ours: its environment, given to a real broker of that version.

The image turns the environment into properties as its documentation says: KAFKA_NODE_ID is node.id.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.core.clock import SystemClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Unit
from engine.log.codec import decode_batch
from engine.log.partition_log import PartitionLog
from tests.support.kafka_broker import VERSION, KafkaCluster, KafkaNode, why_not
from tests.support.kafka_logs import KafkaLogs

ROOT = Path(__file__).parents[2]
SERVICE: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"][
    "kafka"
]
# Said to the image's start, not to the broker.
OF_THE_START = {"KAFKA_HEAP_OPTS"}


class OfTheProfile(KafkaCluster):
    """A node with nothing but what the profile says, at free ports of this machine instead of its container's."""

    def _properties(self, node: KafkaNode) -> str:
        ports = {"9092": node.port, "9093": self._controllers[0]}
        lines = [f"log.dirs={node.folder / 'data'}"]
        for name, value in SERVICE["environment"].items():
            if name not in OF_THE_START:
                # The name of the service, or none at all, is every address of its container.
                here = re.sub(r"(//|@)(?:kafka)?:(909[23])", lambda at: f"{at[1]}127.0.0.1:{ports[at[2]]}", value)
                lines.append(f"{name.removeprefix('KAFKA_').lower().replace('_', '.')}={here}")
        return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaCluster]:
    if missing := why_not():
        pytest.skip(missing)
    folder = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
    cluster = OfTheProfile(folder)
    try:
        yield cluster.start()
        assert cluster.hanging_transactions() == ""
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_image_is_pinned_to_the_version_that_the_tests_run_on() -> None:
    assert SERVICE["image"] == f"apache/kafka:{VERSION}"


def test_what_the_profile_says_makes_a_broker_that_keeps_a_log(broker: KafkaCluster, tmp_path: Path) -> None:
    # As docs/kafka.md says: one copy, asked for.
    logs = KafkaLogs(broker.servers, tmp_path, replication_factor=1, min_insync_replicas=1, allow_unsafe=True)
    log = PartitionLog(1, logs.storage(), SystemClock(), committed=lambda _: None)
    log.open()
    for n in range(3):
        log.append(Unit(source=WriteSource.USER_COMMAND, records=[Record(RecordType.COMMAND, "t", "create", "k", n)]))
    log.close()
    logs.lose_cache()
    again = logs.storage()
    again.recover()
    assert [record.value for batch in again.read(1, 10) for record in decode_batch(batch).records] == [0, 1, 2]
    again.close()
