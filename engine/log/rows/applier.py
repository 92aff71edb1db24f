"""Carries what was committed into the database, many commits at once, on a thread of its own."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from engine.core.unit import Recovered, Unit
from engine.log.rows import tables
from engine.log.rows.changes import Changes
from engine.log.rows.connections import Connections
from engine.log.rows.pending import CommitHead, Pending
from engine.log.storage import StorageError

log = logging.getLogger("penstock.log")

# So much is carried at once, of the log or of what memory holds of its changes; what is more than so many times of it
# must wait.
APPLY_LOG_BYTES = 16 << 20
APPLY_CHANGES_BYTES = 16 << 20
_TIMES_BEHIND_MAX = 4
_RETRY_SECONDS = 0.5
_UNKNOWN: Any = object()


class Pages(Protocol):
    """Who wants to see the new pages of the database before they are copied into it."""

    def follow(self) -> None: ...


class Applier:
    """Two layers over the database: what is being folded, and what is on its way into it.

    `add` and `await_room` are for the committing thread, `refuse`, `state_get` and `state_scan` for any. The thread
    begins when it is first needed; `close` ends it and carries what is left.

    Where the log itself cannot be made safe, or half of a commit was taken in, nothing more is carried in this process:
    the next start reads what the log holds.
    """

    def __init__(
        self,
        name: str,
        connections: Connections,
        pages: Pages,
        *,
        secure_log: Callable[[], None],
        put_more: Callable[[sqlite3.Connection], None] = lambda _: None,
        apply_log_bytes: int = APPLY_LOG_BYTES,
        apply_changes_bytes: int = APPLY_CHANGES_BYTES,
    ) -> None:
        self._name = name
        self._connections = connections
        self._pages = pages
        # Whether the sums know all that is in the database's write-ahead log.
        self._is_summed = True
        # Called before commits are carried: the log must be as safe as what the database says of it. Raises
        # `StorageError` where it is not, and may not be.
        self._secure_log = secure_log
        # Called inside of the transaction: what else the database has to say of itself then.
        self._put_more = put_more
        self._apply_log_bytes = apply_log_bytes
        self._apply_changes_bytes = apply_changes_bytes
        # The lock guards the layers' content; the condition is told when a layer is asked for, and when one is done.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # Newest first: one that grows, and behind it the one on its way. Replaced as a whole, so that a reader never
        # sees one that does not fit the other.
        self._layers: tuple[Pending, ...] = (Pending(),)
        self._applied_commit = 0
        self._thread: threading.Thread | None = None
        self._is_open = False
        self._is_closing = False
        self._has_given_up = False
        # Why nothing is carried at the moment.
        self._error: StorageError | None = None

    def recover(self, *, applied_commit: int) -> None:
        """What the database says of itself; call first."""
        self._applied_commit = applied_commit

    @property
    def applied_commit(self) -> int:
        """All commits up to this one are in the database, for good."""
        return self._applied_commit

    # -- what is committed ---

    def add(self, changes: Iterable[Unit | Changes], head: CommitHead, offset: int) -> None:
        """What a commit has changed; `offset` is where its frame lies in its segment."""
        with self._changed:
            growing = self._layers[0]
            try:
                growing.fold(changes, head, offset)
            except BaseException:
                # Nor may half of a commit get into the database.
                self._has_given_up = True
                self._error = StorageError("storage_error", f"{self._name}: a commit was not taken in whole")
                raise
            if len(self._layers) == 1 and self._is_large(growing, 1):
                self._begin()
                self._changed.notify_all()

    def _begin(self) -> None:
        """Sees to it that the thread runs, or says in `_error` why it does not. The lock is held."""
        if self._has_given_up or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name=f"applier of {self._name}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            # The system has none to give. Whoever comes next tries again.
            self._thread = None
            self._failed(StorageError("storage_error", f"{self._name}: {error}"))

    def _failed(self, error: StorageError) -> None:
        """The lock is held."""
        if self._error is None:
            log.error("%s; it is tried again, writes go on meanwhile as far as memory allows", error)
        self._error = error

    def replay(self, changes: Iterable[Unit | Changes], head: CommitHead, offset: int) -> None:
        """The same while the log is being opened, without a thread. Raises `StorageError`."""
        (growing,) = self._layers
        growing.fold(changes, head, offset)
        if self._is_large(growing, 1):
            self._apply(growing)
            self._layers = (Pending(),)

    def _is_large(self, layer: Pending, times: int) -> bool:
        return layer.log_bytes >= times * self._apply_log_bytes or layer.held_bytes >= times * self._apply_changes_bytes

    def await_room(self) -> None:
        """Waits while far too much is on its way. Raises `StorageError` where it cannot be carried, and at the end."""
        if not self._is_large(self._layers[0], _TIMES_BEHIND_MAX):
            return
        with self._changed:
            while self._is_large(self._layers[0], _TIMES_BEHIND_MAX):
                if self._is_closing:
                    raise StorageError("storage_error", f"{self._name}: the log is closed")
                self._begin()
                if self._error is not None:
                    # One of its own for each: an error grows with each time that it is raised.
                    raise StorageError(self._error.reason, str(self._error))
                self._changed.wait(_RETRY_SECONDS)

    def refuse(self) -> None:
        """Nobody waits for room any more: the end is near."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    # -- reading ---

    @property
    def is_open(self) -> bool:
        """From `recovered` to `close`."""
        return self._is_open

    def recovered(self, *, last_position: int, oldest_position: int) -> Recovered:
        found = tables.read_recovered(
            self._connections.writer, last_position=last_position, oldest_position=oldest_position
        )
        for layer in reversed(self._layers):
            layer.add_to(found)
        self._is_open = True
        return found

    def state_get(self, key: str) -> bytes | None:
        for layer in self._layers:
            value: bytes | None = layer.state.get(key, _UNKNOWN)
            if value is not _UNKNOWN:
                return value
        with self._connections.reader as db:
            return tables.state_of(db, key)

    def state_scan(self, prefix: str) -> list[tuple[str, bytes]]:
        while True:
            with self._changed:
                growing, *frozen = layers = self._layers
                states = [*(layer.state for layer in reversed(frozen)), growing.state.copy()]
            newer = {key: value for state in states for key, value in state.items() if key.startswith(prefix)}
            with self._connections.reader as db:
                found = [*tables.states_of(db, prefix)]
            # What has stopped growing may be in the database by now, and with it more than was seen: once more.
            if not newer or self._layers[0] is layers[0]:
                break
        if not newer:
            return found
        merged: dict[str, bytes | None] = {**dict(found), **newer}
        return sorted((key, value) for key, value in merged.items() if value is not None)

    # -- the thread ---

    def _run(self) -> None:
        while (layer := self._next()) is not None:
            try:
                self._apply(layer)
            except StorageError as error:
                with self._changed:
                    if self._is_closing:
                        return
                    if self._has_given_up:
                        log.error("%s; writes go on as far as memory allows, then they are refused: start again", error)
                        self._error = error
                        self._changed.notify_all()
                        return
                    self._failed(error)
                    self._changed.notify_all()
                    self._changed.wait(_RETRY_SECONDS)
                continue
            with self._changed:
                self._layers = self._layers[:1]
                if self._error is not None:
                    log.warning("%s: the database takes changes again", self._name)
                self._error = None
                self._changed.notify_all()

    def _next(self) -> Pending | None:
        """What is to be carried; None at the end."""
        with self._changed:
            while not self._is_closing and len(self._layers) == 1 and not self._is_large(self._layers[0], 1):
                self._changed.wait()
            if self._is_closing:
                return None
            if len(self._layers) == 1:
                self._layers = (Pending(), self._layers[0])
            return self._layers[1]

    def _apply(self, layer: Pending) -> None:
        try:
            self._secure_log()
        except StorageError:
            # A sync that failed is not to be believed when it is tried again.
            self._has_given_up = True
            raise
        try:
            db = self._connections.writer
            try:
                db.execute("BEGIN IMMEDIATE")
                layer.write(db)
                tables.put_meta(db, "applied_commit", layer.commit)
                tables.put_meta(db, "applied_offset", layer.offset)
                tables.put_meta(db, "last_position", layer.last_position)
                self._put_more(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except Exception as error:
            raise tables.storage_error(self._name, error) from error
        self._applied_commit = layer.commit
        self._checkpoint()

    def _checkpoint(self) -> None:
        """What has just been stored gets from the write-ahead log into the database, its sums first.

        Where that cannot be done it is done with what is stored next; nothing is lost meanwhile.
        """
        self._is_summed = False
        try:
            self._pages.follow()
            self._is_summed = True
            self._connections.checkpoint()
        except (OSError, sqlite3.Error) as error:
            log.warning("%s: the database's write-ahead log grows: %s", self._name, error)

    @property
    def is_summed(self) -> bool:
        """Whether the write-ahead log may be copied into the database by whoever closes it."""
        return self._is_summed

    def close(self) -> None:
        """Carries what is left; what the database refuses now is read from the log at the next start."""
        self.refuse()
        # One that was not started, or not yet, ends at once.
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join()
        if not self._is_open:
            return
        self._is_open = False
        if self._has_given_up:
            log.warning("%s: what the database has not got is read from the log by the next start", self._name)
            return
        try:
            for layer in reversed(self._layers):
                if not layer.is_empty:
                    self._apply(layer)
            self._layers = (Pending(),)
        except (StorageError, sqlite3.Error) as error:
            log.warning("%s: %s; the next start reads it from the log", self._name, error)
