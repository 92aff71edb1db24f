"""Reads bodies without ever holding more of them than was allowed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from exporter.gateway.answers import Answer, come_back, problem

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class RefusedBody(Exception):
    """A body that is not read to its end; `answer` says why."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Disconnected(Exception):
    """The client has gone, and with it the need for an answer."""


class Holding:
    """What one request holds of the memory for bodies."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class BodyMemory:
    """The memory that all bodies share. The event loop's thread alone uses it.

    Invariant: `held_bytes` is what all holdings have, and at most `bytes_max`. Nobody waits for memory, so requests
    that each have a part and want the rest cannot block one another: the one that finds none is told to come back.
    """

    def __init__(self, *, body_bytes_max: int, bytes_max: int) -> None:
        self._body_bytes_max = body_bytes_max
        self._bytes_max = bytes_max
        self.held_bytes = 0

    @contextmanager
    def holding(self) -> Iterator[Holding]:
        """Room for one body, given back at the end."""
        holding = Holding()
        try:
            yield holding
        finally:
            self.held_bytes -= holding.bytes

    async def read(self, receive: Receive, holding: Holding, declared_bytes: int | None) -> bytes:
        """The whole body. Raises `RefusedBody` (413, 503) as soon as it is clear, and `Disconnected`."""
        if declared_bytes is not None and declared_bytes > self._body_bytes_max:
            raise self._too_large()
        message = await receive()
        if not message.get("more_body"):
            return self._held(message, holding)
        parts = bytearray(self._held(message, holding))
        while message.get("more_body"):
            message = await receive()
            parts += self._held(message, holding)
        return bytes(parts)

    def _held(self, message: MutableMapping[str, Any], holding: Holding) -> bytes:
        if message["type"] == "http.disconnect":
            raise Disconnected
        part: bytes = message.get("body", b"")
        if holding.bytes + len(part) > self._body_bytes_max:
            raise self._too_large()
        if self.held_bytes + len(part) > self._bytes_max:
            raise RefusedBody(come_back(503, "too many bodies are on their way at once", 1))
        holding.bytes += len(part)
        self.held_bytes += len(part)
        return part

    def _too_large(self) -> RefusedBody:
        return RefusedBody(problem(413, f"the body must not exceed {self._body_bytes_max} bytes"))
