from __future__ import annotations

import functools
import queue
import sys
import threading
from types import FrameType

import pytest

from engine.backpressure.markers import Look, Markers, code_of
from engine.backpressure.stacks import current_frames
from engine.core.errors import ConfigurationError


class Pool:
    def wait(self) -> FrameType:
        return sys._getframe()

    @functools.cache  # noqa: B019
    def cached(self) -> None: ...


class Other:
    def wait(self) -> FrameType:
        return sys._getframe()


def two_deeper(pool: Pool) -> FrameType:
    def inner() -> FrameType:
        return sys._getframe()

    return inner()


def test_a_marker_is_found_among_the_innermost_frames() -> None:
    assert Markers(held_back=[Pool.wait]).look_at_frames(Pool().wait()) is Look.HELD_BACK
    assert Markers(held_back=[two_deeper]).look_at_frames(two_deeper(Pool())) is Look.HELD_BACK


def test_a_function_of_the_same_name_is_no_marker() -> None:
    assert Markers(held_back=[Pool.wait]).look_at_frames(Other().wait()) is Look.NEITHER


def test_a_marker_far_up_the_stack_does_not_count() -> None:
    def deep(levels: int) -> FrameType:
        return deep(levels - 1) if levels else sys._getframe()

    def marker() -> FrameType:
        return deep(10)

    assert Markers(held_back=[marker]).look_at_frames(marker()) is Look.NEITHER


def test_waiting_for_input_is_told_from_being_held_back() -> None:
    markers = Markers(held_back=[queue.Queue.put], waits_for_input=[Pool.wait])
    assert markers.look_at_frames(Pool().wait()) is Look.WAITS_FOR_INPUT


def test_a_thread_blocked_in_the_standard_library_shows_its_marker() -> None:
    full: queue.Queue[int] = queue.Queue(maxsize=1)
    full.put(1)
    thread = threading.Thread(target=full.put, args=(2,), daemon=True)
    thread.start()
    markers = Markers(held_back=[queue.Queue.put])

    def look() -> Look:
        return markers.look_at_frames(current_frames().get(thread.ident or 0))

    from tests.support.waiting import wait_until

    assert wait_until(lambda: look() is Look.HELD_BACK)
    full.get()
    thread.join()
    assert look() is Look.NEITHER


def test_methods_and_wrapped_functions_are_known_by_what_runs() -> None:
    assert code_of(Pool().wait) is Pool.wait.__code__
    assert code_of(Pool.cached).co_name == "cached"


@pytest.mark.parametrize("unknown", [queue.SimpleQueue.put, len, "queue.Queue.put", int])
def test_what_leaves_no_frame_is_refused_in_one_sentence(unknown: object) -> None:
    with pytest.raises(ConfigurationError, match="cannot mark a wait"):
        Markers(held_back=[unknown])  # type: ignore[list-item]
