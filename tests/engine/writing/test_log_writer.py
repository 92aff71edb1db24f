"""From buffers to the log: whatever is gathered, split, reordered or lost on the way, each value is stored once."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.clock import ManualClock, SystemClock
from engine.core.columns import Columns
from engine.core.errors import StoppedError
from engine.core.identity import partition_of
from engine.core.snapshot import VertexKind, VertexSnapshot
from engine.core.unit import SourceProgress, Unit
from engine.partition.always_allowed import NOTHING
from engine.partition.partition import Partition
from engine.tasks.buffers import Buffer, InputGate, LocalBufferPool, Parts, SourcePlace
from engine.tasks.gathered import GatheredInParts
from engine.tasks.outlets import KeyedOutlet
from engine.tasks.subtask import Subtask
from engine.workers.frames import BufferFrame, decode_frame, encode_frame
from engine.writing.log_writer import BufferOrder, LogWriterTask

SOURCES = ("a", "b")
KEYS = 9


class Credits:
    """A pool without end that counts what is not given back."""

    def __init__(self) -> None:
        self.in_use = 0

    def request(self, channel: int) -> None:
        self.in_use += 1

    def request_buffer(self, channel: int) -> bool:
        self.in_use += 1
        return True

    def recycle(self, channel: int) -> None:
        self.in_use -= 1


class PlayedGate:
    """What a log writer gets in one life; at its end the process is dead."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []

    def put(self, buffer: Buffer) -> None:
        self.buffers.append(buffer)

    def poll(self) -> Buffer | None:
        return self.buffers.pop(0) if self.buffers else None

    def take(self, timeout_ns: int) -> Buffer:
        if not self.buffers:
            raise StoppedError("it died")
        return self.buffers.pop(0)


class Log:
    """A partition as its log writer sees it: what it has stored survives, what rides may be lost."""

    always_allowed = NOTHING

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self.gate = self
        self.values: dict[str, list[Any]] = {source: [] for source in SOURCES}
        self.progress: dict[str, SourceProgress] = {}
        self.commits_left = 0

    def suggested_batch_records(self) -> int:
        return self._chance.randint(1, 6)

    def wait_for_room(self, **_: object) -> None:
        return

    def wait_acquire(self, *_: object, **__: object) -> None:
        return

    def append(self, unit: Unit, permit: object) -> None:
        if self.commits_left == 0:
            raise StoppedError("it died")
        self.commits_left -= 1
        assert isinstance(unit.records, Columns)
        for value in unit.records.values:
            self.values[value[0]].append(value)
        self.progress |= {progress.source: progress for progress in unit.progress}

    def source_passed(self, progress: SourceProgress) -> None:
        if self._chance.random() < 0.5:
            self.progress[progress.source] = progress

    def stored(self, source: str) -> SourceProgress:
        return self.progress.get(source, SourceProgress(source, 0))


def a_writer(
    log: Log, gate: PlayedGate, stored: Mapping[str, SourceProgress], *, producers: int, batch_records: int
) -> LogWriterTask:
    vertex = VertexSnapshot(vertex_id="1" * 32, task="w", kind=VertexKind.LOG_WRITER, parallelism=1)
    return LogWriterTask(
        cast(Partition, log),
        cast(InputGate, gate),
        producers,
        Subtask(vertex, 0, SystemClock(), failed=lambda name, error: None),
        stored=stored,
        in_order=producers == 1,
        batch_records=batch_records,
        value_type="v",
        unstorable=lambda progress, values: None,
    )


class World:
    """Partitions that outlive each run of the tasks in front of them."""

    def __init__(self, chance: Random, *, partitions: int, lanes: int, count: int) -> None:
        self._chance = chance
        self._lanes = lanes
        self._count = count
        self.logs = [Log(chance) for _ in range(partitions)]

    def key(self, offset: int) -> str:
        return f"k{offset * 7 % KEYS}"

    def expected(self, partition: int, source: str) -> list[Any]:
        """A step makes none to two of each value."""
        return [
            (source, offset, copy)
            for offset in range(1, self._count + 1)
            for copy in range(offset % 3)
            if partition_of(self.key(offset), len(self.logs)) == partition
        ]

    def live(self, *, is_last: bool) -> None:
        """Reads from where the partitions stand, until something dies or, the last time, to the end."""
        chance, clock = self._chance, ManualClock()
        stored = {source: {n: log.stored(source) for n, log in enumerate(self.logs, 1)} for source in SOURCES}
        gates = [PlayedGate() for _ in self.logs]
        pools = [Credits() for _ in range(self._lanes)]
        outlets = [
            KeyedOutlet(
                cast(LocalBufferPool, pool),
                gates,
                clock,
                key_text=lambda value: self.key(value[1]),
                failed=lambda buffer, index, error: None,
                key_failed=lambda buffer, index, error: None,
                in_order=self._lanes == 1,
                stored={source: [log.stored(source).offset for log in self.logs] for source in SOURCES},
                part_records=chance.choice([2, 5, 50]),
            )
            for pool in pools
        ]
        self._hand_on(outlets, self._by_lane(stored), clock, is_last=is_last)
        for number, (log, gate) in enumerate(zip(self.logs, gates, strict=True), 1):
            log.commits_left = -1 if is_last else chance.randint(0, 20)
            if not is_last:
                del gate.buffers[chance.randint(0, len(gate.buffers)) :]
            self._write(log, gate, {source: by_partition[number] for source, by_partition in stored.items()}, is_last)
        if is_last:
            assert [pool.in_use for pool in pools] == [0] * self._lanes, "every buffer is given back"

    def _by_lane(self, stored: Mapping[str, Mapping[int, SourceProgress]]) -> list[list[Buffer]]:
        """Every lane's buffers of all sources."""
        lanes: list[list[Buffer]] = [[] for _ in range(self._lanes)]
        for source, by_partition in stored.items():
            for buffer in self._buffers(source, {progress.offset for progress in by_partition.values()}):
                lanes[buffer.sequence % self._lanes].append(buffer)
        for lane in lanes:
            # The steps in front may have several lanes too: not even one source's buffers come in order.
            if self._lanes > 1:
                self._chance.shuffle(lane)
            else:
                lane.sort(key=lambda buffer: (buffer.sequence, buffer.source))
        return lanes

    def _hand_on(
        self, outlets: list[KeyedOutlet], waiting: list[list[Buffer]], clock: ManualClock, *, is_last: bool
    ) -> None:
        """Any lane may be the next, and some time may have passed."""
        chance = self._chance
        left = sum(map(len, waiting)) if is_last else chance.randint(0, sum(map(len, waiting)))
        while left:
            lane = chance.choice([number for number, buffers in enumerate(waiting) if buffers])
            outlets[lane].send(waiting[lane].pop(0))
            left -= 1
            clock.advance_ns(chance.choice([0, 0, 1_000_000, 50_000_000, 2_000_000_000]))
            if chance.random() < 0.2:
                outlets[chance.randrange(self._lanes)].look()
        if not any(waiting):
            for outlet in outlets:
                outlet.end()

    def _buffers(self, source: str, boundaries: set[int]) -> list[Buffer]:
        """From the furthest back of the partitions to the end, cut anew each time."""
        made: list[Buffer] = []
        offset = min(boundaries)
        while offset < self._count:
            last = min(offset + self._chance.randint(1, 8), self._count, *(b for b in boundaries if b > offset))
            values = [(source, n, copy) for n in range(offset + 1, last + 1) for copy in range(n % 3)]
            made.append(Buffer(source, len(made), offset + 1, last, values, cursor=b"%d" % last))
            offset = last
        return made

    def _write(self, log: Log, gate: PlayedGate, stored: Mapping[str, SourceProgress], is_last: bool) -> None:
        writer = a_writer(log, gate, stored, producers=self._lanes, batch_records=self._chance.choice([1, 7, 1000]))
        try:
            writer.run()
        except StoppedError:
            assert not is_last


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    partitions=st.integers(1, 6),
    lanes=st.integers(1, 3),
    lives=st.integers(0, 6),
    count=st.integers(1, 120),
)
def test_every_value_is_stored_once_and_in_order_whatever_dies_and_however_it_was_gathered(
    seed: int, partitions: int, lanes: int, lives: int, count: int
) -> None:
    world = World(Random(seed), partitions=partitions, lanes=lanes, count=count)
    for _ in range(lives):
        world.live(is_last=False)
    world.live(is_last=True)
    for number, log in enumerate(world.logs, 1):
        for source in SOURCES:
            assert log.values[source] == world.expected(number, source)


@settings(deadline=None)
@given(ends=st.lists(st.integers(1, 30), unique=True, min_size=1), commits=st.lists(st.integers(0, 4), max_size=8))
def test_what_was_stored_behind_the_last_whole_buffer_is_dropped_once_however_often_it_dies_there(
    ends: list[int], commits: list[int]
) -> None:
    log = Log(Random(1))
    for life, allowed in enumerate([*commits, -1]):
        begin = log.stored("a")
        gate = PlayedGate()
        # The first lives see one buffer, later ones the same values in several.
        cuts = sorted({end for end in ends if end > begin.offset} | {31}) if life % 2 else [31]
        for sequence, (first, last) in enumerate(itertools.pairwise([begin.offset, *cuts])):
            values = [(f"{n}", ("a", n)) for n in range(first + 1, last + 1)]
            gate.put(Buffer("a", sequence, first + 1, last, values))
        gate.put(Buffer("", 0, 0, 0, [], end=True))
        log.commits_left = allowed
        writer = a_writer(log, gate, {"a": begin}, producers=1, batch_records=3)
        if allowed < 0:
            writer.run()
        else:
            with contextlib.suppress(StoppedError):
                writer.run()
    assert log.values["a"] == [("a", n) for n in range(1, 32)]


def a_buffer(sequence: int, values: list[int], parts: Parts | None = None) -> Buffer:
    return Buffer("s", sequence, 0, sequence, values, parts=parts)


@settings(deadline=None)
@given(order=st.permutations(range(20)), sizes=st.lists(st.integers(0, 3), min_size=20, max_size=20), data=st.data())
def test_values_come_out_in_the_order_of_the_sequences_and_all_places_are_given_back(
    order: list[int], sizes: list[int], data: st.DataObject
) -> None:
    credits, restored = Credits(), BufferOrder()
    values = [[(number, n) for n in range(size)] for number, size in enumerate(sizes)]
    found: list[Any] = []
    furthest = -1
    while order:
        taken, order = order[: (cut := data.draw(st.integers(1, 6)))], order[cut:]
        ends = itertools.accumulate(len(values[number]) for number in taken)
        brought = [(number, end) for number, end in zip(taken, ends, strict=True) if values[number]]
        parts = Parts({number: SourcePlace(number, None) for number in taken}, brought)
        buffer = Buffer("s", taken[-1], 0, taken[-1], [v for number in taken for v in values[number]])
        buffer.parts = parts if len(taken) > 1 else None
        credits.request(0)
        buffer.pool = cast(LocalBufferPool, credits)
        ready = restored.push(buffer)
        if ready is not None:
            found += ready.values
            assert ready.last_offset > furthest, "it stands for all that came out"
            furthest = ready.last_offset
            ready.recycle()
        assert credits.in_use == 0, "who is early does not keep its place"
    assert found == [value for own in values for value in own]
    assert furthest == 19


def test_a_buffer_that_holds_early_parts_gives_its_place_back_and_the_last_one_keeps_its_own() -> None:
    credits, order = Credits(), BufferOrder()

    def push(buffer: Buffer) -> Buffer | None:
        credits.request(0)
        buffer.pool = cast(LocalBufferPool, credits)
        return order.push(buffer)

    first = push(a_buffer(2, [1, 3], Parts({0: SourcePlace(1, None), 2: SourcePlace(3, None)}, [(0, 1), (2, 2)])))
    assert first is not None
    assert (first.values, first.last_offset, credits.in_use) == ([1], 1, 0)
    rest = push(a_buffer(1, [2]))
    assert rest is not None
    assert (rest.values, rest.last_offset, credits.in_use) == ([2, 3], 3, 1)


@pytest.mark.parametrize("told", [1, 2, 5])
def test_a_part_means_the_same_in_another_worker(told: int) -> None:
    gathered = GatheredInParts("s", (0, 0))
    for sequence in range(told):
        buffer = Buffer("s", sequence, sequence, sequence, [], cursor=b"c")
        gathered.lists(buffer)[0].append(("k", sequence))
        gathered.saw(buffer)
    part = gathered.part(0, 0)
    assert part is not None
    frame = decode_frame(encode_frame(BufferFrame.of(part, epoch=1, partition=1, pool=0)))
    assert isinstance(frame, BufferFrame)
    there = frame.buffer(Credits())
    assert there.parts == part.parts
    assert (there.sequence, there.last_offset, there.cursor) == (told - 1, told - 1, b"c")
    assert (there.parts is None) == (told == 1)
    assert all(isinstance(place, SourcePlace) for place in (there.parts.places.values() if there.parts else ()))
