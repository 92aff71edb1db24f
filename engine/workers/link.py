"""The connection between two workers: frames in both directions, and nobody ever waits to send one."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from struct import Struct

from engine.workers.frames import Frame, MessagesFrame, StoredFrame, decode_frame, encode_frame

log = logging.getLogger("penstock.worker")

_LENGTH = Struct("<I")
_READ_AHEAD_BYTES = 256 * 1024
_CLOSE_SECONDS = 1.0


class Link:
    """One socket with a thread that reads and a thread that writes; any thread may send.

    What waits to be sent is bounded by those who send: buffers by credits, messages by one request a sender. The reader
    hands on and never waits for anybody, so both sides' sockets always drain.
    """

    def __init__(self, peer: int, connection: socket.socket, received: Callable[[Link, Frame], None]) -> None:
        self.peer = peer
        self._socket = connection
        self._received = received
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._asking = threading.Lock()
        # Guarded by _asking: where the answer to a sender's request goes, and whether none will come any more.
        self._answers: dict[int, SimpleQueue[StoredFrame | None]] = {}
        self._is_lost = False
        self._threads = [
            threading.Thread(target=self._read, name=f"penstock-from-worker-{peer}", daemon=True),
            threading.Thread(target=self._write, name=f"penstock-to-worker-{peer}", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def send(self, frame: Frame) -> None:
        """Sends soon; over a link that is lost, nothing. Raises as `encode_frame` does."""
        self._outgoing.put(encode_frame(frame))

    def ask(self, request: MessagesFrame) -> StoredFrame | None:
        """Sends messages and waits for the answer; None when the link was lost before it came."""
        answer: SimpleQueue[StoredFrame | None] = SimpleQueue()
        with self._asking:
            if self._is_lost:
                return None
            self._answers[request.sender] = answer
        self.send(request)
        return answer.get()

    def close(self) -> None:
        """Whoever waits here waits no more; what was to be sent is sent, for at most a second. Not from its threads."""
        self._lose()
        self._threads[-1].join(_CLOSE_SECONDS)
        self._break()

    def _break(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _lose(self) -> None:
        self._outgoing.put(None)
        with self._asking:
            self._is_lost = True
            waiting, self._answers = self._answers, {}
        for answer in waiting.values():
            answer.put(None)

    def _read(self) -> None:
        try:
            with self._socket.makefile("rb", buffering=_READ_AHEAD_BYTES) as stream:
                while len(header := stream.read(_LENGTH.size)) == _LENGTH.size:
                    (length,) = _LENGTH.unpack(header)
                    payload = stream.read(length)
                    if len(payload) < length:
                        break
                    self._take(decode_frame(payload))
        except OSError as error:
            log.debug("the link to worker %d broke: %s", self.peer, error)
        finally:
            self._lose()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, StoredFrame):
            with self._asking:
                answer = self._answers.pop(frame.sender, None)
            if answer is not None:
                answer.put(frame)
        else:
            self._received(self, frame)

    def _write(self) -> None:
        try:
            while (frame := self._outgoing.get()) is not None:
                parts: list[bytes] = []
                following: bytes | None = frame
                # All that has gathered goes in one call.
                while following is not None:
                    parts += (_LENGTH.pack(len(following)), following)
                    try:
                        following = self._outgoing.get_nowait()
                    except Empty:
                        break
                self._socket.sendall(b"".join(parts))
                if following is None:
                    break
        except OSError as error:
            log.debug("the link to worker %d broke: %s", self.peer, error)
        finally:
            self._break()
            self._socket.close()
