"""What is started once for all tests of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.kafka_broker import kafka_cluster, why_not


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka of one node; TEST_KAFKA names one that runs already."""
    if running := os.environ.get("TEST_KAFKA"):
        yield running
        return
    if missing := why_not():
        pytest.skip(missing)
    with kafka_cluster() as cluster:
        yield cluster.servers
        assert cluster.hanging_transactions() == ""
