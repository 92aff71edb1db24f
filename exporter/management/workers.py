"""The threads in which the management port works, so that its event loop only ever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class OverloadedError(Exception):
    """As many calls wait as may wait."""


def _told(call: Callable[[], Result]) -> Callable[[], Result]:
    """A future cannot hold a `StopIteration`: whoever awaited it would wait for ever."""

    def guarded() -> Result:
        try:
            return call()
        except StopIteration as error:
            raise RuntimeError("a generator ended too early") from error

    return guarded


class Workers:
    """A small bounded pool of threads. `run` is for the event loop's thread alone."""

    def __init__(self, name: str, *, threads: int, waiting_max: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"penstock-{name}")
        # Invariant: calls running and waiting, at most this many.
        self._calls_max = threads + waiting_max
        self._calls = 0

    async def run(self, call: Callable[[], Result]) -> Result:
        """What `call` returns, from a thread of the pool. Raises `OverloadedError` when the queue is full."""
        if self._calls >= self._calls_max:
            raise OverloadedError
        self._calls += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _told(call))
        finally:
            self._calls -= 1

    def stop(self) -> None:
        """Drops what waits; what runs ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
