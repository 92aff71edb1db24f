"""Flink's own web dashboard (1.20.1, unchanged) over the demo: nothing is missing, and nothing complains."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from exporter.management import ManagementServer
from penstock.demo.script import Phase, flow_control
from penstock.demo.stage import Stage
from tests.support.browser import Browser
from tests.support.flink_cluster import web_pages, why_not
from tests.support.flink_page import dashboard
from tests.support.waiting import wait_until

# FLINK_SCREENSHOTS=FOLDER keeps what was seen.
SCREENSHOTS = os.environ.get("FLINK_SCREENSHOTS")
WHY_NOT = why_not()
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
    pytest.mark.timeout(500),
]
# Its parse step is so slow that everything in front of it is held back.
SLOW_TASK = Phase(name="slow task", seconds=0, sentence="", parse_speed=20)
TABS = {
    "detail": "Detail",
    "subtasks": "SubTasks",
    "taskmanagers": "TaskManagers",
    "watermarks": "Watermarks",
    "accumulators": "Accumulators",
    "backpressure": "BackPressure",
    "metrics": "Metrics",
    "flamegraph": "FlameGraph",
}
JOB_PAGES = ("overview", "timeline", "exceptions", "checkpoints", "configuration")
TOAST = ".ant-notification-notice"


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """The demo's pipeline with a slow step, and the address of its management port."""
    stage = Stage(folder, flow_control(1))
    with stage.engine as engine, ManagementServer(engine, port=0) as server:
        stage.set_up(SLOW_TASK)
        yield server.url
        stage.clear()
        engine.stop(drain=False)


def seen(browser: Browser, name: str) -> None:
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(exist_ok=True)
        browser.screenshot(Path(SCREENSHOTS) / f"{name}.png")


def test_it_shows_jobs_graph_back_pressure_subtasks_and_flame_graph_without_a_complaint(tmp_path: Path) -> None:
    with (
        demo(tmp_path / "demo") as behind,
        dashboard(web_pages(tmp_path / "flink"), behind) as passed,
        Browser(tmp_path / "browser", width=1500, height=1000) as browser,
        httpx.Client(base_url=behind, timeout=20) as api,
    ):
        (job,) = api.get("/jobs/overview").json()["jobs"]

        def blamed() -> str | None:
            found = api.get("/api/back-pressure").json()["bottleneck"]
            return None if found is None else str(found["task"])

        assert wait_until(lambda: blamed() == "parse", 60)
        ids = {vertex["name"]: vertex["id"] for vertex in api.get(f"/jobs/{job['jid']}").json()["vertices"]}

        def at(page: str, shows: str, name: str) -> None:
            browser.evaluate(f"location.hash = {page!r}")
            assert browser.wait_for(f"document.body.innerText.includes({shows!r})"), (page, browser.text("body")[:500])
            assert browser.evaluate(f"document.querySelectorAll({TOAST!r}).length") == 0, browser.texts(TOAST)
            seen(browser, name)

        browser.open(f"{passed.url}/")
        at("#/overview", job["name"], "overview")
        at("#/task-manager", "penstock", "task-managers")
        at("#/job-manager/config", "penstock.version", "job-manager")
        for page in JOB_PAGES:
            at(f"#/job/running/{job['jid']}/{page}", job["name"], f"job-{page}")
        browser.evaluate(f"location.hash = '#/job/running/{job['jid']}/overview'")
        assert browser.wait_for("document.querySelectorAll('svg g.node').length >= 6")
        seen(browser, "graph")
        drawer = f"#/job/running/{job['jid']}/overview/{ids['flights']}"
        for tab, title in TABS.items():
            browser.evaluate(f"location.hash = '{drawer}/{tab}'")
            active = "[...document.querySelectorAll('.ant-tabs-tab-active')].map((one) => one.innerText)"
            assert browser.wait_for(f"{active}.includes({title!r})"), browser.texts(".ant-tabs-tab-active")
            at(f"{drawer}/{tab}", "flights", tab)
        at(f"{drawer}/backpressure", "HIGH", "backpressure")
        browser.evaluate(f"location.hash = '{drawer}/flamegraph'")
        # What is held back is nowhere on a core: stacks in all states.
        mixed = "[...document.querySelectorAll('nz-radio-group label')].find((one) => one.innerText.includes('Mixed'))"
        assert browser.wait_for(mixed)
        browser.evaluate(f"{mixed}.click()")
        drawn = "document.querySelector('flink-job-overview-drawer-flamegraph')?.innerHTML ?? ''"
        assert browser.wait_for(f"({drawn}).includes('request_buffer_blocking')")
        seen(browser, "flamegraph")
        assert browser.evaluate(f"document.querySelectorAll({TOAST!r}).length") == 0
        assert passed.refused == []
        # What Angular says of its own drawing, as when a tab is left before it is done, is Flink's affair; what it
        # says of an answer is ours, and so is everything else.
        drawing = [
            said for said in browser.complaints if said.startswith("['ERROR'") and "HttpErrorResponse" not in said
        ]
        assert [said for said in browser.complaints if said not in drawing] == []
        graph = api.get(f"/jobs/{job['jid']}/vertices/{ids['flights']}/flamegraph").json()
        assert graph["data"]["value"] == 100
        assert "request_buffer_blocking" in str(graph["data"])
