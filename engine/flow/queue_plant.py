"""A simulated processor behind the request limit: commands queue for it, what finds no slot is refused."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from engine.core.clock import NS_PER_MS, NS_PER_SECOND, ManualClock
from engine.core.records import WriteSource
from engine.flow.gate import FlowControl, Permit
from engine.flow.plant import Load
from engine.flow.settings import FlowControlSettings, RequestLimitSettings

STEP_NS = 5 * NS_PER_MS
_STEPS_A_SECOND = NS_PER_SECOND // STEP_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSecond:
    """What happened within one second. Round trips are those that ended in it; None if none did."""

    offered: int
    accepted: int
    processed: int
    in_flight_max: int
    limit: int | None
    mean_round_trip_ns: int | None


def simulate_queue(
    *,
    offered: Load,
    capacity: Load,
    seconds: int,
    settings: RequestLimitSettings,
    least_round_trip_ns: int = STEP_NS,
) -> tuple[QueueSecond, ...]:
    """Runs commands (per second) past the gate into a first-come processor of given capacity; no chance."""
    clock = ManualClock()
    gate = FlowControl(clock, FlowControlSettings(request=settings), partition=1, has_exporters=False)
    queue: deque[tuple[int, int]] = deque()
    offering = processing = 0.0
    position = 0
    course = []
    for second in range(seconds):
        accepted = refused = in_flight_max = 0
        round_trips: list[int] = []
        for step in range(_STEPS_A_SECOND):
            clock.advance_ns(STEP_NS)
            at = second + step / _STEPS_A_SECOND
            now_ns = clock.monotonic_ns()
            # Capacity that found nothing to process is gone.
            processing = min(processing + capacity(at) / _STEPS_A_SECOND, len(queue) + 1.0)
            while queue and processing >= 1 and now_ns - queue[0][1] >= least_round_trip_ns:
                done, accepted_ns = queue.popleft()
                processing -= 1
                gate.processed(done)
                round_trips.append(now_ns - accepted_ns)
            offering += offered(at) / _STEPS_A_SECOND
            while offering >= 1:
                offering -= 1
                permit = gate.try_acquire(WriteSource.USER_COMMAND, 1)
                if isinstance(permit, Permit):
                    position += 1
                    permit.appended(position)
                    queue.append((position, now_ns))
                    accepted += 1
                else:
                    refused += 1
            in_flight_max = max(in_flight_max, len(queue))
        course.append(
            QueueSecond(
                offered=accepted + refused,
                accepted=accepted,
                processed=len(round_trips),
                in_flight_max=in_flight_max,
                limit=gate.snapshot(last_written=position, lowest_acknowledged=None).request_limit,
                mean_round_trip_ns=sum(round_trips) // len(round_trips) if round_trips else None,
            )
        )
    return tuple(course)
