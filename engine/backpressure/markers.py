"""How a sampler knows waiting when it sees it: functions that stand on the stack while a task waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from types import CodeType, FrameType
from typing import Any

from engine.core.errors import ConfigurationError

# Frames looked at, from the innermost: a wait of the standard library puts one or two on top of its caller.
DEPTH = 3

Function = Callable[..., Any]


class Look(Enum):
    """What a stack shows at first sight."""

    NEITHER = "neither"
    WAITS_FOR_INPUT = "waits for input"
    HELD_BACK = "held back"


class Markers:
    """Tells by the innermost frames of a stack what its task is doing.

    Functions are known by the identity of their code objects: nothing else can be taken for one, whatever it is
    called. Raises `ConfigurationError` for a function that leaves no frame.
    """

    __slots__ = ("_codes", "_looks")

    def __init__(self, *, held_back: Iterable[Function], waits_for_input: Iterable[Function] = ()) -> None:
        wanted = {Look.WAITS_FOR_INPUT: tuple(waits_for_input), Look.HELD_BACK: tuple(held_back)}
        # Kept, so that no id is given to another code object.
        self._codes = [(code_of(function), look) for look, functions in wanted.items() for function in functions]
        self._looks = {id(code): look for code, look in self._codes}

    def look_at_frames(self, frame: FrameType | None) -> Look:
        looks, depth = self._looks, DEPTH
        while frame is not None and depth:
            look = looks.get(id(frame.f_code))
            if look is not None:
                return look
            frame = frame.f_back
            depth -= 1
        return Look.NEITHER

    def look_at_codes(self, codes: Iterable[CodeType]) -> Look:
        """The same for code objects, innermost first."""
        for _, code in zip(range(DEPTH), codes, strict=False):
            look = self._looks.get(id(code))
            if look is not None:
                return look
        return Look.NEITHER


def code_of(function: Function) -> CodeType:
    """The code object by which frames of `function` are known; also of a method or a wrapped function."""
    plain = getattr(function, "__func__", function)
    while hasattr(plain, "__wrapped__") and not hasattr(plain, "__code__"):
        plain = plain.__wrapped__
    code = getattr(plain, "__code__", None)
    if isinstance(code, CodeType):
        return code
    name = getattr(function, "__qualname__", None) or repr(function)
    raise ConfigurationError(
        f"{name} cannot mark a wait: it is no function written in Python and leaves no frame; name the Python "
        "function that calls it"
    )
