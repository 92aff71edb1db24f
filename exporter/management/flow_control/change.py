"""What somebody asks to change, in two steps: read it (nothing is known of bounds), then apply it to settings."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeVar

from exporter.door import (
    FlowControlSettings,
    RequestAlgorithm,
    SettingError,
    ThrottlingAlgorithm,
    WriteLimitSettings,
    parse_duration_ns,
)
from exporter.management.strict_json import JsonError, read_object, shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Settings = TypeVar("Settings", bound=DataclassInstance)

# As Java reads the documented fields: int, and long for backlogs.
_INT_MAX = 2**31 - 1
_LONG_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what was asked for, in a sentence, and where."""

    path: tuple[str, ...]
    text: str
    # Whether it was understood and breaks a bound; otherwise it could not be read.
    refused: bool = False

    @property
    def field(self) -> str | None:
        """The place as dotted keys; None for the whole."""
        return ".".join(self.path) or None

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer (RFC 6901); the empty one is the whole."""
        return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in self.path)


class FaultyError(Exception):
    """Nothing is changed, for these reasons; there is at least one."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(faults[0].text)
        self.faults = tuple(faults)


class _Configured(Enum):
    """Stands for the value that is configured, whatever it is."""

    VALUE = auto()


@dataclass(frozen=True, slots=True)
class Change:
    """New values for some attributes of a settings class; those not named stay as they are."""

    path: tuple[str, ...]
    values: Mapping[str, object | Change | _Configured]
    # The attribute behind each documented key.
    attributes: Mapping[str, str]

    def applied(self, present: Settings, configured: Settings, faults: list[Fault]) -> Settings:
        """`present` with the changes; a value that breaks a bound is left out, and a fault says so."""
        values = {name: self._value(name, value, present, configured, faults) for name, value in self.values.items()}
        while True:
            try:
                return replace(present, **values)
            except SettingError as error:
                path = (*self.path, *error.field.split("."))
                faults.append(Fault(path, f"{'.'.join(path)} {error.rule}, not {error.value}", refused=True))
                if values.pop(self.attributes.get(error.field, ""), None) is None:
                    # What breaks the bound was there before; another value made it wrong.
                    return present

    @staticmethod
    def _value(name: str, value: object, present: Settings, configured: Settings, faults: list[Fault]) -> object:
        match value:
            case Change():
                return value.applied(getattr(present, name), getattr(configured, name), faults)
            case _Configured():
                return getattr(configured, name)
            case _:
                return value


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowControlChange:
    """What is asked of a partition; a part that is None stays as it is."""

    write: Change | _Configured | None
    request: Change | _Configured | None

    def applied(self, present: FlowControlSettings, configured: FlowControlSettings) -> FlowControlSettings:
        """`present` with the changes. Raises `FaultyError`."""
        faults: list[Fault] = []
        write, request = present.write, present.request
        match self.write:
            case Change() as change:
                write = change.applied(write or WriteLimitSettings(), configured.write or WriteLimitSettings(), faults)
            case _Configured():
                write = configured.write
        match self.request:
            case Change() as change:
                request = change.applied(request, configured.request, faults)
            case _Configured():
                request = configured.request
        if faults:
            raise FaultyError(faults)
        return replace(present, write=write, request=request)


def read_change(body: bytes, *, merge_patch: bool = False) -> FlowControlChange:
    """The change that a JSON object asks for. Raises `FaultyError`.

    As the documented POST: `write` or `request` that is null stays as it is, no other null is allowed. As a merge
    patch (RFC 7396): null takes away what was set by hand, so that the configured value holds.
    """
    try:
        document = read_object(body)
    except JsonError as error:
        raise FaultyError([Fault((error.key,) if error.key else (), str(error))]) from None
    faults = [_unknown((key,), _PARTS) for key in document if key not in _PARTS]
    parts: dict[str, Change | _Configured | None] = {}
    for name, section in _PARTS.items():
        posted = document.get(name)
        if posted is None:
            parts[name] = _Configured.VALUE if merge_patch and name in document else None
        else:
            parts[name] = _read(section, posted, (name,), faults, merge_patch=merge_patch)
    if faults:
        raise FaultyError(faults)
    return FlowControlChange(write=parts["write"], request=parts["request"])


Reader = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class _Section:
    """The keys of one object, each with the attribute it sets and what may stand there."""

    keys: Mapping[str, tuple[str, Reader | _Section]]


def _read(
    section: _Section, posted: object, path: tuple[str, ...], faults: list[Fault], *, merge_patch: bool
) -> Change:
    values: dict[str, object | Change | _Configured] = {}
    attributes = {key: attribute for key, (attribute, _) in section.keys.items()}
    if not isinstance(posted, dict):
        faults.append(Fault(path, f"{'.'.join(path)} must be an object, not {shown(posted)}"))
        posted = {}
    for key, value in posted.items():
        place = (*path, key)
        name = ".".join(place)
        if key not in section.keys:
            faults.append(_unknown(place, section.keys))
            continue
        attribute, expected = section.keys[key]
        if attribute in values:
            faults.append(Fault(place, f"{name} is a second name for a value that is given already"))
        elif value is None and merge_patch:
            values[attribute] = _Configured.VALUE
        elif isinstance(expected, _Section):
            values[attribute] = _read(expected, value, place, faults, merge_patch=merge_patch)
        else:
            try:
                values[attribute] = expected(value)
            except ValueError as error:
                faults.append(Fault(place, f"{name} {error}"))
    return Change(path, values, attributes)


def _unknown(place: tuple[str, ...], known: Mapping[str, object]) -> Fault:
    nearest = difflib.get_close_matches(place[-1], known, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else f"; known are {', '.join(known)}"
    return Fault(place, f"there is no key {'.'.join(place)!r}{hint}")


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError(f"must be true or false, not {shown(value)}")


def _whole_number(most: int) -> Reader:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"must be a whole number, not {shown(value)}")
        if abs(value) > most:
            raise ValueError(f"must be a whole number up to {most}, not {shown(value)}")
        return value

    return read


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {shown(value)}")
    if abs(value) > _LONG_MAX or not math.isfinite(value):
        raise ValueError("must be a number of ordinary size")
    return float(value)


def _duration(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f'must be a duration such as "15s", "PT15S" or 15, not {shown(value)}')
    try:
        return parse_duration_ns(value)
    except (ValueError, OverflowError):
        raise ValueError(f'must be a duration such as "15s", "PT15S" or 15, not {shown(value)}') from None


def _one_of(names: type[RequestAlgorithm] | type[ThrottlingAlgorithm]) -> Reader:
    def read(value: object) -> object:
        if isinstance(value, str) and value.lower() in tuple(names):
            return names(value.lower())
        raise ValueError(f"must be one of {', '.join(n.upper() for n in names)}, not {shown(value)}")

    return read


_int = _whole_number(_INT_MAX)
_long = _whole_number(_LONG_MAX)

_THROTTLING = _Section(
    {
        "enabled": ("enabled", _boolean),
        "acceptableBacklog": ("acceptable_backlog", _long),
        "minimumLimit": ("minimum_limit", _int),
        # The name under which the answer shows it.
        "minRate": ("minimum_limit", _int),
        "resolution": ("resolution_ns", _duration),
        "algorithm": ("algorithm", _one_of(ThrottlingAlgorithm)),
        "measurementWindow": ("measurement_window_ns", _duration),
        "measurementResolution": ("measurement_resolution_ns", _duration),
    }
)
_WRITE = _Section(
    {
        "enabled": ("enabled", _boolean),
        "limit": ("limit", _int),
        "rampUp": ("ramp_up_ns", _duration),
        "throttling": ("throttling", _THROTTLING),
    }
)
_AIMD = _Section(
    {
        "requestTimeout": ("request_timeout_ns", _duration),
        "initialLimit": ("initial_limit", _int),
        "minLimit": ("min_limit", _int),
        "maxLimit": ("max_limit", _int),
        "backoffRatio": ("backoff_ratio", _number),
    }
)
_FIXED = _Section({"limit": ("limit", _int)})
_VEGAS = _Section({"alpha": ("alpha", _int), "beta": ("beta", _int), "initialLimit": ("initial_limit", _int)})
_GRADIENT = _Section(
    {
        "minLimit": ("min_limit", _int),
        "initialLimit": ("initial_limit", _int),
        "rttTolerance": ("rtt_tolerance", _number),
    }
)
_GRADIENT2 = _Section({**_GRADIENT.keys, "longWindow": ("long_window", _int)})
_LEGACY_VEGAS = _Section(
    {
        "initialLimit": ("initial_limit", _int),
        "maxConcurrency": ("max_concurrency", _int),
        "alphaLimit": ("alpha_limit", _number),
        "betaLimit": ("beta_limit", _number),
    }
)
_REQUEST = _Section(
    {
        "enabled": ("enabled", _boolean),
        "useWindowed": ("use_windowed", _boolean),
        "algorithm": ("algorithm", _one_of(RequestAlgorithm)),
        "aimd": ("aimd", _AIMD),
        "fixed": ("fixed", _FIXED),
        "vegas": ("vegas", _VEGAS),
        "gradient": ("gradient", _GRADIENT),
        "gradient2": ("gradient2", _GRADIENT2),
        "legacyVegas": ("legacy_vegas", _LEGACY_VEGAS),
    }
)
_PARTS = {"write": _WRITE, "request": _REQUEST}
