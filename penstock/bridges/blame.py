"""Which task of another engine is to blame, from ratios alone.

The engine's own judgement (`engine.backpressure.bottleneck`) knows the channels and the gates that a task waits for.
Of another engine only shares of time are known, and not always all of them: what is unknown here blames nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.backpressure.levels import OK_RATIO_MAX
from engine.core.snapshot import BackPressureSnapshot, BlockReason, Culprit, EdgeSnapshot, VertexSnapshot
from exporter.catalogue import OUTSIDE_TASK

# Who holds others back works while they wait; with averages over a while, at least for half of that time.
_BUSY_FOR_HELD_MIN = 0.5
# One subtask is to blame alone if the others work less than this part of what it does.
_REST_OF_OTHERS_MAX = 0.5


@dataclass(frozen=True, slots=True)
class Blame:
    """Whom each held back task waits for, along an edge, and who is to blame in the end; None where nobody knows."""

    waits: tuple[tuple[str, str], ...]
    culprit: Culprit | None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A vertex, by the worst of its subtasks."""

    vertex: VertexSnapshot
    held: float
    worst: int
    busy: float | None
    # The one subtask that works while the others rest; None where no single one does.
    alone: int | None

    @property
    def is_held_back(self) -> bool:
        return self.held > OK_RATIO_MAX


def blame(
    vertices: Sequence[VertexSnapshot],
    edges: Sequence[EdgeSnapshot],
    readings: Mapping[str, Mapping[int, BackPressureSnapshot]],
) -> Blame:
    """From each held back vertex down to the first that is not. `vertices` stand as records flow.

    `readings` are by vertex and subtask; a vertex without is unknown.
    """
    seen = {
        vertex.vertex_id: _seen(vertex, readings[vertex.vertex_id])
        for vertex in vertices
        if readings.get(vertex.vertex_id)
    }
    targets: dict[str, list[str]] = {}
    for edge in edges:
        targets.setdefault(edge.source_id, []).append(edge.target_id)
    held = [one for one in seen.values() if one.is_held_back]
    waits = {}
    for one in held:
        waited_for = _waited_for(one, targets, seen)
        if isinstance(waited_for, _Seen):
            waits[one.vertex.task] = waited_for.vertex.task
    # Of several equally held back ones the first: the others stand behind it.
    worst = max(held, key=lambda one: one.held, default=None)
    return Blame(tuple(waits.items()), None if worst is None else _culprit(worst, targets, seen))


def _culprit(worst: _Seen, targets: Mapping[str, list[str]], seen: Mapping[str, _Seen]) -> Culprit | None:
    victims: list[_Seen] = []
    one = worst
    while one not in victims:
        victims.append(one)
        waited_for = _waited_for(one, targets, seen)
        if waited_for is None:
            return None
        if waited_for is OUTSIDE:
            return _told(
                worst,
                victims,
                None,
                f"{one.vertex.task} is held back and no task behind it is busy: the network, or something outside of "
                "the job",
            )
        assert isinstance(waited_for, _Seen)
        if not waited_for.is_held_back:
            share = "" if waited_for.busy is None else f" is busy {waited_for.busy:.0%} of its time and"
            alone = "" if waited_for.alone is None else f", subtask {waited_for.alone},"
            return _told(worst, victims, waited_for, f"{waited_for.vertex.task}{alone}{share} cannot take more")
        one = waited_for
    # Round in a circle: each waits for the next.
    return None


class _Outside:
    """Nobody of the job."""


OUTSIDE = _Outside()


def _waited_for(one: _Seen, targets: Mapping[str, list[str]], seen: Mapping[str, _Seen]) -> _Seen | _Outside | None:
    """The next one down; None where what is known does not say it."""
    behind = list(dict.fromkeys(targets.get(one.vertex.vertex_id, ())))
    known = [seen[vertex_id] for vertex_id in behind if vertex_id in seen]
    held = [other for other in known if other.is_held_back]
    if held:
        return max(held, key=lambda other: other.held)
    if not behind:
        return OUTSIDE
    busy = [other for other in known if other.busy is not None]
    busiest = max(busy, key=lambda other: other.busy or 0.0, default=None)
    if busiest is not None and (busiest.busy or 0.0) >= _BUSY_FOR_HELD_MIN * one.held:
        return busiest
    if len(busy) == len(behind):
        return OUTSIDE
    # Up to Flink 1.12 nobody says how busy a task is: one alone behind a held back one is the one it waits for.
    return known[0] if len(behind) == len(known) == 1 else None


def _seen(vertex: VertexSnapshot, readings: Mapping[int, BackPressureSnapshot]) -> _Seen:
    worst = max(readings, key=lambda number: readings[number].ratio)
    busy = {number: reading.busy_ratio for number, reading in readings.items() if reading.busy_ratio is not None}
    busiest = max(busy, key=lambda number: busy[number] or 0.0, default=None)
    return _Seen(
        vertex=vertex,
        held=readings[worst].ratio,
        worst=worst,
        busy=None if busiest is None else busy[busiest],
        alone=busiest if busiest is not None and _is_alone(busiest, busy) else None,
    )


def _is_alone(busiest: int, busy: Mapping[int, float | None]) -> bool:
    others = [share or 0.0 for number, share in busy.items() if number != busiest]
    return bool(others) and max(others) < _REST_OF_OTHERS_MAX * (busy[busiest] or 0.0)


def _told(worst: _Seen, victims: list[_Seen], blamed: _Seen | None, text: str) -> Culprit:
    return Culprit(
        task=OUTSIDE_TASK if blamed is None else blamed.vertex.task,
        vertex_id=None if blamed is None else blamed.vertex.vertex_id,
        subtask=None if blamed is None else blamed.alone,
        reason=BlockReason.BUFFER,
        victims=tuple(f"{victim.vertex.task}/{victim.worst}" for victim in victims),
        text=f"{text}; {worst.vertex.task} is held back {worst.held:.0%} of its time",
    )


class Steady:
    """Shows another culprit only when two looks in a row have named it: averages cross each other now and then."""

    def __init__(self) -> None:
        # What is shown, and what was named once instead; each in a tuple, for nobody may be named too.
        self._shown: tuple[Culprit | None] | None = None
        self._other: tuple[str | None] | None = None

    def after(self, found: Culprit | None) -> Culprit | None:
        """What is shown after a look that found this."""
        name = _name(found)
        if self._shown is None or name in (_name(self._shown[0]), *(self._other or ())):
            self._shown, self._other = (found,), None
        else:
            self._other = (name,)
        return self._shown[0]


def _name(culprit: Culprit | None) -> str | None:
    return None if culprit is None else culprit.task
