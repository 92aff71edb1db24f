"""The page on the running demo: every cell says what the API says, through a throttle, and through a killed engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from exporter.management import ManagementServer
from penstock.demo.script import Phase, flow_control
from penstock.demo.stage import Stage
from tests.support.browser import Browser
from tests.support.page_cells import (
    cells,
    edge_rates,
    episode_rows,
    exporter_rows,
    graph_nodes,
    graph_rates,
    measured,
    nodes,
    number_texts,
    numbers,
    partition_rows,
    subtask_rows,
    task_rows,
)
from tests.support.page_scripts import ASKED, LISTENING, frozen
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

SECONDS_MAX = 60.0
CALM = Phase(name="calm", seconds=0, sentence="")
# So slow that no machine is too busy to be throttled for it.
SLOW_EXPORTER = Phase(name="slow exporter", seconds=0, sentence="", exporter_speed=40)
SLOW_TASK = Phase(name="slow task", seconds=0, sentence="", parse_speed=20)
# How much of the newest fiftieth of the chart is yellow, looked at above all lines.
NEWEST_YELLOW = """
(() => {
  const [canvas, plot] = [document.querySelector("#chart canvas"), document.querySelector("#chart .u-over")];
  const [at, edge] = [canvas.getBoundingClientRect(), plot.getBoundingClientRect()];
  const width = Math.ceil(edge.width / 50);
  const begin = Math.floor(edge.right - at.left) - width - 1;
  const pixels = canvas.getContext("2d").getImageData(begin, Math.floor(edge.top - at.top) + 5, width, 1).data;
  let yellow = 0;
  for (let i = 0; i < pixels.length; i += 4)
    if (pixels[i + 3] > 20 && pixels[i] > 180 && pixels[i + 1] > 160 && pixels[i + 2] < 110) yellow++;
  return yellow / width;
})()
"""


@dataclass
class Demo:
    """The demo's pipeline in this process, its management port, and a client of it."""

    stage: Stage
    url: str
    api: httpx.Client

    def get(self, path: str) -> Any:
        return self.api.get(path).raise_for_status().json()

    def throttled(self) -> bool:
        partitions = self.get("/api/flow-control")["partitions"].values()
        return any(partition["effective"]["throttled"] for partition in partitions)

    def blamed(self) -> str | None:
        bottleneck = self.get("/api/back-pressure")["bottleneck"]
        return None if bottleneck is None else str(bottleneck["task"])


@contextmanager
def running(folder: Path) -> Iterator[Demo]:
    stage = Stage(folder, flow_control(1))
    with (
        stage.engine as engine,
        ManagementServer(engine, port=0) as server,
        httpx.Client(base_url=server.url, timeout=20) as api,
    ):
        yield Demo(stage, server.url, api)
        stage.clear()
        engine.stop(drain=False)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    with running(tmp_path / "demo") as it:
        yield it


MOMENTS: Mapping[str, tuple[Phase, Callable[[Demo], bool]]] = {
    "calm": (CALM, lambda demo: len(demo.get("/api/history")["times"]) > 3),
    "throttled": (SLOW_EXPORTER, lambda demo: demo.throttled() and demo.blamed() == "archive"),
    "slow-task": (SLOW_TASK, lambda demo: demo.blamed() == "parse"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_cell_of_every_view_says_what_the_api_said_at_that_moment(
    demo: Demo, tmp_path: Path, moment: str
) -> None:
    phase, is_there = MOMENTS[moment]
    demo.stage.set_up(phase)
    assert wait_until(lambda: is_there(demo), SECONDS_MAX)
    before = demo.get("/api/exporters")
    # A rate needs some time between two answers.
    assert wait_until(lambda: demo.get("/api/exporters")["takenAt"] - before["takenAt"] > 1, SECONDS_MAX)
    told = {path: demo.get(path) for path in ASKED}
    answers = {**{path: [told[path]] for path in ASKED}, "/api/exporters": [before, told["/api/exporters"]]}
    state, history = told["/api/back-pressure"], told["/api/history"]
    with Browser(tmp_path, before=frozen(answers)) as browser:
        browser.open(demo.url)
        assert browser.wait_for("document.querySelector('.task')")
        names = {task["id"]: task["task"] for task in state["tasks"]}
        ends = {(names.get(source, source), names.get(target, target)) for source, target in edge_rates(browser)}
        assert ends == {
            *(("flights", "parse"), ("parse", "log-writer"), ("log-writer", "flow-control"), ("flow-control", "log")),
            *(("log", "processor"), ("processor", "flow-control"), ("log", "archive"), ("log", "summaries")),
        }
        assert edge_rates(browser) == graph_rates(edge_rates(browser), history)
        assert nodes(browser) == graph_nodes(state, history)
        if state["bottleneck"] is not None:
            assert f"{state['bottleneck']['text']}." in browser.text("#bottleneck")
        elif number_texts(history)["throttle"] == "not throttled":
            assert browser.text("#bottleneck") == ""

        assert browser.wait_for("document.querySelector('#partitions tr')")
        assert browser.wait_for("document.querySelector('#episodes tr')")
        assert numbers(browser) == number_texts(history)
        assert cells(browser, "#partitions tr") == partition_rows(told["/api/flow-control"], history)
        assert cells(browser, "#episodes tr") == episode_rows(told["/api/throttling/episodes"])

        browser.click("#tab-back-pressure")
        assert browser.wait_for("document.querySelector('#tasks > .row')")
        assert cells(browser, "#tasks > .row") == task_rows(state)
        for task in state["tasks"]:
            opened = f"#tasks [data-task='{task['id']}'] + .opened"
            browser.click(f"#tasks [data-task='{task['id']}'] .row-name")
            assert browser.wait_for(f'document.querySelector("{opened} .scroll tbody tr")')
            assert cells(browser, f"{opened} .scroll tbody tr") == subtask_rows(task)
            assert browser.text(f"{opened} .measurement span") == measured(task, state)

        browser.click("#tab-exporting")
        expected = exporter_rows(before, told["/api/exporters"])
        # The first answer alone tells of no rate; the second one stays.
        rate = "document.querySelector('#exporters tr td:nth-of-type(6)')?.textContent"
        assert browser.wait_for(f"{rate} === {expected[0][6]!r}")
        assert cells(browser, "#exporters tr") == expected
        assert browser.complaints == []
        assert {url.startswith(demo.url) for url in browser.requested} == {True}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_yellow_band_begins_and_ends_with_the_throttle(demo: Demo, tmp_path: Path, dark: bool) -> None:
    throttle = "document.getElementById('throttle').textContent"
    with Browser(tmp_path, dark=dark) as browser:
        browser.open(demo.url)
        assert browser.wait_for("document.querySelector('#chart .u-over')")
        assert browser.evaluate(NEWEST_YELLOW) == 0
        # From here on without another click or load.
        demo.stage.set_up(SLOW_EXPORTER)
        assert browser.wait_for(f"{throttle}.startsWith('throttled')")
        assert browser.wait_for(f"{NEWEST_YELLOW} > 0.9"), "the band reaches to now"
        assert browser.wait_for("document.querySelector('#episodes .goes-on')"), "the episode is there as it goes on"
        assert browser.wait_for("document.querySelector('.flow-control.is-throttled')"), "the gate is yellow"
        assert browser.wait_for("document.getElementById('bottleneck').textContent.includes('writes are limited to')")
        demo.stage.set_up(CALM)
        assert browser.wait_for(f"{throttle} === 'not throttled'"), "it ends by itself"
        assert browser.wait_for(f"{NEWEST_YELLOW} === 0"), "the band is not drawn on"
        assert browser.wait_for("!document.querySelector('#episodes .goes-on')")
        assert browser.wait_for("!document.querySelector('.flow-control.is-throttled')")
        episodes = demo.get("/api/throttling/episodes")
        assert cells(browser, "#episodes tr") == episode_rows(episodes)
        assert browser.complaints == []
        assert {url.startswith(demo.url) for url in browser.requested} == {True}


@dataclass
class Process:
    """`penstock demo` as a process of its own."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def started(folder: Path, port: int) -> Iterator[Process]:
    folder.mkdir()
    said = folder / "said"
    command = [sys.executable, "-m", "penstock", "demo", "--fast", "--loop", "--no-tty", "--port", str(port)]
    with said.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)}
        )
    try:
        assert wait_until(lambda: b" shows what happens" in said.read_bytes(), SECONDS_MAX), said.read_text()
        yield Process(process, said.read_text().split(" ")[0])
    finally:
        process.kill()
        process.wait()


def test_a_killed_engine_turns_the_page_grey_and_a_new_one_brings_it_back(tmp_path: Path) -> None:
    stale = "document.body.classList.contains('is-stale')"
    with started(tmp_path / "first", 0) as first, Browser(tmp_path, before=LISTENING) as browser:
        browser.open(first.url)
        assert browser.wait_for("document.querySelector('.task') && document.querySelector('#partitions tr')")
        assert browser.wait_for(f"!{stale} && document.getElementById('notice').textContent === ''")
        returns = browser.evaluate("heard.returns.length")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        killed = time.time()
        assert browser.wait_for(f"{stale} && /What you see is of/.test(document.getElementById('notice').textContent)")
        grey = "getComputedStyle(document.getElementById('main')).filter"
        assert browser.evaluate(grey) == "grayscale(1)"
        # What is asked for meanwhile fails, and the page does not take itself for fresh.
        browser.click("#tab-exporting")
        browser.click("#tab-flow-control")
        assert browser.evaluate(stale) is True
        with started(tmp_path / "second", first.port):
            # Nobody reloads, nobody clicks.
            assert browser.wait_for(f"!{stale} && document.getElementById('notice').textContent === ''")
            assert browser.wait_for("document.querySelectorAll('#partitions tr').length === 2")
            since = browser.evaluate(f"heard.returns.slice({returns})")
            assert since, "it came back"
            assert min(since) > killed, "and each time with numbers of the new engine"
    # What failed in between, or came before the new engine was ready, is all there is to complain about.
    passing = ("net::ERR_", "status of 503")
    assert {text for text in browser.complaints if not any(each in text for each in passing)} == set()
