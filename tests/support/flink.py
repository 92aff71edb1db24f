"""A small job for Flink's routes: `flights` → `parse` (4 subtasks, the third not running) → log → `file`."""

from __future__ import annotations

from dataclasses import replace

from engine.backpressure.window import Counts
from engine.core.clock import NS_PER_SECOND
from engine.core.identity import stable_id
from engine.core.snapshot import (
    BackPressureSnapshot,
    BlockReason,
    EdgeSnapshot,
    EngineSnapshot,
    RecentTimes,
    TaskStatus,
    VertexBackPressure,
    VertexKind,
    VertexSnapshot,
)
from tests.support.snapshots import STARTED_WALL_NS, TAKEN_WALL_NS, engine_snapshot, task

FLIGHTS, PARSE, FILE = (stable_id("test", name) for name in ("flights", "parse", "file"))
SAMPLED_WALL_NS = TAKEN_WALL_NS - 2 * NS_PER_SECOND
RATIOS = {0: 0.31, 1: 0.48, 2: 1.0, 3: 0.0}


def reading(ratio: float) -> BackPressureSnapshot:
    blocked = round(100 * ratio)
    found = Counts(busy=60 - blocked if blocked <= 60 else 0, idle=0, blocked=blocked).reading(SAMPLED_WALL_NS)
    assert found is not None
    return replace(found, ratio=ratio)


def recent(blocked: float, idle: float) -> RecentTimes:
    """Shares of two seconds; the rest is busy."""
    span_ns = 2 * NS_PER_SECOND
    blocked_ns, idle_ns = round(blocked * span_ns), round(idle * span_ns)
    return RecentTimes(
        span_ns=span_ns,
        busy_ns=span_ns - blocked_ns - idle_ns,
        idle_ns=idle_ns,
        back_pressured_ns={BlockReason.BUFFER: blocked_ns},
        blocked_by_channel_ns=(blocked_ns,),
        records_in=20,
        records_out=18,
    )


def measured(*, is_fresh: bool = True) -> VertexBackPressure:
    return VertexBackPressure(
        vertex_id=PARSE,
        is_fresh=is_fresh,
        level="high",
        sampled_wall_ns=SAMPLED_WALL_NS,
        subtasks={number: replace(reading(0.0), ratio=ratio, level=_level(ratio)) for number, ratio in RATIOS.items()},
        sampling=None,
        problem=None,
    )


def not_yet(vertex_id: str = PARSE) -> VertexBackPressure:
    return VertexBackPressure(
        vertex_id=vertex_id,
        is_fresh=False,
        level=None,
        sampled_wall_ns=None,
        subtasks={},
        sampling=None,
        problem=None,
    )


def _level(ratio: float) -> str:
    return "ok" if ratio <= 0.1 else "low" if ratio <= 0.5 else "high"


def job(*seen: VertexBackPressure, **changes: object) -> EngineSnapshot:
    second = NS_PER_SECOND
    parse = [
        task(
            "parse",
            number,
            busy_ns=10 * second,
            idle_ns=20 * second,
            back_pressured_ns={BlockReason.BUFFER: 60 * second},
            longest_blocked_ns=3 * second,
            state=BlockReason.BUFFER if number == 0 else "busy",
            records_in=100,
            records_out=90,
            buffers=10,
            buffers_in_use=5,
            recent=recent(blocked, idle),
        )
        for number, (blocked, idle) in enumerate([(1.0, 0.0), (0.5, 0.1), (0.0, 0.0), (0.1, 0.2)])
    ]
    parse[2] = replace(
        parse[2], status=TaskStatus.FINISHED, ended_wall_ns=TAKEN_WALL_NS - second, recent=None, state="idle"
    )
    vertices = tuple(
        VertexSnapshot(vertex_id=stable_id("test", name), task=name, kind=kind, parallelism=parallelism)
        for name, kind, parallelism in [
            ("flights", VertexKind.SOURCE, 1),
            ("parse", VertexKind.TRANSFORM, 4),
            ("file", VertexKind.EXPORTER, 1),
        ]
    )
    told = engine_snapshot(
        vertices=vertices,
        edges=(
            EdgeSnapshot(source_id=FLIGHTS, target_id=PARSE, ship_strategy="REBALANCE"),
            EdgeSnapshot(source_id=PARSE, target_id=FILE, ship_strategy="LOG"),
        ),
        tasks=(task("flights", records_out=400), *parse, task("file")),
        back_pressure=seen or (not_yet(FLIGHTS), measured(), not_yet(FILE)),
    )
    return replace(told, **changes)  # type: ignore[arg-type]


__all__ = ["FILE", "FLIGHTS", "PARSE", "RATIOS", "SAMPLED_WALL_NS", "STARTED_WALL_NS", "job", "measured", "not_yet"]
