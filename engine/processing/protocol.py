"""What a processor is: user code over the records of one partition, with durable keyed state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from engine.core.records import Record


class State(Protocol):
    """Durable keyed state of one partition. Values are what JSON can say, or bytes.

    A value read is a copy: a change must be `put`. What was put is seen by the next `get`, and becomes durable
    together with the results of the record.
    """

    def get(self, key: str, default: Any = None) -> Any: ...

    def put(self, key: str, value: Any) -> None: ...

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
    ) -> None:
        """Writes a command to this partition's log after a delay, also when a restart lies between."""
        ...

    def reject(self, reason: str) -> None:
        """Writes a rejection of the record in hand, with the reason, instead of letting it fail."""
        ...


class Processor(Protocol):
    """One instance a partition; its task's thread alone calls it, in the order of positions, commands only."""

    def process(self, record: Record, context: ProcessingContext) -> None: ...


ProcessorFactory = Callable[[], Processor]


class Aside(Protocol):
    """Where the commands go that are rejected, beside the rejection in the log."""

    def keep(self, refused: Sequence[tuple[Record, str]], cause: Exception | None) -> None:
        """Keeps records, each with the reason; `cause` ended the first. Raises `OSError` and has kept none."""
        ...

    def take_back(self, refused: Sequence[tuple[Record, str]]) -> None:
        """They are not rejected after all, or will be once more."""
        ...
