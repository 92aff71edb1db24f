"""Rejects that are tried again while instances share the pipeline: each goes to whoever has its partition."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import msgspec

from engine.core.clock import Clock
from engine.core.errors import ConfigurationError, DataFolderError, NotReadyError
from engine.core.rarely import Rarely, and_more
from engine.instances.board import Board, HandedRow, handed_key, packed
from engine.pipeline import PipelineDescription
from engine.sources.protocol import partition_fed_by
from engine.writing.reject_folder import RejectFolder, Replay

log = logging.getLogger("penstock.instances")

Put = Callable[[str, bytes | None], int]
# What is handed out together is one message, which has to be smaller than Kafka takes without being asked.
_BYTES_MAX = 500_000
# What alone is larger goes alone, as far as the topics of the log take it.
_ENTRY_BYTES_MAX = 15_000_000
_LOOK_SECONDS = 1.0


class HandingOut:
    """Takes what was set aside on this machine, and is to be tried again, to the owners of its partitions.

    By the topic in which instances tell each other things: what is handed out lies there until its owner is done with
    it, whoever that is by then. A thread of its own looks for what was set out, by `ask` on any instance or by hand.
    Where this process is killed before it has deleted what it has handed out, that is tried twice.
    """

    def __init__(self, folder: RejectFolder, pipeline: PipelineDescription, put: Put, name: str, clock: Clock) -> None:
        """`put` says something to all, and raises `NotReadyError`; `name` is this instance's."""
        self._folder = folder
        self._put = put
        self._name = name
        self._clock = clock
        # By the name of the source that brought it: who is fed by a partition of a topic writes to that one alone.
        self._fed = {source.name: partition_fed_by(source.source) for source in pipeline.sources}
        self._partitions = pipeline.partitions
        self._lock = Lock()
        # Tasks whose rejects are asked for and not set out; guarded by the lock.
        self._asked: set[str] = set()
        # Files that cannot be read, which wait for somebody.
        self._strange: set[str] = set()
        self._troubles = Rarely(clock)
        self._wake = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="penstock-replays", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What is not handed out by now is in the next run."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def ask(self, task: str) -> None:
        """The rejects of a task shall be tried again; returns at once."""
        with self._lock:
            self._asked.add(task)
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
            try:
                self._set_out()
                for replay in self._folder.replays():
                    if replay.path.name not in self._strange:
                        self._hand_out(replay)
            except (NotReadyError, OSError) as error:
                if (count := self._troubles.more()) is not None:
                    log.warning("rejects cannot be handed to their owners: %s%s", error, and_more(count))
            except Exception:
                log.exception("rejects cannot be handed to their owners")

    def _set_out(self) -> None:
        with self._lock:
            asked, self._asked = self._asked, set()
        for task in sorted(asked):
            try:
                self._folder.set_out(task, self._clock.wall_ns())
            except ConfigurationError:
                # There are none here; or the last ones are on their way, and these are asked for once more.
                continue

    def _hand_out(self, replay: Replay) -> None:
        try:
            by_partition = self._sorted(replay)
        except DataFolderError as error:
            self._strange.add(replay.path.name)
            log.warning("%s; it waits until it is mended, and the instance started again", error)
            return
        for partition, sized in by_partition.items():
            for number, portion in enumerate(_portions(sized)):
                row = HandedRow(culprit=replay.culprit, entries=portion)
                self._put(handed_key(partition, f"{self._name}-{replay.number}-{number}"), packed(row))
        self._folder.done(replay)
        log.warning(
            "%s rejects of %s are handed to whoever has partition %s",
            f"{sum(map(len, by_partition.values())):,}",
            replay.culprit,
            ", ".join(map(str, sorted(by_partition))),
        )

    def _sorted(self, replay: Replay) -> Mapping[int, list[tuple[dict[str, Any], int]]]:
        """By their partitions, with the bytes of each. Raises `DataFolderError` for one that can go nowhere."""
        by_partition: dict[int, list[tuple[dict[str, Any], int]]] = {}
        for index, entry in enumerate(self._folder.entries(replay), 1):
            if not entry:
                continue
            partition = entry.get("partition") or self._fed.get(str(entry.get("source")))
            if not isinstance(partition, int) or not 1 <= partition <= self._partitions:
                raise DataFolderError(f"{replay.path}, line {index} says of no partition that it is its own")
            size = len(msgspec.json.encode(entry))
            if size > _ENTRY_BYTES_MAX:
                raise DataFolderError(
                    f"{replay.path}, line {index} has {size:,} bytes, and instances hand each other at most "
                    f"{_ENTRY_BYTES_MAX:,}; take it out, and send what it holds to the gateway or the topic once more"
                )
            by_partition.setdefault(partition, []).append((entry, size))
        return by_partition


def _portions(sized: Sequence[tuple[dict[str, Any], int]]) -> Iterator[tuple[dict[str, Any], ...]]:
    portion: list[dict[str, Any]] = []
    together = 0
    for entry, size in sized:
        if portion and together + size > _BYTES_MAX:
            yield tuple(portion)
            portion, together = [], 0
        portion.append(entry)
        together += size
    if portion:
        yield tuple(portion)


class Handed:
    """Implements `Replays` for one partition: what was handed to whoever has it, in the order in which it was."""

    def __init__(self, board: Board, number: int, put: Put, rejects: Path) -> None:
        self.path = rejects
        self._board = board
        self._number = number
        self._put = put
        # Places of those that are done, and of which that could not be said.
        self._unsaid: set[int] = set()

    def replays(self) -> list[Replay]:
        for number in sorted(self._unsaid):
            self._say_done(number)
        return [
            Replay(path=self.path / key.rpartition("/")[2], culprit=row.culprit, number=place)
            for key, row, place in self._board.handed(self._number)
            if place not in self._unsaid
        ]

    def entries(self, replay: Replay) -> list[dict[str, Any]]:
        return [entry for _, row, place in self._there(replay.number) for entry in row.entries]

    def replayed(self, replay: Replay) -> set[int]:
        return RejectFolder(self.path).replayed(replay)

    def done(self, replay: Replay) -> None:
        self._unsaid.add(replay.number)
        self._say_done(replay.number)

    def _say_done(self, number: int) -> None:
        with suppress(NotReadyError):
            for key, _, _ in self._there(number):
                self._put(key, None)
            self._unsaid.discard(number)

    def _there(self, number: int) -> list[tuple[str, HandedRow, int]]:
        return [found for found in self._board.handed(self._number) if found[2] == number]
