"""The boards of bridges over a real Prometheus that holds what bridges showed: nothing on them stays empty."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from dashboards import throttling
from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.snapshot import EngineSnapshot
from penstock.bridges.asking import LookError
from penstock.bridges.bridge import Bridge
from penstock.bridges.process.rules import Frame
from penstock.bridges.process.stacks import Samples
from penstock.bridges.process.watcher import ProcessSettings, ProcessWatch
from penstock.bridges.zeebe_http.cluster import ZeebeBridge, ZeebeSettings
from tests.dashboards import backfill
from tests.dashboards.generated import BRIDGED, DASHBOARDS, PANELS, Json, named
from tests.dashboards.grafana_model import Range
from tests.support.captured_flink import CapturedFlink
from tests.support.prometheus import Prometheus
from tests.support.zeebe_stub import Cluster

pytestmark = pytest.mark.real

BRIDGED_PANELS = [panel for panel in PANELS if panel[0] in BRIDGED]
EACH_PANEL = pytest.mark.parametrize(("board", "panel"), BRIDGED_PANELS, ids=map(named, BRIDGED_PANELS))
LOOKS, EVERY_SECONDS = 90, 10
# One look in between at which something is not answered.
GAP = 40
Looks = dict[str, list[tuple[int, EngineSnapshot]]]

_WAIT = Frame("Condition.wait", "threading.py")
_PUTS = (_WAIT, Frame("Queue.put", "queue.py"))
_GETS = (_WAIT, Frame("Queue.get", "queue.py"))
_WORKS = (Frame("parse", "app.py"),)


def flink(clock: ManualClock, start: int) -> Looks:
    captured = CapturedFlink("1.20.1")
    bridge = captured.bridge(clock)
    failing = captured.answers[captured.back_pressure("calm", "parse")]
    found: Looks = {}
    for n in range(LOOKS):
        failing["status"] = 500 if n == GAP else 200
        _look(bridge, clock, start, n, found)
        captured.advance(EVERY_SECONDS)
    return found


def process(clock: ManualClock, start: int) -> Looks:
    def read(_seconds: int) -> list[Samples]:
        if clock.wall_ns() == (start + GAP * EVERY_SECONDS) * NS_PER_SECOND:
            raise LookError("timeout", "py-spy does not come back from process 1")
        return [
            Samples("11", "read", _PUTS, 90),
            Samples("11", "read", _WORKS, 10),
            Samples("12", "parse-1", _WORKS, 98),
            Samples("13", "parse-2", _GETS, 98),
            Samples("14", "write", _GETS, 80),
            Samples("14", "write", _WORKS, 20),
        ]

    settings = ProcessSettings(pid=1, name="app", piece_seconds=EVERY_SECONDS, graph=(("read", "parse", "write"),))
    watch = ProcessWatch(settings, clock=clock, read=read)
    found: Looks = {}
    for n in range(LOOKS):
        _look(watch, clock, start, n, found)
    return found


def zeebe(clock: ManualClock, start: int) -> Looks:
    cluster = Cluster()
    bridge = ZeebeBridge(
        ZeebeSettings(urls=("http://b-0:9600", "http://b-1:9600")), clock=clock, requests=cluster.requests()
    )
    found: Looks = {}
    for n in range(LOOKS):
        cluster.down = {1} if n == GAP else set()
        for partition in cluster.partitions.values():
            partition.committed += 1000
            partition.exporters["elasticsearch"] += 1000 if n < 20 else 900
            partition.limit = 500.0 if 40 <= n < 60 else 4000.0
            partition.refused_writes += n % 2
        _look(bridge, clock, start, n, found)
    return found


def _look(bridge: Bridge, clock: ManualClock, start: int, n: int, found: Looks) -> None:
    bridge.look()
    engines = bridge.engines() if hasattr(bridge, "engines") else (bridge,)
    for engine in engines:
        snapshot = engine.snapshot()
        found.setdefault(snapshot.pipeline, []).append((start + n * EVERY_SECONDS, snapshot))
    clock.advance(EVERY_SECONDS)


KINDS = {"penstock-flink": flink, "penstock-process": process, "penstock-zeebe": zeebe}


@dataclass(frozen=True, slots=True)
class Seen:
    """A server that holds what the three bridges showed, and the pipelines of each board."""

    prometheus: Prometheus
    start: int
    pipelines: Mapping[str, list[str]]

    def filled_in(self, board: str, expression: str) -> str:
        """With all that the board's variable offers chosen, as Grafana writes it without a pattern for all."""
        all_of_them = f"({'|'.join(self.pipelines[board])})"
        return self.looked_at.filled_in(expression.replace("$pipeline", all_of_them))

    @property
    def looked_at(self) -> Range:
        end = self.start + (LOOKS - 1) * EVERY_SECONDS
        return Range(start=self.start, end=end, step=15, scrape_interval=EVERY_SECONDS)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("bridged")
    start = int(time.time()) // 60 * 60 - LOOKS * EVERY_SECONDS
    pipelines: dict[str, list[str]] = {}
    for board, kind in KINDS.items():
        found = kind(ManualClock(wall_ns=start * NS_PER_SECOND), start)
        pipelines[board] = list(found)
        for looks in found.values():
            backfill.create_blocks(backfill.open_metrics(looks), folder / "tsdb")
    # The target that the samples pretend to be does not exist.
    with Prometheus(folder, "127.0.0.1:1", interval="1m") as prometheus:
        yield Seen(prometheus, start, pipelines)


def test_each_kind_of_bridge_has_a_board() -> None:
    assert set(KINDS) == BRIDGED


@EACH_PANEL
def test_no_panel_and_no_column_of_a_bridges_board_stays_empty(seen: Seen, board: str, panel: Json) -> None:
    # Of a job some kinds of tasks are not there, and each kind is asked for apart for the sake of its colour.
    enough = all if panel["type"] == "table" else any
    # The band says nothing of what the panel is for.
    targets = [target for target in panel["targets"] if target["refId"] != throttling.BAND_REF]
    assert enough([has_data(seen, board, target) for target in targets]), panel["title"]


def has_data(seen: Seen, board: str, target: Json) -> bool:
    looked_at = seen.looked_at
    begin = looked_at.end if target["instant"] else looked_at.start
    found = seen.prometheus.query_range(seen.filled_in(board, target["expr"]), begin, looked_at.end, looked_at.step)
    return any(math.isfinite(float(value)) for series in found for _, value in series["values"])


@pytest.mark.parametrize("board", sorted(BRIDGED))
def test_a_bridges_board_offers_its_own_pipelines_and_no_others(seen: Seen, board: str) -> None:
    (variable,) = (v for v in DASHBOARDS[board]["templating"]["list"] if v["name"] == "pipeline")
    # Without a pattern, Grafana takes all that are offered for all.
    assert "allValue" not in variable
    selector = variable["definition"].removeprefix("label_values(").removesuffix(", pipeline)")
    found = seen.prometheus.query_range(
        seen.looked_at.filled_in(selector), seen.looked_at.start, seen.looked_at.end, 15
    )
    assert sorted({series["metric"]["pipeline"] for series in found}) == sorted(seen.pipelines[board])
