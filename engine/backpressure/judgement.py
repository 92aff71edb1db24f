"""What a task was doing at a deadline, although it is looked at later.

The sampler's thread gets the interpreter late, and early exactly when a task begins to wait: a stack taken late
over-counts waiting. A task of the engine knows when it changed its state; where it did so since the deadline, that
knowledge decides, and everywhere else the stack, which has not changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from engine.backpressure.markers import Look
from engine.backpressure.window import Verdict
from engine.core.snapshot import BlockReason
from engine.tasks.transitions import TaskState, Transition


class NoVerdict(Enum):
    """Why nothing can be said of a deadline."""

    NOT_STARTED = "the task began later"
    FORGOTTEN = "the task changed its state too often since"


# The members by names of the module: looking one up in its class costs as much as the judgement itself.
_HELD_BACK, _WAITS_FOR_INPUT = Look.HELD_BACK, Look.WAITS_FOR_INPUT
_BUSY, _IDLE, _BLOCKED = Verdict.BUSY, Verdict.IDLE, Verdict.BLOCKED


def verdict_of_look(look: Look, state: TaskState | None) -> Verdict:
    """By the stack. What does not wait to hand on is idle where its timer (or its stack) says so, else busy."""
    if look is _HELD_BACK:
        return _BLOCKED
    return _IDLE if state == "idle" or look is _WAITS_FOR_INPUT else _BUSY


def verdict_at(transitions: Sequence[Transition], is_cut: bool, at_ns: int) -> Verdict | NoVerdict:
    """By the transitions, oldest first; `is_cut` says whether older ones are forgotten."""
    for since_ns, state in reversed(transitions):
        if since_ns <= at_ns:
            return verdict_of_state(state)
    return NoVerdict.FORGOTTEN if is_cut else NoVerdict.NOT_STARTED


def verdict_of_state(state: TaskState) -> Verdict:
    if isinstance(state, BlockReason):
        return _BLOCKED
    return _IDLE if state == "idle" else _BUSY
