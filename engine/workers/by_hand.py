"""What was set by hand, so that a worker that comes back has it too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any

from engine.core.pause import Pause
from engine.flow.overrides import Override
from engine.runtime.kept import Kept
from engine.workers.seat import Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds by hand just now: limits by partition, paused exporters, and paces by exporter."""

    overrides: Mapping[int, Override]
    paused: Mapping[str, Pause]
    paces: Mapping[str, float | None]


class ByHand:
    """Limits, pauses and paces that somebody set while the engine ran. Any thread may call.

    It tells the workers itself, and keeps what it told: a worker is opened with what stands, and told again what came
    after that.
    """

    def __init__(self, seats: Sequence[Seat], kept: Kept) -> None:
        self._seats = seats
        self._kept = kept
        # Held while something is set and told, so that a worker that comes back has it too, and all workers hear of
        # two changes in the order in which these stand. Nobody waits for an answer with it.
        self._setting = Lock()
        self._overrides: dict[int, Override] = {}
        # None of those that go on again: whoever was told otherwise before has to hear it.
        self._paused: dict[str, Pause | None] = {}
        self._paces: dict[str, float | None] = {}

    def recall(self) -> None:
        """Takes up what an earlier run kept; call when the folder is open, before anything is set."""
        self._paused.update(self._kept.pauses())
        self._overrides = dict(self._kept.overrides())

    def standing(self) -> Standing:
        with self._setting:
            return Standing(overrides=dict(self._overrides), paused=_held(self._paused), paces=dict(self._paces))

    def tell_again(self, seat: Seat) -> None:
        """What was set after the worker's order was written, and before it had opened its partitions."""
        with self._setting:
            seat.call("set_overrides", {n: self._overrides.get(n) for n in seat.share.partitions}, by=None)
            for name, pause in self._paused.items():
                seat.call("set_exporter_pause", name, pause)
            for name, records_per_second in self._paces.items():
                seat.call("pace_exporter", name, records_per_second)

    def override(self, overrides: Mapping[int, Override | None], *, by: str | None) -> list[Future[Any]]:
        """Sets limits, or with None takes them away; what the workers concerned answer when they have them."""
        with self._setting:
            after = {n: kept for n, kept in {**self._overrides, **overrides}.items() if kept is not None}
            # Before anything changes: what cannot be kept is not done by half.
            self._kept.keep_overrides(after)
            self._overrides = after
            asked = []
            for seat in self._seats:
                own = {number: override for number, override in overrides.items() if number in seat.share.partitions}
                if own and seat.is_open:
                    asked.append(seat.call("set_overrides", own, by=by))
        return asked

    def pause(self, exporter: str, pause: Pause | None) -> list[Future[Any]]:
        """Holds an exporter where it is, or lets it go on; what the workers answer when it is so."""
        with self._setting:
            after = {**self._paused, exporter: pause}
            # Before anything changes, as with limits.
            self._kept.keep_pauses(_held(after))
            self._paused = after
            return self._tell_all("set_exporter_pause", exporter, pause)

    def pace(self, exporter: str, records_per_second: float | None) -> list[Future[Any]]:
        """Limits an exporter, or with None no longer; what the workers answer when it is so."""
        with self._setting:
            self._paces[exporter] = records_per_second
            return self._tell_all("pace_exporter", exporter, records_per_second)

    def _tell_all(self, method: str, *arguments: Any, **keywords: Any) -> list[Future[Any]]:
        return [seat.call(method, *arguments, **keywords) for seat in self._seats if seat.is_open]


def _held(pauses: Mapping[str, Pause | None]) -> dict[str, Pause]:
    return {name: pause for name, pause in pauses.items() if pause is not None}
