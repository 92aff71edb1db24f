"""What an instance says of itself to the others, and what it sees of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import msgspec

from engine.core.clock import Clock
from engine.core.rarely import Rarely, and_more
from engine.core.snapshot import InstanceSnapshot, InstancesSnapshot, PartitionState
from engine.instances.board import Board, InstanceRow, OwnerRow, instance_key, owner_key, packed
from engine.instances.configuration import differences, hash_of
from engine.instances.control import ControlError
from engine.instances.places import Places, closed_row
from engine.instances.roster import Roster, Seen

log = logging.getLogger("penstock.instances")


class Presence:
    """One thread at a time says what is here (`pulse`, `say_goodbye`); any thread may look."""

    def __init__(
        self,
        me: InstanceRow,
        pipeline: str,
        partitions: int,
        board: Board,
        roster: Roster,
        put: Callable[[str, bytes | None], int],
        clock: Clock,
    ) -> None:
        """`put` tells the others, and raises `ControlError`."""
        # Where its ports are reached comes later. Replaced as a whole.
        self._me = me
        self._pipeline = pipeline
        self._partitions = partitions
        self._board = board
        self._roster = roster
        self._put = put
        self._clock = clock
        self._places = Places(board, name=me.name, process=me.process)
        # The opening of each partition of which the others were told, by its time.
        self._told_of: dict[int, int] = {}
        self._known: Mapping[str, InstanceRow] = {}
        self._troubles = Rarely(clock)

    @property
    def me(self) -> InstanceRow:
        """What stays the same of it, and where its ports are reached."""
        return self._me

    def reached_at(self, *, gateway: str | None = None, management: str | None = None) -> None:
        me = self._me
        self._me = msgspec.structs.replace(
            me,
            gateway=me.gateway if gateway is None else gateway,
            management=me.management if management is None else management,
        )

    # -- what it says ---

    def pulse(self, applied: int) -> None:
        """Says that it is there and what it has, and looks who else is. `applied`: up to where what was set by hand is
        in force here."""
        try:
            row = msgspec.structs.replace(
                self._me, applied=applied, closed=tuple(map(closed_row, self._roster.seen().closed))
            )
            self._put(instance_key(row.name), packed(row))
            self._say_what_is_here()
            # Who does not hear his own words has not heard the others' either.
            if self._board.instance(row.name) is not None:
                for name in self._board.long_gone():
                    self._put(instance_key(name), None)
        except ControlError as error:
            if (count := self._troubles.more()) is not None:
                log.warning("the other instances are not told what is here: %s%s", error, and_more(count))
        self._look_around()

    def _say_what_is_here(self) -> None:
        me = self._me
        running = {tenant.number: tenant.partition.opened_wall_ns for tenant in self._roster.tenants()}
        for number in range(1, self._partitions + 1):
            said = self._board.said_owner(number)
            is_said = said is not None and said.process == me.process
            if number in running and not is_said:
                since = running[number] or self._clock.wall_ns()
                if self._told_of.get(number) == since and self._board.owner(number) is not None:
                    # Somebody has opened it after us, and we have not learnt yet that it is lost.
                    continue
                self._put(
                    owner_key(number), packed(OwnerRow(instance=me.name, process=me.process, since_wall_ns=since))
                )
                self._told_of[number] = since
            elif number not in running and is_said:
                self._put(
                    owner_key(number), packed(OwnerRow(instance="", process="", since_wall_ns=self._clock.wall_ns()))
                )

    def say_goodbye(self) -> None:
        """Nothing is here any more."""
        me = self._me
        said = self._board.instance(me.name)
        try:
            self._say_what_is_here()
            # What another process of this name has said is its own.
            if said is None or said.process == me.process:
                self._put(instance_key(me.name), None)
        except ControlError as error:
            log.warning("the other instances are not told that this one leaves: %s", error)

    # -- what it sees ---

    def _look_around(self) -> None:
        """Says who has come and gone, and who runs something else."""
        me = self._me
        here = {row.name: row for row in self._board.instances() if row.name != me.name}
        for name in sorted(self._known.keys() - here.keys()):
            log.warning("instance %s is gone", name)
        for name, row in sorted(here.items()):
            before = self._known.get(name)
            if before is None:
                log.info("instance %s is here", name)
            parts = differences(me.configuration, row.configuration)
            if parts and (before is None or before.configuration != row.configuration):
                log.warning(
                    "instance %s runs another configuration of pipeline %s: %s differ%s",
                    name,
                    self._pipeline,
                    ", ".join(parts),
                    "s" if len(parts) == 1 else "",
                )
        self._known = here

    def seen(self, here: Seen, forwarded: Mapping[str, int]) -> InstancesSnapshot:
        """All instances, and where each partition is; `here` are those that belong to this one."""
        me = self._me
        running = [partition for snapshot in here.running for partition in snapshot.partitions]
        places = self._places.seen(self._partitions, running, here.closed)
        has_open = [place for place in places if place.state is PartitionState.RUNNING]
        instances = tuple(
            InstanceSnapshot(
                name=row.name,
                is_me=row.process == me.process,
                since_wall_ns=row.since_wall_ns,
                version=row.version,
                gateway=row.gateway,
                management=row.management,
                partitions={p.partition: p.since_wall_ns or 0 for p in has_open if p.owner == row.name},
                differs=differences(me.configuration, row.configuration),
            )
            for row in self._board.instances()
        )
        return InstancesSnapshot(
            me=me.name,
            instances=instances,
            places=places,
            owned=tuple(sorted(self._roster.owned)),
            moves=dict(self._roster.moves),
            forwarded=forwarded,
            configuration=hash_of(me.configuration),
        )
