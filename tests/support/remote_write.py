"""Hands samples of the past to a Prometheus as an agent does; unlike a file it can say that a series ended."""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

# Prometheus' own mark of a series that was not there any more: a NaN of these bits.
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
_SERIES_A_REQUEST = 2_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of one series; labels with `__name__`."""

    labels: Mapping[str, str]
    value: float
    time: float


def write(url: str, samples: Iterable[Sample]) -> None:
    """Samples of one series in the order of their times."""
    batch: list[bytes] = []
    for sample in samples:
        batch.append(_field(1, _series(sample)))
        if len(batch) == _SERIES_A_REQUEST:
            _send(url, b"".join(batch))
            batch = []
    if batch:
        _send(url, b"".join(batch))


def _send(url: str, body: bytes) -> None:
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    request = urllib.request.Request(f"{url}/api/v1/write", data=_snappy(body), headers=headers, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status in (200, 204), answer.status


def _series(sample: Sample) -> bytes:
    labels = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(sample.labels.items())
    )
    # A number of 64 bits is of the wire type 1, an integer of type 0.
    value = b"\x09" + struct.pack("<d", sample.value) + b"\x10" + _varint(round(sample.time * 1000))
    return labels + _field(2, value)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    return bytes(_digits(number))


def _digits(number: int) -> Iterator[int]:
    while number > 0x7F:
        yield number & 0x7F | 0x80
        number >>= 7
    yield number


def _snappy(body: bytes) -> bytes:
    """The block format of snappy, with nothing made shorter: its length, and literals of at most 64 kB."""
    parts = [_varint(len(body))]
    for start in range(0, len(body), 1 << 16):
        literal = body[start : start + (1 << 16)]
        parts += [b"\xf4", struct.pack("<H", len(literal) - 1), literal]
    return b"".join(parts)
