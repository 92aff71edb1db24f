"""Records become bytes and come back as they were; what was tampered with does not."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.records import Record, RecordType, WriteSource, decode_record, encode_record
from engine.log.codec import EncodedBatch, checksum_of, decode_batch, encode_batch
from engine.log.local.format import FORMAT_VERSION

# Everything JSON can say, and bytes; whole numbers as MessagePack has them.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
RECORDS = st.builds(
    Record,
    record_type=st.sampled_from([str(kind) for kind in RecordType]),
    value_type=st.text(max_size=8),
    intent=st.text(max_size=8),
    key=st.text(max_size=8),
    value=JSON,
    source_position=st.integers(-1, 2**62),
)


def batch_of(records: list[Record], first: int = 1) -> EncodedBatch:
    blob, kinds = encode_batch(records)
    checksum = checksum_of(blob, first, len(records), kinds)
    return EncodedBatch(first, len(records), 7, WriteSource.INTERNAL, checksum, blob, kinds)


@settings(deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=20), first=st.integers(1, 2**60))
def test_what_is_encoded_comes_back_with_its_positions_and_time(records: list[Record], first: int) -> None:
    decoded = decode_batch(batch_of(records, first))
    assert (decoded.first_position, decoded.last_position) == (first, first + len(records) - 1)
    for index, (record, original) in enumerate(zip(decoded.records, records, strict=True)):
        assert record.position == first + index
        assert record.timestamp_ns == 7
        for name in ("record_type", "value_type", "intent", "key", "value", "source_position"):
            found = getattr(record, name)
            assert found == getattr(original, name)
            assert type(found) is type(getattr(original, name))


def test_what_the_records_of_a_batch_share_is_stored_once() -> None:
    def records(*value_types: str) -> list[Record]:
        return [Record("command", value_types[n % len(value_types)], "i" * 50, "k", n) for n in range(100)]

    assert encode_batch(records("v"))[0].count(b"i" * 50) == 1
    assert encode_batch(records("v", "w"))[0].count(b"i" * 50) == 2
    assert [record.value_type for record in decode_batch(batch_of(records("v", "w"))).records][:3] == ["v", "w", "v"]


@pytest.mark.parametrize(
    "columns",
    [
        ([("event", "t", "i")], None, ["k"], [1, 2], None),
        ([("event", "t", "i")], None, ["k", "k"], [1], None),
        ([("event", "t", "i")], [0], ["k", "k"], [1, 2], None),
        ([("event", "t", "i")], None, ["k", "k"], [1, 2], [5, 6, 7]),
    ],
)
def test_a_batch_whose_columns_differ_in_length_is_refused(columns: tuple[object, ...]) -> None:
    blob = msgspec.msgpack.encode(columns)
    batch = EncodedBatch(1, 2, 7, WriteSource.INTERNAL, checksum_of(blob, 1, 2), blob)
    with pytest.raises(ValueError, match=r"it holds \d records where 2 are stated"):
        _ = decode_batch(batch).records


@settings(deadline=None)
@given(record=RECORDS)
def test_a_record_on_its_own_comes_back_too(record: Record) -> None:
    assert decode_record(encode_record(record)) == record


@settings(deadline=None)
@given(value=st.sampled_from([math.inf, -math.inf]) | st.floats())
def test_every_float_comes_back_bit_by_bit(value: float) -> None:
    (record,) = decode_batch(batch_of([Record(RecordType.EVENT, "t", "i", "k", value)])).records
    assert (
        math.isnan(record.value)
        if math.isnan(value)
        else (record.value, math.copysign(1, value))
        == (
            value,
            math.copysign(1, value),
        )
    )


@settings(deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=5), data=st.data())
def test_a_batch_in_which_a_bit_was_turned_is_refused(records: list[Record], data: st.DataObject) -> None:
    batch = batch_of(records, 5)
    at = data.draw(st.integers(0, len(batch.blob) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    turned = batch.blob[:at] + bytes([batch.blob[at] ^ bit]) + batch.blob[at + 1 :]
    with pytest.raises(ValueError, match="its checksum does not match its content"):
        decode_batch(EncodedBatch(5, batch.count, 7, batch.source, batch.checksum, turned, batch.kinds))


@settings(deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=5), first=st.integers(1, 1000), count=st.integers(0, 9))
def test_a_batch_at_another_place_or_of_another_length_is_refused(
    records: list[Record], first: int, count: int
) -> None:
    batch = batch_of(records, 1001)
    for place, length in ((first, batch.count), (1001, batch.count + 1 + count)):
        with pytest.raises(ValueError, match="its checksum does not match its content"):
            decode_batch(EncodedBatch(place, length, 7, batch.source, batch.checksum, batch.blob, batch.kinds))


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}.__iter__(), 2**64, -(2**63) - 1, {"deep": [object()]}, complex(1, 2)],
    ids=["object", "iterator", "too large", "too small", "inside", "complex"],
)
def test_a_value_that_cannot_be_said_is_refused_before_anything_is_written(value: Any) -> None:
    with pytest.raises((TypeError, OverflowError, NotImplementedError)):
        encode_batch([Record(RecordType.COMMAND, "t", "i", "k", value)])


@settings(deadline=None)
@given(records=st.lists(RECORDS, max_size=30))
def test_the_kinds_of_a_batch_are_those_of_its_records_or_any(records: list[Record]) -> None:
    kinds = decode_batch(batch_of(records or [Record(RecordType.EVENT, "t", "i", "k", None)])).kinds
    if kinds is not None and records:
        assert kinds == {(record.record_type, record.value_type) for record in records}


def test_a_batch_whose_kinds_were_changed_is_refused_although_nobody_would_look_at_its_records() -> None:
    batch = batch_of([Record(RecordType.COMMAND, "t", "i", "k", None)])
    changed = batch.kinds.replace("command", "event")
    assert changed != batch.kinds
    with pytest.raises(ValueError, match="its checksum does not match its content"):
        decode_batch(EncodedBatch(1, 1, 7, batch.source, batch.checksum, batch.blob, changed))


# Two batches as this format has them: all records of one kind from outside, and records of several kinds.
STORED_ALIKE = "959193a7636f6d6d616e64a56f72646572a6637265617465c092a26b31a26b329281a16e0107c0"
STORED_MIXED = (
    "959293a56576656e74a373756da7656d697474656493a7636f6d6d616e64a56f72646572a6637265617465"
    "92010092a26b31a09281a16e0193c40178c0cb3ff800000000000092ff01"
)


def test_what_this_format_has_stored_is_read_forever() -> None:
    """Where this fails, the format of the log has to be another number."""

    def read(blob: bytes) -> list[tuple[object, ...]]:
        batch = EncodedBatch(5, 2, 7, WriteSource.INTERNAL, checksum_of(blob, 5, 2), blob)
        return [msgspec.structs.astuple(record) for record in decode_batch(batch).records]

    assert FORMAT_VERSION == 2
    assert read(bytes.fromhex(STORED_ALIKE)) == [
        ("command", "order", "create", "k1", {"n": 1}, -1, 5, 7),
        ("command", "order", "create", "k2", 7, -1, 6, 7),
    ]
    assert read(bytes.fromhex(STORED_MIXED)) == [
        ("command", "order", "create", "k1", {"n": 1}, -1, 5, 7),
        ("event", "sum", "emitted", "", [b"x", None, 1.5], 1, 6, 7),
    ]
    alike = [Record("command", "order", "create", "k1", {"n": 1}), Record("command", "order", "create", "k2", 7)]
    assert encode_batch(alike)[0] == bytes.fromhex(STORED_ALIKE)
