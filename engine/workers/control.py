"""The connection between the parent and one worker: whole messages, and file descriptors beside them."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from threading import Lock
from typing import Any

from engine.core.snapshot import EngineSnapshot

_HEADER = Struct("!IB")
_DESCRIPTORS_MAX = 16


@dataclass(frozen=True, slots=True)
class Call:
    """The parent asks for something by name; `Worker` says what there is."""

    number: int
    method: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the call of that number: a value, or the error that it ended with."""

    number: int
    value: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """A worker has nothing left to do, as far as it can see: the run may be over."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker's last words: its share has ended, and why, where it failed."""

    failure: str | None
    snapshot: EngineSnapshot


class ControlConnection:
    """Carries messages as pickles, over a socket that parent and worker alone have: nobody else can speak on it.

    Any thread may send; one thread receives.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._sending = Lock()

    def send(self, message: object, descriptors: Sequence[int] = ()) -> None:
        """Raises `OSError` when the other side is gone. The descriptors stay open on this side."""
        payload = pickle.dumps(message)
        header = _HEADER.pack(len(payload), len(descriptors))
        with self._sending:
            if descriptors:
                socket.send_fds(self._socket, [header], list(descriptors))
            else:
                self._socket.sendall(header)
            self._socket.sendall(payload)

    def receive(self) -> tuple[Any, list[int]]:
        """The next message and the descriptors that came with it. Raises `EOFError` when the other side is gone."""
        try:
            header, descriptors, _, _ = socket.recv_fds(self._socket, _HEADER.size, _DESCRIPTORS_MAX)
            if not header:
                raise EOFError
            length, count = _HEADER.unpack(header + self._exactly(_HEADER.size - len(header)))
            payload = self._exactly(length)
        except OSError as error:
            raise EOFError from error
        assert len(descriptors) == count, "descriptors come with the header they were sent with"
        for descriptor in descriptors:
            # Not for what user code may start.
            os.set_inheritable(descriptor, False)
        return pickle.loads(payload), descriptors

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._socket.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def close(self) -> None:
        """Ends the conversation; whoever receives on either side learns it. From any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
