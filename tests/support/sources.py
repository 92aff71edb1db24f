"""Reading a source to its end, or until it has nothing more to say."""

from __future__ import annotations

from typing import Any

from engine.sources.protocol import Source, SourceBatch, SourceStart

BEGINNING = SourceStart(0, None)


def batches(source: Source, start: SourceStart = BEGINNING, size: int = 1000) -> list[SourceBatch]:
    """Every batch with values, up to the end; checks that none reaches further than it was asked to."""
    source.open(start)
    found = []
    behind = start.offset
    while (batch := source.read(size)) is not None:
        assert batch.last_offset <= behind + size or len(batch.values) == 1
        behind = max(behind, batch.last_offset)
        if batch.values:
            found.append(batch)
    source.close()
    return found


def numbered(found: list[SourceBatch]) -> list[tuple[int, Any]]:
    return [
        (batch.first_offset + i if batch.offsets is None else batch.offsets[i], value)
        for batch in found
        for i, value in enumerate(batch.values)
    ]


def what_is_there(source: Source, size: int = 1000) -> list[SourceBatch]:
    """What an open source that does not end gives until it comes empty-handed twice."""
    found: list[SourceBatch] = []
    empty = 0
    while empty < 2:
        batch = source.read(size)
        assert batch is not None
        if batch.values:
            found.append(batch)
            empty = 0
        else:
            empty += 1
    return found
