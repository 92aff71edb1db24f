"""The recipes of the manual do what they say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from penstock.testing import ProcessorHarness

FOLDER = Path(__file__).parents[2] / "examples" / "recipes"
MANUAL = Path(__file__).parents[2] / "docs" / "processors.md"


def recipe(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_recipe_stands_in_the_manual() -> None:
    text = MANUAL.read_text()
    names = sorted(path.name for path in FOLDER.glob("*.py"))
    assert len(names) == 12
    assert [name for name in names if f"examples/recipes/{name}" not in text] == []


def test_deduplicate() -> None:
    harness = ProcessorHarness(recipe("deduplicate").Deduplicate)
    for key in ("a", "b", "a", "a"):
        harness.process({"id": key}, key=key)
    assert harness.emitted("first") == [{"id": "a"}, {"id": "b"}]
    harness.advance(24 * 3600)
    assert harness.state() == {}
    harness.process({"id": "a"}, key="a")
    assert len(harness.emitted("first")) == 3


def test_window() -> None:
    harness = ProcessorHarness(recipe("window").Window)
    for time, amount in ((5, 1), (59, 2), (61, 10)):
        harness.process({"time": time, "amount": amount}, key="k")
    assert harness.emitted() == []
    harness.advance(71)
    assert harness.emitted("window") == [
        {"key": "k", "start": 0, "count": 2, "sum": 3},
        {"key": "k", "start": 60, "count": 1, "sum": 10},
    ]
    harness.process({"time": 7, "amount": 4}, key="k")
    assert harness.emitted("correction") == [{"key": "k", "start": 0, "amount": 4}]
    harness.advance(3600)
    assert (harness.state(), harness.scheduled()) == ({}, [])


def test_join() -> None:
    harness = ProcessorHarness(recipe("join").Join)
    harness.process({"item": "book"}, key="1")
    harness.process({"paid": 12}, key="1")
    harness.process({"paid": 7}, key="2")
    harness.process({"item": "pen"}, key="2")
    assert harness.emitted("paid_order") == [{"item": "book", "paid": 12}, {"paid": 7, "item": "pen"}]
    assert (harness.state(), harness.scheduled()) == ({}, [])
    harness.process({"item": "lamp"}, key="3")
    assert harness.process({"item": "lamp"}, key="3").rejected == "a second order of order 3"
    harness.advance(900)
    assert harness.emitted("unmatched") == [{"item": "lamp"}]
    assert harness.state() == {}


def test_time_out() -> None:
    harness = ProcessorHarness(recipe("time_out").TimeOut)
    harness.process({"status": "started"}, key="in time")
    harness.process({"status": "started"}, key="late")
    harness.advance(299)
    harness.restart()
    harness.process({"status": "finished"}, key="in time")
    harness.advance(1)
    assert harness.emitted("done") == [{"task": "in time"}]
    assert harness.emitted("timed_out") == [{"task": "late", "after": 300}]
    outcome = harness.process({"status": "finished"}, key="late")
    assert outcome.rejected == "task late was not started, or has timed out already"


def test_enrich() -> None:
    harness = ProcessorHarness(recipe("enrich").Enrich)
    anna = {"kind": "customer", "name": "Anna", "country": "AT"}
    harness.process({"kind": "order", "n": 1}, key="7")
    harness.process(anna, key="7")
    harness.process({"kind": "order", "n": 2}, key="7")
    customer = {"name": "Anna", "country": "AT"}
    assert harness.emitted("order") == [{"kind": "order", "n": n, "customer": customer} for n in (1, 2)]
    for n in range(100):
        harness.process({"kind": "order", "n": n}, key="8")
    assert harness.process({"kind": "order", "n": 100}, key="8").rejected == "100 orders wait for customer 8 already"


def test_sessionise() -> None:
    harness = ProcessorHarness(recipe("sessionise").Sessionise)
    for page in ("home", "shelf", "till"):
        harness.process({"page": page}, key="v")
        harness.advance(1700)
    assert harness.emitted() == []
    harness.advance(100)
    assert harness.emitted("session") == [{"visitor": "v", "clicks": 3, "first": "home"}]
    assert (harness.state(), harness.scheduled()) == ({}, [])


def test_aggregate() -> None:
    harness = ProcessorHarness(recipe("aggregate").Aggregate)
    for key, amount in (("a", 1), ("b", 2), ("a", 3)):
        harness.process({"amount": amount}, key=key)
    harness.advance(10)
    harness.process({"amount": 5}, key="b")
    harness.advance(60)
    assert harness.emitted("summary") == [{"a": 4, "b": 2}, {"b": 7}]
    assert harness.scheduled() == []


def test_fan_out() -> None:
    harness = ProcessorHarness(recipe("fan_out").FanOut, partitions=3)
    items = [{"sku": f"sku {n}", "count": n} for n in range(1, 5)]
    harness.process({"id": "o", "items": items}, key="o")
    assert sorted((r["sku"], r["left"]) for r in harness.emitted("reserved")) == [(f"sku {n}", -n) for n in range(1, 5)]


def test_back_fill() -> None:
    harness = ProcessorHarness(recipe("back_fill").BackFill)
    for version in (5, 3, 6, 6):
        harness.process({"version": version}, key="k")
    assert [value["version"] for value in harness.emitted("latest")] == [5, 6]


@pytest.mark.parametrize("failures", [0, 3, 99])
def test_retry(failures: int) -> None:
    calls: list[tuple[str, Any]] = []

    def call(key: str, body: Any) -> None:
        calls.append((key, body))
        if len(calls) <= failures:
            raise ConnectionError("away")

    module = recipe("retry")
    harness = ProcessorHarness(lambda: module.Retry(call))
    harness.process({"n": 1}, key="k")
    harness.advance(3600)
    assert calls == [("k", {"n": 1})] * min(failures + 1, module.ATTEMPTS)
    if failures < module.ATTEMPTS:
        assert harness.emitted("called") == [{"key": "k", "attempt": failures + 1}]
    else:
        assert harness.rejected() == ["given up after 5 attempts: away"]


def test_rate_limit() -> None:
    harness = ProcessorHarness(recipe("rate_limit").RateLimit)
    for n in range(12):
        harness.process({"n": n}, key="anna")
    assert len(harness.emitted("mail")) == 5
    harness.advance(3600)
    assert len(harness.emitted("mail")) == 10
    harness.process({"n": 12}, key="anna")
    assert len(harness.emitted("mail")) == 10, "who waits goes first"
    harness.advance(3 * 3600)
    assert [mail["n"] for mail in harness.emitted("mail")] == [*range(13)]
    assert (harness.state(), harness.scheduled()) == ({}, [])


def test_route() -> None:
    harness = ProcessorHarness(recipe("route").Route)
    for kind in ("bill", "fault", "credit"):
        harness.process({"kind": kind})
    assert [len(harness.emitted(value_type)) for value_type in ("invoice", "alarm")] == [2, 1]
    assert harness.process({"kind": "song"}).rejected == "no route for kind 'song'"


def test_the_code_of_the_manual_runs() -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        if "process_batch" not in block:
            exec(block, names)
    names["test_a_count_survives_a_restart"]()
    exec(blocks[1], names)
    harness = ProcessorHarness(names["CountManyByAirport"])
    assert [harness.process(None, key="JFK").emitted[0].value["flights"] for _ in range(2)] == [1, 2]
