"""Several engines of one program behind one door: the label `pipeline` tells them apart."""

from __future__ import annotations

from typing import Any, cast

from exporter.door import ConfigurationError, EngineDoor, engines_of


def together(first: EngineDoor, *others: EngineDoor) -> EngineDoor:
    """All of them as one, for `serve` and `PenstockCollector`; the first speaks where one has to speak for all.

    Raises `ConfigurationError` where two run pipelines of the same name.
    """
    names = [engine.snapshot().pipeline for one in (first, *others) for engine in engines_of(one)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(
            f"two engines run a pipeline called {twice!r}: behind one port each needs its own name"
        )
    return cast(EngineDoor, _Together(first, others))


class _Together:
    def __init__(self, first: EngineDoor, others: tuple[EngineDoor, ...]) -> None:
        self._first = first
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)

    def engines(self) -> tuple[EngineDoor, ...]:
        """Those behind a bridge come and go, so they are looked up each time."""
        return tuple(engine for one in (self._first, *self._others) for engine in engines_of(one))
