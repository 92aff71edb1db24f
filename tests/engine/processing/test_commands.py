"""Commands as a processor of batches is given them: all of the log's, once, in their order, and nothing else."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.core.record_batch import RecordBatch
from engine.core.records import Record
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.processing.commands import Commands, runs_of

RECORDS = st.builds(
    Record,
    st.sampled_from(["command", "command", "event", "rejection"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "y"]),
    st.text(max_size=2),
    st.integers(0, 9),
    st.integers(-1, 5),
)


def log_of(batches: list[list[Record]]) -> list[RecordBatch]:
    found, first = [], 1
    for number, records in enumerate(batches):
        blob, kinds = encode_batch(records)
        checksum = checksum_of(blob, first, len(records), kinds)
        found.append(decode_batch(EncodedBatch(first, len(records), number, "internal", checksum, blob, kinds)))
        first += len(records)
    return found


@given(batches=st.lists(st.lists(RECORDS, min_size=1, max_size=6), max_size=5), skip=st.integers(0, 8), data=st.data())
def test_every_command_is_in_one_run_of_its_head_in_the_order_of_the_log(
    batches: list[list[Record]], skip: int, data: st.DataObject
) -> None:
    read = log_of(batches)
    records = [record for batch in read for record in batch.records]
    position = 1 + min(skip, len(batches[0]) - 1) if batches else 1
    most = data.draw(st.integers(1, 5))
    expected = [r for r in records if r.record_type == "command" and r.position >= position]
    runs = [*runs_of(log_of(batches), position, most)]
    assert [run.record(index) for run in runs for index in range(len(run))] == expected
    assert all(1 <= len(run) <= most for run in runs)
    # None is cut where it need not be.
    for one, other in pairwise(runs):
        assert len(one) == most or (one.value_type, one.intent) != (other.value_type, other.intent)


def test_one_record_alone_is_a_run() -> None:
    record = Record("command", "t", "i", "k", {"n": 1}, 4, 9, 77)
    assert Commands.of(record).record(0) == record
