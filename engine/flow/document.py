"""Settings as users write them: the documented keys, durations as text."""

from __future__ import annotations

import dataclasses
from typing import Any

from engine.core.durations import format_duration
from engine.flow.settings import FlowControlSettings

Document = dict[str, Any]


def flow_control_document(settings: FlowControlSettings) -> Document:
    """`write` and `request` with all keys below; `write` is None while none was configured or set."""
    return {"write": _document(settings.write), "request": _document(settings.request)}


def _document(value: Any, name: str = "") -> Any:
    if dataclasses.is_dataclass(value):
        fields = (field.name for field in dataclasses.fields(value))
        return {_key(field): _document(getattr(value, field), field) for field in fields}
    return format_duration(value) if name.endswith("_ns") else value


def _key(field: str) -> str:
    """`ramp_up_ns` is `rampUp`."""
    first, *others = field.removesuffix("_ns").split("_")
    return first + "".join(word.capitalize() for word in others)
