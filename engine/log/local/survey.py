"""Goes over all segments of a partition, counts what is whole, and says what is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.core.unit import Unit
from engine.log.codec import EncodedBatch
from engine.log.findings import Damage, Overview, Verdict, fault_of
from engine.log.local.look import Gone, Look, Segment
from engine.log.local.read_only import size_of
from engine.log.local.segment_file import SegmentFile, Stretch
from engine.log.local.walk import Tail
from engine.log.lost import lost_changes
from engine.log.rows.pending import Pending
from engine.log.rows.tables import STATE_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A stretch of the log, and what of it is damaged: all of it, or batches by their number in the frame.

    `instead` is what has to stand for changes that nobody knows any more.
    """

    # None where the stretch is in no file at all.
    segment: Segment | None
    stretch: Stretch
    whole: Damage | None
    batches: dict[int, Damage]
    instead: Unit | None = None

    @property
    def damages(self) -> list[Damage]:
        return [self.whole] if self.whole is not None else [*self.batches.values()]


class Survey:
    """Of one look. `thorough` holds each batch against its checksum, and not the frames alone."""

    def __init__(self, partition: int, look: Look, *, thorough: bool) -> None:
        self._partition = partition
        self._look = look
        self._thorough = thorough
        # What the database will be told.
        self._pending = Pending()
        self._oldest = look.recovered.oldest_position
        self._next_position = look.reached.position
        self._begins_anew = False
        self._unfinished_bytes = 0
        self._forget()

    def _forget(self) -> None:
        self._batches = self._records = 0
        self._oldest_ns: int | None = None
        self._last_ns: int | None = None
        self._damages: list[Damage] = []

    def findings(self) -> Iterator[Finding]:
        """Each stretch once, in order; has to be gone through before the verdict."""
        for segment, file, piece in self._look.pieces():
            match piece:
                case Gone():
                    # An engine deletes from the front alone.
                    self._forget()
                    self._begins_anew = True
                case Tail():
                    self._unfinished_bytes = piece.unfinished_bytes
                case Stretch():
                    yield self._found(segment, file, piece)

    def _found(self, segment: Segment | None, file: SegmentFile | None, stretch: Stretch) -> Finding:
        if self._begins_anew:
            self._oldest, self._begins_anew = max(self._oldest, stretch.before.position), False
        self._next_position = max(self._next_position, stretch.after.position)
        batches: dict[int, Damage] = {}
        whole, instead = None, None
        if stretch.body is None:
            whole = self._damage_of(stretch)
            if whole is not None and whole.changes_lost:
                instead = self._instead_of(stretch)
                self._pending.add(instead)
        else:
            if stretch.head is not None and stretch.head.commit >= self._look.reached.commit:
                self._pending.fold(stretch.body.changes, stretch.head, stretch.start)
            for first, count, timestamp_ns, *_ in stretch.body.batches:
                if first + count > self._oldest:
                    self._count(count, timestamp_ns)
            if self._thorough and file is not None:
                batches = self._damaged_batches(file.batches(stretch))
        found = Finding(segment=segment, stretch=stretch, whole=whole, batches=batches, instead=instead)
        self._damages += found.damages
        return found

    def _count(self, records: int, timestamp_ns: int) -> None:
        self._batches += 1
        self._records += records
        self._oldest_ns = timestamp_ns if self._oldest_ns is None else self._oldest_ns
        self._last_ns = timestamp_ns

    def _damage_of(self, stretch: Stretch) -> Damage | None:
        """None where everybody is done with all of it."""
        before, after, reached = stretch.before, stretch.after, self._look.reached
        has_commits = before.commit < after.commit
        is_applied = not has_commits or (after.commit <= reached.commit and not stretch.is_unknown)
        if is_applied and has_commits and before.position < self._oldest and after.position <= self._oldest:
            return None
        return Damage(
            partition=self._partition,
            first_position=max(before.position, min(self._oldest, after.position)),
            last_position=after.position - 1,
            timestamp_ns=self._last_ns or 0,
            why=stretch.why,
            commits=(before.commit, after.commit - 1) if has_commits else None,
            changes_lost=not is_applied,
        )

    def _instead_of(self, stretch: Stretch) -> Unit:
        known, pending = self._look.recovered, self._pending
        return lost_changes(
            max(known.next_timer_id, pending.next_timer_id),
            max(known.next_sequence, pending.next_sequence),
            stretch.after.commit - stretch.before.commit,
        )

    def _damaged_batches(self, batches: list[EncodedBatch]) -> dict[int, Damage]:
        found = {}
        for i, batch in enumerate(batches):
            why = fault_of(batch) if batch.last_position >= self._oldest else None
            if why:
                found[i] = Damage(
                    partition=self._partition,
                    first_position=batch.first_position,
                    last_position=batch.last_position,
                    timestamp_ns=batch.timestamp_ns,
                    why=why,
                )
        return found

    def verdict(self, path: Path) -> Verdict:
        """`path` is the partition's folder."""
        last_position, state = self._next_position - 1, self._look.recovered
        self._pending.add_to(state)
        overview = Overview(
            partition=self._partition,
            path=path,
            size_bytes=size_of(path / STATE_NAME) + sum(map(_size, self._look.segments)),
            batches=self._batches,
            records=self._records,
            oldest_position=min(self._oldest, last_position + 1),
            last_position=last_position,
            oldest_timestamp_ns=self._oldest_ns,
            last_timestamp_ns=self._last_ns,
            processed_position=state.processed_position,
            exporters={name: state.acknowledged[name].position for name in sorted(state.acknowledged)},
            timers=len(state.timers),
            outbox=len(state.outbox),
        )
        # What stands before the first whole batch was written about then.
        damages = [d if d.timestamp_ns else replace(d, timestamp_ns=self._oldest_ns or 0) for d in self._damages]
        return Verdict(overview=overview, damages=tuple(damages), unfinished_bytes=self._unfinished_bytes)


def _size(segment: Segment) -> int:
    try:
        return segment.path.stat().st_size
    except FileNotFoundError:
        return 0
