"""Whether an engine can do what it is asked for, by where it is in its life."""

from __future__ import annotations

from typing import assert_never

from engine.core.errors import NotReadyError, WriteFailedError
from engine.core.snapshot import EngineState

# When one that has ended is likely to have been started again.
_BACK_SECONDS = 5


def check_ready(state: EngineState) -> None:
    """Raises `NotReadyError` before all partitions are open: what is said of some would be taken for all."""
    if state is EngineState.STARTING:
        raise NotReadyError(f"the engine {what_it_does(state)}")


def check_running(state: EngineState) -> None:
    """Raises `NotReadyError` where a change would not reach all partitions, or mean nothing to them any more."""
    if state is not EngineState.RUNNING:
        after_seconds = 1 if state is EngineState.STARTING else _BACK_SECONDS
        raise NotReadyError(f"the engine {what_it_does(state)} and takes no changes", after_seconds=after_seconds)


def check_takes_records(state: EngineState) -> None:
    """Raises `WriteFailedError` until all partitions can be written to."""
    if state is EngineState.STARTING:
        raise WriteFailedError(f"the engine {what_it_does(state)} and takes no records yet", passing=True)


def what_it_does(state: EngineState) -> str:
    match state:
        case EngineState.STARTING:
            return "is starting"
        case EngineState.RUNNING:
            return "runs"
        case EngineState.STOPPING:
            return "is stopping"
        case EngineState.FINISHED:
            return "has finished"
        case EngineState.FAILED:
            return "has failed"
        case _:
            assert_never(state)
