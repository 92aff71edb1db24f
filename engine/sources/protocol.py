"""What a source is: where values come from, with a place for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from engine.core.snapshot import InputSnapshot


@dataclass(frozen=True, slots=True)
class SourceStart:
    """Where to begin again: everything up to `offset` is stored; 0 is the very beginning."""

    offset: int
    # What the source handed out with that offset (a byte position, say); None at first.
    cursor: bytes | None


@dataclass(slots=True)
class SourceBatch:
    """Values in the order of the source.

    `values[i]` stands at offset `first_offset + i`, or at `offsets[i]` where `offsets` is given; these rise.
    """

    first_offset: int
    values: list[Any]
    # For a restart right behind this batch; may be None where offset alone is enough.
    cursor: bytes | None = None
    offsets: list[int] | None = None
    # Of a source of several parts: which one it is of.
    split: str = ""

    @property
    def last_offset(self) -> int:
        return self.offsets[-1] if self.offsets else self.first_offset + len(self.values) - 1


class Source(Protocol):
    """A stream of values that can be read again from an offset. Offsets begin at 1 and rise by 1.

    The source task's thread alone calls it. The engine promises: `open` before `read`, `close` at the end, also
    after a failure; after `close` it may be opened again, for a worker's death makes all sources begin anew. The source
    promises: the same values at the same offsets on every run (what comes after a restart must not differ), and a
    `read` that returns within a second, empty-handed (`values == []`) if need be; it is asked again soon, and need not
    wait itself. Offsets may leap from batch to batch, inside of one only where the batch says each.

    A source that cannot be read again (a pipe) has an attribute `restartable = False`: it is opened behind the
    highest offset that any partition has stored, and gives new values from there. One whose `read` never waits for
    values has an attribute `prompt = True`: what it gave may then be kept for a moment, to go with what it gives next.
    One that reads what only this machine has, or makes values up, has an attribute `of_this_machine = True`: it cannot
    be where a log may be run from any machine. One that knows how far it is has a method `input() -> InputSnapshot`,
    which any thread may call at any time, and which waits for nobody.
    """

    def describe(self) -> str:
        """What it reads, for people: a path, a URL."""
        ...

    def check(self) -> None:
        """Raises `ConfigurationError` when it could not be opened, before anything runs."""
        ...

    def open(self, start: SourceStart) -> None: ...

    def read(self, max_values: int) -> SourceBatch | None:
        """The next values; None when the source has ended for good.

        None of them behind the first lies more than `max_values` above where the last batch ended; an empty batch
        ends in front of its `first_offset`.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SplitStart(SourceStart):
    """Where to begin again in a split."""

    # The cursor of the partition that has come furthest: it tells what the split is, where another knows nothing yet.
    newest: bytes


# How many values a batch of a split may have at most behind an offset.
Room = Callable[[str, int], int]


@runtime_checkable
class SplitSource(Source, Protocol):
    """A source of several parts, found while it runs: files, say. An engine reads it by these methods.

    Each split has a name, offsets of its own from 1, and an order of its own; between splits there is none. The engine
    promises: `open_splits` with every split of which some partition has stored anything. The source promises: the same
    values at the same offsets of the same split, and batches that say their split and have a cursor. An empty batch
    with a cursor, behind what was told of its split, is stored like any other.
    """

    def open_splits(self, starts: Mapping[str, SplitStart]) -> None: ...

    def read_split(self, room: Room) -> SourceBatch | None:
        """As `read` of a source; no batch has more than `room(split, offset it begins behind)` values."""
        ...


def split_name(source: str, split: str) -> str:
    """What the buffers of a split, and its stored place, call it; a # is in no source's name."""
    return f"{source}#{split}" if split else source


def source_and_split(name: str) -> tuple[str, str]:
    source, _, split = name.partition("#")
    return source, split


def input_of(source: Source) -> InputSnapshot | None:
    """How far `source` is; None where it cannot say."""
    look: Callable[[], InputSnapshot] | None = getattr(source, "input", None)
    return None if look is None else look()


def can_restart(source: Source) -> bool:
    """Whether `source` gives the same values again after a restart."""
    return bool(getattr(source, "restartable", True))


def is_of_this_machine(source: Source) -> bool:
    """Whether `source` gives something else on every machine."""
    return bool(getattr(source, "of_this_machine", False))


def partition_fed_by(source: Source) -> int | None:
    """The partition that `source` belongs to where each has one of its own; None for one that is read once for all."""
    return getattr(source, "feeds", None)


def is_prompt(source: Source) -> bool:
    """Whether `read` of `source` never waits for values."""
    return bool(getattr(source, "prompt", False))
