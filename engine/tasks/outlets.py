"""How a task hands on its buffers: spread over the next task's subtasks, or split by key over partitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.identity import partition_of
from engine.core.records import Record, encode_record
from engine.core.storable import UNSTORABLE, any_too_deep, check_depth
from engine.tasks.buffers import Buffer, Gate, LocalBufferPool
from engine.tasks.gathered import Gathered, GatheredInOrder, GatheredInParts, Keyed
from engine.tasks.pace import PartPace

# Sources and splits of which something is kept in mind; of more than that, only those that have something to tell.
_GATHERED_MAX = 64


class Outlet(Protocol):
    """The way out of a producing subtask, whose thread alone calls it. All of it waits while the pool is empty."""

    def send(self, buffer: Buffer) -> None:
        """Hands on a buffer, or keeps it for others to go with."""
        ...

    def look(self) -> int:
        """Hands on what is due; for so many nanoseconds nothing more will be. Call before waiting for input."""
        ...

    def flush(self) -> None:
        """Hands on all that is kept. Call before something that may take long."""
        ...

    def end(self) -> None:
        """Tells every consumer that nothing more will come from here."""
        ...


def _settled() -> None:
    """Nothing was left out."""


class _Channels:
    """A pool and the gates behind it, one channel each."""

    __slots__ = ("_settle", "_unstorable", "gates", "pool")

    def __init__(
        self,
        pool: LocalBufferPool,
        gates: Sequence[Gate],
        settle: Callable[[], None],
        unstorable: Callable[[Buffer], None] | None = None,
    ) -> None:
        """`unstorable` leaves out of a buffer what the way to another process has no words for."""
        self._settle = settle
        self.pool = pool
        self.gates = gates
        self._unstorable = unstorable

    def put(self, channel: int, buffer: Buffer) -> None:
        self.pool.request(channel)
        self._put(channel, buffer)

    def try_put(self, channel: int, buffer: Buffer) -> bool:
        """Whether there was room for it at once."""
        if self.pool.request_buffer(channel):
            self._put(channel, buffer)
            return True
        return False

    def _put(self, channel: int, buffer: Buffer) -> None:
        # Values that are missing in it have to be safe elsewhere.
        self._settle()
        buffer.pool = self.pool
        buffer.channel = channel
        try:
            self.gates[channel].put(buffer)
        except UNSTORABLE:
            if self._unstorable is None:
                raise
            self._unstorable(buffer)
            self.gates[channel].put(buffer)

    def put_end(self) -> None:
        for channel in range(len(self.gates)):
            self.put(channel, Buffer("", 0, 0, 0, [], end=True))


class BalancedOutlet:
    """Whole buffers, in turn: FORWARD where both sides have as many subtasks, else REBALANCE."""

    def __init__(self, pool: LocalBufferPool, gates: Sequence[Gate], settle: Callable[[], None] = _settled) -> None:
        """`settle` is called before anything is handed on."""
        self._channels = _Channels(pool, gates, settle)

    def send(self, buffer: Buffer) -> None:
        self._channels.put(buffer.sequence % len(self._channels.gates), buffer)

    def look(self) -> int:
        return NS_PER_SECOND

    def flush(self) -> None:
        """Nothing is kept."""

    def end(self) -> None:
        self._channels.put_end()


class KeyedOutlet:
    """HASH: each value to the partition that owns its key.

    What buffers bring for a partition is gathered and handed on as one part: when there are `part_records` of it, or in
    the pace of `PartPace` when there are fewer. A single partition gets every buffer at once.

    `stored` is how far the partitions have each source, by channel. `in_order` says that one task produces all buffers
    of a source, in their sequence. Otherwise every partition hears of each buffer, empty or not, so that it can restore
    the order.
    """

    def __init__(
        self,
        pool: LocalBufferPool,
        gates: Sequence[Gate],
        clock: Clock,
        *,
        key_text: Callable[[Any], str],
        failed: Callable[[Buffer, int, Exception], None],
        key_failed: Callable[[Buffer, int, Exception], None],
        in_order: bool,
        stored: Mapping[str, Sequence[int]],
        part_records: int,
        settle: Callable[[], None] = _settled,
    ) -> None:
        """`settle` is called before anything is handed on."""
        self._channels = _Channels(pool, gates, settle, self._leave_out_unstorable)
        self._count = len(gates)
        self._clock = clock
        self._key_text = key_text
        self._failed = failed
        self._key_failed = key_failed
        self._in_order = in_order
        self._stored = stored
        self._part_records = part_records
        # Of all channels: when the parts are half full on average they are worth their cost.
        self._kept_values_max = part_records * len(gates) // 2
        self._channel_by_key: dict[str, int] = {}
        self._gathered: dict[str, Gathered] = {}
        # Values, and whether there is anything to tell: also that nothing came.
        self._kept_values = 0
        self._keeps = False
        self._pace = PartPace(clock)

    def send(self, buffer: Buffer) -> None:
        if self._count == 1 and not self._in_order:
            whole = buffer.with_values([])
            self._split(buffer, [whole.values])
            self._channels.put(0, whole)
            return
        gathered = self._gathered.get(buffer.source) or self._new(buffer.source)
        self._split(buffer, gathered.lists(buffer))
        gathered.saw(buffer)
        self._keeps = True
        self._kept_values += len(buffer.values)
        if self._count == 1 or self._pace.wait_ns() <= 0:
            # One partition's parts would be no fuller for waiting: what it gets at a time is up to its log writer.
            self.flush()
        elif self._kept_values >= self._part_records:
            self._hand_on_full(gathered)

    def look(self) -> int:
        if not self._keeps:
            return NS_PER_SECOND
        wait_ns = self._pace.wait_ns()
        if wait_ns > 0:
            return wait_ns
        self.flush()
        return NS_PER_SECOND

    def flush(self) -> None:
        if not self._keeps:
            return
        now_ns = self._clock.monotonic_ns()
        handed_on = 0
        late: list[tuple[int, Buffer]] = []
        for gathered in self._gathered.values():
            for channel in range(self._count):
                part = gathered.part(channel, now_ns)
                if part is None:
                    continue
                # Empty ones are few, and cost little, unless an order is restored from them.
                handed_on += bool(part.values) or not self._in_order
                # A partition that is slow holds the others' parts up no longer than it must.
                if not self._channels.try_put(channel, part):
                    late.append((channel, part))
            gathered.all_told()
        for channel, part in late:
            self._channels.put(channel, part)
        self._keeps, self._kept_values = False, 0
        if len(self._gathered) > _GATHERED_MAX:
            # Files that were read are not thought of for ever.
            self._gathered = {source: gathered for source, gathered in self._gathered.items() if not gathered.is_told}
        if self._count > 1:
            self._pace.handed_on(handed_on)

    def end(self) -> None:
        self.flush()
        for gathered in self._gathered.values():
            for channel in range(self._count):
                if (last := gathered.last_word()) is not None:
                    self._channels.put(channel, last)
        self._channels.put_end()

    def _hand_on_full(self, gathered: Gathered) -> None:
        """Hands on the parts that are full, or all where too much is kept."""
        if self._kept_values >= self._kept_values_max:
            self.flush()
            return
        for channel, values in enumerate(gathered.values):
            if len(values) >= self._part_records and (part := gathered.part(channel, self._clock.monotonic_ns())):
                self._kept_values -= len(part.values)
                if not self._channels.try_put(channel, part):
                    # While it waits for one partition, nothing is kept from the others.
                    self.flush()
                    self._channels.put(channel, part)
                    return

    def _new(self, source: str) -> Gathered:
        stored = self._stored.get(source, (0,) * self._count)
        made = GatheredInOrder(stored) if self._in_order else GatheredInParts(source, stored)
        self._gathered[source] = made
        return made

    def _split(self, buffer: Buffer, lists: Sequence[Keyed] | dict[int, Keyed]) -> None:
        if any_too_deep(buffer.values):
            buffer = self._without_deep(buffer)
        key_text, channels = self._key_text, self._channel_by_key
        if self._count == 1:
            try:
                lists[0].extend([(key_text(value), value) for value in buffer.values])
                return
            except Exception:
                # Some value has no key: one by one, to find out which.
                pass
        for index, value in enumerate(buffer.values):
            try:
                key = key_text(value)
                channel = channels.get(key)
                if channel is None:
                    channel = self._remember(key)
            except Exception as error:
                self._key_failed(buffer, index, error)
                continue
            lists[channel].append((key, value))

    def _without_deep(self, buffer: Buffer) -> Buffer:
        """Leaves out what is nested too deep for the log; its place is still known here."""
        values: list[Any] = []
        offsets: list[int] = []
        for index, value in enumerate(buffer.values):
            try:
                check_depth(value)
            except UNSTORABLE as error:
                self._failed(buffer, index, error)
            else:
                values.append(value)
                offsets.append(buffer.offset_at(index))
        return replace(buffer, values=values, offsets=offsets)

    def _leave_out_unstorable(self, part: Buffer) -> None:
        """Leaves out of a part what cannot be said to another process. Which of its offsets that was is not known."""
        good: list[tuple[str, Any]] = []
        # How many are good in front of each value, and in front of the end.
        good_before = [0]
        for key, value in part.values:
            try:
                encode_record(Record("", "", "", key, value))
            except UNSTORABLE as error:
                self._failed(replace(part, values=[value], offsets=[part.last_offset]), 0, error)
            else:
                good.append((key, value))
            good_before.append(len(good))
        part.values = good
        if part.parts is not None:
            ends = [(sequence, good_before[end]) for sequence, end in part.parts.ends]
            part.parts = part.parts._replace(ends=ends)

    def _remember(self, key: str) -> int:
        # Keys come from the data: the memory of them is bounded.
        if len(self._channel_by_key) >= 100_000:
            self._channel_by_key.clear()
        channel = self._channel_by_key[key] = partition_of(key, self._count) - 1
        return channel
