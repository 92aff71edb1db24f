"""Whole stacks of a vertex, gathered while somebody looks."""

from __future__ import annotations

import sys
from types import FrameType

from engine.backpressure.flames import LOOKS, NODES_MAX, REFRESH_NS, FlameBook, FlameGraph, FlameNode, Flames, of_all


def inner() -> FrameType:
    return sys._getframe()


def outer() -> FrameType:
    return inner()


def names(node: FlameNode) -> list[str]:
    """The way down the most frequent calls."""
    found = []
    while node.children:
        name, node = max(node.children.items(), key=lambda item: item[1].count)
        found.append(name)
    return found


def test_a_stack_is_a_way_down_the_tree_from_the_outermost_call() -> None:
    book = FlameBook()
    frame = outer()
    for n in range(10):
        book.take([(frame, n < 3)])
    graph = book.graph(5)
    assert (graph.full.count, graph.on_cpu.count, graph.off_cpu.count) == (10, 3, 7)
    way = names(graph.full)
    assert way[-1].rpartition(":")[0].endswith("test_flames.inner")
    assert way[-2].rpartition(":")[0].endswith("test_flames.outer")


def test_a_look_has_stacks_gathered_and_the_graph_is_there_once_all_are() -> None:
    flames = Flames()
    assert flames.look("v", 0).ended_wall_ns is None
    assert flames.wanted == {"v"}
    for n in range(LOOKS):
        assert flames.look("v", n).ended_wall_ns is None
        flames.took({"v": [(inner(), True)]}, n, 1000 + n)
    assert flames.wanted == frozenset()
    found = flames.look("v", LOOKS)
    assert (found.ended_wall_ns, found.full.count) == (1000 + LOOKS - 1, LOOKS)
    assert flames.wanted == frozenset(), "a young graph will do"
    flames.look("v", LOOKS + REFRESH_NS)
    assert flames.wanted == {"v"}


def test_stacks_that_differ_all_the_time_fill_no_memory() -> None:
    book = FlameBook()

    def deep(n: int) -> FrameType:
        return inner() if n == 0 else deep(n - 1)

    for n in range(LOOKS):
        book.take([(deep(n), True)])

    def size(node: FlameNode) -> int:
        return 1 + sum(map(size, node.children.values()))

    graph = book.graph(1)
    assert graph.full.count == LOOKS
    assert size(graph.full) + size(graph.on_cpu) <= NODES_MAX + 3


def test_graphs_that_were_gathered_apart_add_up_and_those_that_are_not_whole_are_left_out() -> None:
    def graph(ended_wall_ns: int | None, **called: int) -> FlameGraph:
        def root() -> FlameNode:
            return FlameNode(sum(called.values()), {name: FlameNode(count) for name, count in called.items()})

        return FlameGraph(root(), root(), root(), ended_wall_ns)

    both = of_all([graph(5, read=3, write=1), graph(7, write=4), graph(None, lost=9)])
    assert both.ended_wall_ns == 7
    assert (both.full.count, {name: node.count for name, node in both.on_cpu.children.items()}) == (
        8,
        {"read": 3, "write": 5},
    )
    assert of_all([graph(None, lost=9)]).ended_wall_ns is None
