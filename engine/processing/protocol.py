"""What a processor is: user code over the records of one partition, with durable keyed state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from engine.core.records import Record
from engine.processing.commands import Commands


class State(Protocol):
    """Durable keyed state of one partition. Values are what JSON can say, or bytes.

    A value read is a copy: a change must be `put`. What was put is seen by the next `get`, and becomes durable
    together with the results of the record.
    """

    def get(self, key: str, default: Any = None) -> Any: ...

    def put(self, key: str, value: Any) -> None: ...

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that have one, in one go."""
        ...

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Puts all of them, or raises and puts none."""
        ...

    def delete(self, key: str) -> None: ...

    def scan(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Keys that begin with `prefix`, ascending, with their values, pending changes included."""
        ...


class ProcessingContext(Protocol):
    """What a processor may do with one record; all of it becomes true with the record, or none of it."""

    @property
    def partition(self) -> int: ...

    @property
    def state(self) -> State: ...

    def emit(self, value_type: str, value: Any, *, intent: str = "emitted", key: str | None = None) -> None:
        """Writes an event to this partition's log."""
        ...

    def send(self, key: str, value_type: str, value: Any, *, intent: str = "receive") -> None:
        """Sends a command to the partition that owns `key`, exactly once; it may be this one."""
        ...

    def schedule(
        self, delay_seconds: float, value_type: str, value: Any, *, intent: str = "fire", key: str = ""
    ) -> int:
        """Writes a command to this partition's log after a delay, also when a restart lies between.

        Returns the timer's number, for `cancel`.
        """
        ...

    def cancel(self, timer: int) -> None:
        """Takes a timer back. One that has fired is past that: its command is in the log, or is processed already."""
        ...

    def reject(self, reason: str) -> None:
        """Writes a rejection of the record in hand, with the reason, instead of letting it fail."""
        ...


class BatchContext(ProcessingContext, Protocol):
    """What a processor may do with many commands at once; all of it becomes true with them, or none of it.

    One of them is in hand, at first the first one: `emit`, `send` and `schedule` write what follows from it.
    """

    def take(self, index: int) -> None:
        """Takes another one of the commands in hand."""
        ...

    def emit_batch(
        self,
        value_type: str,
        values: Sequence[Any],
        *,
        intent: str | Sequence[str] = "emitted",
        keys: Sequence[str] | None = None,
        of: Sequence[int] | None = None,
    ) -> None:
        """Writes events to this partition's log: one for each command, in their order.

        Where there are others, `of` says of each event which command it follows from. `keys` are those of the commands
        unless others are given. All have the same intent, or there is a list with one for each.
        """
        ...


class Processor(Protocol):
    """One instance a partition; its task's thread alone calls it, in the order of positions, commands only."""

    def process(self, record: Record, context: ProcessingContext) -> None: ...


class BatchProcessor(Protocol):
    """A processor that works on many commands at a time.

    Where it raises, nothing of what it did is left, and each of the commands is processed alone: by `process` where it
    has that too, else by `process_batch` with one command. What that raises is judged as everywhere. So it must not
    remember anything of its own between calls that a repetition would spoil.
    """

    def process_batch(self, commands: Commands, context: BatchContext) -> None: ...


ProcessorFactory = Callable[[], Processor | BatchProcessor]


class Aside(Protocol):
    """Where the commands go that are rejected, beside the rejection in the log."""

    def keep(self, refused: Sequence[tuple[Record, str]], cause: Exception | None) -> None:
        """Keeps records, each with the reason; `cause` ended the first. Raises `OSError` and has kept none."""
        ...

    def take_back(self, refused: Sequence[tuple[Record, str]]) -> None:
        """They are not rejected after all, or will be once more."""
        ...
