"""An input that ends too early: all in front of the damage gets through, and then the run fails."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path

import pytest

from engine import EngineOptions, Pipeline, TaskFailedError
from engine.sources.generator import generator
from engine.sources.lines import lines
from tests.support.pipelines import CollectingExporter
from tests.support.waiting import WAIT_SECONDS


def cut_off(path: Path) -> int:
    """Writes a gzip that ends too early; gives how many whole lines there are in front of the cut."""
    packed = gzip.compress(b"".join(b"line %d\n" % n for n in range(5000)))[:-200]
    path.write_bytes(packed)
    return zlib.decompressobj(wbits=31).decompress(packed).count(b"\n")


@pytest.mark.parametrize("run_forever", [False, True])
@pytest.mark.parametrize("partitions", [1, 3])
def test_all_in_front_of_the_damage_is_exported_before_the_run_fails(
    tmp_path: Path, partitions: int, run_forever: bool
) -> None:
    whole = cut_off(tmp_path / "in.gz")
    exporter = CollectingExporter()
    pipeline = (
        Pipeline("cut", partitions=partitions)
        .source("f", lines(tmp_path / "in.gz"))
        .map("text", bytes.decode)
        .key_by(lambda value: value)
        .export("all", exporter.factory)
    )
    options = EngineOptions(run_forever=run_forever)
    with (
        pytest.raises(TaskFailedError, match=r"in\.gz cannot be read behind line \d+: its gzip is cut off"),
        pipeline.run(tmp_path / "data", options=options) as engine,
    ):
        engine.wait(WAIT_SECONDS)
    found = exporter.values("record")
    assert len(found) == len(set(found))
    assert len(found) >= whole


def test_a_source_without_end_does_not_keep_the_damage_from_being_said(tmp_path: Path) -> None:
    cut_off(tmp_path / "in.gz")
    pipeline = (
        Pipeline("cut")
        .source("f", lines(tmp_path / "in.gz"))
        .source("load", generator(rate=100))
        .export("all", CollectingExporter().factory)
    )
    with (
        pytest.raises(TaskFailedError, match=r"task f/0 stopped the run: .* is cut off"),
        pipeline.run(tmp_path / "data") as engine,
    ):
        engine.wait(WAIT_SECONDS)


def test_with_the_whole_file_in_its_place_the_next_run_goes_on_behind_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "in.gz"
    exporter = CollectingExporter()
    cut_off(path)
    pipeline = Pipeline("cut").source("f", lines(path)).map("text", bytes.decode).export("all", exporter.factory)
    with pytest.raises(TaskFailedError), pipeline.run(tmp_path / "data") as engine:
        engine.wait(WAIT_SECONDS)
    before = len(exporter.values("record"))
    path.write_bytes(gzip.compress(b"".join(b"line %d\n" % n for n in range(5000))))
    exporter = CollectingExporter()
    pipeline = Pipeline("cut").source("f", lines(path)).map("text", bytes.decode).export("all", exporter.factory)
    with pipeline.run(tmp_path / "data") as engine:
        assert engine.wait(WAIT_SECONDS)
    assert exporter.values("record") == [f"line {n}" for n in range(before, 5000)]


def test_damage_is_said_without_a_trace_of_the_program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut_off(tmp_path / "in.gz")
    pipeline = Pipeline("cut").source("f", lines(tmp_path / "in.gz")).export("all", CollectingExporter().factory)
    with (
        caplog.at_level(logging.ERROR, "penstock.task"),
        pytest.raises(TaskFailedError),
        pipeline.run(tmp_path / "data") as engine,
    ):
        engine.wait(WAIT_SECONDS)
    (record,) = (record for record in caplog.records if record.name == "penstock.task")
    assert "cannot be read behind line" in record.getMessage()
    assert not record.exc_info
