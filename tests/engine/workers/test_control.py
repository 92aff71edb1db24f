"""The connection between parent and worker, and errors that cross it."""

from __future__ import annotations

import os
import pickle
import socket
import threading

import pytest

from engine.core.errors import LogCorruptedError, PenstockError, SettingError, WriteFailedError, WrongRecordError
from engine.core.records import Place
from engine.workers.control import Call, ControlConnection


def pair() -> tuple[ControlConnection, ControlConnection]:
    ours, theirs = socket.socketpair()
    return ControlConnection(ours), ControlConnection(theirs)


def test_messages_arrive_whole_and_in_order_with_their_descriptors() -> None:
    ours, theirs = pair()
    reading, writing = os.pipe()
    large = Call(1, "large", (b"x" * 3_000_000,), {})
    sender = threading.Thread(target=lambda: (ours.send(large), ours.send(Call(2, "pipe", (), {}), [writing])))
    sender.start()
    assert theirs.receive() == (large, [])
    call, descriptors = theirs.receive()
    sender.join()
    assert call.method == "pipe"
    os.write(descriptors[0], b"hello")
    assert os.read(reading, 5) == b"hello"
    for descriptor in (reading, writing, *descriptors):
        os.close(descriptor)
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    with pytest.raises(OSError):
        ours.send("anything")
    theirs.close()


@pytest.mark.parametrize(
    "error",
    [
        PenstockError("plain"),
        SettingError("write.limit", "must be positive", -1),
        LogCorruptedError(2, 17, "its checksum does not match"),
        WrongRecordError(3, "has no key"),
        WriteFailedError("full", passing=False, written={0: Place(1, 5)}),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_with_all_they_say(error: PenstockError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.__dict__ == error.__dict__
