"""Reads beside a log that goes on in the next segment, and what is kept of those behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.log.codec import decode_batch
from engine.log.local import storage as segments_module
from engine.log.local.segment import Segment
from engine.log.local.storage import LocalLogStorage
from tests.engine.log.local.test_storage import entry, values
from tests.support.logs import local_log


def written(folder: Path, count: int, **options: Any) -> LocalLogStorage:
    storage = local_log(folder, **options)
    storage.recover()
    for n in range(1, count + 1):
        storage.commit([entry(n)])
    return storage


def rows_of(storage: LocalLogStorage) -> list[Segment]:
    """Those of which an index is kept."""
    return [segment for segment in storage._segments if len(segment._index.positions)]


class Overtaken(LocalLogStorage):
    """Others commit between a reader's look at the last position and its look at the segments."""

    meanwhile: Callable[[], None] | None = None
    _seen = 0

    @property
    def _last_position(self) -> int:
        seen = self._seen
        if self.meanwhile is not None:
            others, self.meanwhile = self.meanwhile, None
            others()
        return seen

    @_last_position.setter
    def _last_position(self, position: int) -> None:
        self._seen = position


def test_a_reader_that_others_overtake_into_the_next_segments_finds_what_was_there(tmp_path: Path) -> None:
    LocalLogStorage(tmp_path / "1").make()
    storage = Overtaken(tmp_path / "1", segment_bytes=1000)
    storage.recover()
    for n in range(1, 6):
        storage.commit([entry(n)])
    begun = storage._segments

    def others() -> None:
        for n in range(6, 60):
            storage.commit([entry(n)])

    assert len(begun) == 1
    storage.meanwhile = others
    found = storage.read(3, 10)
    assert len(storage._segments) > len(begun) + 1, "they did go on"
    assert [r.value for batch in found for r in decode_batch(batch).records] == [3, 4, 5]
    assert values(storage, 3, 10) == [*range(3, 13)]
    storage.close()


def test_of_a_long_log_that_nobody_reads_few_indexes_are_kept(tmp_path: Path) -> None:
    storage = written(tmp_path / "1", 300, segment_bytes=500, synchronous="NORMAL")
    assert len(storage._segments) > 3 * segments_module._INDEXES_MAX
    assert len(rows_of(storage)) <= segments_module._INDEXES_MAX + 1
    assert rows_of(storage) == [*storage._segments[-len(rows_of(storage)) :]]
    assert values(storage) == [*range(1, 301)]
    assert len(rows_of(storage)) <= segments_module._INDEXES_MAX + 1
    storage.close()


def test_the_index_of_a_segment_that_is_read_again_and_again_stays(tmp_path: Path) -> None:
    storage = written(tmp_path / "1", 300, segment_bytes=500, synchronous="NORMAL")
    favourite, *others = storage._segments[:-1]
    for segment in others:
        assert values(storage, 1, 1) == [1]
        held = favourite._index
        assert values(storage, segment.first_position, 1) == [segment.first_position]
        assert favourite._index is held
        assert len(held.positions)
    storage.close()
