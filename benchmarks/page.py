"""How long a browser takes from the address to the drawn page of a large pipeline: `python -m benchmarks.page`.
And what an hour of samples leaves in its memory, some fifty times as fast: `python -m benchmarks.page hour`.

A hundred tasks and 32 partitions with a full history, in Debian's chromium without a screen; server and browser share
the machine. *Drawn* is when the graph, the table of partitions and both charts have been painted, as the page's own
clock says, counted from the start of the navigation.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.conditions import Spread, conditions
from engine.core.clock import NS_PER_SECOND
from engine.core.identity import stable_id
from engine.core.snapshot import EdgeSnapshot, EngineSnapshot, RecentTimes, VertexKind, VertexSnapshot
from exporter.history import CAPACITY
from exporter.management import ManagementServer
from tests.support.browser import Browser
from tests.support.engines import FakeEngine
from tests.support.snapshots import TAKEN_MONOTONIC_NS, TAKEN_WALL_NS, task, wide_snapshot

TASKS = 100
PARTITIONS = 32
REPETITIONS = 15
_RECENT = RecentTimes(
    span_ns=10 * NS_PER_SECOND,
    busy_ns=4 * NS_PER_SECOND,
    idle_ns=6 * NS_PER_SECOND,
    back_pressured_ns={},
    blocked_by_channel_ns=(),
    records_in=1000,
    records_out=1000,
)
# Two frames after all is there, it has been painted.
_DRAWN = f"""
window.drawn = null;
new MutationObserver((_, observer) => {{
  const count = (selector) => document.querySelectorAll(selector).length;
  if (count(".task") < {TASKS} || count("#partitions tr") < {PARTITIONS} || count("canvas") < 2) return;
  observer.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => {{ window.drawn = performance.now(); }}));
}}).observe(document, {{ childList: true, subtree: true }});
"""


# Samples that say what the newest of the history said, a little otherwise; throttled every other minute.
_QUICK = """
(() => {
  const really = window.fetch;
  let newest = null;
  window.sent = 0;
  window.fetch = async (address, options) => {
    const answer = await really(address, options);
    if (String(address).startsWith("api/history")) newest = await answer.clone().json();
    return answer;
  };
  function next() {
    const time = newest.times.at(-1) + 1;
    const throttled = Math.floor(time / 60) % 2;
    const varied = (name, value) => (name === "throttled" ? throttled : value && value * (1 + (time % 7)));
    const last = ({ columns, ...about }) => ({
      ...about,
      columns: Object.fromEntries(Object.entries(columns).map(([name, all]) => [name, [varied(name, all.at(-1))]])),
    });
    newest.times.push(time);
    const { partitions, vertices } = newest;
    return { ...newest, times: [time], partitions: partitions.map(last), vertices: vertices.map(last) };
  }
  window.EventSource = class {
    static CLOSED = 2;
    readyState = 1;
    close() {}
    addEventListener(name, told) {
      if (name !== "sample") return;
      setInterval(() => { told({ data: JSON.stringify(next()) }); window.sent++; }, 20);
    }
  };
})();
"""


def large_snapshot() -> EngineSnapshot:
    """Ten rows of tasks, ten in each, every one handing on to the next."""
    names = [f"step {row}.{column}" for row in range(TASKS // 10) for column in range(10)]
    edges = [
        EdgeSnapshot(source_id=stable_id("test", a), target_id=stable_id("test", b), ship_strategy="FORWARD")
        for n, (a, b) in enumerate(pairwise(names))
        if n % 10 != 9
    ]
    return replace(
        wide_snapshot(partitions=PARTITIONS, subtasks=1),
        vertices=tuple(
            VertexSnapshot(vertex_id=stable_id("test", name), task=name, kind=VertexKind.TRANSFORM, parallelism=2)
            for name in names
        ),
        edges=tuple(edges),
        tasks=tuple(task(name, n, recent=_RECENT) for name in names for n in range(2)),
    )


def moved(snapshot: EngineSnapshot, second: int) -> EngineSnapshot:
    """The same so much later, with as many more writes."""
    later_ns = second * NS_PER_SECOND
    return replace(
        snapshot,
        taken_monotonic_ns=TAKEN_MONOTONIC_NS + later_ns,
        taken_wall_ns=TAKEN_WALL_NS + later_ns,
        partitions=tuple(
            replace(each, flow=replace(each.flow, writes={key: n + second for key, n in each.flow.writes.items()}))
            for each in snapshot.partitions
        ),
    )


def measure(url: str) -> tuple[float, float]:
    """Milliseconds to the first contentful paint, and to the whole page."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Browser(Path(folder), before=_DRAWN) as browser,
    ):
        browser.open(url)
        assert browser.wait_for("window.drawn !== null")
        paint: Any = browser.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        return float(paint), float(browser.evaluate("window.drawn"))


def hour() -> None:
    """Every minute of samples each view is opened, and a row of the tasks opened or closed."""
    with (
        ManagementServer(FakeEngine(), port=0) as server,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Browser(Path(folder), before=_QUICK) as browser,
    ):
        browser.open(server.url)
        assert browser.wait_for("document.querySelector('.task') && sent > 0")
        for minute in range(61):
            assert browser.wait_for(f"sent >= {minute * 60}")
            if minute % 5 == 0:
                heap, nodes = browser.memory()
                print(f"minute {minute}: heap {heap / 1024:.0f} KiB, {nodes} DOM nodes", flush=True)
            for view in ("back-pressure", "exporting", "flow-control"):
                browser.click(f"#tab-{view}")
                if view == "back-pressure":
                    browser.evaluate(f"document.querySelectorAll('#tasks .row-name')[{minute % 4}].click()")


def main() -> None:
    if sys.argv[1:] == ["hour"]:
        hour()
        return
    engine = FakeEngine(large_snapshot(), settings={n: FakeEngine().settings[1] for n in range(1, PARTITIONS + 1)})
    print(conditions())
    with ManagementServer(engine, port=0) as server:
        assert server.history is not None
        for second in range(1, CAPACITY + 1):
            server.history.recorder.record(moved(engine.told, second))
        paints, drawn = zip(*(measure(server.url) for _ in range(REPETITIONS)), strict=True)
    for name, values in (("first contentful paint", paints), ("all drawn", drawn)):
        print(f"{name}: median {Spread.of(values).median:.0f} ms, {min(values):.0f} to {max(values):.0f} ms")


if __name__ == "__main__":
    main()
