"""Where a worker process begins. The parent starts it: `python -P …/engine/workers/__main__.py DESCRIPTOR PATH`.

DESCRIPTOR is the worker's end of the control connection, PATH the parent's import path as JSON: what can be imported
there can be imported here.
"""

import contextlib
import json
import os
import pickle
import socket
import struct
import sys
import traceback

_BROKEN = 1


def _work(descriptor: int) -> None:
    from engine.runtime.arenas import keep_few_arenas
    from engine.workers.worker import main

    keep_few_arenas()
    main(descriptor)


def _give_up(descriptor: int, error: Exception) -> None:
    """Tells the parent why this process cannot work, and ends it; what is acknowledged is durable, as after a crash.

    In a pair of plain texts and with nothing of ours, for that is what cannot be relied on: Penstock's files may have
    been replaced since the parent read them. The frame is that of `engine.workers.control`.
    """
    why = " ".join(f"{type(error).__name__}: {error}".split())
    words = pickle.dumps((why, "".join(traceback.format_exception(error))))
    # A parent that is gone wants to know nothing.
    with contextlib.suppress(OSError):
        socket.socket(fileno=descriptor).sendall(struct.pack("!IB", len(words), 0) + words)
    os._exit(_BROKEN)


if __name__ == "__main__":
    sys.path[:] = json.loads(sys.argv[2])
    try:
        _work(int(sys.argv[1]))
    except Exception as error:
        _give_up(int(sys.argv[1]), error)
