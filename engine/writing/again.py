"""A reject as it was before it was set aside."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.core.records import Record

_unpack = msgspec.msgpack.Decoder().decode


def is_whole(entry: Mapping[str, Any]) -> bool:
    """Whether there is all of the value, and not only what a person would want to read of it."""
    return not entry.get("isExcerpt", False)


def value_of(entry: Mapping[str, Any]) -> Any:
    packed = entry.get("packed")
    return entry["value"] if packed is None else _unpack(b64decode(packed))


def record_of(entry: Mapping[str, Any]) -> Record:
    """Of one that an exporter's target refused."""
    return Record(
        entry["recordType"],
        entry["valueType"],
        entry["intent"],
        entry["key"],
        value_of(entry),
        entry["sourcePosition"],
        entry["position"],
        entry["timestampNs"],
    )
