"""What a task keeps for a moment and what it hands on, by key."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from engine.core.clock import NS_PER_SECOND, ManualClock
from engine.core.identity import partition_of
from engine.tasks.buffers import BUFFERS_PER_CHANNEL_MAX, Buffer, LocalBufferPool
from engine.tasks.outlets import KeyedOutlet
from engine.tasks.pace import PART_NS, WAIT_MAX_NS
from engine.tasks.timers import TaskTimer
from tests.support.waiting import WAIT_SECONDS, wait_until

PART_RECORDS = 100


class Kept:
    """A gate that keeps what comes and gives it back at once, or never."""

    def __init__(self, *, is_slow: bool = False) -> None:
        self.buffers: list[Buffer] = []
        self._is_slow = is_slow

    def put(self, buffer: Buffer) -> None:
        self.buffers.append(buffer)
        if not self._is_slow:
            buffer.recycle()

    @property
    def values(self) -> list[int]:
        return [value for buffer in self.buffers for _, value in buffer.values]


class Bench:
    """An outlet over gates of its own; values are numbers and their own keys."""

    def __init__(
        self, channels: int, *, in_order: bool = True, stored: Sequence[int] | None = None, slow: Sequence[int] = ()
    ) -> None:
        self.clock = ManualClock()
        timer = TaskTimer(self.clock)
        timer.start()
        self.pool = LocalBufferPool(channels, timer)
        self.gates = [Kept(is_slow=channel in slow) for channel in range(channels)]
        self.failed: list[int] = []
        self.outlet = KeyedOutlet(
            self.pool,
            self.gates,
            self.clock,
            key_text=self._key,
            failed=lambda buffer, index, error: self.failed.append(buffer.values[index]),
            key_failed=lambda buffer, index, error: self.failed.append(buffer.values[index]),
            in_order=in_order,
            stored={} if stored is None else {"s": stored},
            part_records=PART_RECORDS,
        )
        self._sequence = 0
        self._offset = 0

    @staticmethod
    def _key(value: int) -> str:
        if value < 0:
            raise ValueError("no key")
        return str(value)

    def send(self, values: Sequence[int]) -> None:
        """The next buffer of the source; an empty one stands for one value that a step left out."""
        first = self._offset + 1
        self._offset += len(values) or 1
        self.outlet.send(Buffer("s", self._sequence, first, self._offset, list(values), cursor=b"%d" % self._offset))
        self._sequence += 1

    def flood(self) -> None:
        """Something for every channel goes: whatever comes next is kept."""
        self.send([number_for(channel, len(self.gates)) for channel in range(len(self.gates))])
        for gate in self.gates:
            assert len(gate.values) == 1
            gate.buffers.clear()

    @property
    def handed_on(self) -> int:
        return sum(len(gate.values) for gate in self.gates)


def number_for(channel: int, channels: int, *, above: int = 0) -> int:
    return next(n for n in range(above, above + 10_000) if partition_of(str(n), channels) == channel + 1)


def own(channel: int, channels: int, count: int) -> list[int]:
    """Values that belong to one channel."""
    found: list[int] = []
    while len(found) < count:
        found.append(number_for(channel, channels, above=found[-1] + 1 if found else 0))
    return found


def test_a_value_that_comes_alone_is_not_kept() -> None:
    bench = Bench(8)
    for number in range(10):
        bench.send([number])
        assert bench.handed_on == number + 1
        bench.clock.advance(1)


@pytest.mark.parametrize("in_order", [True, False])
def test_one_partition_gets_every_buffer_at_once_however_fast_they_come(in_order: bool) -> None:
    bench = Bench(1, in_order=in_order)
    for number in range(10):
        bench.send([number, number])
        assert [len(buffer.values) for buffer in bench.gates[0].buffers] == [2] * (number + 1)
    assert bench.outlet.look() == NS_PER_SECOND


def test_what_follows_a_flood_is_kept_until_it_is_due_and_goes_as_one_part() -> None:
    bench = Bench(4)
    bench.flood()
    for number in own(2, 4, 5):
        bench.send([number])
    assert bench.handed_on == 0
    wait_ns = bench.outlet.look()
    assert wait_ns == 4 * PART_NS
    bench.clock.advance_ns(wait_ns - 1)
    assert bench.outlet.look() == 1
    assert bench.handed_on == 0
    bench.clock.advance_ns(1)
    assert bench.outlet.look() == NS_PER_SECOND, "nothing is kept any more"
    assert [buffer.values for buffer in bench.gates[2].buffers] == [[(str(n), n) for n in own(2, 4, 5)]]
    assert bench.handed_on == 5


def test_while_buffers_keep_coming_what_is_due_goes_with_the_next_one() -> None:
    bench = Bench(4)
    bench.flood()
    bench.send([1])
    bench.clock.advance_ns(WAIT_MAX_NS)
    bench.send([2])
    assert bench.handed_on == 2


def test_a_full_part_goes_alone_before_the_others_are_due() -> None:
    bench = Bench(8)
    bench.flood()
    bench.send(own(1, 8, 3))
    bench.send(own(5, 8, PART_RECORDS - 1))
    assert bench.handed_on == 0
    bench.send(own(5, 8, 1))
    assert [len(gate.values) for gate in bench.gates] == [PART_RECORDS if channel == 5 else 0 for channel in range(8)]


def test_never_more_is_kept_than_half_a_part_for_each_partition() -> None:
    bench = Bench(8)
    bench.flood()
    for sent in range(1, 40):
        bench.send(range(50))
        assert sent * 50 - bench.handed_on <= 8 * PART_RECORDS // 2
    assert bench.handed_on > 0


@pytest.mark.parametrize("in_order", [True, False])
def test_flushing_hands_on_everything(in_order: bool) -> None:
    bench = Bench(4, in_order=in_order)
    bench.flood()
    bench.send(range(20))
    bench.outlet.flush()
    assert bench.handed_on == 20
    buffers = sum(len(gate.buffers) for gate in bench.gates)
    bench.outlet.flush()
    assert sum(len(gate.buffers) for gate in bench.gates) == buffers, "a second time there is nothing to tell"


def test_the_end_hands_on_what_is_kept_and_tells_every_partition_how_far_the_source_came() -> None:
    bench = Bench(4)
    bench.flood()
    bench.send(own(0, 4, 2))
    bench.outlet.end()
    assert bench.gates[0].values == own(0, 4, 2)
    for gate in bench.gates:
        *_, last, end = gate.buffers
        assert (last.last_offset, last.cursor) == (6, b"6")
        assert end.end
        assert not last.end


def test_a_partition_without_values_hears_each_second_how_far_the_source_is() -> None:
    bench = Bench(2)
    value = number_for(0, 2)
    for _ in range(20):
        bench.send([value])
        bench.clock.advance(0.25)
    told = [buffer.last_offset for buffer in bench.gates[1].buffers]
    assert told == [5, 9, 13, 17]
    assert bench.gates[1].values == []


def test_behind_parallel_tasks_a_part_says_which_buffers_it_stands_for() -> None:
    bench = Bench(2, in_order=False)
    bench.flood()
    zero, one = own(0, 2, 2), own(1, 2, 1)
    bench.send(zero)
    bench.send(one)
    bench.send([])
    bench.outlet.flush()
    parts = [gate.buffers[0].parts for gate in bench.gates]
    assert parts[0] is not None
    assert parts[1] is not None
    assert parts[0].places == {1: (4, b"4"), 2: (5, b"5"), 3: (6, b"6")}
    assert (parts[0].ends, parts[1].ends) == ([(1, 2)], [(2, 1)])
    assert [gate.values for gate in bench.gates] == [zero, one]


def test_behind_parallel_tasks_all_partitions_share_the_places_of_what_they_were_told() -> None:
    bench = Bench(8, in_order=False)
    bench.flood()
    for number in range(5):
        bench.send([number])
    bench.outlet.flush()
    places = [gate.buffers[0].parts.places for gate in bench.gates if gate.buffers[0].parts]
    assert len(places) == 8
    assert all(found is places[0] for found in places)


def test_what_was_told_to_one_partition_early_does_not_grow_any_more() -> None:
    bench = Bench(8, in_order=False)
    bench.flood()
    bench.send(own(5, 8, PART_RECORDS - 1))
    bench.send(own(5, 8, 1))
    early = bench.gates[5].buffers[0].parts
    bench.send(own(1, 8, 1))
    bench.outlet.flush()
    assert early is not None
    assert sorted(early.places) == [1, 2]
    assert early.ends == [(1, PART_RECORDS - 1), (2, PART_RECORDS)]
    (later,) = bench.gates[5].buffers[1:]
    assert (later.sequence, later.values, later.parts) == (3, [], None)
    others = bench.gates[1].buffers[0].parts
    assert others is not None
    assert (sorted(others.places), others.ends) == ([1, 2, 3], [(3, 1)])


@pytest.mark.parametrize("in_order", [True, False])
def test_what_a_partition_has_stored_is_not_handed_on_to_it_again(in_order: bool) -> None:
    bench = Bench(2, in_order=in_order, stored=(4, 2))
    both = [number_for(0, 2), number_for(1, 2)]
    for _ in range(3):
        bench.send(both)
    bench.outlet.flush()
    assert [gate.values for gate in bench.gates] == [both[:1], both[1:] * 2]


def test_a_slow_partition_holds_the_parts_of_others_up_no_longer_than_it_must() -> None:
    bench = Bench(3, slow=[1])
    numbers = [number_for(channel, 3) for channel in range(3)]
    for _ in range(BUFFERS_PER_CHANNEL_MAX):
        bench.send(numbers[1:2])
        bench.clock.advance(1)
    thread = threading.Thread(target=bench.send, args=[numbers], daemon=True)
    thread.start()
    assert wait_until(lambda: bench.gates[0].values and bench.gates[2].values)
    assert len(bench.gates[1].values) == BUFFERS_PER_CHANNEL_MAX
    bench.gates[1].buffers[0].recycle()
    thread.join(WAIT_SECONDS)
    assert len(bench.gates[1].values) == BUFFERS_PER_CHANNEL_MAX + 1


def test_who_waits_to_hand_on_a_full_part_keeps_nothing_from_the_others() -> None:
    bench = Bench(8, slow=[5])
    for _ in range(BUFFERS_PER_CHANNEL_MAX):
        bench.send(own(5, 8, 1))
        bench.clock.advance(0.5)
    bench.send(own(1, 8, 1))
    bench.send(own(1, 8, 3))
    bench.send(own(2, 8, 3))
    assert (len(bench.gates[1].values), len(bench.gates[2].values)) == (1, 0), "the rest is kept"
    thread = threading.Thread(target=bench.send, args=[own(5, 8, PART_RECORDS)], daemon=True)
    thread.start()
    assert wait_until(lambda: len(bench.gates[1].values) == 4 and len(bench.gates[2].values) == 3)
    assert len(bench.gates[5].values) == BUFFERS_PER_CHANNEL_MAX
    bench.gates[5].buffers[0].recycle()
    thread.join(WAIT_SECONDS)
    assert len(bench.gates[5].values) == BUFFERS_PER_CHANNEL_MAX + PART_RECORDS


@pytest.mark.parametrize(("in_order", "counted"), [(True, 1), (False, 8)])
def test_telling_a_partition_only_how_far_the_source_is_makes_nothing_wait_unless_it_restores_an_order(
    in_order: bool, counted: int
) -> None:
    bench = Bench(8, in_order=in_order)
    bench.send(own(0, 8, 1))
    bench.clock.advance(1)
    bench.send(own(0, 8, 1))
    assert all(gate.buffers[-1].last_offset == 2 for gate in bench.gates), "all were told"
    bench.send(own(0, 8, 1))
    assert bench.outlet.look() == counted * PART_NS


def test_a_value_without_a_key_is_told_and_the_others_go() -> None:
    bench = Bench(2)
    bench.send([1, -1, 2])
    assert bench.failed == [-1]
    assert sorted(bench.gates[0].values + bench.gates[1].values) == [1, 2]
