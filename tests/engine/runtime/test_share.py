"""How a pipeline is dealt over processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.runtime.share import deal


@given(st.data())
def test_every_partition_and_every_source_lives_in_one_process(data: st.DataObject) -> None:
    partitions = data.draw(st.integers(1, 40))
    processes = data.draw(st.integers(1, partitions))
    sources = [f"s{n}" for n in range(data.draw(st.integers(0, 9)))]
    shares = deal(partitions, sources, processes)
    assert len(shares) == processes
    assert sorted(number for share in shares for number in share.partitions) == list(range(1, partitions + 1))
    assert sorted(name for share in shares for name in share.sources) == sources
    counts = [len(share.partitions) for share in shares]
    assert min(counts) >= 1
    assert max(counts) - min(counts) <= 1
    lanes = [share.lane for share in shares if share.sources]
    assert lanes == list(range(len(lanes)))
    assert {share.lanes for share in shares} == {max(1, len(lanes))}


def test_who_has_a_partition_more_has_a_source_less() -> None:
    shares = deal(3, ["only"], 2)
    assert [share.partitions for share in shares] == [(1, 3), (2,)]
    assert [share.sources for share in shares] == [(), ("only",)]
