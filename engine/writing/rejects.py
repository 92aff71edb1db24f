"""Values that a task could not use, kept with their place, so that nothing is lost in silence."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from engine.core.clock import NS_PER_SECOND, Clock
from engine.core.rarely import Rarely, and_more
from engine.core.records import Record

log = logging.getLogger("penstock.rejects")

_VALUE_BYTES_MAX = 64 * 1024

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One value that is set aside: where it came from, why, and all that is needed to try it again."""

    # A source's name, or the partition.
    source: str
    # In the source, or the position.
    offset: int
    reason: str
    value: Any
    # Whose log it was meant for, or came from.
    partition: int | None = None
    # Values behind the offset that were for that partition, this one among them or in front.
    extra: int = 0
    # Of a record of the log; its value is `value`.
    record: Record | None = None
    # Whether `value` is only what a person would want to read of it.
    is_excerpt: bool = False
    # Of one that was tried again: in which replay, and which of its entries.
    replayed: str | None = None


class RejectFile:
    """Appends to `DATA/rejects/<culprit>.ndjson`; made on the first rejection. Any thread, and any worker, may call it.

    Nobody passes over a value before it is synced. What a crash leaves here without that comes again, and is taken back
    before (`RejectFolder.take_back`).
    """

    def __init__(self, folder: Path, culprit: str, clock: Clock) -> None:
        self.path = folder / f"{file_name(culprit)}.ndjson"
        self._culprit = culprit
        self._clock = clock
        self._lock = Lock()
        # Whether all that was put is synced.
        self._is_settled = True
        # Guarded by the lock.
        self._sayings = Rarely(clock)

    def put(self, rejects: Sequence[Reject], *, sync: bool = True, cause: Exception | None = None) -> None:
        """Raises `OSError` and has kept none. Without `sync` a call of `settle` is still to come.

        `cause` is shown with its trace where the first reject is said.
        """
        text = b"".join(self._line(reject) for reject in rejects)
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.parent):
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
                try:
                    _append(file, text, sync=sync)
                finally:
                    os.close(file)
            self._is_settled = sync
            self._say(rejects, cause)

    def settle(self) -> None:
        """What was put survives the machine from here on."""
        if self._is_settled:
            return
        with self._lock:
            try:
                file = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                # Somebody has dropped it meanwhile, or set it out to be tried again.
                self._is_settled = True
                return
            try:
                os.fsync(file)
            finally:
                os.close(file)
            self._is_settled = True

    def _line(self, reject: Reject) -> bytes:
        now_ns = self._clock.wall_ns()
        value, packed, is_excerpt = _said(reject.value)
        line: dict[str, Any] = {
            "task": self._culprit,
            "source": reject.source,
            "offset": reject.offset,
            "reason": reject.reason,
            "value": value,
        }
        if packed is not None:
            line["packed"] = packed
        if is_excerpt or reject.is_excerpt:
            line["isExcerpt"] = True
        if reject.partition is not None:
            line["partition"] = reject.partition
        if reject.extra:
            line["extra"] = reject.extra
        if reject.replayed is not None:
            line["replayed"] = reject.replayed
        if reject.record is not None:
            record = reject.record
            line |= {
                "position": record.position,
                "timestampNs": record.timestamp_ns,
                "recordType": record.record_type,
                "valueType": record.value_type,
                "intent": record.intent,
                "key": record.key,
                "sourcePosition": record.source_position,
            }
        line["time"] = datetime.fromtimestamp(now_ns / NS_PER_SECOND, UTC).isoformat(timespec="milliseconds")
        line["wallTimeNs"] = now_ns
        return _encode(line) + b"\n"

    def _say(self, rejects: Sequence[Reject], cause: Exception | None) -> None:
        count = self._sayings.more(len(rejects))
        if count is None:
            return
        first = rejects[0]
        log.warning(
            "%s: %s at %d is kept aside in %s: %s%s",
            self._culprit,
            first.source,
            first.offset,
            self.path,
            first.reason,
            and_more(count),
            exc_info=cause,
        )


def file_name(culprit: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", culprit)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds the folder of rejects, against other processes too."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _append(file: int, text: bytes, *, sync: bool) -> None:
    """Whole lines behind whole lines, or nothing: what a crash has cut short in front of them was not kept."""
    begin = _whole_bytes(file)
    try:
        written = 0
        while written < len(text):
            written += os.write(file, text[written:])
        if sync:
            os.fsync(file)
    except OSError:
        os.ftruncate(file, begin)
        raise


def _whole_bytes(file: int) -> int:
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return size
    whole = os.pread(file, size, 0).rfind(b"\n") + 1
    os.ftruncate(file, whole)
    return whole


def _said(value: object) -> tuple[Any, str | None, bool]:
    """The value as JSON, or as a person would want to read it; packed, where JSON does not say all of it; and whether
    that cannot be done either, so that it can never be tried again.
    """
    # What a source could not read carries the beginning of it, and is not to be tried again.
    excerpt = getattr(value, "excerpt", None)
    if excerpt is not None:
        return _as_text(excerpt), None, True
    try:
        text = _encode(value)
        if _decode(text) == value and not isinstance(value, bytes | bytearray):
            return msgspec.Raw(text), None, False
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    try:
        return _as_text(value), b64encode(_pack(value)).decode(), False
    except (TypeError, ValueError, OverflowError, RecursionError):
        return _as_text(value), None, True


def _as_text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        text = bytes(value[:_VALUE_BYTES_MAX]).decode("utf-8", errors="backslashreplace")
    elif isinstance(value, str):
        text = value
    else:
        try:
            text = repr(value)
        except RecursionError:
            text = f"{type(value).__name__}, nested too deeply to be shown"
    # Half a character may stand in a text, and not in a file.
    return text[:_VALUE_BYTES_MAX].encode("utf-8", errors="backslashreplace").decode()
