"""Columns say what records would say, whole or cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.core.record_batch import RecordBatch
from engine.core.records import Record, RecordType
from engine.exporting.document import encoded, encoded_lines
from engine.exporting.run import Run
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch

WORDS = st.sampled_from(["a", "b"])
VALUES = st.sampled_from([None, 5, "text", [1, "x"], {"n": 1}, b"text", b"\xff"])
RECORDS = st.lists(
    st.builds(Record, st.sampled_from(list(map(str, RecordType))), WORDS, WORDS, st.text(), VALUES, st.integers(-1, 5)),
    min_size=1,
    max_size=6,
)


def stored(records: list[Record], first: int = 5) -> RecordBatch:
    blob, kinds = encode_batch(records)
    count = len(records)
    return decode_batch(
        EncodedBatch(first, count, 7_000_000, "internal", checksum_of(blob, first, count, kinds), blob, kinds)
    )


@given(records=RECORDS, cut=st.data())
def test_a_part_of_the_columns_holds_that_part_of_the_records(records: list[Record], cut: st.DataObject) -> None:
    batch = stored(records)
    first = cut.draw(st.integers(batch.first_position, batch.last_position))
    last = cut.draw(st.integers(first, batch.last_position))
    part = batch.columns.between(first, last)
    assert part.records() == batch.records_between(first, last)
    assert [*part.positions] == [record.position for record in part.records()]
    assert len(part) == last - first + 1


@given(batches=st.lists(RECORDS, min_size=1, max_size=3))
def test_a_run_makes_the_records_of_all_its_parts_and_their_lines_without_them(batches: list[list[Record]]) -> None:
    read = [stored(records, first=1 + 10 * index) for index, records in enumerate(batches)]
    records = [record for batch in read for record in batch.records]
    run = Run([batch.columns if index % 2 else batch.records for index, batch in enumerate(read)])
    assert (len(run), run.last_position) == (len(records), records[-1].position)
    expected = b"".join(encoded(record, 3) + b"\n" for record in records)
    assert encoded_lines(Run([batch.columns for batch in read]), 3) == encoded_lines(run, 3) == expected
    assert [*run] == run[:] == records
    assert run[-1] == records[-1]


def test_a_run_of_nothing_is_empty() -> None:
    assert not Run([])
    assert [*Run([])] == []
    assert encoded_lines(Run([]), 1) == b""
