"""JSON made to hurt: too deep, too wide. Refused with a clear 4xx, or taken; the engine goes on either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline
from engine.core.snapshot import EngineState
from exporter.gateway.parsing import CONTAINERS_MAX, DEPTH_MAX, MalformedError, read_json, read_lines
from tests.support.gateway import JSON, LINES, OpenGateway, open_gateway
from tests.support.pipelines import CollectingExporter
from tests.support.waiting import wait_until

MB = 1024 * 1024


def nested(levels: int, *, objects: bool = False) -> bytes:
    """An object of so many levels, itself the first."""
    begin, end = (b'{"a":', b"}") if objects else (b"[", b"]")
    return b'{"a":' + begin * (levels - 1) + b"1" + end * (levels - 1) + b"}"


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, 500, 990, 100_000])
def test_a_record_that_is_too_deep_is_refused_with_its_line(levels: int, objects: bool) -> None:
    deep = nested(levels, objects=objects)
    for body in (b'{"b":1}\n\n' + deep, b'{"b":1}\n\n' + deep + b'\n{"c":1}'):
        with pytest.raises(MalformedError, match=f"line 3: it is nested too deeply; {DEPTH_MAX} levels are allowed"):
            read_lines(body)
    with pytest.raises(MalformedError, match="it is nested too deeply"):
        read_json(deep)
    with pytest.raises(MalformedError, match="it is nested too deeply"):
        read_json(b'[{"b":1},\n' + deep + b"]")


@pytest.mark.parametrize("objects", [False, True])
def test_a_record_as_deep_as_is_allowed_is_read(objects: bool) -> None:
    deep = nested(DEPTH_MAX, objects=objects)
    assert read_json(deep) == [json.loads(deep)]
    assert read_lines(deep + b"\n" + deep) == [json.loads(deep)] * 2
    assert len(read_json(b"[" + b",".join([deep] * 50) + b"]")) == 50


def test_brackets_in_texts_and_beside_one_another_are_no_depth() -> None:
    text = b'{"a":"' + b"[{" * 500 + b'"}'
    beside = b'{"a":[' + b",".join([b"[]", b"{}"] * 500) + b"]}"
    assert len(read_lines(text + b"\n" + beside)) == 2


@pytest.fixture
def outside() -> CollectingExporter:
    return CollectingExporter()


@pytest.fixture
def gateway(tmp_path: Path, outside: CollectingExporter) -> Iterator[OpenGateway]:
    pipeline = Pipeline("p").export("outside", outside.factory)
    with pipeline.run(tmp_path, options=EngineOptions(run_forever=True)) as engine, open_gateway(engine) as gateway:
        yield gateway
        assert engine.snapshot().state is EngineState.RUNNING
        engine.stop(drain=False)


HOSTILE: dict[str, tuple[bytes, dict[str, str], int]] = {
    "deep": (nested(200_000), JSON, 400),
    "deep objects": (nested(200_000, objects=True), JSON, 400),
    "deep and never closed": (b'{"a":' + b"[" * 200_000, JSON, 400),
    "deeper than it may be wide": (nested(MB), JSON, 413),
    "deep behind good ones": (b'{"b":1}\n' * 1000 + nested(900), LINES, 400),
    "a little too deep": (nested(DEPTH_MAX + 1), JSON, 400),
    "wide": (b"[" + b"{}," * 100_000 + b"{}]", JSON, 413),
    "one wide record": (b'{"a":[' + b"[]," * CONTAINERS_MAX + b"[]]}", JSON, 413),
    "wide lines": (b"{}\n" * 100_000, LINES, 413),
    "an array of arrays": (b"[" + b"[]," * 100_000 + b"[]]", JSON, 400),
    "a number without end": (b'{"a":' + b"9" * MB + b"}", JSON, 400),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_body_is_refused_clearly_and_the_engine_goes_on(
    kind: str, gateway: OpenGateway, outside: CollectingExporter
) -> None:
    body, headers, status = HOSTILE[kind]
    answer = gateway.post(body, headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.json()["detail"]) < 300
    good: dict[str, Any] = {"n": 1}
    assert gateway.post(json.dumps(good)).status_code == 200
    # Nothing of the hostile one is in front of it.
    assert wait_until(lambda: outside.values("record") == [good])


def test_a_record_as_wide_as_is_allowed_is_taken(gateway: OpenGateway) -> None:
    # With the record itself and its array.
    body = b'{"a":[' + b"[]," * (CONTAINERS_MAX - 3) + b"[]]}"
    assert gateway.post(body).status_code == 200


def test_what_is_as_deep_as_is_allowed_goes_all_the_way_through(
    gateway: OpenGateway, outside: CollectingExporter
) -> None:
    deep = nested(DEPTH_MAX)
    assert gateway.post(deep).status_code == 200
    assert wait_until(lambda: outside.values("record") == [json.loads(deep)])
