"""A worker says by itself when it has nothing left to do: nobody has to ask it again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from engine import EngineOptions, FlowControlSettings, Pipeline, ProcessingContext, Record, Written
from engine.runtime.share import Share
from engine.workers.part import Part, PartOrder
from tests.support.pipelines import ListSource
from tests.support.waiting import WAIT_SECONDS
from tests.support.worker_pipelines import Nowhere

VALUES = 50
# A record of its own in each of two partitions; every value has a result besides.
OPENED = 2


class Watched:
    """One worker's part of a pipeline that is all in it, and what it tells of itself."""

    def __init__(self, folder: Path) -> None:
        source = ListSource(range(VALUES))
        pipeline = Pipeline("watched", partitions=2).source("list", source).process(_Passing, key=str)
        order = PartOrder(
            worker=1,
            share=Share(partitions=(1, 2), sources=("list",)),
            owners={1: 1, 2: 1},
            data=folder,
            options=EngineOptions(storage="memory"),
            flow_control=FlowControlSettings(),
            overrides={},
            paused={},
            paces={},
        )
        self.told: SimpleQueue[bool] = SimpleQueue()
        self.part = Part(pipeline.export("out", Nowhere), order, self._caught_up)

    def _caught_up(self) -> None:
        self.told.put(self.part.report().is_done)

    def flow(self) -> None:
        self.part.prepare(1, self.part.progress())
        self.part.flow()


class _Passing:
    def process(self, record: Record, context: ProcessingContext) -> None:
        context.emit("passed", record.value)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    with made.part:
        yield made


def test_it_says_so_when_all_that_its_sources_brought_is_done(watched: Watched) -> None:
    watched.flow()
    assert watched.told.get(timeout=WAIT_SECONDS)
    assert sum(watched.part.report().last_written) == OPENED + 2 * VALUES


def test_it_says_so_again_when_more_came_and_is_done(watched: Watched) -> None:
    watched.flow()
    assert watched.told.get(timeout=WAIT_SECONDS)
    assert isinstance(watched.part.write([1]), Written)
    assert watched.told.get(timeout=WAIT_SECONDS)
    assert sum(watched.part.report().last_written) == OPENED + 2 * VALUES + 2
