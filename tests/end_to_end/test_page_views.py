"""Each view of the page shows what the API says, and changes what the API changes, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from engine import Engine, FlowControlSettings, Pipeline, ProcessingContext, Record, ThrottlingSettings
from engine import WriteLimitSettings as WriteLimit
from exporter.management import ManagementServer
from exporter.web_config import Access, Right, WebConfig
from penstock import watch
from tests.support.browser import Browser
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import wait_until
from tests.support.web_config import basic, with_users

pytestmark = pytest.mark.real

HOSTILE = "<img src=x onerror=document.title='taken'>\"'`{{version}}"
SETTINGS = FlowControlSettings(
    write=WriteLimit(enabled=True, limit=500, throttling=ThrottlingSettings(enabled=True, acceptable_backlog=100_000))
)


class Echo:
    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("echo", record.value)


@dataclass
class Running:
    """A pipeline whose write limit holds its source back, its management port, and what it exports."""

    engine: Engine
    server: ManagementServer
    exported: CollectingExporter
    api: httpx.Client


@contextmanager
def running(folder: Path, access: Access | None = None) -> Iterator[Running]:
    exported = CollectingExporter()
    pipeline = (
        Pipeline("numbers", partitions=2)
        .source("numbers", ListSource([{"n": n} for n in range(500_000)], batch=50))
        .process(Echo, key="n")
        .export("archive", exported.factory)
    )
    with (
        pipeline.run(folder / "data", flow_control=SETTINGS) as engine,
        ManagementServer(engine, port=0, access=access) as server,
        httpx.Client(base_url=server.url, timeout=20) as api,
    ):
        yield Running(engine, server, exported, api)
        engine.stop(drain=False)


def own_only(browser: Browser, server: ManagementServer) -> bool:
    return {url.startswith(server.url) for url in browser.requested} == {True}


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as it:
        yield it


def test_the_graph_shows_every_task_the_gate_the_log_and_who_is_to_blame(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('.flow-control.is-bottleneck')"), "the limit is to blame"
        state = pipeline.api.get("/api/back-pressure").json()
        ids = browser.evaluate("[...document.querySelectorAll('.task')].map((task) => task.dataset.task)")
        assert ids == [task["id"] for task in state["tasks"]]
        assert browser.texts(".node .name") == [*(task["task"] for task in state["tasks"]), "flow control", "log"]
        assert browser.text("#bottleneck").startswith(state["bottleneck"]["text"].split(";")[0])
        assert browser.text(".node.log").count("2 partitions") == 1
        # The log writer waits for the limit nearly all of its time, so it is nearly black.
        fill = browser.evaluate("document.querySelectorAll('.task')[1].querySelector('rect').getAttribute('fill')")
        assert fill != "#5db1ff"
        assert wait_until(lambda: all(text.endswith("/s") for text in browser.texts(".edge-rate")))
        assert browser.complaints == []
        assert own_only(browser, pipeline.server)


def test_colours_are_those_of_the_model(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        mixed = "import('/static/colours.js').then(({taskColours}) => taskColours(%s, %s).fill)"
        shares = [("0", "0"), ("0.5", "0"), ("0", "0.5"), ("0.4", "0.6"), ("1", "0"), ("0", "1"), ("null", "null")]
        assert [browser.evaluate(mixed % pair) for pair in shares] == [
            *("#5db1ff", "#a68bb2", "#739dc4", "#8e8c9f", "#ee6464", "#888888", "#5db1ff")
        ]


def test_a_click_on_a_task_samples_it_and_shows_its_subtasks(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(f"{pipeline.server.url}/#back-pressure")
        assert browser.wait_for("document.querySelectorAll('#tasks .row').length === 4")
        tasks = pipeline.api.get("/api/back-pressure").json()["tasks"]
        assert browser.texts(".row-name") == [task["task"] for task in tasks]
        writer = next(task for task in tasks if task["kind"] == "log_writer")
        opened = f"[data-task='{writer['id']}'] + .opened"
        browser.click(f"#tasks [data-task='{writer['id']}'] .row-name")
        assert browser.wait_for(
            f"document.querySelector(\"{opened} [role=status]\").textContent.startsWith('Sampling')"
        )
        assert "Sampling in progress…" in browser.text(f"{opened} .measurement")
        assert browser.wait_for(f'document.querySelector("{opened} [role=status]").hidden'), "and it ends"
        told = pipeline.api.get("/api/back-pressure").json()["tasks"]
        subtasks = next(task for task in told if task["id"] == writer["id"])["subtasks"]
        assert browser.texts(f"{opened} .scroll tbody td:first-child") == [
            str(subtask["subtask"]) for subtask in subtasks
        ]
        # Held by the write limit nearly always; the window has moved by a few samples of a hundred since.
        shown = [float(text) for text in browser.texts(f"{opened} .scroll tbody td:nth-child(2)")]
        assert shown == pytest.approx([subtask["sampled"]["ratio"] for subtask in subtasks], abs=0.15)
        assert browser.texts(f"{opened} .scroll tbody .level") == ["HIGH", "HIGH"]
        assert "write limit" in browser.text(f"{opened} .scroll tbody tr")
        assert "ago" in browser.text(f"{opened} .measurement")
        browser.click(f"{opened} .fold")
        assert browser.text(f"{opened} .fold") == "Show subtasks"
        assert browser.wait_for(f'document.querySelector("{opened} .task-chart canvas")'), "its history is drawn"
        assert browser.complaints == []


def test_tabs_and_tasks_are_reached_with_the_keyboard_alone(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('.task')")
        browser.evaluate("document.getElementById('tab-flow-control').focus()")
        browser.press("ArrowRight")
        assert browser.evaluate("document.activeElement.id") == "tab-back-pressure"
        assert browser.evaluate("document.getElementById('flow-control').hidden") is True
        browser.press("End")
        assert browser.evaluate("location.hash") == "#exporting"
        browser.evaluate("document.querySelector('.task').focus()")
        browser.press("Enter")
        assert browser.wait_for("document.querySelector('#tasks .row-name').ariaExpanded === 'true'")


def test_a_limit_is_changed_for_a_while_and_returns_by_itself(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('.may-change #limits-write-limit')?.value === '500'")
        limit = "document.querySelector('#partitions [data-partition=\"1\"] td')?.textContent"
        assert browser.wait_for(f"{limit} === '500/s of 500/s'")
        browser.fill("#limits-write-limit", "900")
        browser.fill("#limits-ttl", "4s")
        browser.click("#limits [type=submit]")
        assert browser.wait_for("!document.getElementById('proposal').hidden")
        assert browser.texts("#proposal li") == [f"partition {n}: write.limit from 500 to 900" for n in (1, 2)]
        settings = pipeline.engine.flow_settings()[1].write
        assert settings is not None
        assert settings.limit == 500, "nothing is changed before the second click"
        browser.click("#apply")
        assert browser.wait_for(f"{limit} === '900/s of 900/s'")
        told = pipeline.api.get("/api/flow-control").json()["partitions"]["1"]["effective"]
        assert (told["writeLimit"], told["writeLimitMax"]) == (900, 900)
        assert browser.wait_for("document.getElementById('override').textContent.includes('Partition 2: limits set')")
        assert browser.wait_for(f"{limit} === '500/s of 500/s'"), "it comes back by itself"
        assert browser.wait_for("document.getElementById('override').textContent.includes('configured')")
        assert browser.complaints == []


def test_limits_of_one_partition_are_reverted_by_hand(pipeline: Running, tmp_path: Path) -> None:
    pipeline.api.patch("/api/flow-control?partition=2", json={"write": {"limit": 700}}).raise_for_status()
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        limit = "document.querySelector('#partitions [data-partition=\"2\"] td')?.textContent"
        assert browser.wait_for(f"{limit} === '700/s of 700/s'")
        assert browser.wait_for("document.querySelector('.may-change')")
        browser.click("#revert")
        assert browser.wait_for("!document.getElementById('proposal').hidden")
        assert browser.texts("#proposal li") == ["partition 2: write.limit from 700 to 500"]
        browser.click("#apply")
        assert browser.wait_for(f"{limit} === '500/s of 500/s'")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("write-limit", "many", 'write.limit must be a whole number, not "many"'),
        ("write-limit", "-1", "write.limit must"),
        ("write-throttling-resolution", "soon", "write.throttling.resolution must be a duration"),
        ("ttl", "soon", "ttl must be a duration longer than 0, such as 15m, not 'soon'"),
    ],
)
def test_what_the_server_refuses_stands_at_the_field(
    pipeline: Running, tmp_path: Path, field: str, value: str, sentence: str
) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('.may-change #limits-write-limit')?.value === '500'")
        browser.fill(f"#limits-{field}", value)
        browser.click("#limits [type=submit]")
        assert browser.wait_for(f"document.getElementById('limits-{field}').ariaInvalid === 'true'")
        assert browser.text(f"#limits-{field}-error").startswith(sentence)
        assert browser.evaluate("document.activeElement.id") == f"limits-{field}"
        assert browser.evaluate("document.getElementById('proposal').hidden") is True


def test_an_exporter_is_paused_only_after_a_yes(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(f"{pipeline.server.url}/#exporting")
        state = "document.querySelector('#exporters tr td:nth-of-type(2)')?.textContent"
        assert browser.wait_for(f"{state} === 'exporting'")
        assert browser.wait_for("document.querySelector('.may-change')")
        browser.click("#exporters button")
        assert browser.text("#question").startswith("Pause archive?")
        browser.click("#confirm [value=no]")
        browser.click("#exporters button")
        browser.click("#confirm [value=yes]")
        assert browser.wait_for(f"{state} === 'paused'")
        assert wait_until(lambda: pipeline.api.get("/api/exporters").json()["exporters"][0]["state"] == "paused")
        told = pipeline.api.get("/api/exporters").json()["exporters"][0]["partitions"]
        # Nothing moves while it is paused: the page and the API say the same.
        positions = [f"{part['acknowledgedPosition']:,} of" for part in told]

        def shown() -> list[str]:
            return [text.split(" of")[0] + " of" for text in browser.texts("#exporters tr td:nth-of-type(3)")]

        assert wait_until(lambda: shown() == positions)
        browser.click("#exporters button")
        assert browser.text("#question").startswith("Resume archive?")
        browser.click("#confirm [value=yes]")
        assert browser.wait_for(f"{state} === 'exporting'")
        assert browser.complaints == []


def test_the_page_says_that_the_engine_is_away_and_comes_back_by_itself(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        with ManagementServer(pipeline.engine, port=0) as server:
            browser.open(server.url)
            port = server.port
            assert browser.wait_for("document.querySelector('.task')")
            assert browser.text("#notice") == ""
        assert browser.wait_for("document.body.classList.contains('is-stale')")
        assert "The connection is lost" in browser.text("#notice") or "No data" in browser.text("#notice")
        assert "What you see is of" in browser.text("#notice")
        with ManagementServer(pipeline.engine, port=port):
            assert browser.wait_for("!document.body.classList.contains('is-stale')")
            assert browser.wait_for("document.getElementById('notice').textContent === ''")


def test_names_and_errors_from_outside_are_never_markup(pipeline: Running, tmp_path: Path) -> None:
    def fail(_records: Sequence[Record]) -> None:
        raise RuntimeError(HOSTILE)

    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with Browser(tmp_path) as browser:
            with watch(thread, HOSTILE, program=HOSTILE) as watching, watching.serve(0) as url:
                browser.open(f"{url}#back-pressure")
                assert browser.wait_for("document.querySelector('.row-name')")
                assert browser.text(".row-name") == HOSTILE
                assert browser.text("h1").startswith("<img src=x")
                assert browser.evaluate("document.body.classList.contains('is-stale')") is False
                assert browser.evaluate("document.querySelectorAll('img').length") == 0
            pipeline.exported.before = fail
            browser.open(f"{pipeline.server.url}/#exporting")
            assert browser.wait_for("document.querySelector('#exporters .said')?.textContent.includes('<img')")
            assert browser.evaluate("document.querySelectorAll('img').length") == 0
            assert "taken" not in browser.evaluate("document.title.replace(/<.*/, '')")
    finally:
        over.set()
        thread.join()
        pipeline.exported.before = lambda _: None


@pytest.mark.parametrize(("user", "may"), [("alice", True), ("bob", False)])
def test_who_may_only_read_sees_no_button_that_changes(tmp_path: Path, user: str, may: bool) -> None:
    access = Access(WebConfig(with_users(tmp_path, "alice", "bob")), {"alice": Right.CHANGE})
    with (
        running(tmp_path, access) as pipeline,
        Browser(tmp_path, authorization=basic(user, f"{user}'s word")) as browser,
    ):
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('#partitions tr')")
        # The answer to the question who may is there before the second sample is.
        assert browser.wait_for("document.querySelector('#partitions .by-source')")
        visible = "(element => element.checkVisibility())"
        assert browser.evaluate(f"{visible}(document.getElementById('limits'))") is may
        browser.click("#tab-exporting")
        assert browser.wait_for("document.querySelector('#exporters button')")
        assert browser.evaluate(f"{visible}(document.querySelector('#exporters button'))") is may


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(pipeline: Running, tmp_path: Path, width: int) -> None:
    with Browser(tmp_path, width=width) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('.task')")
        for view in ("flow-control", "back-pressure", "exporting"):
            browser.evaluate(f"document.getElementById('tab-{view}').click()")
            assert browser.wait_for(f"document.querySelector('#{view} tbody tr')")
            assert browser.evaluate("document.documentElement.scrollWidth") <= width, view
