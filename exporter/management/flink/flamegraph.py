"""The stacks of a vertex as a tree, in the shape of Flink's flame graph."""

from __future__ import annotations

from exporter.door import FlameGraph, FlameNode
from exporter.management.flink.errors import unreadable
from exporter.management.flink.words import Json, milliseconds

TYPES = ("full", "on_cpu", "off_cpu")
# Flink's own words for a graph that is not there: not yet, and not at all.
_WAITING, _DISABLED = -1, -3


def type_of(written: str | None) -> str:
    kind = (written or "full").lower()
    if kind not in TYPES:
        raise unreadable("query", "type", str(written))
    return kind


def flame_graph(found: FlameGraph | None, kind: str) -> Json:
    """None where stacks are not kept."""
    if found is None:
        return {"endTimestamp": _DISABLED, "data": None}
    if found.ended_wall_ns is None:
        return {"endTimestamp": _WAITING, "data": None}
    root = {"full": found.full, "on_cpu": found.on_cpu, "off_cpu": found.off_cpu}[kind]
    return {"endTimestamp": milliseconds(found.ended_wall_ns), "data": _node("root", root)}


def _node(name: str, node: FlameNode) -> Json:
    return {
        "name": name,
        "value": node.count,
        "children": [_node(called, below) for called, below in node.children.items()],
    }
