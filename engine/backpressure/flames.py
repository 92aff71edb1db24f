"""Whole stacks of a vertex's subtasks, gathered while somebody wants to see them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import FrameType

from engine.core.clock import NS_PER_SECOND

# As many looks make a graph, each at all subtasks.
LOOKS = 100
DEPTH_MAX = 100
# A graph older than this is made anew for the next who looks.
REFRESH_NS = 10 * NS_PER_SECOND
# A node has a name of some hundred bytes at most; user code that calls itself deeper and wider is cut here.
NODES_MAX = 5000


@dataclass(slots=True)
class FlameNode:
    """How often a function was on the stack at this place, and what it called there."""

    count: int = 0
    children: dict[str, FlameNode] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlameGraph:
    """The last whole graph: all looks, those at which the task worked, and the others. Not changed any more."""

    full: FlameNode
    on_cpu: FlameNode
    off_cpu: FlameNode
    # None before there is one.
    ended_wall_ns: int | None


def of_all(graphs: Iterable[FlameGraph]) -> FlameGraph:
    """One of several whose stacks were gathered apart; those that are not whole yet are left out."""
    full, on_cpu, off_cpu = FlameNode(), FlameNode(), FlameNode()
    ended: list[int] = []
    for graph in graphs:
        if graph.ended_wall_ns is not None:
            ended.append(graph.ended_wall_ns)
            for into, root in ((full, graph.full), (on_cpu, graph.on_cpu), (off_cpu, graph.off_cpu)):
                _add_up(into, root)
    return FlameGraph(full, on_cpu, off_cpu, max(ended, default=None))


def _add_up(into: FlameNode, node: FlameNode) -> None:
    into.count += node.count
    for name, below in node.children.items():
        _add_up(into.children.setdefault(name, FlameNode()), below)


class FlameBook:
    """Gathers one graph of one vertex. One caller at a time: the monitor holds the lock."""

    def __init__(self) -> None:
        self.looks = 0
        self._nodes = 0
        self._full, self._on_cpu, self._off_cpu = FlameNode(), FlameNode(), FlameNode()

    @property
    def is_done(self) -> bool:
        return self.looks >= LOOKS

    def take(self, stacks: Iterable[tuple[FrameType, bool]]) -> None:
        """Innermost frames of the subtasks, and whether each works."""
        self.looks += 1
        for frame, works in stacks:
            names = _names(frame)
            for root in (self._full, self._on_cpu if works else self._off_cpu):
                self._add(root, names)

    def graph(self, ended_wall_ns: int) -> FlameGraph:
        return FlameGraph(self._full, self._on_cpu, self._off_cpu, ended_wall_ns)

    def _add(self, root: FlameNode, names: list[str]) -> None:
        root.count += 1
        node = root
        for name in names:
            found = node.children.get(name)
            if found is None:
                if self._nodes >= NODES_MAX:
                    return
                self._nodes += 1
                found = node.children[name] = FlameNode()
            found.count += 1
            node = found


def _names(frame: FrameType | None) -> list[str]:
    """Outermost first: `module.function:line`."""
    names: list[str] = []
    while frame is not None and len(names) < DEPTH_MAX:
        code = frame.f_code
        names.append(
            f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}:{frame.f_lineno or code.co_firstlineno}"
        )
        frame = frame.f_back
    names.reverse()
    return names


class Flames:
    """The graphs of all vertices, each made while it is looked at. One caller at a time: the monitor holds the lock."""

    def __init__(self) -> None:
        self._books: dict[str, FlameBook] = {}
        self._graphs: dict[str, tuple[FlameGraph, int]] = {}

    def look(self, vertex_id: str, now_ns: int) -> FlameGraph:
        """The last graph; begins another where there is none, or an old one."""
        known = self._graphs.get(vertex_id)
        if vertex_id not in self._books and (known is None or now_ns - known[1] > REFRESH_NS):
            self._books[vertex_id] = FlameBook()
        return FlameGraph(FlameNode(), FlameNode(), FlameNode(), None) if known is None else known[0]

    @property
    def wanted(self) -> frozenset[str]:
        """Vertices whose stacks are gathered at this moment."""
        return frozenset(self._books)

    def took(self, stacks: Mapping[str, Iterable[tuple[FrameType, bool]]], now_ns: int, wall_ns: int) -> None:
        """Takes one look at each vertex that is wanted."""
        for vertex_id, book in list(self._books.items()):
            book.take(stacks.get(vertex_id, ()))
            if book.is_done:
                self._graphs[vertex_id] = (book.graph(wall_ns), now_ns)
                del self._books[vertex_id]
