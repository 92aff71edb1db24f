"""What was set by hand while instances share a pipeline: said to all of them, and in force on what is open here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from threading import Event, Lock, Thread

from engine.core.errors import NotReadyError
from engine.core.pause import Pause
from engine.flow.overrides import Override
from engine.instances.board import Board, override_key, packed, pause_key
from engine.instances.roster import Roster

log = logging.getLogger("penstock.instances")

# How long a change waits to be in force everywhere.
_CHANGE_SECONDS = 5.0
# What is set and came to nothing is tried again so soon.
_AGAIN_SECONDS = 2.0


class ByHand:
    """Limits, pauses and paces. Any thread may call; one of its own puts into force what the board tells.

    On a thread of its own: a partition whose log does not answer holds up neither what others say nor our own word that
    we are here.
    """

    def __init__(
        self, board: Board, roster: Roster, put: Callable[[str, bytes | None], int], applied: Callable[[], None]
    ) -> None:
        """`put` says it to all, and raises `NotReadyError`; `applied` is told that more of it is in force here."""
        self._board = board
        self._roster = roster
        self._put = put
        self._told_applied = applied
        # Up to where what others said is in force here.
        self.applied = -1
        # So that of two changes of limits the same one is the last on all partitions.
        self._setting = Lock()
        # Of this instance alone. Replaced as a whole; guarded by _pacing, with which its exporters are told.
        self._pacing = Lock()
        self.paces: Mapping[str, float | None] = {}
        self._has_to_look = Event()
        self._has_to_end = Event()
        self._thread = Thread(target=self._run, name="penstock-by-hand", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._has_to_end.set()
        self._has_to_look.set()

    def look(self) -> None:
        """Something was set, or a partition was opened."""
        self._has_to_look.set()

    # -- setting ---

    def override(self, overrides: Mapping[int, Override | None]) -> None:
        """Sets limits, or with None takes them away. `NotReadyError` where an owner has not confirmed it in time."""
        with self._setting:
            places = [self._put(override_key(number), packed(override)) for number, override in overrides.items()]
        owners = {row.instance for number in overrides if (row := self._board.owner(number)) is not None}
        self._await(max(places), owners)

    def pause(self, exporter: str, pause: Pause | None) -> None:
        """On all instances. Raises as `override`."""
        place = self._put(pause_key(exporter), packed(pause))
        self._await(place, {row.name for row in self._board.instances()})

    def pace(self, exporter: str, records_per_second: float | None) -> None:
        """Here alone."""
        with self._pacing:
            self.paces = {**self.paces, exporter: records_per_second}
            self._tell_paces()

    def _tell_paces(self) -> None:
        for tenant in self._roster.tenants():
            for exporter, records_per_second in self.paces.items():
                tenant.pace_exporter(exporter, records_per_second)

    def _await(self, place: int, names: Iterable[str]) -> None:
        late = self._board.wait_applied(place, {*names}, _CHANGE_SECONDS)
        if late:
            raise NotReadyError(
                f"the change is stored, and instance {', '.join(late)} has not confirmed it; it has it as soon as it "
                "listens again"
            )

    # -- what is set is in force ---

    def _run(self) -> None:
        while not self._has_to_end.is_set():
            self._has_to_look.wait(_AGAIN_SECONDS)
            self._has_to_look.clear()
            try:
                self._enforce()
            except Exception:
                log.exception("what was set by hand is not in force on all partitions here; it is tried again")

    def _enforce(self) -> None:
        """On all partitions that are open here, those just opened included."""
        place = self._board.read_to
        overrides, pauses = self._board.overrides(), self._board.pauses()
        for tenant in self._roster.tenants():
            tenant.enforce(overrides.get(tenant.number), pauses)
        with self._pacing:
            self._tell_paces()
        if place > self.applied:
            self.applied = place
            self._told_applied()
