"""A place that no log can store ends its source at once, with a word about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import EngineOptions, Pipeline, TaskFailedError
from engine.sources.protocol import SourceBatch
from tests.support.pipelines import CollectingExporter, ListSource
from tests.support.waiting import WAIT_SECONDS


class Misplaced(ListSource):
    """Says another place than it has, from the second batch on."""

    def __init__(self, **place: Any) -> None:
        super().__init__(range(100))
        self._place = place

    def read(self, max_values: int) -> SourceBatch | None:
        batch = super().read(max_values)
        if batch is not None and batch.first_offset > 1:
            for name, value in self._place.items():
                setattr(batch, name, value)
        return batch


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"cursor": "page-2"}, "the cursor of a source is bytes or None, not str"),
        ({"cursor": 2}, "the cursor of a source is bytes or None, not int"),
        ({"first_offset": True}, "an offset of a source is a whole number .*, not True"),
        ({"first_offset": 8.5}, "an offset of a source is a whole number .*, not 8.5"),
        ({"first_offset": -1}, "an offset of a source is a whole number .*, not -1"),
        ({"first_offset": 2**63 - 3}, "an offset of a source is a whole number .*, not 9223372036854775805"),
    ],
)
def test_a_source_that_says_no_place_ends_with_an_error_and_goes_on_once_it_says_one(
    place: dict[str, Any], said: str, tmp_path: Path
) -> None:
    options = EngineOptions()
    pipeline = Pipeline("p").source("n", Misplaced(**place)).export("all", CollectingExporter().factory)
    with (
        pytest.raises(TaskFailedError, match=said),
        pipeline.run(tmp_path, options=options) as engine,
    ):
        engine.wait(WAIT_SECONDS)
    exporter = CollectingExporter()
    whole = Pipeline("p").source("n", ListSource(range(100))).export("all", exporter.factory)
    with whole.run(tmp_path, options=options) as engine:
        assert engine.wait(WAIT_SECONDS)
    assert exporter.values("record")[-1] == 99
    assert len(set(exporter.values("record"))) == len(exporter.values("record"))
