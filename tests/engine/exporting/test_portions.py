"""Cutting what was read: nothing is lost, nothing comes twice, and only what is wanted is decoded."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.columns import Columns
from engine.core.record_batch import RecordBatch
from engine.core.records import Kind, Record, RecordType, WriteSource
from engine.exporting.portions import portions
from engine.exporting.protocol import RecordFilter

TYPES = [RecordType.COMMAND.value, RecordType.EVENT.value]
KINDS = st.tuples(st.sampled_from(TYPES), st.sampled_from(["a", "b"]))
FILTERS = st.builds(
    RecordFilter,
    record_types=st.none() | st.frozensets(st.sampled_from([RecordType.COMMAND, RecordType.EVENT])),
    value_types=st.none() | st.frozensets(st.sampled_from(["a", "b", "c"])),
)
EVENTS_A = RecordFilter(record_types=frozenset({RecordType.EVENT}), value_types=frozenset({"a"}))


class Batches:
    """Dense batches of records of the given kinds, and which of them were decoded."""

    def __init__(self, batches: list[list[Kind]], *, known: bool = True) -> None:
        self.decoded: list[int] = []
        self.records: list[Record] = []
        self.batches: list[RecordBatch] = []
        for index, kinds in enumerate(batches):
            first = len(self.records) + 1
            made = [Record(*kind, "i", "k", None, -1, first + n, 100 + index) for n, kind in enumerate(kinds)]
            self.records += made
            self.batches.append(
                RecordBatch(
                    first_position=first,
                    count=len(made),
                    timestamp_ns=100 + index,
                    source=WriteSource.INTERNAL,
                    kinds=frozenset(kinds) if known else None,
                    decode=self._decoder(index, made),
                )
            )

    def _decoder(self, index: int, records: list[Record]) -> Callable[[], Columns]:
        def decode() -> Columns:
            self.decoded.append(index)
            return columns_of(records)

        return decode


def columns_of(records: list[Record]) -> Columns:
    """As a batch of the log holds them."""
    return Columns(
        first_position=records[0].position,
        timestamp_ns=records[0].timestamp_ns,
        heads=[(record.record_type, record.value_type, record.intent) for record in records],
        head_of=[*range(len(records))],
        keys=[record.key for record in records],
        values=[record.value for record in records],
        source_positions=[record.source_position for record in records],
    )


@settings(deadline=None)
@given(
    kinds=st.lists(st.lists(KINDS, min_size=1, max_size=6), min_size=1, max_size=5),
    known=st.booleans(),
    wanted=FILTERS,
    size=st.integers(1, 8),
    skipped=st.integers(0, 5),
)
def test_portions_are_the_log_in_order_with_what_the_filter_wants(
    kinds: list[list[Kind]], known: bool, wanted: RecordFilter, size: int, skipped: int
) -> None:
    read = Batches(kinds, known=known)
    position = 1 + min(skipped, len(kinds[0]) - 1)
    expected = read.records[position - 1 :]
    found = list(portions(read.batches, position, size, wanted))
    assert [r.position for portion in found for r in portion.wanted] == [
        r.position for r in expected if wanted.wants(r)
    ]
    assert [portion.count for portion in found[:-1]] == [size] * (len(found) - 1)
    begin = 0
    for portion in found:
        part = expected[begin : begin + portion.count]
        begin += portion.count
        assert portion.last_position == part[-1].position
        assert [time for time, count in portion.written for _ in range(count)] == [r.timestamp_ns for r in part]
    assert begin == len(expected)


def test_a_batch_without_a_wanted_kind_is_not_decoded() -> None:
    read = Batches([[("command", "a")], [("event", "a")], [("event", "b"), ("command", "a")]])
    (portion,) = portions(read.batches, 1, 10, EVENTS_A)
    assert [record.position for record in portion.wanted] == [2]
    assert portion.count == 4
    assert read.decoded == [1]


def test_a_batch_of_unknown_kinds_is_decoded() -> None:
    read = Batches([[("command", "a")], [("event", "a")]], known=False)
    (portion,) = portions(read.batches, 1, 10, EVENTS_A)
    assert [record.position for record in portion.wanted] == [2]
    assert read.decoded == [0, 1]


def test_what_comes_behind_a_portion_is_not_decoded_before_it_is_asked_for() -> None:
    read = Batches([[("event", "a")] * 2, [("event", "a")] * 2])
    cut = portions(read.batches, 1, 2, EVENTS_A)
    assert next(cut).last_position == 2
    assert read.decoded == [0]
