"""The bytes of an input in blocks, as they stand in the file, unpacked or decoded; each place in them has a mark."""

from __future__ import annotations

import codecs
import io
import logging
import os
from collections import deque
from typing import Protocol

from engine.core.errors import DamagedInputError, PenstockError
from engine.sources.packings import HEAD_BYTES, UNPACK_ERRORS, Packing, Unpacker

log = logging.getLogger("penstock.source")

BLOCK_BYTES = 256 * 1024
_PACKED_BLOCK_BYTES = 64 * 1024

# Where to begin again: as many numbers as there are layers, the file's own byte first.
Mark = tuple[int, ...]


class ByteStream(Protocol):
    """A stream that was opened at a mark. Its bytes are counted from there.

    Only `read` forward and `mark` forward: a mark is asked for bytes that were read, and never for one in front of the
    last that was asked for.
    """

    # The byte in front of the mark it was opened at, where it is known; else empty.
    before: bytes

    @property
    def position(self) -> int:
        """How much of the file was read, in its own bytes; any thread may ask."""
        ...

    def read(self) -> bytes:
        """The next block; empty at the end. Raises `DamagedInputError` once all that can be had was given."""
        ...

    def mark(self, byte: int) -> Mark: ...

    def close(self) -> None: ...


class PlainStream:
    """The file as it is. Its mark: (byte of the file)."""

    def __init__(self, file: io.FileIO, mark: Mark = (0,)) -> None:
        (self._start,) = mark
        self._file = file
        self.before = b""
        if self._start:
            size = os.fstat(self._file.fileno()).st_size
            self._file.seek(min(self._start, size) - 1 if size else 0)
            self.before = self._file.read(1)
            if self._start > size:
                raise PenstockError(f"it has {size} bytes, and {self._start} were read")
        self.position = self._start

    def read(self) -> bytes:
        try:
            block = self._file.read(BLOCK_BYTES)
        except OSError as error:
            raise DamagedInputError(f"byte {self.position} cannot be read: {error}") from error
        self.position += len(block)
        return block

    def mark(self, byte: int) -> Mark:
        return (self._start + byte,)

    def close(self) -> None:
        self._file.close()


class UnpackedStream:
    """What is packed in a file, member by member. Its mark: (first byte of a member, bytes unpacked behind it).

    To go on at a mark, nothing in front of its member is read; what it has in front of the mark is unpacked again.
    Zeros behind a member are passed over, anything else behind the last one is, too, with a word in the log. Of a
    member that is damaged or cut off all is given that can be unpacked.
    """

    def __init__(self, file: io.FileIO, packing: Packing, mark: Mark = (0, 0)) -> None:
        self._packing = packing
        self._file = file
        member, passed = mark
        self._file.seek(member)
        self.position = member
        # What was read of the file and not given to an unpacker yet.
        self._packed = b""
        self._unpacker: Unpacker | None = None
        # Up to this byte of the file all is unpacked without an error.
        self._fed = member
        self._at_end = False
        self._damage: DamagedInputError | None = None
        # Where members begin: the unpacked byte (from the mark on), the byte of the file. The last is the present one.
        self._members: deque[tuple[int, int]] = deque([(-passed, member)])
        self._given = -passed
        self.before = b""
        self._pass_over()

    def read(self) -> bytes:
        while not self._at_end:
            if self._damage is not None:
                raise self._damage
            if self._unpacker is None and not self._begin_member():
                break
            if block := self._step(BLOCK_BYTES):
                return block
        return b""

    def mark(self, byte: int) -> Mark:
        while len(self._members) > 1 and self._members[1][0] <= byte:
            self._members.popleft()
        begins, member = self._members[0]
        return member, byte - begins

    def close(self) -> None:
        self._file.close()

    def _pass_over(self) -> None:
        """Unpacks what lies between the member and the mark."""
        while self._given < 0:
            if self._unpacker is None and not self._begin_member():
                raise PenstockError(f"it has {-self._given} bytes less than were read")
            if block := self._step(min(BLOCK_BYTES, -self._given)):
                self.before = block[-1:]
            elif self._damage is not None:
                raise self._damage

    def _fill(self, count: int) -> None:
        """Has `count` packed bytes at hand, or all there are."""
        while len(self._packed) < count and (block := self._file.read(_PACKED_BLOCK_BYTES)):
            self._packed += block
            self.position += len(block)

    def _begin_member(self) -> bool:
        """False when there is none any more."""
        self._fill(HEAD_BYTES)
        while self._packed and not self._packed[0]:
            self._packed = self._packed.lstrip(b"\0")
            self._fill(HEAD_BYTES)
        if not self._packed:
            self._at_end = True
            return False
        at = self.position - len(self._packed)
        if not self._packing.begins(self._packed):
            name = self._packing.name
            log.warning("%s: what stands behind its %s, from byte %d on, is passed over", self._file.name, name, at)
            self._at_end = True
            return False
        if self._given != self._members[-1][0] or at != self._members[-1][1]:
            self._members.append((self._given, at))
        self._unpacker = self._packing.unpacker()
        return True

    def _step(self, bytes_max: int) -> bytes:
        """Some more of the present member; nothing where it takes another step, has ended or is damaged."""
        unpacker = self._unpacker
        assert unpacker is not None
        try:
            data = b""
            if unpacker.needs_input:
                self._fill(1)
                self._fed = self.position - len(self._packed)
                data, self._packed = self._packed, b""
            block = unpacker.decompress(data, bytes_max)
        except UNPACK_ERRORS as error:
            where = f"in front of byte {self.position}"
            self._damage = DamagedInputError(f"its {self._packing.name} is damaged {where}: {error}")
            block = self._rescued()
        else:
            if unpacker.eof:
                self._packed = unpacker.unused_data + self._packed
                self._unpacker = None
            elif not block and not data and unpacker.needs_input:
                self._damage = DamagedInputError(f"its {self._packing.name} is cut off behind byte {self.position}")
        self._given += len(block)
        return block

    def _rescued(self) -> bytes:
        """What the step that failed could have given: its member once more, the last of it byte by byte."""
        begins, member = self._members[-1]
        self._file.seek(member)
        unpacker = self._packing.unpacker()
        left = self._given - begins
        rescued = bytearray()
        at = member
        try:
            while not unpacker.eof:
                data = self._file.read(max(1, min(_PACKED_BLOCK_BYTES, self._fed - at)))
                at += len(data)
                if not data and unpacker.needs_input:
                    break
                while block := unpacker.decompress(data, BLOCK_BYTES):
                    rescued += block[left:]
                    left -= min(left, len(block))
                    data = b""
        except UNPACK_ERRORS:
            pass
        return bytes(rescued)


class CountedStream:
    """Another stream, in which every place is told by its own byte alone. Its mark: (byte of the stream)."""

    def __init__(self, inner: ByteStream, start: int) -> None:
        """`start` is the byte that `inner` was opened at."""
        self._inner = inner
        self._start = start
        self.before = inner.before

    @property
    def position(self) -> int:
        return self._inner.position

    def read(self) -> bytes:
        return self._inner.read()

    def mark(self, byte: int) -> Mark:
        return (self._start + byte,)

    def close(self) -> None:
        self._inner.close()


class DecodedStream:
    """The UTF-8 of a text in another encoding. Its mark: that of what it decodes, and the bytes of UTF-8 behind it.

    What cannot be decoded becomes U+FFFD, and `has_strange` true. What `grows` has no end: half a character there may
    still become a whole one.
    """

    def __init__(self, inner: ByteStream, encoding: str, passed: int = 0, *, grows: bool = False) -> None:
        self._inner = inner
        self._grows = grows
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._clean = self._decoder.getstate()[1]
        self.has_strange = False
        self._read = 0
        self._given = -passed
        # Where the decoder had nothing in hand: the byte of UTF-8, the byte of what is decoded.
        self._clean_at: deque[tuple[int, int]] = deque([(-passed, 0)])
        self._at_end = False
        self.before = inner.before if not passed else b""
        self._ready = b""
        while self._given < 0 and (block := self._next()):
            passing = min(len(block), -self._given)
            self._given += passing
            self.before, self._ready = block[passing - 1 : passing], block[passing:]
        self._marked: tuple[int, Mark] = (-passed, inner.mark(0))

    @property
    def position(self) -> int:
        return self._inner.position

    def read(self) -> bytes:
        block = self._ready or self._next()
        self._ready = b""
        self._given += len(block)
        return block

    def mark(self, byte: int) -> Mark:
        while len(self._clean_at) > 1 and self._clean_at[1][0] <= byte:
            self._clean_at.popleft()
            begins, read = self._clean_at[0]
            self._marked = begins, self._inner.mark(read)
        begins, mark = self._marked
        return (*mark, byte - begins)

    def close(self) -> None:
        self._inner.close()

    def _next(self) -> bytes:
        while not self._at_end:
            buffered, state = self._decoder.getstate()
            if state == self._clean and self._clean_at[-1][1] < self._read - len(buffered):
                self._clean_at.append((self._given + len(self._ready), self._read - len(buffered)))
            block = self._inner.read()
            if not block and self._grows:
                return b""
            self._at_end = not block
            self._read += len(block)
            if text := self._decode(block):
                return text.encode("utf-8", "surrogatepass")
        return b""

    def _decode(self, block: bytes) -> str:
        before = self._decoder.getstate()
        try:
            return self._decoder.decode(block, not block)
        except UnicodeDecodeError:
            self.has_strange = True
            self._decoder.setstate(before)
            self._decoder.errors = "replace"
            text = self._decoder.decode(block, not block)
            self._decoder.errors = "strict"
            return text
