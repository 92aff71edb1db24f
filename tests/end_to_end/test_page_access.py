"""Whoever sees little, or uses no mouse, finds everything: axe-core finds no fault in any view, dark or light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from exporter.management import ManagementServer
from tests.support.browser import Browser
from tests.support.engines import FakeEngine
from tests.support.snapshots import busy_snapshot

pytestmark = pytest.mark.real

AXE = (Path(__file__).parents[1] / "support" / "axe" / "axe.min.js").read_text(encoding="utf-8")
VIEWS = ("flow-control", "back-pressure", "exporting", "instances")


def faults(browser: Browser) -> list[str]:
    """One line for each fault, with the places where it is."""
    found: list[dict[str, Any]] = browser.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then((told) => told.violations.map(({id, help, nodes}) => "
        "({id, help, at: nodes.map((node) => node.target.join(' ') + ': ' + node.failureSummary)})))"
    )
    return [f"{fault['id']}: {fault['help']}: {fault['at'][:4]}" for fault in found]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_no_view_has_a_fault(view: str, dark: bool, tmp_path: Path) -> None:
    with ManagementServer(FakeEngine(busy_snapshot()), port=0) as server, Browser(tmp_path, dark=dark) as browser:
        browser.open(f"{server.url}/#{view}")
        browser.evaluate(AXE)
        assert browser.wait_for("document.querySelector('.node') && document.getElementById('state').textContent")
        # What comes in over HTTP has a place in the graph, too.
        assert browser.text(".node.gateway .name") == "gateway"
        if view == "back-pressure":
            browser.click("#tasks .row-name")
            assert browser.wait_for("document.querySelector('.details tbody tr')")
        if view == "exporting":
            assert browser.wait_for("document.querySelector('#exporters button')")
        if view == "instances":
            assert browser.wait_for("document.querySelector('#places button') && document.querySelector('#members tr')")
        assert faults(browser) == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_whose_engine_is_away_has_no_fault_and_changes_nothing(dark: bool, tmp_path: Path) -> None:
    server = ManagementServer(FakeEngine(busy_snapshot()), port=0).start()
    try:
        with Browser(tmp_path, dark=dark) as browser:
            browser.open(server.url)
            browser.evaluate(AXE)
            assert browser.wait_for("document.getElementById('state').textContent !== ''")
            assert browser.text("#state") == "refusing"
            server.stop()
            assert browser.wait_for("document.getElementById('state').textContent === 'down'")
            assert browser.evaluate("document.getElementById('limits').inert") is True
            assert browser.evaluate("document.getElementById('exporters').inert") is True
            # The reason stays in sight, wherever the reader has gone on the page.
            browser.evaluate("scrollTo(0, document.body.scrollHeight)")
            assert browser.evaluate("document.getElementById('notice').getBoundingClientRect().top >= 0")
            assert faults(browser) == []
    finally:
        server.stop()
