"""The page where several pipelines stand behind one port."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.management import ManagementServer
from tests.support.browser import Browser
from tests.support.engines import FakeEngines
from tests.support.snapshots import bridge_snapshot, bridged_snapshot, busy_snapshot
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


def test_it_opens_the_one_that_needs_a_look_and_goes_to_another_by_a_choice(tmp_path: Path) -> None:
    engines = FakeEngines(bridge_snapshot(), bridged_snapshot(), busy_snapshot())
    with ManagementServer(engines, port=0) as server, Browser(tmp_path) as browser:
        rooms = server._rooms
        assert rooms is not None
        assert wait_until(lambda: rooms.find("orders") is not None)
        browser.open(server.url)
        # The exporter of `flights` gets nothing through; the job `orders` and the bridge are fine.
        assert browser.wait_for("location.search === '?pipeline=flights'")
        assert browser.wait_for("document.querySelectorAll('#pipeline option').length === 3")
        assert browser.text("h1") == "flights"
        assert browser.evaluate("document.querySelector('#pipeline').value") == "flights"
        browser.evaluate(
            "const choice = document.querySelector('#pipeline'); choice.value = 'orders';"
            "choice.dispatchEvent(new Event('change'))"
        )
        assert browser.wait_for("location.search === '?pipeline=orders' && document.querySelector('.task')")
        assert browser.text("h1") == "orders"
        assert browser.wait_for(
            "[...document.querySelectorAll('.task')].some((one) => one.textContent.includes('count'))"
        )
        assert browser.complaints == []


def test_a_pipeline_alone_has_no_choice(tmp_path: Path) -> None:
    with ManagementServer(FakeEngines(busy_snapshot()), port=0) as server, Browser(tmp_path) as browser:
        browser.open(server.url)
        assert browser.wait_for("document.querySelector('.task')")
        assert not browser.evaluate("document.querySelector('#pipelines').checkVisibility()")
        assert browser.evaluate("location.search") == ""
