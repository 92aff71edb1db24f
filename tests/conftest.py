"""What holds for all tests, and what is started once for all of them."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.kafka_broker import kafka_cluster, why_not
from tests.support.programs import MISSING

# How long an example takes is the machine's affair, which has others to serve; what hangs is ended by pytest-timeout.
settings.register_profile("penstock", deadline=None)
# Fewer examples, for who waits (make test-quick).
settings.register_profile("quick", settings.get_profile("penstock"), max_examples=20)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "penstock"))


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that a test calls in this process sets up the log of a process of its own, over streams that end."""
    root = logging.getLogger()
    level, before = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    for handler in root.handlers[:]:
        # pytest's own come and go by its word.
        if handler not in before and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)


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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Who asks for a broker needs Java; before `-m` chooses."""
    for item in items:
        if isinstance(item, pytest.Function) and "kafka" in item.fixturenames:
            item.add_marker(pytest.mark.real)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each program that is not here, and how many tests that has cost."""
    skipped: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", ()):
        if isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            if reason.startswith(MISSING):
                skipped[reason] += 1
    for reason, count in sorted(skipped.items()):
        terminalreporter.write_line(f"{count} tests skipped: {reason}")
