"""One open port for the tests of a module; the engine behind it is as new for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engines import FakeEngine
from tests.support.management import OpenPort, open_port


@pytest.fixture(scope="module")
def shared_port() -> Iterator[OpenPort]:
    with open_port() as port:
        yield port


@pytest.fixture
def port(shared_port: OpenPort) -> OpenPort:
    shared_port.engine.__dict__.update(FakeEngine().__dict__)
    return shared_port
