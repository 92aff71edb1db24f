"""A process that appends to a log in segments until it is killed, and says what is stored: `python -m … FOLDER`."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

from engine.core.clock import SystemClock
from engine.core.records import Record, RecordType, WriteSource
from engine.core.unit import Message, Timer, Unit
from engine.log.local.storage import LocalLogStorage
from engine.log.partition_log import PartitionLog
from tests.support.logs import local_log

# So small that segments, applied changes and deletions come many times a second.
KEYS = 50


def small(folder: Path) -> LocalLogStorage:
    return local_log(folder, segment_bytes=20_000, apply_log_bytes=15_000)


def unit(n: int) -> Unit:
    """The n-th from 1 on; whatever it leaves follows from `n`."""
    return Unit(
        source=WriteSource.PROCESSING_RESULT,
        records=[Record(RecordType.COMMAND, "t", "create", "k", n)],
        state={f"{n % KEYS}": b"%d" % n, f"old {n}": b"x", f"old {n - 10}": None},
        timers_added=[Timer(2 * n, n, b""), Timer(2 * n + 1, n, b"")],
        timers_fired=[2 * n, *([2 * n - 19] if n > 10 else [])],
        outbox=[Message(n, 2, b"")],
        delivered={2: n - 5} if n > 5 else {},
        processed_position=n,
    )


def main(folder: Path) -> None:
    log = PartitionLog(1, small(folder), SystemClock(), committed=lambda _: None)
    first = log.open().last_position + 1
    for n in count(first):
        log.append(unit(n))
        print(n, flush=True)
        if n % 20 == 0:
            log.delete_before(n - 100, 40)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
