"""Whom the bridges blame, from ratios alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backpressure.levels import level_of
from engine.core.snapshot import BackPressureSnapshot, EdgeSnapshot, VertexKind, VertexSnapshot
from penstock.bridges.blame import Blame, Steady, blame

Shares = tuple[float, float | None]


def reading(held: float, busy: float | None) -> BackPressureSnapshot:
    idle = None if busy is None else max(0.0, 1 - held - busy)
    return BackPressureSnapshot(ratio=held, samples=None, level=level_of(held), idle_ratio=idle, busy_ratio=busy)


def judged(graph: str, shares: Mapping[str, list[Shares] | None]) -> Blame:
    """`graph` is written as `a>b b>c`; `shares` are (held back, busy) of each subtask, None where nothing is known."""
    pairs = [edge.split(">") for edge in graph.split()]
    vertices = [
        VertexSnapshot(vertex_id=name, task=name, kind=VertexKind.TRANSFORM, parallelism=len(of or ()) or 1)
        for name, of in shares.items()
    ]
    edges = [EdgeSnapshot(source_id=a, target_id=b, ship_strategy="HASH") for a, b in pairs]
    known = {name: dict(enumerate(reading(*one) for one in of)) for name, of in shares.items() if of}
    return blame(vertices, edges, known)


def culprit(graph: str, shares: Mapping[str, list[Shares] | None]) -> str | None:
    found = judged(graph, shares).culprit
    return None if found is None else found.task


def test_from_the_victims_down_to_the_first_that_is_not_held_back() -> None:
    shares: dict[str, list[Shares] | None] = {
        "a": [(0.9, 0.1)],
        "b": [(0.8, 0.2)],
        "c": [(0.05, 0.95)],
        "d": [(0, 0.1)],
    }
    found = judged("a>b b>c c>d", shares)
    assert found.waits == (("a", "b"), ("b", "c"))
    assert found.culprit is not None
    assert (found.culprit.task, found.culprit.victims) == ("c", ("a/0", "b/0"))
    assert found.culprit.text == "c is busy 95% of its time and cannot take more; a is held back 90% of its time"


def test_a_tenth_of_the_time_is_no_back_pressure() -> None:
    assert judged("a>b", {"a": [(0.10, 0.9)], "b": [(0, 0.9)]}) == Blame((), None)


def test_of_several_behind_it_the_busiest() -> None:
    shares: dict[str, list[Shares] | None] = {"a": [(0.9, 0.1)], "b": [(0, 0.3)], "c": [(0, 0.95)]}
    assert culprit("a>b a>c", shares) == "c"


def test_of_several_behind_it_the_one_that_is_held_back_leads_further_down() -> None:
    shares: dict[str, list[Shares] | None] = {"a": [(0.9, 0.1)], "b": [(0, 0.99)], "c": [(0.7, 0.3)], "d": [(0, 1.0)]}
    assert culprit("a>b a>c c>d", shares) == "d"


def test_where_nobody_behind_it_is_busy_it_is_the_network_or_something_outside() -> None:
    found = judged("a>b", {"a": [(0.9, 0.1)], "b": [(0, 0.05)]}).culprit
    assert found is not None
    assert (found.task, found.vertex_id, found.subtask) == ("outside", None, None)
    assert "the network, or something outside" in found.text


def test_the_last_task_itself_held_back_waits_for_something_outside() -> None:
    assert culprit("a>b", {"a": [(0.0, 0.1)], "b": [(0.9, 0.1)]}) == "outside"


def test_an_average_that_swings_still_names_the_one_that_works_while_others_wait() -> None:
    assert culprit("a>b", {"a": [(0.34, 0.1)], "b": [(0, 0.5)]}) == "b"


def test_unknown_is_no_verdict_and_no_zero() -> None:
    assert culprit("a>b a>c", {"a": [(0.9, None)], "b": [(0, None)], "c": [(0, None)]}) is None
    assert culprit("a>b a>c", {"a": [(0.9, None)], "b": [(0, 0.05)], "c": None}) is None
    assert culprit("a>b", {"a": [(0.9, None)], "b": None}) is None
    assert culprit("a>b", {"a": None, "b": [(0, 1.0)]}) is None


def test_without_busy_ratios_one_alone_behind_it_is_the_one() -> None:
    found = judged("a>b", {"a": [(0.9, None)], "b": [(0, None)]}).culprit
    assert found is not None
    assert found.text == "b cannot take more; a is held back 90% of its time"


def test_one_subtask_that_works_while_the_others_rest_is_named_alone() -> None:
    found = judged("a>b", {"a": [(0.9, 0.1)], "b": [(0, 0.02), (0, 1.0), (0, 0.1)]}).culprit
    assert found is not None
    assert (found.task, found.subtask) == ("b", 1)
    assert "b, subtask 1, is busy 100%" in found.text
    even = judged("a>b", {"a": [(0.9, 0.1)], "b": [(0, 0.9), (0, 1.0)]}).culprit
    assert even is not None
    assert even.subtask is None


def test_a_circle_of_tasks_that_wait_for_one_another_has_no_culprit_and_ends() -> None:
    assert culprit("a>b b>a", {"a": [(0.9, 0.1)], "b": [(0.9, 0.1)]}) is None


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12),
            st.lists(
                st.none() | st.lists(st.tuples(st.floats(0, 1), st.none() | st.floats(0, 1)), min_size=1, max_size=3),
                min_size=n,
                max_size=n,
            ),
        )
    )
)
def test_whoever_is_blamed_is_known_not_held_back_and_behind_a_victim(
    graph: tuple[list[tuple[int, int]], list[list[Shares] | None]],
) -> None:
    pairs, shares = graph
    named = {f"t{n}": one for n, one in enumerate(shares)}
    found = judged(" ".join(f"t{a}>t{b}" for a, b in pairs), named)
    held = {name for name, of in named.items() if of and max(one[0] for one in of) > 0.10}
    assert {task for task, _ in found.waits} <= held
    if found.culprit is None:
        return
    assert held
    last = found.culprit.victims[-1].partition("/")[0]
    if found.culprit.task != "outside":
        assert named[found.culprit.task]
        assert found.culprit.task not in held
        assert (int(last[1:]), int(found.culprit.task[1:])) in pairs


@pytest.mark.parametrize(
    ("looks", "shown"),
    [("aabb", "aaab"), ("abab", "aaaa"), ("a-a-", "aaaa"), ("--aa", "---a"), ("abcc", "aaac"), ("a--b", "aa--")],
)
def test_another_one_is_shown_when_two_looks_in_a_row_have_named_it(looks: str, shown: str) -> None:
    a = judged("a>b", {"a": [(0.9, 0.1)], "b": [(0, 1.0)]}).culprit
    assert a is not None
    from dataclasses import replace

    steady = Steady()
    seen = [steady.after(None if name == "-" else replace(a, task=name)) for name in looks]
    assert "".join("-" if one is None else one.task for one in seen) == shown
