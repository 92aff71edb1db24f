"""What a throttle has measured, stored beside the records: whoever has the partition next goes on from it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.unit import ProgressBySource, SourceProgress
from engine.flow.gate import FlowControl

log = logging.getLogger("penstock.partition")

# By the name of a source that nobody can configure.
FLOW = "penstock/flow"
_STORE_EVERY_NS = 5 * NS_PER_SECOND
# A smaller change is not worth a commit.
_WORTH_STORING = 0.02
_pack = msgspec.msgpack.Encoder().encode


class _Measured(NamedTuple):
    exporting_rate_per_second: float


class FlowMemory:
    """Lets the exporting rate ride on a commit now and then, where that outlives the machine. One thread at a time."""

    def __init__(
        self, gate: FlowControl, clock: Clock, passed: Callable[[SourceProgress], None], *, is_kept: bool
    ) -> None:
        self._gate = gate
        self._clock = clock
        self._passed = passed
        self._is_kept = is_kept
        self._stored: float | None = None
        self._due_ns = clock.monotonic_ns() + _STORE_EVERY_NS

    def recall(self, progress: ProgressBySource, acknowledged: int | None) -> bool:
        """Has the gate go on from what was stored; whether there was anything."""
        stored = progress.get(FLOW)
        if not self._is_kept or stored is None or stored.cursor is None or acknowledged is None:
            return False
        try:
            rate = msgspec.msgpack.decode(stored.cursor, type=_Measured).exporting_rate_per_second
        except msgspec.DecodeError:
            log.warning("what the throttle had measured cannot be understood; it is measured anew")
            return False
        self._stored = rate
        self._gate.go_on_from(acknowledged, rate)
        return True

    def store(self) -> None:
        """Call now and then."""
        now_ns = self._clock.monotonic_ns()
        if not self._is_kept or now_ns < self._due_ns:
            return
        self._due_ns = now_ns + _STORE_EVERY_NS
        rate = self._gate.exporting_rate_per_second()
        if rate is None or (self._stored is not None and abs(rate - self._stored) <= _WORTH_STORING * self._stored):
            return
        self._stored = rate
        self._passed(SourceProgress(FLOW, 0, 0, _pack(_Measured(rate))))
