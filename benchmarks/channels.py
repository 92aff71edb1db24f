"""Hand-over between tasks: the engine's channel against `queue.Queue`, and four stages against one loop.

    python -m benchmarks channels

A channel is what stands between two subtasks: a pool of credits, a gate, buffers that are given back. `queue.Queue`
has as many places as the pool, and beside it, for comparison, 1024. The four stages read, parse, count and write the
flights on a thread each; the loop does the same inline.
"""

from __future__ import annotations

import queue
import tempfile
import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import orjson

from benchmarks.conditions import Spread, conditions, ratios
from benchmarks.dataset import Flights, flights
from benchmarks.flight import Mapped, parse, told
from benchmarks.flights_job import plain
from benchmarks.study import Pace, Report
from engine.core.clock import NS_PER_SECOND, SystemClock
from engine.tasks.buffers import Buffer, InputGate, LocalBufferPool
from engine.tasks.timers import TaskTimer

VALUE = {"k": "N14228", "v": 517, "t": 1357034400000, "c": "UA"}
STAGE_RECORDS = 100
BATCHES = (1, 100)
# What a buffer of the engine holds.
BUFFER = 500
LARGE = 1024


class Channel:
    """The engine's: one producer, one consumer."""

    def __init__(self) -> None:
        clock = SystemClock()
        self.consumer, self.producer = TaskTimer(clock), TaskTimer(clock)
        self.consumer.start()
        self.producer.start()
        self.gate = InputGate(self.consumer)
        self.pool = LocalBufferPool(1, self.producer)

    @property
    def places(self) -> int:
        return self.pool.capacity

    def put(self, buffer: Buffer) -> None:
        self.pool.request(0)
        buffer.pool = self.pool
        self.gate.put(buffer)

    def take(self) -> Buffer:
        while True:
            buffer = self.gate.take(NS_PER_SECOND)
            if buffer is not None:
                return buffer


def seconds_of(produce: Callable[[], None], consume: Callable[[], None]) -> float:
    threads = [threading.Thread(target=produce), threading.Thread(target=consume)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def through_channel(hand_overs: int, batch: int) -> float:
    """Hand-overs per second."""
    channel = Channel()
    values = [VALUE] * batch

    def produce() -> None:
        put = channel.put
        for number in range(hand_overs):
            put(Buffer("s", number, number, number, values))

    def consume() -> None:
        take = channel.take
        for _ in range(hand_overs):
            take().recycle()

    return hand_overs / seconds_of(produce, consume)


def through_queue(hand_overs: int, batch: int, places: int) -> float:
    """The same; the item is the list of values alone."""
    channel: queue.Queue[list[dict[str, object]]] = queue.Queue(places)
    values = [VALUE] * batch

    def produce() -> None:
        put = channel.put
        for _ in range(hand_overs):
            put(values)

    def consume() -> None:
        take = channel.get
        for _ in range(hand_overs):
            take()

    return hand_overs / seconds_of(produce, consume)


def cpu_us(hand_over: Callable[[], object], values: int) -> float:
    """Of the processor, all threads, for each of so many values."""
    began = time.process_time()
    hand_over()
    return (time.process_time() - began) / values * 1e6


def staged(source: Path, folder: Path) -> int:
    """The flights job as four threads with the engine's channels between them."""
    read_to_parse, parse_to_count, count_to_write = (Channel() for _ in range(3))
    records = 0

    def read() -> None:
        with source.open("rb") as lines:
            number = 0
            while values := list(islice(lines, STAGE_RECORDS)):
                read_to_parse.put(Buffer("s", number, 0, 0, values))
                number += 1
        read_to_parse.put(Buffer("s", number, 0, 0, [], end=True))

    def between(inlet: Channel, outlet: Channel, work: Callable[[Buffer], list[object]]) -> Callable[[], None]:
        def stage() -> None:
            while True:
                buffer = inlet.take()
                outlet.put(Buffer("s", buffer.sequence, 0, 0, work(buffer), end=buffer.end))
                buffer.recycle()
                if buffer.end:
                    return

        return stage

    counts: dict[str, int] = {}

    def counted(value: Mapped) -> bytes:
        count = counts[value[0]] = counts.get(value[0], 0) + 1
        return orjson.dumps(told(value[0], count, value)) + b"\n"

    def write() -> None:
        nonlocal records
        with (folder / "out.ndjson").open("wb") as out:
            while True:
                buffer = count_to_write.take()
                out.writelines(buffer.values)
                records += len(buffer.values)
                buffer.recycle()
                if buffer.end:
                    return

    threads = [
        threading.Thread(target=stage)
        for stage in (
            read,
            between(read_to_parse, parse_to_count, lambda buffer: [parse(line) for line in buffer.values]),
            between(parse_to_count, count_to_write, lambda buffer: [counted(value) for value in buffer.values]),
            write,
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return records


def job_rate(job: Callable[[Path, Path], int], source: Flights) -> float:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        records = job(source.path, Path(folder))
        assert records == source.records
        return records / (time.perf_counter() - began)


def run(pace: Pace) -> Report:
    hand_overs = pace.of(60_000, 20_000)
    ours, same, large = ({batch: list[float]() for batch in BATCHES} for _ in range(3))
    costs: list[float] = []
    costs_same: list[float] = []
    places = Channel().places
    for _ in pace.repetitions(11, 5, "hand-over"):
        for batch in BATCHES:
            ours[batch].append(through_channel(hand_overs, batch))
            same[batch].append(through_queue(hand_overs, batch, places))
            large[batch].append(through_queue(hand_overs, batch, LARGE))
        values = hand_overs * BUFFER
        costs.append(cpu_us(lambda: through_channel(hand_overs, BUFFER), values))
        costs_same.append(cpu_us(lambda: through_queue(hand_overs, BUFFER, places), values))
    rows = [
        f"| values | channel, thousand/s | queue.Queue of {places} | of {LARGE} | channel ÷ queue of {places} "
        f"| ÷ queue of {LARGE} |",
        "|---|---|---|---|---|---|",
    ]
    for batch in BATCHES:
        rates = (
            Spread.of([rate / 1000 for rate in rates]).text("{:.0f}")
            for rates in (ours[batch], same[batch], large[batch])
        )
        rows.append(
            f"| {batch} | {' | '.join(rates)} | {ratios(ours[batch], same[batch]).text('{:.1f}')} "
            f"| {ratios(ours[batch], large[batch]).text('{:.1f}')} |"
        )
    inline, stages = [], []
    with tempfile.TemporaryDirectory() as folder:
        source = flights(Path(folder), pace.of(100_000, 50_000))
        for _ in pace.repetitions(9, 5, "stages"):
            inline.append(job_rate(plain, source))
            stages.append(job_rate(staged, source))
    stage_ratio = ratios(stages, inline)
    rows += [
        "",
        f"| flights, {source.records} of {source.bytes_per_row:.0f} bytes, without an engine "
        "| thousand records/s | ÷ inline |",
        "|---|---|---|",
        f"| inline loop | {Spread.of([rate / 1000 for rate in inline]).text('{:.0f}')} | 1.00 |",
        f"| four stages, {STAGE_RECORDS} a buffer | {Spread.of([rate / 1000 for rate in stages]).text('{:.0f}')} "
        f"| {stage_ratio.text()} |",
    ]
    head = f"channels, n = {len(ours[1])} and {len(stages)}; {conditions()}"
    rows += ["", f"a buffer of {BUFFER} values, CPU, channel ÷ queue of {places}: {ratios(costs, costs_same).text()}"]
    samples = {"channel": ratios(costs, costs_same).values, "stages": stage_ratio.values}
    return Report("\n".join([head, "", *rows]), samples)
