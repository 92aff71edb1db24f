"""Threads that all do the same at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple


class Times(NamedTuple):
    """How often per second all together have done it, and what it took of the processor each time."""

    per_second: float
    cpu_us: float


def at_once(do: Callable[[], None], threads: int, seconds: float) -> Times:
    """So many threads do it, each again and again until the time is over."""
    done = [0] * threads
    until = time.perf_counter() + seconds

    def again_and_again(index: int) -> None:
        while time.perf_counter() < until:
            do()
            done[index] += 1

    running = [threading.Thread(target=again_and_again, args=(index,)) for index in range(threads)]
    began, began_cpu = time.perf_counter(), time.process_time()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    times, cpu = sum(done), time.process_time() - began_cpu
    return Times(times / (time.perf_counter() - began), cpu / times * 1e6)
