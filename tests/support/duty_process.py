"""A program of its own whose threads are held back, or idle, for a known share of their time, by its own clock.

`python duty_process.py KIND WORK_MS FILE`: a thread `worker` works and then waits until another has taken what it put
(queue), or its loop waits for the next call (asyncio). FILE gets lines of JSON: {"at", "waited"} in seconds.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sys
import threading
import time

CYCLE_SECONDS = 0.02
_NEVER = threading.Event()


def rest(seconds: float) -> None:
    """Nothing happens but time that passes, without a wait of the standard library on the stack."""
    time.sleep(seconds)


def compute(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Duty:
    """Counts how long its thread waited."""

    def __init__(self, kind: str, work_seconds: float) -> None:
        self.kind = kind
        self.work_seconds = work_seconds
        self.waited = 0.0

    def held_back(self) -> None:
        """Works, then puts into a queue whose taker lets it wait for the rest of the cycle."""
        handed: queue.Queue[int] = queue.Queue(maxsize=1)
        waits = threading.Semaphore(0)

        def take() -> None:
            while True:
                waits.acquire()
                time.sleep(CYCLE_SECONDS - self.work_seconds)
                handed.get()

        handed.put(0)
        threading.Thread(target=take, name="taker", daemon=True).start()
        work = compute if self.kind == "cpu" else rest
        while True:
            work(self.work_seconds)
            began = time.perf_counter()
            waits.release()
            handed.put(0)
            self.waited += time.perf_counter() - began

    async def looping(self) -> None:
        """A loop that computes, then has nothing to do."""
        while True:
            compute(self.work_seconds)
            began = time.perf_counter()
            await asyncio.sleep(CYCLE_SECONDS - self.work_seconds)
            self.waited += time.perf_counter() - began


def main(kind: str, work_ms: str, file: str) -> None:
    duty = Duty(kind, float(work_ms) / 1000)
    body = duty.held_back if kind != "asyncio" else lambda: asyncio.run(duty.looping())
    threading.Thread(target=body, name="worker", daemon=True).start()
    with open(file, "w", encoding="utf-8") as told:
        while True:
            told.write(json.dumps({"at": time.time(), "waited": duty.waited}) + "\n")
            told.flush()
            _NEVER.wait(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
