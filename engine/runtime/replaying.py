"""Rejects that are tried again: through the pipeline from where they fell out of it, or to the exporter once more."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol

import msgspec

from engine.core.clock import Clock
from engine.core.errors import AppendError, DataFolderError, StoppedError
from engine.core.identity import partition_of
from engine.core.rarely import Rarely, and_more
from engine.core.records import Record, RecordType, WriteSource, encode_record
from engine.core.snapshot import BlockReason
from engine.core.unit import SourceProgress, Unit
from engine.exporting.task import ExportingTask
from engine.partition.partition import Partition
from engine.partition.retention import DiskSpace
from engine.pipeline import PipelineDescription, StepKind
from engine.runtime.front import KEY, LOG_WRITER, key_text
from engine.tasks.subtask import Failed
from engine.transforms.task import as_many
from engine.writing.again import is_whole, record_of, value_of
from engine.writing.log_writer import SOURCE_INTENT
from engine.writing.reject_folder import Replay, replayed_name
from engine.writing.rejects import Reject, RejectFile

log = logging.getLogger("penstock.rejects")

_LOOK_SECONDS = 0.5
# So many are stored or handed over together.
_AT_ONCE = 100

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStanding:
    """Which files of rejects a process is done with, as far as it is concerned; `strange` ones wait for somebody."""

    tried: frozenset[str]
    strange: frozenset[str]


class Replays(Protocol):
    """Where rejects lie that were set out to be tried again."""

    @property
    def path(self) -> Path:
        """The folder into which goes what is rejected again."""
        ...

    def replays(self) -> list[Replay]:
        """Oldest first: their numbers rise."""
        ...

    def entries(self, replay: Replay) -> list[dict[str, Any]]:
        """All of one, in its order, which stays what it is; one that was taken back is empty."""
        ...

    def replayed(self, replay: Replay) -> set[int]:
        """Which entries of it were set aside again already."""
        ...

    def done(self, replay: Replay) -> None:
        """All of it was tried again."""
        ...


class Replayer:
    """Watches for rejects that were set out, and tries them again, one after the other, on a thread of its own.

    Each once, also when the process dies in between: with the records of a reject each partition stores how far it has
    come in that replay. How much an exporter was handed is stored soon after, as its acknowledgements are. What fails
    again is rejected again.

    Over workers each has one, which takes every reject as far as its own partitions are concerned: all of them find the
    same records, for what stands in front of the log is deterministic. The worker of partition 1 rejects again.
    """

    def __init__(
        self,
        folder: Replays,
        pipeline: PipelineDescription,
        partitions: Mapping[int, Partition],
        exporters: Mapping[str, list[ExportingTask]],
        clock: Clock,
        failed: Failed,
        *,
        is_alone: bool = True,
        only: int | None = None,
    ) -> None:
        """`partitions` and `exporters` are those of this process; who `is_alone` has all of them.

        With `only` all that lies there is that partition's, whatever its key says.
        """
        self._folder = folder
        self._pipeline = pipeline
        self._partitions = partitions
        self._exporters = exporters
        self._clock = clock
        self._failed = failed
        self._is_alone = is_alone
        self._only = only
        self._rejects_again = only is not None or 1 in partitions
        self._key_text = key_text(pipeline.key)
        self._stopping = Event()
        self._wake = Event()
        self._thread = Thread(target=self._run, name="penstock-replay", daemon=True)
        # Files that were said not to be of this pipeline, or not to be readable.
        self._strange: set[str] = set()
        # Files that wait for other workers.
        self._tried: frozenset[str] = frozenset()
        self._troubles = Rarely(clock)
        # Whether there was nothing to do when it last looked.
        self.is_idle = False

    def start(self) -> None:
        self._thread.start()

    def look(self) -> None:
        """Something was set out just now."""
        self.is_idle = False
        self._wake.set()

    def stop(self) -> None:
        """What is not tried again by now is in the next run."""
        self._stopping.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def standing(self) -> ReplayStanding:
        """How far this process is with the files that were set out; from any thread."""
        return ReplayStanding(tried=self._tried, strange=frozenset(self._strange))

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.clear()
                try:
                    self._look_once()
                except OSError as error:
                    # No descriptor is left, the disk is full: what was done is stored, the rest comes again.
                    if (count := self._troubles.more()) is not None:
                        log.warning("rejects cannot be replayed just now: %s%s", error, and_more(count))
                self._wake.wait(_LOOK_SECONDS)
        except StoppedError:
            return
        except BaseException as error:
            log.exception("rejects cannot be replayed")
            self._failed("replay", error)

    def _look_once(self) -> None:
        found = self._folder.replays()
        self._tried &= {replay.path.name for replay in found}
        replays = [replay for replay in found if self._is_ours(replay)]
        for replay in replays:
            try:
                self._replay(replay)
            except DataFolderError as error:
                self._strange.add(replay.path.name)
                log.warning("%s; the replay waits until it is mended, and the pipeline started again", error)
            if self._stopping.is_set():
                return
        self.is_idle = not replays

    def _is_ours(self, replay: Replay) -> bool:
        if replay.path.name in self._strange or replay.path.name in self._tried:
            return False
        names = {*self._exporters, KEY, LOG_WRITER, *(s.name for s in self._pipeline.sources)}
        if self._pipeline.processor is not None:
            names.add(self._pipeline.processor.name)
        if replay.culprit in names or any(step.name == replay.culprit for step in self._pipeline.steps):
            return True
        self._strange.add(replay.path.name)
        log.warning("%s waits: pipeline %s has no task %s", replay.path, self._pipeline.name, replay.culprit)
        return False

    def _replay(self, replay: Replay) -> None:
        found = self._folder.entries(replay)
        log.warning("%s rejects of %s are tried again", f"{sum(map(bool, found)):,}", replay.culprit)
        before = self._already(replay)
        if replay.culprit in self._exporters:
            self._to_exporter(replay, found, before)
        else:
            self._through_pipeline(replay, found, before)
        if self._stopping.is_set():
            return
        if self._is_alone:
            self._folder.done(replay)
            log.warning("all rejects of %s were tried again", replay.culprit)
        else:
            self._tried |= {replay.path.name}

    def _already(self, replay: Replay) -> dict[int, int]:
        """How many entries each partition is done with."""
        done = {}
        for number, partition in self._partitions.items():
            stored = partition.source_progress.get(_progress_name(replay))
            if stored is None or stored.offset < replay.number:
                done[number] = 0
            else:
                # Of an earlier one all; it is still there because nobody could say so.
                done[number] = stored.extra if stored.offset == replay.number else sys.maxsize
        return done

    # -- through the pipeline ---

    def _through_pipeline(self, replay: Replay, found: Sequence[Entry], before: dict[int, int]) -> None:
        steps = [step.name for step in self._pipeline.steps]
        first_step = len(steps) if replay.culprit in (KEY, LOG_WRITER) else 0
        if replay.culprit in steps:
            first_step = steps.index(replay.culprit)
        # By a run that died over it.
        rejected_again = self._folder.replayed(replay) if self._rejects_again else set[int]()
        for begin in range(0, len(found), _AT_ONCE):
            end = min(len(found), begin + _AT_ONCE)
            by_partition: dict[int, list[Record]] = {}
            for index in range(begin, end):
                if not found[index]:
                    continue
                for number, record in self._records_of(replay, found[index], index, first_step, rejected_again):
                    if number in before and index >= before[number]:
                        by_partition.setdefault(number, []).append(record)
            for number, records in by_partition.items():
                progress = SourceProgress(_progress_name(replay), replay.number, end)
                self._store(self._partitions[number], records, progress)
            if self._stopping.is_set():
                return

    def _records_of(
        self, replay: Replay, entry: Entry, index: int, first_step: int, rejected_again: set[int]
    ) -> list[tuple[int, Record]]:
        """What becomes of a reject now, with the partition of each; nothing where it is rejected again."""
        culprit = replay.culprit
        if self._pipeline.processor is not None and culprit == self._pipeline.processor.name:
            # The command once more, for the same state.
            number, command = _record_of(replay, entry, index)
            return [(number, msgspec.structs.replace(command, position=0, timestamp_ns=0))]
        try:
            if not is_whole(entry):
                raise ValueError("only its beginning was kept")
            values = [value_of(entry)]
            for step in self._pipeline.steps[first_step:]:
                culprit = step.name
                values = _applied(step.kind, step.function, values)
            made = []
            for value in values:
                culprit = KEY
                key = self._key_text(value)
                number = self._only or partition_of(key, self._pipeline.partitions)
                culprit = LOG_WRITER
                record = Record(RecordType.COMMAND.value, self._pipeline.value_type, SOURCE_INTENT, key, value)
                encode_record(record)
                made.append((number, record))
            return made
        # The functions are the user's, and may raise anything.
        except Exception as error:
            if self._rejects_again and index not in rejected_again:
                name = f"{replayed_name(replay)}{index}"
                self._again(culprit, entry, f"{type(error).__name__}: {error}", name)
            return []

    def _again(self, culprit: str, entry: Entry, reason: str, replayed: str) -> None:
        file = RejectFile(self._folder.path, culprit, self._clock)
        value = value_of(entry) if is_whole(entry) else entry["value"]
        file.put(
            [
                Reject(
                    source=entry["source"],
                    offset=entry["offset"],
                    reason=reason,
                    value=value,
                    is_excerpt=not is_whole(entry),
                    replayed=replayed,
                )
            ]
        )

    def _store(self, partition: Partition, records: list[Record], progress: SourceProgress) -> None:
        unit = Unit(source=WriteSource.USER_COMMAND, records=records, progress=[progress])
        while True:
            partition.wait_for_room(up_to=DiskSpace.ENOUGH, blocked=_held_back, is_canceled=self._stopping.is_set)
            permit = partition.wait_acquire(WriteSource.USER_COMMAND, len(records), is_canceled=self._stopping.is_set)
            try:
                partition.append(unit, permit)
                return
            except AppendError:
                if self._stopping.is_set() or not partition.pause_after_failure():
                    raise StoppedError("the replay is stopped") from None

    # -- to the exporter ---

    def _to_exporter(self, replay: Replay, found: Sequence[Entry], before: dict[int, int]) -> None:
        tasks = {task.partition: task for task in self._exporters[replay.culprit]}
        for begin in range(0, len(found), _AT_ONCE):
            end = min(len(found), begin + _AT_ONCE)
            by_partition: dict[int, list[Record]] = {}
            for index in range(begin, end):
                if not found[index]:
                    continue
                number, record = _record_of(replay, found[index], index)
                if number in tasks and index >= before[number]:
                    by_partition.setdefault(number, []).append(record)
            for number, records in by_partition.items():
                handed_over = tasks[number].replay(sorted(records, key=lambda record: record.position))
                while not handed_over.wait(_LOOK_SECONDS):
                    if self._stopping.is_set():
                        return
                progress = SourceProgress(_progress_name(replay), replay.number, end)
                self._partitions[number].source_passed(progress)
            if self._stopping.is_set():
                return


def _record_of(replay: Replay, entry: Entry, index: int) -> tuple[int, Record]:
    try:
        return int(entry["partition"]), record_of(entry)
    except (KeyError, TypeError, ValueError) as error:
        raise DataFolderError(f"{replay.path}, line {index + 1} is no record of the log: {error!r}") from None


def _progress_name(replay: Replay) -> str:
    # A slash is in no source's name.
    return f"rejects/{replay.culprit}"


def _applied(kind: StepKind, function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    match kind:
        case StepKind.MAP:
            return [function(value) for value in values]
        case StepKind.FILTER:
            return [value for value in values if function(value)]
        case StepKind.FLAT_MAP:
            return [made for value in values for made in function(value)]
        case StepKind.MAP_BATCH:
            return as_many(function, values) if values else []


def _held_back(_: BlockReason) -> None:
    """Nobody measures what a replay waits for."""
