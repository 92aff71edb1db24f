"""The kinds of values settings are made of, and sections made from the engine's own dataclasses.

A validator says what must hold in words that read well behind the name of a key: `must be …`.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model, model_validator
from pydantic.alias_generators import to_camel

from engine.core.clock import NS_PER_MS
from engine.core.durations import parse_duration_ns
from engine.core.errors import SettingError
from penstock.settings.entries import Path

T = TypeVar("T")


class Section(BaseModel):
    """A section of the file: camelCase keys, nothing but the known ones; an empty one is as good as none."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, validate_by_name=False, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_no_key(cls, value: Any) -> Any:
        return {} if value is None else value


def _not_bool(value: Any) -> Any:
    # For Python true is the number 1; for who wrote `limit: true` it is a slip.
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _not_negative(ns: int) -> int:
    if ns < 0:
        raise ValueError("must be 0 or longer")
    return ns


def _milliseconds(value: Any) -> int:
    """Flink's durations: plain integers are milliseconds; a blank may stand before a unit."""
    text = str(value).strip()
    if re.fullmatch(r"-?\d+", text) and not isinstance(value, bool):
        return int(text) * NS_PER_MS
    return parse_duration_ns(value.replace(" ", "") if isinstance(value, str) else value)


_SIZE = re.compile(r"(\d+)\s*([kmgt]?)i?b?", re.IGNORECASE)
_SIZE_STEPS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def _bytes(value: Any) -> int:
    match = _SIZE.fullmatch(str(value).strip())
    if not match or isinstance(value, bool):
        raise ValueError("must be a size like 256MB, 2GB or a number of bytes")
    step: int = 1024 ** _SIZE_STEPS[match[2].lower()]
    return int(match[1]) * step


WholeNumber = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]
# Nanoseconds, written as 15s, 500ms, PT15S or a number of seconds.
DurationNs = Annotated[int, BeforeValidator(parse_duration_ns)]
WaitNs = Annotated[DurationNs, AfterValidator(_not_negative)]
# Nanoseconds, written as 15s, 500ms or a number of milliseconds.
MillisecondsNs = Annotated[int, BeforeValidator(_milliseconds)]
# Bytes, written as 256MB (of 1024 · 1024 bytes) or a number.
SizeBytes = Annotated[int, BeforeValidator(_bytes)]


def one_of(kind: type[StrEnum]) -> Any:
    """The values of `kind`, in any case, with `-` or `_` between words."""

    def value(written: Any) -> Any:
        plain = str(written).lower().replace("-", "_")
        for member in kind:
            if member.value.replace("-", "_") == plain:
                return member
        raise ValueError(f"must be one of {', '.join(kind)}")

    return Annotated[kind, BeforeValidator(value)]


@cache
def section_of(settings: type, *, hyphens: bool = False) -> type[Section]:
    """A section with a key for each field of the dataclass `settings`: `ramp_up_ns` is `rampUp`, a duration.

    With `hyphens` the keys are spelled as Flink spells them: `refresh-interval`, plain numbers milliseconds.
    """
    hints = typing.get_type_hints(settings)
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        words = field.name.removesuffix("_ns")
        key = words.replace("_", "-") if hyphens else to_camel(words)
        kind = _kind(field.name, hints[field.name], hyphens=hyphens)
        fields[field.name] = (kind, Field(default=None, alias=key))
    name = settings.__name__.replace("Settings", "Section")
    return create_model(name, __base__=Section, __doc__=settings.__doc__, **fields)


def _kind(field: str, hint: Any, *, hyphens: bool) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    if dataclasses.is_dataclass(hint):
        return section_of(typing.cast(type, hint), hyphens=hyphens)
    if field.endswith("_ns"):
        return MillisecondsNs if hyphens else DurationNs
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return one_of(hint)
    return {bool: bool, int: WholeNumber, float: Number}[hint]


class BrokenRule(Exception):
    """A rule of a dataclass that the values of a section break; `path` leads to the value."""

    def __init__(self, path: Path, error: SettingError) -> None:
        super().__init__(str(error))
        self.path = path
        self.error = error


def settings_of(settings: type[T], section: Section, path: Path) -> T:
    """The dataclass from the section that was made of it; what was not written keeps the dataclass's default."""
    hints = typing.get_type_hints(settings)
    values: dict[str, Any] = {}
    for name in section.model_fields_set:
        value = getattr(section, name)
        if isinstance(value, Section):
            hint = hints[name]
            inner = section_at(hint)
            value = settings_of(inner, value, (*path, key_of(type(section), name)))
        values[name] = value
    try:
        return settings(**values)
    except SettingError as error:
        raise BrokenRule((*path, *error.field.split(".")), error) from None


def key_of(section: type[BaseModel], field: str) -> str:
    """The key under which the field is written."""
    return section.model_fields[field].alias or field


def section_at(annotation: Any) -> Any:
    """The section, mapping or list that an annotation speaks of, without what may stand around it."""
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return section_at(next(part for part in arguments if part is not type(None)))
    if origin is Annotated:
        return section_at(arguments[0])
    return annotation
