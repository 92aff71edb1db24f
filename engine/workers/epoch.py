"""One life of the fronts of all workers: when a worker dies, all fronts begin a new one together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.tasks.buffers import Buffer, Gate, LocalBufferPool
from engine.workers.frames import BufferFrame, CreditFrame
from engine.workers.link import Link


class Epoch:
    """What this worker's front has to do with those of the others. Frames of another epoch mean nothing to it.

    Buffers that were on their way when an epoch ended are read again from their source in the next one, so none may
    cross over: it could be stored twice.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        # Set when the front is prepared, before any task of it runs.
        self._gates: Mapping[int, Gate] = {}
        self._pools: Sequence[LocalBufferPool] = ()
        self._numbers: dict[LocalBufferPool, int] = {}

    def opened(self, gates: Mapping[int, Gate], pools: Sequence[LocalBufferPool]) -> None:
        """This front's own gates, by partition, and pools."""
        self._gates = gates
        self._pools = pools
        self._numbers = {pool: number for number, pool in enumerate(pools)}

    def number_of(self, pool: object) -> int:
        assert isinstance(pool, LocalBufferPool), "a producer's buffer comes from its own pool"
        return self._numbers[pool]

    def arrived(self, link: Link, frame: BufferFrame) -> None:
        """A buffer from another worker; the link's reader calls."""
        credits = RemoteCredits(link, self.number, frame.pool)
        self._gates[frame.partition].put(frame.buffer(credits))

    def given_back(self, frame: CreditFrame) -> None:
        self._pools[frame.pool].recycle(frame.channel)


class RemoteCredits:
    """The pool in another worker that a buffer came from."""

    __slots__ = ("_epoch", "_link", "_pool")

    def __init__(self, link: Link, epoch: int, pool: int) -> None:
        self._link = link
        self._epoch = epoch
        self._pool = pool

    def recycle(self, channel: int) -> None:
        self._link.send(CreditFrame(self._epoch, self._pool, channel))


class RemoteGate:
    """The way to the log writer of a partition in another worker, for one epoch.

    Producers call from their threads, each with a credit of its own pool in hand; so the same credits that bound what
    is on its way inside a process bound what is on its way between two.
    """

    def __init__(self, partition: int, link: Link, epoch: Epoch) -> None:
        self._partition = partition
        self._link = link
        self._epoch = epoch

    def put(self, buffer: Buffer) -> None:
        pool = self._epoch.number_of(buffer.pool)
        self._link.send(BufferFrame.of(buffer, epoch=self._epoch.number, partition=self._partition, pool=pool))
