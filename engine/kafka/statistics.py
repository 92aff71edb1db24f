"""What a client tells of its brokers now and then: a long document, of which a few numbers are wanted."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.core.snapshot import BrokerSnapshot

_US_PER_SECOND = 1_000_000
_MS_PER_SECOND = 1_000


class _Window(msgspec.Struct):
    """Of the time since the document before."""

    avg: int = 0
    cnt: int = 0


class _Broker(msgspec.Struct):
    # Below 0 for an address that was given and is not known as a broker yet.
    nodeid: int = -1
    state: str = ""
    # In microseconds.
    rtt: _Window = msgspec.field(default_factory=_Window)
    # In milliseconds.
    throttle: _Window = msgspec.field(default_factory=_Window)


class _Document(msgspec.Struct):
    # One broker may occur twice: as itself, and as whom transactions go to.
    brokers: dict[str, _Broker] = msgspec.field(default_factory=dict)


_decoder = msgspec.json.Decoder(_Document)


def brokers_in(told: str) -> Mapping[int, BrokerSnapshot]:
    """The brokers to which there is a connection, by their numbers."""
    found: dict[int, list[_Broker]] = {}
    for broker in _decoder.decode(told).brokers.values():
        if broker.nodeid >= 0 and broker.state == "UP":
            found.setdefault(broker.nodeid, []).append(broker)
    return {
        number: BrokerSnapshot(
            rtt_seconds=_mean([broker.rtt for broker in brokers], _US_PER_SECOND),
            throttle_seconds=_throttle(brokers),
        )
        for number, brokers in sorted(found.items())
    }


def _throttle(brokers: list[_Broker]) -> float | None:
    """Only waits are counted: answers without one are none."""
    waits = _mean([broker.throttle for broker in brokers], _MS_PER_SECOND)
    return 0.0 if waits is None and any(broker.rtt.cnt for broker in brokers) else waits


def _mean(windows: list[_Window], per_second: int) -> float | None:
    count = sum(window.cnt for window in windows)
    return sum(window.avg * window.cnt for window in windows) / count / per_second if count else None
