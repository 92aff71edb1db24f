"""The page of a pipeline that several instances share says who runs what, whichever of them serves it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.clock import NS_PER_SECOND
from engine.core.snapshot import EngineSnapshot, InstanceSnapshot, PartitionState, PlaceSnapshot
from exporter.management import ManagementServer
from tests.support.browser import Browser
from tests.support.engines import FakeEngine
from tests.support.snapshots import TAKEN_WALL_NS, busy_snapshot, engine_snapshot
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real

MINUTE_AGO = TAKEN_WALL_NS - 60 * NS_PER_SECOND
OPEN = "document.querySelector('#places tr') && document.querySelector('#members tr')"


def moving() -> EngineSnapshot:
    """`a` serves the page; of five partitions two run, one is restored, one has failed, one belongs to nobody."""
    shared = busy_snapshot().instances
    assert shared is not None
    a, b = shared.instances
    places = (
        PlaceSnapshot(partition=1, owner="a", state=PartitionState.RUNNING, since_wall_ns=MINUTE_AGO),
        PlaceSnapshot(partition=2, owner="b", state=PartitionState.RUNNING, since_wall_ns=MINUTE_AGO),
        PlaceSnapshot(
            partition=3,
            owner="b",
            state=PartitionState.RESTORING,
            since_wall_ns=TAKEN_WALL_NS - 5 * NS_PER_SECOND,
            restore_remaining_rows=1_204_332,
            restore_seconds_left=23.2,
        ),
        PlaceSnapshot(
            partition=4, owner="c", state=PartitionState.FAILED, since_wall_ns=MINUTE_AGO, why="<b>no luck</b>"
        ),
        PlaceSnapshot(partition=5),
    )
    here = (
        a,
        replace(b, management="http://b.example:9600", partitions={2: MINUTE_AGO}),
        InstanceSnapshot(
            name="c",
            is_me=False,
            since_wall_ns=MINUTE_AGO,
            version="1.1",
            gateway="",
            management="javascript:alert(1)",
            partitions={},
        ),
    )
    return replace(busy_snapshot(), instances=replace(shared, instances=here, places=places))


class Reopening(FakeEngine):
    """One of several."""

    def __init__(self) -> None:
        super().__init__(moving())
        self.reopened: list[int] = []

    def reopen(self, partition: int) -> None:
        self.reopened.append(partition)

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        return


def cells(browser: Browser, body: str) -> list[list[str]]:
    rows: list[list[str]] = browser.evaluate(
        f"[...document.querySelectorAll('#{body} tr')].map("
        "(row) => [...row.cells].map((cell) => cell.innerText.trim()))"
    )
    return rows


def test_it_says_who_runs_what_since_when_and_what_keeps_the_rest_from_running(tmp_path: Path) -> None:
    with ManagementServer(Reopening(), port=0) as server, Browser(tmp_path) as browser:
        browser.open(f"{server.url}/#instances")
        assert browser.wait_for(OPEN)
        assert browser.text("#instance") == "seen from a"
        assert browser.text("#whole") == (
            "2 of 5 partitions run, 3 instances are here. Partition 4 has failed and stands still. Partition 5 has no "
            "owner. Partition 3 is being opened. Instance b runs another configuration than this one."
        )
        one, two, three, four, five = cells(browser, "places")
        assert one[:3] == ["1", "a", "running"]
        assert one[3].endswith(", for 1m 0s")
        assert two[:3] == ["2", "b", "running"]
        assert three[:3] == ["3", "b", "restoring"]
        assert (three[3].endswith(", for 5s"), three[4]) == (True, "1,204,332 in about 24s")
        assert (four[2], four[5]) == ("failed", "<b>no luck</b>")
        assert five[1:4] == ["nobody", "–", "–"]
        assert [row[:2] + row[4:5] for row in cells(browser, "members")] == [
            ["a this one", "1", "–"],
            ["b", "2", "differs: processor"],
            ["c", "none", "as here"],
        ]
        assert browser.complaints == []


def test_it_leads_to_the_page_of_each_other_instance_and_to_nothing_that_is_no_page(tmp_path: Path) -> None:
    with ManagementServer(Reopening(), port=0) as server, Browser(tmp_path) as browser:
        browser.open(f"{server.url}/#instances")
        assert browser.wait_for(OPEN)
        links = browser.evaluate(
            "[...document.querySelectorAll('#instances a')].map((link) => [link.innerText, link.getAttribute('href')])"
        )
        # Both rows of its partitions, and its own.
        assert links == [["b", "http://b.example:9600/#instances"]] * 3


def test_a_partition_that_stands_still_is_let_try_again_by_a_click(tmp_path: Path) -> None:
    engine = Reopening()
    with ManagementServer(engine, port=0) as server, Browser(tmp_path) as browser:
        browser.open(f"{server.url}/#instances")
        assert browser.wait_for("document.body.dataset.rights === 'change' && document.querySelector('#places button')")
        assert browser.evaluate("document.querySelectorAll('#places button').length") == 1
        browser.click("#places button")
        assert wait_until(lambda: engine.reopened == [4])


def test_a_partition_that_is_elsewhere_says_so_among_the_limits(tmp_path: Path) -> None:
    told = moving()
    engine = FakeEngine(replace(told, partitions=told.partitions[:1]))
    with ManagementServer(engine, port=0) as server, Browser(tmp_path) as browser:
        browser.open(f"{server.url}/#flow-control")
        assert browser.wait_for("document.querySelectorAll('#partitions tr').length > 1")
        assert cells(browser, "partitions")[1] == ["2", "runs at instance b"]


def test_where_nobody_shares_the_pipeline_nothing_is_said_of_instances(tmp_path: Path) -> None:
    with ManagementServer(FakeEngine(engine_snapshot()), port=0) as server, Browser(tmp_path) as browser:
        browser.open(f"{server.url}/#instances")
        assert browser.wait_for("document.querySelector('.node')")
        for hidden in ("#tab-instances", "#instances", "#instance"):
            assert not browser.evaluate(f"document.querySelector('{hidden}').checkVisibility()"), hidden
        assert browser.evaluate("document.querySelector('#flow-control').checkVisibility()")
        assert not any("/api/instances" in address for address in browser.requested)
        assert browser.complaints == []
