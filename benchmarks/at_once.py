"""Threads that all do the same at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def per_second(do: Callable[[], None], threads: int, seconds: float) -> float:
    """How often per second so many threads together have done it, each again and again until the time is over."""
    done = [0] * threads
    until = time.perf_counter() + seconds

    def again_and_again(index: int) -> None:
        while time.perf_counter() < until:
            do()
            done[index] += 1

    running = [threading.Thread(target=again_and_again, args=(index,)) for index in range(threads)]
    began = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(done) / (time.perf_counter() - began)
