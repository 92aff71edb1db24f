"""The ways in which a file may be packed, told by its first bytes; and what is no text at all."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports import zstd
else:
    from compression import zstd


class Unpacker(Protocol):
    """Unpacks one member (gzip), frame (zstd) or stream (bzip2, xz): what the standard library's unpackers agree on."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached; what was given of the next one is in `unused_data`."""
        ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def needs_input(self) -> bool:
        """Whether all that was given is used up."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` of what comes next. Raises one of `UNPACK_ERRORS`."""
        ...


UNPACK_ERRORS = (zlib.error, zstd.ZstdError, lzma.LZMAError, OSError, EOFError, MemoryError)


class _Gunzip:
    """gzip, header and checksum included; zlib alone keeps what it was given in another way than the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        left = self._zlib.unconsumed_tail
        return self._zlib.decompress(left + data if left else data, max_length)


def _skippable(head: bytes) -> bool:
    return len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18"


@dataclass(frozen=True, slots=True)
class Packing:
    """One way of packing. A file of it is one member behind the other, with zeros behind the last perhaps."""

    name: str
    # What each member begins with.
    begins: Callable[[bytes], bool]
    unpacker: Callable[[], Unpacker]


# A block, or the end of an empty file: a text may well begin with BZh.
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_PACKINGS = (
    Packing("gzip", lambda head: head.startswith(b"\x1f\x8b"), _Gunzip),
    Packing("zstd", lambda head: head.startswith(b"\x28\xb5\x2f\xfd") or _skippable(head), zstd.ZstdDecompressor),
    Packing("bzip2", lambda head: head[:3] == b"BZh" and head[4:10] in _BZIP2_BLOCKS, bz2.BZ2Decompressor),
    Packing("xz", lambda head: head.startswith(b"\xfd7zXZ\x00"), lzma.LZMADecompressor),
)
HEAD_BYTES = 16

_NO_TEXT = {
    b"PK\x03\x04": "a ZIP archive, as .xlsx and .ods are",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel or Word file",
    b"PAR1": "a Parquet file",
    b"SQLite format 3\x00": "a SQLite database",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x04\x22\x4d\x18": "packed by lz4",
    b"\x1f\x9d": "packed by compress",
    b"LZIP\x01": "packed by lzip",
    b"%PDF-": "a PDF",
}


def packing_of(head: bytes) -> Packing | None:
    """How a file that begins with `head` is packed; None when it is not."""
    return next((packing for packing in _PACKINGS if packing.begins(head)), None)


def no_text(head: bytes) -> str | None:
    """What a file that begins so is, where it has no lines to be read."""
    return next((what for magic, what in _NO_TEXT.items() if head.startswith(magic)), None)
