from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import FakeEngine
from tests.support.flink import job
from tests.support.management import OpenPort, open_port


@pytest.fixture(scope="module")
def shared_port() -> Iterator[OpenPort]:
    with open_port(FakeEngine(job())) as port:
        yield port


@pytest.fixture
def port(shared_port: OpenPort) -> OpenPort:
    shared_port.engine.__dict__.update(FakeEngine(job()).__dict__)
    return shared_port
