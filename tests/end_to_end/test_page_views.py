"""Each view of the page shows what the API says, and changes what the API changes, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine import (
    Engine,
    EngineOptions,
    Episode,
    FlowControlSettings,
    Pipeline,
    ProcessingContext,
    Record,
    ThrottlingSettings,
)
from engine import WriteLimitSettings as WriteLimit
from engine.backpressure.settings import BackPressureMode, BackPressureSettings
from engine.core.clock import NS_PER_MS, NS_PER_SECOND
from exporter.history.fields import PARTITION_FIELDS
from exporter.management import ManagementServer
from exporter.web_config import Access, Right, WebConfig
from penstock import watch
from tests.support.browser import Browser
from tests.support.management import open_port
from tests.support.page_cells import (
    cells,
    episode_rows,
    exporter_rows,
    graph_nodes,
    number_texts,
    numbers,
    partition_rows,
    subtask_rows,
    task_rows,
)
from tests.support.page_cells import nodes as nodes_of
from tests.support.page_scripts import ASKED, frozen
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import wait_until
from tests.support.web_config import basic, with_users

pytestmark = pytest.mark.real

HOSTILE = "<img src=x onerror=document.title='taken'>\"'`{{version}}"
SETTINGS = FlowControlSettings(
    write=WriteLimit(enabled=True, limit=500, throttling=ThrottlingSettings(enabled=True, acceptable_backlog=100_000))
)


# How long a test waits for what takes as long as the machine likes.
SECONDS_MAX = 60.0
MAY_CHANGE = "document.querySelector('[data-rights=change]')"


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

    def get(self, path: str) -> Any:
        return self.api.get(path).raise_for_status().json()

    def task(self, kind: str) -> Any:
        return next(task for task in self.get("/api/back-pressure")["tasks"] if task["kind"] == kind)


@contextmanager
def running(
    folder: Path, access: Access | None = None, back_pressure: BackPressureSettings | None = None
) -> Iterator[Running]:
    exported = CollectingExporter()
    pipeline = (
        Pipeline("numbers", partitions=2)
        .source("numbers", ListSource([{"n": n} for n in range(500_000)], batch=50))
        .process(Echo, key="n")
        .export("archive", exported.factory)
    )
    options = EngineOptions(back_pressure=back_pressure or BackPressureSettings())
    with (
        pipeline.run(folder / "data", flow_control=SETTINGS, options=options) as engine,
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


def test_the_gate_is_marked_where_the_limit_itself_is_to_blame(pipeline: Running, tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    def blamed() -> bool:
        told.update({path: pipeline.get(path) for path in ASKED})
        bottleneck = told["/api/back-pressure"]["bottleneck"]
        return bottleneck is not None and bottleneck["task"] == "flow-control"

    assert wait_until(blamed, SECONDS_MAX)
    state = told["/api/back-pressure"]
    with Browser(tmp_path, before=frozen({path: [answer] for path, answer in told.items()})) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('.flow-control.is-bottleneck')")
        assert nodes_of(browser) == graph_nodes(state, told["/api/history"])
        assert browser.text("#bottleneck") == f"{state['bottleneck']['text']}."
        assert browser.complaints == []
        assert own_only(browser, pipeline.server)


def test_everything_at_once_is_shown_as_the_api_tells_it(tmp_path: Path) -> None:
    with open_port() as port:
        over = Episode(
            partition=1,
            start_wall_ns=1_767_268_800 * NS_PER_SECOND,
            end_wall_ns=1_767_268_925 * NS_PER_SECOND,
            lowest_limit_per_second=250.5,
            peak_backlog_records=130_000,
            reason="backlog 130000 of 100000 acceptable records: 325.6 records/s exported, times 0.769",
            throttled_ns=125 * NS_PER_SECOND,
        )
        port.engine.episodes = (over, replace(over, partition=2, end_wall_ns=None, reason="<b>"))
        told = {path: port.client.get(path).raise_for_status().json() for path in ASKED}
        state, exporting = told["/api/back-pressure"], told["/api/exporters"]
        with Browser(tmp_path, before=frozen({path: [answer] for path, answer in told.items()})) as browser:
            browser.open(port.server.url)
            assert browser.wait_for("document.querySelector('#partitions tr')")
            assert browser.wait_for("document.querySelector('#episodes tr')")
            assert numbers(browser) == number_texts(told["/api/history"])
            assert cells(browser, "#partitions tr") == partition_rows(told["/api/flow-control"], told["/api/history"])
            assert cells(browser, "#episodes tr") == episode_rows(told["/api/throttling/episodes"])
            browser.click("#tab-back-pressure")
            assert browser.wait_for("document.querySelector('#tasks > .row')")
            assert cells(browser, "#tasks > .row") == task_rows(state)
            for task in state["tasks"]:
                opened = f"#tasks [data-task='{task['id']}'] + .opened"
                browser.click(f"#tasks [data-task='{task['id']}'] .row-name")
                assert browser.wait_for(f'document.querySelector("{opened} .scroll tbody tr")')
                assert cells(browser, f"{opened} .scroll tbody tr") == subtask_rows(task)
            browser.click("#tab-exporting")
            assert browser.wait_for("document.querySelector('#exporters tr')")
            shown = cells(browser, "#exporters tr")
            assert shown == exporter_rows(exporting, exporting)
            assert "retrying" in shown[0], "with the state of an exporter in need"
            assert any("OSError: disk" in text for text in shown[0]), "and with its last error"


def test_the_sentence_says_how_fast_the_slow_one_is_and_since_when_writes_are_limited(tmp_path: Path) -> None:
    # A hundred seconds from noon on; the throttle sets in after sixty.
    noon = 1_767_268_800
    steady: dict[str, list[Any]] = {field.name: [None] * 100 for field in PARTITION_FIELDS}
    throttled = steady | {
        "throttled": [0] * 60 + [1] * 40,
        "writeLimitPerSecond": [4000] * 60 + [310] * 40,
        "acceptedPerSecond": [1200] * 60 + [305] * 40,
        "acknowledgedPerSecond": [1200] * 50 + [300] * 50,
    }
    history = {
        "state": "running",
        "spanSeconds": 900,
        "lastEventId": "0-0",
        "vertices": [],
        "times": [noon + n for n in range(100)],
        "partitions": [
            {"partition": 1, "columns": throttled},
            {"partition": 2, "columns": steady | {"throttled": [0] * 100}},
        ],
    }
    with open_port() as port:
        told = {path: port.client.get(path).raise_for_status().json() for path in ASKED}
        state = told["/api/back-pressure"]
        exporter = next(task for task in state["tasks"] if task["kind"] == "exporter")
        blamed = {"task": "file", "id": exporter["id"], "subtask": 0, "reason": "write_limit", "victims": ["parse/0"]}
        told["/api/back-pressure"] = state | {"bottleneck": blamed | {"text": "file is behind; parse waits"}}
        told["/api/history"] = history
        with Browser(tmp_path, before=frozen({path: [answer] for path, answer in told.items()})) as browser:
            browser.open(port.server.url)
            assert browser.wait_for("document.querySelector('.task.is-bottleneck')")
            assert browser.text("#bottleneck") == (
                "Exporter file writes 300/s, 1,200/s were produced before; writes are limited to 310/s on partition 1 "
                "since 12:01:00. file is behind; parse waits."
            )
            # Rates change each second; a screen reader is told who it is, once.
            assert browser.text("#blamed") == "The bottleneck is file."
            assert browser.evaluate("document.getElementById('bottleneck').closest('[role=status]')") is None


def test_numbers_are_of_all_partitions_or_of_the_chosen_one(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for(
            "document.getElementById('backlog').textContent.endsWith('acceptable 100,000 on partition 1')"
        )
        browser.evaluate("document.getElementById('partition').value = '2'")
        browser.evaluate("document.getElementById('partition').dispatchEvent(new Event('change'))")
        assert browser.text("#backlog").endswith("acceptable 100,000")


def test_colours_are_those_of_the_model(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        mixed = "import('/static/colours.js').then(({taskColours}) => taskColours(%s, %s).fill)"
        shares = [("0", "0"), ("0.5", "0"), ("0", "0.5"), ("0.4", "0.6"), ("1", "0"), ("0", "1"), ("null", "null")]
        assert [browser.evaluate(mixed % pair) for pair in shares] == [
            *("#5db1ff", "#a68bb2", "#739dc4", "#8e8c9f", "#ee6464", "#888888", "#5db1ff")
        ]


def opened_row(pipeline: Running, kind: str) -> tuple[str, str]:
    """Where to click for the task of a kind, and where its details are."""
    row = f"#tasks [data-task='{pipeline.task(kind)['id']}']"
    return f"{row} .row-name", f"{row} + .opened"


def test_a_click_on_a_task_begins_a_measurement_and_says_so(tmp_path: Path) -> None:
    # Longer than any test: whoever looks sees it under way.
    for_ever = BackPressureSettings(num_samples=20_000)
    with running(tmp_path, back_pressure=for_ever) as pipeline, Browser(tmp_path) as browser:
        browser.open(f"{pipeline.server.url}/#back-pressure")
        assert browser.wait_for("document.querySelectorAll('#tasks .row').length === 4")
        name, opened = opened_row(pipeline, "log_writer")
        browser.click(name)
        status = f'document.querySelector("{opened} [role=status]")'
        assert browser.wait_for(f"{status}.textContent === 'Sampling in progress…' && !{status}.hidden")
        assert pipeline.task("log_writer")["sampling"]["of"] == 20_000
        assert pipeline.task("source")["sampling"] is None, "nothing else is measured for it"
        assert browser.wait_for(f"/^[0-9]+ of 20000 samples$/.test({status}.title)")
        assert browser.complaints == []


def test_a_measurement_ends_with_the_subtasks_and_their_history(tmp_path: Path) -> None:
    short = BackPressureSettings(num_samples=20, delay_between_samples_ns=5 * NS_PER_MS)
    with running(tmp_path, back_pressure=short) as pipeline, Browser(tmp_path) as browser:
        browser.open(f"{pipeline.server.url}/#back-pressure")
        assert browser.wait_for("document.querySelectorAll('#tasks .row').length === 4")
        assert browser.texts(".row-name") == [task["task"] for task in pipeline.get("/api/back-pressure")["tasks"]]
        name, opened = opened_row(pipeline, "log_writer")
        browser.click(name)
        measured = f'document.querySelector("{opened} .measurement span").textContent'
        assert browser.wait_for(f"{measured}.endsWith(' ago')")
        assert browser.wait_for(f'document.querySelector("{opened} [role=status]").hidden')
        assert browser.wait_for(f'document.querySelectorAll("{opened} .scroll tbody .level").length === 2')
        assert browser.texts(f"{opened} .scroll tbody td:first-child") == ["0", "1"]
        browser.click(f"{opened} .fold")
        assert browser.text(f"{opened} .fold") == "Show subtasks"
        assert browser.evaluate(f'document.querySelector("{opened} .scroll").checkVisibility()') is False
        browser.click(f"{opened} .fold")
        assert browser.evaluate(f'document.querySelector("{opened} .scroll").checkVisibility()') is True
        assert browser.wait_for(f'document.querySelector("{opened} .task-chart canvas")'), "its history is drawn"
        assert browser.complaints == []


def test_on_demand_a_task_is_measured_when_its_row_is_opened_and_again_while_it_is_open(tmp_path: Path) -> None:
    on_demand = BackPressureSettings(
        mode=BackPressureMode.ON_DEMAND,
        num_samples=3,
        delay_between_samples_ns=5 * NS_PER_MS,
        refresh_interval_ns=NS_PER_SECOND,
    )
    with running(tmp_path, back_pressure=on_demand) as pipeline, Browser(tmp_path) as browser:
        browser.open(f"{pipeline.server.url}/#back-pressure")
        assert browser.wait_for("document.querySelectorAll('#tasks .row').length === 4")
        assert browser.texts("#tasks > .row > td:nth-child(4) > span:first-child") == ["-"] * 4
        name, opened = opened_row(pipeline, "log_writer")
        browser.click(name)
        measured = f'document.querySelector("{opened} .measurement span").textContent'
        assert browser.wait_for(f"{measured}.endsWith(' ago')")
        assert browser.wait_for(f'document.querySelector("{opened} .measurement .level:not([role=status])")')
        first = pipeline.task("log_writer")["sampledAt"]
        assert wait_until(lambda: pipeline.task("log_writer")["sampledAt"] > first, SECONDS_MAX), "nobody clicked"
        tasks = pipeline.get("/api/back-pressure")["tasks"]
        assert {task["kind"] for task in tasks if task["sampledAt"] is not None} == {"log_writer"}
        closed = [
            f"#tasks > [data-task='{task['id']}'] > td:nth-child(4)" for task in tasks if task["sampledAt"] is None
        ]
        assert [browser.text(selector).removesuffix("bottleneck") for selector in closed] == ["-"] * 3
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
        assert browser.wait_for(f"{MAY_CHANGE} && document.querySelector('#limits-write-limit')?.value === '500'")
        limit = "document.querySelector('#partitions [data-partition=\"1\"] td')?.textContent"
        assert browser.wait_for(f"{limit} === '500/s of 500/s'")
        browser.fill("#limits-write-limit", "900")
        browser.fill("#limits-ttl", "1h")
        browser.click("#limits [type=submit]")
        assert browser.wait_for("!document.getElementById('proposal').hidden")
        assert browser.texts("#proposal li") == [f"partition {n}: write.limit from 500 to 900" for n in (1, 2)]
        settings = pipeline.engine.flow_settings()[1].write
        assert settings is not None
        assert settings.limit == 500, "nothing is changed before the second click"
        browser.click("#apply")
        assert browser.wait_for(f"{limit} === '900/s of 900/s'")
        told = pipeline.get("/api/flow-control")["partitions"]["1"]
        assert (told["effective"]["writeLimit"], told["effective"]["writeLimitMax"]) == (900, 900)
        assert told["override"]["until"] - told["override"]["since"] == 3600
        assert browser.wait_for("document.getElementById('override').textContent.includes('Partition 2: limits set')")
        # The same for a second more, for nobody wants to wait an hour.
        pipeline.api.patch("/api/flow-control?ttl=1s", json={"write": {"limit": 900}}).raise_for_status()
        assert browser.wait_for(f"{limit} === '500/s of 500/s'"), "it comes back by itself"
        assert browser.wait_for("document.getElementById('override').textContent.includes('configured')")
        assert browser.complaints == []


def test_a_change_that_somebody_else_has_overtaken_changes_nothing(pipeline: Running, tmp_path: Path) -> None:
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for(f"{MAY_CHANGE} && document.querySelector('#limits-write-limit')?.value === '500'")
        browser.fill("#limits-write-limit", "900")
        browser.click("#limits [type=submit]")
        assert browser.wait_for("!document.getElementById('proposal').hidden")
        pipeline.api.patch("/api/flow-control", json={"write": {"limit": 600}}).raise_for_status()
        browser.click("#apply")
        assert browser.wait_for("document.getElementById('limits-error').textContent.includes('no longer')")
        assert pipeline.get("/api/flow-control")["partitions"]["1"]["effective"]["writeLimitMax"] == 600


def test_limits_of_one_partition_are_reverted_by_hand(pipeline: Running, tmp_path: Path) -> None:
    pipeline.api.patch("/api/flow-control?partition=2", json={"write": {"limit": 700}}).raise_for_status()
    with Browser(tmp_path) as browser:
        browser.open(pipeline.server.url)
        limit = "document.querySelector('#partitions [data-partition=\"2\"] td')?.textContent"
        assert browser.wait_for(f"{limit} === '700/s of 700/s'")
        assert browser.wait_for(MAY_CHANGE)
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
        assert browser.wait_for(f"{MAY_CHANGE} && document.querySelector('#limits-write-limit')?.value === '500'")
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
        assert browser.wait_for(MAY_CHANGE)
        browser.click("#exporters button")
        assert browser.text("#question").startswith("Pause archive?")
        browser.click("#confirm [value=no]")
        browser.click("#exporters button")
        browser.click("#confirm [value=yes]")
        assert browser.wait_for(f"{state} === 'paused'")
        assert browser.text("#held").startswith("archive is paused since ")
        assert browser.wait_for("document.querySelector('#rejects').textContent === 'Nothing is set aside.'")

        def positions() -> list[str]:
            parts = pipeline.get("/api/exporters")["exporters"][0]["partitions"]
            return [f"{part['state']} {part['acknowledgedPosition']:,} of" for part in parts]

        def shown() -> list[str]:
            rows = [row[1:] if len(row) > 9 else row for row in cells(browser, "#exporters tr")]
            return [f"{row[1]} {row[2].split(' of')[0]} of" for row in rows]

        # Nothing moves while it is paused: the page and the API come to say the same.
        assert wait_until(lambda: all(text.startswith("paused") for text in positions()), SECONDS_MAX)
        assert wait_until(lambda: shown() == positions(), SECONDS_MAX)
        browser.click("#exporters button")
        assert browser.text("#question").startswith("Resume archive?")
        browser.click("#confirm [value=yes]")
        assert browser.wait_for(f"{state} === 'exporting'")
        assert browser.complaints == []


def test_the_page_says_that_the_engine_is_away_and_comes_back_by_itself(pipeline: Running, tmp_path: Path) -> None:
    fresh = "!document.body.classList.contains('is-stale') && document.getElementById('notice').textContent === ''"
    with Browser(tmp_path) as browser:
        with ManagementServer(pipeline.engine, port=0) as server:
            browser.open(server.url)
            port = server.port
            assert browser.wait_for("document.querySelector('.task')")
            assert browser.wait_for(fresh)
        assert browser.wait_for("document.body.classList.contains('is-stale')")
        # What is asked for may fail before the stream is found to be broken.
        assert browser.wait_for("document.getElementById('notice').textContent.includes('What you see is of')")
        with ManagementServer(pipeline.engine, port=port):
            assert browser.wait_for(fresh)


def test_an_answer_that_does_not_come_turns_its_view_grey_and_no_other(pipeline: Running, tmp_path: Path) -> None:
    told = {path: pipeline.get(path) for path in ASKED}
    answers = {path: [answer] for path, answer in told.items()} | {"/api/exporters": [None]}
    stale = "document.body.classList.contains('is-stale')"
    with Browser(tmp_path, before=frozen(answers)) as browser:
        browser.open(pipeline.server.url)
        assert browser.wait_for("document.querySelector('#partitions tr') && document.querySelector('.task')")
        assert browser.wait_for(f"!{stale}")
        browser.click("#tab-exporting")
        assert browser.wait_for(stale)
        assert browser.text("#notice") == "Not all could be read: cut off by the test. Trying again."
        browser.click("#tab-flow-control")
        assert browser.wait_for(f"!{stale} && document.getElementById('notice').textContent === ''")


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
                assert browser.wait_for("!document.body.classList.contains('is-stale')")
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
        assert browser.wait_for(f"document.body.dataset.rights === '{'change' if may else 'read'}'")
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
        wide = "document.documentElement.scrollWidth"
        for view in ("flow-control", "back-pressure", "exporting"):
            browser.click(f"#tab-{view}")
            assert browser.wait_for(f"document.querySelector('#{view} tbody tr')")
            assert browser.evaluate(wide) <= width, view
        browser.click("#tab-back-pressure")
        browser.click("#tasks .row-name")
        assert browser.wait_for("document.querySelector('.opened .task-chart canvas')")
        assert browser.evaluate(wide) <= width, "with a row open"
        browser.click("#tab-flow-control")
        assert browser.wait_for(f"{MAY_CHANGE} && document.querySelector('#writes-chart canvas')")
        browser.fill("#limits-write-limit", "many")
        browser.click("#limits [type=submit]")
        assert browser.wait_for("document.getElementById('limits-write-limit').ariaInvalid === 'true'")
        assert browser.evaluate(wide) <= width, "with an error at a field"
