"""Looking at all stacks never brings the process to a stand, whatever is garbage at that moment."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext

import pytest

from engine.backpressure.stacks import check_interpreter
from engine.core.errors import ConfigurationError

SCRIPT = """
import gc, threading
from engine.backpressure.stacks import current_frames

class Knot:
    pass

# Frames that nobody has asked for yet are made by the look itself, and each may begin a collection.
deep = threading.Barrier(9)
done = threading.Event()
for _ in range(8):
    threading.Thread(target=lambda: (deep.wait(), done.wait()), daemon=True).start()
deep.wait()
gc.set_threshold(1, 1, 1)
for _ in range(2000):
    # A thread's own data in a knot: only a collection frees it.
    knot = Knot()
    knot.own = threading.local()
    knot.own.value = 1
    knot.itself = knot
    del knot
    assert len(current_frames()) >= 9
assert gc.isenabled()
gc.disable()
current_frames()
assert not gc.isenabled()
print("went through")
"""


def test_a_collection_of_thread_local_data_during_a_look_does_not_lock_all_threads() -> None:
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=90, check=False)
    assert ended.stdout == "went through\n", ended.stderr


@pytest.mark.parametrize(
    ("version", "has_gil", "is_safe"),
    [((3, 13, 1), False, False), ((3, 13, 1), True, True), ((3, 14, 0), False, True), ((3, 11, 7), True, True)],
)
def test_where_frames_of_other_threads_are_unsafe_nobody_looks_at_them(
    version: tuple[int, ...], has_gil: bool, is_safe: bool
) -> None:
    with (
        nullcontext() if is_safe else pytest.raises(ConfigurationError, match=r"on Python 3\.13\.1 without the global")
    ):
        check_interpreter(version, has_gil=has_gil)
