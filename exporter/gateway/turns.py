"""Whose body is taken apart next."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """Lets bodies be parsed and written while they come to at most `bytes_max` together; the others wait in order.

    JSON that was taken apart can need twenty times the room of its text. So it is this, more than what is held of
    texts, that bounds the memory. The event loop's thread alone uses it; no body may be larger than `bytes_max`.

    Invariant: what was taken and not given back, and what is free, come to `bytes_max`. The first that waits is larger
    than what is free.
    """

    def __init__(self, bytes_max: int) -> None:
        self._free = bytes_max
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def try_take(self, size: int) -> bool:
        """Whether it is this body's turn at once; then it is taken."""
        if self._waiting or size > self._free:
            return False
        self._free -= size
        return True

    async def wait_take(self, size: int) -> None:
        """Returns when it is this body's turn, and has taken it. Takes nothing when it is cancelled."""
        turn = asyncio.get_running_loop().create_future()
        place = (size, turn)
        self._waiting.append(place)
        try:
            await turn
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
                self._let_in()
            else:
                # It came and was not used.
                self.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        self._free += size
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, turn = self._waiting.popleft()
            self._free -= size
            # One that was cancelled a moment ago gives it back itself.
            if not turn.done():
                turn.set_result(None)
