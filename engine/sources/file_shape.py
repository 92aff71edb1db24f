"""What a file of text is made of, told by its first bytes and what was said of it: packing, encoding, line ends."""

from __future__ import annotations

import codecs
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from engine.core.errors import ConfigurationError, DamagedInputError, PenstockError
from engine.sources.byte_stream import ByteStream, DecodedStream, Mark, PlainStream, UnpackedStream
from engine.sources.packings import HEAD_BYTES, Packing, no_text, packing_of

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    # In front of UTF-16's, which begins in the same way.
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Which of them an encoding may mean.
_FAMILIES = {
    "utf-16": ("utf-16-le", "utf-16-be"),
    "utf-32": ("utf-32-le", "utf-32-be"),
    "utf-8-sig": ("utf-8",),
}
# What is looked at of a file's text.
_LOOKED_AT_BYTES = 256 * 1024
# In so much of it every second byte is looked at.
_GUESSED_BYTES = 512


def encoding_name(encoding: str) -> str:
    """The name that Python has for an encoding. Raises `ConfigurationError` where there is none."""
    try:
        found = codecs.lookup(encoding)
        codecs.getincrementaldecoder(found.name)("strict").decode(b"", True)
        if not isinstance("".encode(found.name), bytes):
            raise LookupError
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ConfigurationError(
            f"encoding must be one that Python knows, such as utf-8, utf-16, windows-1252 or latin-1, not {encoding!r}"
        ) from None
    return found.name


@dataclass(frozen=True, slots=True)
class FileShape:
    """How a file is to be read."""

    packing: Packing | None
    # Of its text, where that is no UTF-8; without a doubt about the order of bytes.
    encoding: str | None
    # Whether a lone \r ends its lines, as on an old Mac.
    returns: bool

    def open(self, path: Path, mark: Mark | None = None) -> ByteStream:
        """Its text as UTF-8, from the mark on. Raises `PenstockError` where the file is shorter than that."""
        own = self._own_numbers
        place = (0,) * (own + (self.encoding is not None)) if mark is None else mark
        # Unbuffered: whole blocks are read anyway, and a buffer would copy them once more.
        file = path.open("rb", buffering=0)
        try:
            stream = opened_stream(file, self.packing, place[:own])
            return stream if self.encoding is None else DecodedStream(stream, self.encoding, place[-1])
        except BaseException:
            file.close()
            raise

    def is_mark(self, mark: Mark) -> bool:
        """Whether it speaks of a file of this shape: one that was packed meanwhile has others."""
        return len(mark) == self._own_numbers + (self.encoding is not None)

    @property
    def _own_numbers(self) -> int:
        return 1 if self.packing is None else 2


def shape_of(path: Path, encoding: str | None = None, quote: str = "") -> FileShape:
    """Looks at the beginning of a file; inside of `quote` no line ends.

    Raises `ConfigurationError` for what cannot be read as lines of text, with what to do about it.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    packing = packing_of(head)
    text = _first_text(path, packing)
    if packing is not None and packing_of(text) is not None:
        raise ConfigurationError(f"{path} is packed twice; unpack it once")
    refuse_no_text(path, text)
    found = encoding_of(path, text, encoding)
    if found is not None:
        text = text.decode(found, "replace").encode("utf-8", "replace")
    return FileShape(packing, found, _ends_with_returns(text, quote))


def opened_stream(file: io.FileIO, packing: Packing | None, mark: Mark | None = None) -> ByteStream:
    """What is in an open file, from the mark on."""
    if packing is None:
        return PlainStream(file, mark or (0,))
    return UnpackedStream(file, packing, mark or (0, 0))


def _first_text(path: Path, packing: Packing | None) -> bytes:
    stream = opened_stream(path.open("rb", buffering=0), packing)
    text = b""
    try:
        while len(text) < _LOOKED_AT_BYTES and (block := stream.read()):
            text += block
    except DamagedInputError:
        # Said by whoever reads it.
        pass
    finally:
        stream.close()
    return text


def refuse_no_text(path: Path, text: bytes) -> None:
    if (what := no_text(text)) is not None:
        raise ConfigurationError(f"{path} is {what}, and has no lines that could be read; unpack or export it first")


def encoding_of(path: Path, text: bytes, wanted: str | None) -> str | None:
    """The encoding to decode from; None for UTF-8, which is left as it is."""
    wanted = None if wanted is None else encoding_name(wanted)
    marked = next((name for mark, name in _MARKS if text.startswith(mark)), None)
    if marked is not None:
        if wanted not in (None, marked) and marked not in _FAMILIES.get(wanted or "", ()):
            raise ConfigurationError(
                f"{path} begins with the mark of {marked.upper()}, and encoding says {wanted}; leave encoding out"
            )
        return None if marked == "utf-8" else marked
    if wanted is None:
        if (guess := guessed_wide(text)) is not None:
            raise ConfigurationError(
                f"{path} looks like {guess.upper()} without a mark in front; set encoding: {guess} if that is right"
            )
        return None
    if wanted in ("utf-8", "utf-8-sig", "ascii"):
        return None
    return guessed_wide(text) or _FAMILIES[wanted][0] if wanted in ("utf-16", "utf-32") else wanted


def guessed_wide(text: bytes) -> str | None:
    """UTF-16 without a mark, by the zeros beside the letters; NULs alone are none."""
    looked_at = text[: min(_GUESSED_BYTES, len(text) & ~1)]
    even, odd = looked_at[::2], looked_at[1::2]
    if len(even) < 2:
        return None
    for name, letters, zeros in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        if zeros.count(0) * 2 > len(zeros) and letters.count(0) * 20 < len(letters):
            return name
    return None


def _ends_with_returns(text: bytes, quote: str) -> bool:
    if b"\r" not in text:
        return False
    if quote:
        mark = re.escape(quote.encode())
        text = re.sub(mark + b"[^" + mark + b"]*" + mark, b"", text)
    # \r\n that is cut by the end of the block is no lone \r.
    return b"\r" in text[:-1] and b"\n" not in text


def check_file(path: Path) -> None:
    """Raises `ConfigurationError` when `path` is no file that can be read."""
    if not path.exists():
        raise ConfigurationError(f"{path}: no such file")
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file")
    if not os.access(path, os.R_OK):
        raise ConfigurationError(f"{path} may not be read by this user")


def write_mark(mark: Mark) -> bytes:
    """A mark as a cursor: its numbers in decimal digits."""
    return b":".join(b"%d" % number for number in mark)


def read_mark(cursor: bytes) -> Mark:
    try:
        return tuple(int(number) for number in cursor.split(b":"))
    except ValueError:
        raise PenstockError(f"{cursor!r} is no place in a file of lines") from None
