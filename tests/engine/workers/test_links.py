"""Links between workers: frames, credits, messages, over real sockets inside one process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.clock import SystemClock
from engine.core.errors import AppendError, StoppedError
from engine.core.records import Record
from engine.core.unit import Message
from engine.log.codec import encode_batch
from engine.tasks.buffers import Buffer, InputGate, LocalBufferPool
from engine.tasks.timers import TaskTimer
from engine.workers.epoch import Epoch, RemoteGate
from engine.workers.frames import (
    BufferFrame,
    CreditFrame,
    Frame,
    MessagesFrame,
    StoredFrame,
    decode_frame,
    encode_frame,
)
from engine.workers.link import Link
from engine.workers.remote_partition import RemotePartition, Road
from tests.support.waiting import WAIT_SECONDS, wait_until

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(st.tuples(st.text(), json_values)), st.binary() | st.none())
def test_what_travels_is_stored_as_if_it_had_stayed(values: list[tuple[str, Any]], cursor: bytes | None) -> None:
    buffer = Buffer("source", 3, 10, 20, values, cursor=cursor, channel=1)
    frame = decode_frame(encode_frame(BufferFrame.of(buffer, epoch=7, partition=2, pool=0)))
    assert isinstance(frame, BufferFrame)
    arrived = frame.buffer(Pools())
    assert (arrived.source, arrived.sequence, arrived.first_offset, arrived.last_offset) == ("source", 3, 10, 20)
    assert (arrived.cursor, arrived.channel, arrived.end) == (cursor, 1, False)

    def stored(buffer: Buffer) -> bytes:
        return encode_batch([Record("command", "t", "i", key, value) for key, value in buffer.values])[0]

    assert stored(arrived) == stored(buffer)


def test_a_value_that_cannot_be_said_fails_where_it_is_sent() -> None:
    buffer = Buffer("source", 0, 1, 1, [("key", object())])
    with pytest.raises(TypeError):
        encode_frame(BufferFrame.of(buffer, epoch=1, partition=1, pool=0))


class Pools:
    """Keeps what it was given back."""

    def __init__(self) -> None:
        self.channels: list[int] = []

    def recycle(self, channel: int) -> None:
        self.channels.append(channel)


class TwoWorkers:
    """Worker 1 has a source and partition 1, worker 2 has partition 2; a link between them."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.timer = TaskTimer(SystemClock())
        self.timer.start()
        self.pool = LocalBufferPool(2, self.timer)
        self.input = InputGate(self.timer)
        self.epochs = {1: Epoch(1), 2: Epoch(1)}
        self.epochs[1].opened({}, [self.pool])
        self.epochs[2].opened({2: self.input}, [])
        self.asked: SimpleQueue[tuple[Link, MessagesFrame]] = SimpleQueue()
        self.stray: list[Frame] = []
        self.links = {1: Link(2, ours, self._at_one), 2: Link(1, theirs, self._at_two)}
        self.gate = RemoteGate(2, self.links[1], self.epochs[1])
        for link in self.links.values():
            link.start()

    def _at_one(self, link: Link, frame: Frame) -> None:
        assert isinstance(frame, CreditFrame)
        self.epochs[1].given_back(frame)

    def _at_two(self, link: Link, frame: Frame) -> None:
        if isinstance(frame, BufferFrame):
            self.epochs[2].arrived(link, frame)
        elif isinstance(frame, MessagesFrame):
            self.asked.put((link, frame))
        else:
            self.stray.append(frame)

    def close(self) -> None:
        for link in self.links.values():
            link.close()


@pytest.fixture
def two() -> Iterator[TwoWorkers]:
    workers = TwoWorkers()
    yield workers
    workers.close()


def test_a_buffer_holds_its_credit_until_the_other_worker_is_done_with_it(two: TwoWorkers) -> None:
    sent = 0
    while two.pool.request_buffer(1):
        two.gate.put(Buffer("s", sent, sent, sent, [("k", sent)], pool=two.pool, channel=1))
        sent += 1
    assert sent == 10, "no more than ten on one channel, as inside a process"
    taken = [two.input.take(10**9) for _ in range(sent)]
    assert [buffer.sequence for buffer in taken if buffer is not None] == list(range(sent))
    assert not two.pool.request_buffer(1)
    assert taken[0] is not None
    taken[0].recycle()
    assert wait_until(lambda: two.pool.request_buffer(1))
    assert not two.pool.request_buffer(1)


def test_messages_are_answered_to_who_asked(two: TwoWorkers) -> None:
    road = Road()
    road.put(two.links[1])
    elsewhere = RemotePartition(2, road)
    thread = started(lambda: elsewhere.receive(1, [Message(4, 2, b"four"), Message(5, 2, b"five")]))
    link, request = two.asked.get(timeout=WAIT_SECONDS)
    assert (request.sender, request.receiver, request.messages) == (1, 2, [(4, b"four"), (5, b"five")])
    assert thread.is_alive(), "it waits until they are durable"
    link.send(StoredFrame(1, 2, 17, None))
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    assert elsewhere.suggested_batch_records() == 17


def test_messages_that_could_not_be_stored_say_why(two: TwoWorkers) -> None:
    road = Road()
    road.put(two.links[1])
    errors: list[Exception] = []

    def send() -> None:
        try:
            RemotePartition(2, road).receive(1, [Message(1, 2, b"")])
        except AppendError as error:
            errors.append(error)

    thread = started(send)
    link, _ = two.asked.get(timeout=WAIT_SECONDS)
    link.send(StoredFrame(1, 2, 17, "the disk is full"))
    thread.join(WAIT_SECONDS)
    assert [str(error) for error in errors] == ["the disk is full"]


def test_messages_on_a_link_that_breaks_are_sent_again_on_the_next(two: TwoWorkers) -> None:
    road = Road()
    road.put(two.links[1])
    thread = started(lambda: RemotePartition(2, road).receive(1, [Message(1, 2, b"one")]))
    two.asked.get(timeout=WAIT_SECONDS)
    two.links[2].close()
    again = TwoWorkers()
    road.put(again.links[1])
    link, request = again.asked.get(timeout=WAIT_SECONDS)
    assert request.messages == [(1, b"one")]
    link.send(StoredFrame(1, 2, 500, None))
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()
    again.close()


def test_who_waits_for_a_worker_learns_of_the_end(two: TwoWorkers) -> None:
    road = Road()
    ends: list[Exception] = []

    def send() -> None:
        try:
            RemotePartition(2, road).receive(1, [Message(1, 2, b"one")])
        except StoppedError as error:
            ends.append(error)

    thread = started(send)
    road.close()
    thread.join(WAIT_SECONDS)
    assert len(ends) == 1


def test_what_was_sent_before_a_link_closes_arrives(two: TwoWorkers) -> None:
    for n in range(10):
        two.pool.request(1)
        two.gate.put(Buffer("s", n, n, n, [("k", b"x" * 100_000)], pool=two.pool, channel=1))
    two.links[1].close()
    assert wait_until(lambda: two.input.queued == 10)


def test_nothing_but_the_frames_of_a_link_can_be_decoded() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_frame(msgspec.msgpack.encode([99, 1, 2, 3]))


def started(act: Any) -> Any:
    import threading

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread
