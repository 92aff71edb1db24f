"""Keyed state as a processor sees it: what is committed, below what this unit has changed so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from gc import is_tracked
from struct import Struct
from typing import Any, Final

import msgspec

from engine.core.errors import StateReadError
from engine.core.storable import any_too_deep, check_depth

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_decode_list = msgspec.msgpack.Decoder(list[Any]).decode
# How MessagePack begins a list of any length: this byte, and how many there are.
_LIST, _LIST_OF = 0xDD, Struct(">BI")

Get = Callable[[str], bytes | None]
Scan = Callable[[str], Iterator[tuple[str, bytes]]]

# What a dictionary has not; typed as what it stands for.
_MISSING: Final[Any] = object()
_CACHED_KEYS_MAX = 50_000


class StateOverlay:
    """Implements `State` over committed state, with changes that can be undone per record and per unit.

    Values lie encoded, so that whoever reads one has a copy. One thread only. What is known of the state is bounded,
    and forgets what came first: state may be larger than memory.
    Invariant: a key in `_known` has there what a read must find, pending or committed; a key that is not there is
    looked for among the changes first, and below then.
    """

    def __init__(self, get: Get, scan: Scan, *, cached_keys_max: int = _CACHED_KEYS_MAX) -> None:
        self._get = get
        self._scan = scan
        self._cached_keys_max = cached_keys_max
        # None where there is nothing.
        self._known: dict[str, bytes | None] = {}
        # Changes of the unit; None deletes.
        self._changes: dict[str, bytes | None] = {}
        # What the record in hand has replaced among the changes, to undo it.
        self._undo: list[tuple[str, bytes | None]] = []
        # The record went well: its changes belong to the unit now. Bound here, so that it costs no Python frame.
        self.keep_record: Callable[[], None] = self._undo.clear

    # -- what the processor calls ---

    def get(self, key: str, default: Any = None) -> Any:
        try:
            raw = self._known[key]
        except KeyError:
            raw = self._fetch(key)
        if raw is None:
            return default
        return _decode(raw)

    def put(self, key: str, value: Any) -> None:
        """Raises one of `storable.UNSTORABLE` for a value that cannot be stored."""
        if is_tracked(value):
            check_depth(value)
        raw = _encode(value)
        # What `_change` does, without a call.
        if type(key) is not str or not key.isascii():
            _check_key(key)
        changes = self._changes
        self._undo.append((key, changes.get(key, _MISSING)))
        changes[key] = self._known[key] = raw

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        known, wanted = self._known, dict.fromkeys(keys)
        raws = {key: known[key] for key in wanted if key in known}
        for key in wanted.keys() - raws.keys():
            raws[key] = self._fetch(key)
        found = {key: raw for key, raw in raws.items() if raw is not None}
        # One list, so that one call decodes them all.
        values = _decode_list(_LIST_OF.pack(_LIST, len(found)) + b"".join(found.values()))
        return dict(zip(found, values, strict=True))

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Raises as `put`, and then has put none."""
        if any_too_deep(values.values()):
            for value in values.values():
                check_depth(value)
        if {*map(type, values)} - {str} or not all(map(str.isascii, values)):
            for key in values:
                _check_key(key)
        raws = dict(zip(values, map(_encode, values.values()), strict=True))
        changes = self._changes
        self._undo += [(key, changes.get(key, _MISSING)) for key in raws]
        changes.update(raws)
        self._known.update(raws)

    def delete(self, key: str) -> None:
        self._change(key, None)

    def scan(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        _check_key(prefix)
        try:
            found: dict[str, bytes | None] = dict(self._scan(prefix))
        except Exception as error:
            raise _unreadable(error) from error
        found.update({k: v for k, v in self._changes.items() if k.startswith(prefix)})
        for key in sorted(found):
            raw = found[key]
            if raw is not None:
                yield key, _decode(raw)

    # -- what the processing task calls ---

    def undo_record(self) -> None:
        """The record failed: the unit is as it was before it."""
        while self._undo:
            key, before = self._undo.pop()
            if before is _MISSING:
                del self._changes[key]
                # What is committed is asked for again.
                self._known.pop(key, None)
            else:
                self._changes[key] = self._known[key] = before

    @property
    def changes(self) -> dict[str, bytes | None]:
        return self._changes

    def committed(self) -> None:
        """The unit is durable: its changes are what is committed now."""
        self._changes = {}
        self._forget_some()

    def discard(self) -> None:
        """The unit came to nothing."""
        for key in self._changes:
            self._known.pop(key, None)
        self._changes = {}
        self._undo.clear()

    def _change(self, key: str, value: bytes | None) -> None:
        _check_key(key)
        changes = self._changes
        self._undo.append((key, changes.get(key, _MISSING)))
        changes[key] = self._known[key] = value

    def _fetch(self, key: str) -> bytes | None:
        _check_key(key)
        raw: bytes | None = self._changes.get(key, _MISSING)
        if raw is _MISSING:
            try:
                raw = self._get(key)
            except Exception as error:
                raise _unreadable(error) from error
        self._known[key] = raw
        self._forget_some()
        return raw

    def _forget_some(self) -> None:
        known = self._known
        while len(known) > self._cached_keys_max:
            del known[next(iter(known))]


def _check_key(key: object) -> None:
    """A key that cannot be stored is refused where it is named, so that it fails its own record and nobody else's.

    Raises `TypeError` for what is no text, `UnicodeEncodeError` for text with half a character.
    """
    if type(key) is not str:
        raise TypeError(f"a state key is a str, not {type(key).__name__}")
    if not key.isascii():
        key.encode()


def _unreadable(error: Exception) -> StateReadError:
    return StateReadError(f"state could not be read: {error}")
