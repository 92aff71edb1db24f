"""The threads in which the management port works, so that its event loop only ever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any, TypeVar

Result = TypeVar("Result")
_Loop = asyncio.AbstractEventLoop
# Sets what a call came to, on the event loop's thread.
_Settle = Callable[[], None]


class OverloadedError(Exception):
    """As many calls wait as may wait."""


class Workers:
    """A small bounded pool of threads. `run` is for the event loop's thread alone.

    What ends while the event loop is busy it learns in one go: to wake it for each costs as much as a short call.
    """

    def __init__(self, name: str, *, threads: int, waiting_max: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=f"penstock-{name}")
        # Invariant: calls running and waiting, at most this many.
        self._calls_max = threads + waiting_max
        self._calls = 0
        self._lock = Lock()
        # Guarded by _lock. Invariant: while there are any, the event loop has been told to look.
        self._ended: list[_Settle] = []

    async def run(self, call: Callable[[], Result]) -> Result:
        """What `call` returns, from a thread of the pool. Raises `OverloadedError` when the queue is full."""
        if self._calls >= self._calls_max:
            raise OverloadedError
        self._calls += 1
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Result] = loop.create_future()
        try:
            self._pool.submit(self._work, call, outcome, loop)
            return await outcome
        finally:
            self._calls -= 1

    def stop(self) -> None:
        """Drops what waits; what runs ends by itself. Call when the event loop has ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # -- in a thread of the pool ---

    def _work(self, call: Callable[[], Result], outcome: asyncio.Future[Result], loop: _Loop) -> None:
        try:
            result = call()
        except StopIteration as error:
            # A future cannot hold one: whoever awaited it would wait for ever.
            ended = RuntimeError("a generator ended too early")
            ended.__cause__ = error
            self._tell(partial(_fail, outcome, ended), loop)
        except BaseException as error:
            self._tell(partial(_fail, outcome, error), loop)
        else:
            self._tell(partial(_succeed, outcome, result), loop)

    def _tell(self, settle: _Settle, loop: _Loop) -> None:
        with self._lock:
            self._ended.append(settle)
            is_first = len(self._ended) == 1
        if is_first:
            # The event loop may have ended before the call; nobody waits for it then.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._settle)

    # -- on the event loop ---

    def _settle(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
        for settle in ended:
            settle()


def _succeed(outcome: asyncio.Future[Any], result: object) -> None:
    # Who waited may have been canceled.
    if not outcome.done():
        outcome.set_result(result)


def _fail(outcome: asyncio.Future[Any], error: BaseException) -> None:
    if not outcome.done():
        outcome.set_exception(error)
