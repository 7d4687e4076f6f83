"""Reading the values of a column of bytes or text one by one, without holding its pages in memory.

Arrow holds three copies of a whole page in memory (compressed, decompressed, and as values), and a
dictionary. Some writers put a thousand pictures into each page, and the first thousand into a
dictionary. Here a page is decompressed while its values are read, so that little more than one
value is in memory. The values of a large dictionary are stored in a temporary file.

Only columns for which Arrow would need much memory are read in this way, and only if they have a
format that is usual for pictures and notes: PLAIN values or a dictionary of them, in pages of
either version, uncompressed or compressed with Snappy, gzip, Brotli or zstd.
"""

import io
import itertools
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self

import numpy as np

from dirtmodel.release import pages
from dirtmodel.release.pages import Chunk, Page

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_UNCOMPRESSED: Final = 0
_SNAPPY: Final = 1
_CODECS: Final = {2: "gzip", 4: "brotli", 6: "zstd"}
"""Parquet's numbers of codecs, and Arrow's names of those that it can decompress as a stream."""

_PLAIN: Final = 0
_BY_DICTIONARY: Final = frozenset({2, 8})
_RUNS: Final = 3
"""Parquet's numbers of encodings; PLAIN_DICTIONARY is the older name of RLE_DICTIONARY."""

_HELD_BYTES: Final = 16 << 20
"""Bytes of a dictionary above which it is stored in a file."""

_BUFFER: Final = 1 << 18
"""Bytes that are read from a file at a time."""

_WINDOW: Final = 1 << 18
"""Bytes that are kept for Snappy's references to earlier bytes; compressors use at most 64 KB."""

_GROUPS_AT_ONCE: Final = 1024
"""The number of groups of eight integers that are unpacked at a time."""


def is_readable(chunk: Chunk, page: Page) -> bool:
    """Return True if `values` can read a page."""
    return (
        chunk.codec in {_UNCOMPRESSED, _SNAPPY, *_CODECS}
        and page.encoding in {_PLAIN, *_BY_DICTIONARY}
        and page.levels_encoding in {None, _RUNS}
    )


def values(path: Path, column: int, *, nullable: bool) -> Iterator[bytes | None]:
    """Yield the values of a column of a parquet file; all its pages must be readable.

    Parameters
    ----------
    column
        The index of the column in the physical schema; its type must be BYTE_ARRAY.
    nullable
        True if the column is optional; only then its pages contain levels, which mark NULL.

    Raises
    ------
    OSError
        If the file is damaged, or a checksum does not match.
    """
    with path.open("rb") as file:
        for group in pages.chunks(file):
            with _Dictionary() as dictionary:
                for page in pages.pages(file, group[column]):
                    content = _Content(file, group[column], page)
                    if page.is_dictionary:
                        dictionary.add(content.value() for _ in range(page.n_values))
                    else:
                        yield from _page_values(content, page, dictionary, nullable=nullable)
                    content.finish()


def _page_values(
    content: "_Content", page: Page, dictionary: "_Dictionary", *, nullable: bool
) -> Iterator[bytes | None]:
    levels: Iterator[int] = itertools.repeat(1, page.n_values)
    if nullable:
        levels = _runs(content.levels(), 1, page.n_values)
    if page.encoding == _PLAIN:
        for has_value in levels:
            yield content.value() if has_value else None
        return
    encoded = content.take(content.n_left)
    numbers = _runs(encoded[1:], encoded[0], page.n_values) if encoded else iter(())
    for has_value in levels:
        yield dictionary[next(numbers)] if has_value else None


class _Content:
    """The decompressed content of a page, as a stream."""

    def __init__(self, file: IO[bytes], chunk: Chunk, page: Page) -> None:
        self._page = page
        self._stored = _Stored(file, page)
        self._levels = b""
        self.n_left = page.n_bytes
        if page.levels_bytes is not None:
            self._levels = self._stored.read(page.levels_bytes) or b""
            self.n_left -= page.levels_bytes
        codec = chunk.codec if page.is_compressed and self.n_left else _UNCOMPRESSED
        self._stream = io.BufferedReader(_decompressed(self._stored, codec), _BUFFER)

    def levels(self) -> bytes:
        """Return the encoded levels (0 for NULL, 1 for a value)."""
        if self._page.levels_bytes is not None:
            return self._levels
        # In version 1, the content of the page begins with the levels.
        return self.value()

    def value(self) -> bytes:
        """Return the next value, which is stored after its length."""
        return self.take(int.from_bytes(self.take(4), "little"))

    def take(self, n: int) -> bytes:
        """Return the next `n` bytes."""
        data = self._stream.read(n) if n <= self.n_left else b""
        if len(data) < n:
            raise OSError("damaged: a page is shorter than its values")
        self.n_left -= n
        return data

    def finish(self) -> None:
        """Read the rest of the page, so that its checksum is compared."""
        while self._stored.read(_BUFFER):
            pass


class _Stored(io.RawIOBase):
    """The stored bytes of a page as a stream, which verifies the checksum at its end."""

    def __init__(self, file: IO[bytes], page: Page) -> None:
        self._file = file
        self._at = page.start
        self._end = page.start + page.n_stored_bytes
        self._declared = page.checksum
        self._checksum = 0

    def readable(self) -> bool:
        """Return True, always."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read the next bytes."""
        view = memoryview(buffer).cast("B")[: self._end - self._at]
        self._file.seek(self._at)
        n: int = self._file.readinto(view)  # type: ignore[attr-defined]  # a file opened to read bytes has it
        self._at += n
        if self._declared is not None:
            self._checksum = zlib.crc32(view[:n], self._checksum)
            if self._at == self._end and self._checksum != self._declared:
                raise OSError("damaged: the checksum of a page does not match")
        return n


def _decompressed(stored: _Stored, codec: int) -> io.RawIOBase:
    import pyarrow as pa

    if codec == _UNCOMPRESSED:
        return stored
    if codec == _SNAPPY:
        return _Pieces(_snappy_decompressed(io.BufferedReader(stored, _BUFFER)))
    stream: io.RawIOBase = pa.CompressedInputStream(stored, _CODECS[codec])
    return stream


class _Pieces(io.RawIOBase):
    """A stream of the bytes that an iterator yields in pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """Return True, always."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Read the next bytes."""
        view = memoryview(buffer).cast("B")
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        n = min(len(view), len(self._piece))
        view[:n] = self._piece[:n]
        self._piece = self._piece[n:]
        return n


def _snappy_decompressed(stream: IO[bytes]) -> Iterator[bytes]:
    """Decompress Snappy's raw format: literal bytes, and copies of earlier bytes.

    Arrow can decompress it only as a whole.
    """
    while _number(stream, 1) >= 0x80:  # noqa: PLR2004 - the highest bit is set if more bytes follow
        pass
    window = bytearray()
    while tag := stream.read(1):
        kind, number = tag[0] & 3, tag[0] >> 2
        if kind == 0:
            # The four largest numbers are followed by one to four bytes of the length.
            n_left = 1 + (number if number < 60 else _number(stream, number - 59))  # noqa: PLR2004
            while literal := stream.read(min(n_left, _WINDOW)):
                window += literal
                n_left -= len(literal)
                if len(window) >= 2 * _WINDOW:
                    yield bytes(window[:-_WINDOW])
                    del window[:-_WINDOW]
            continue
        if kind == 1:
            length, back = 4 + (number & 7), (number >> 3 << 8) + _number(stream, 1)
        else:
            length, back = 1 + number, _number(stream, 2 * kind - 2)
        start = len(window) - back
        if back == 0 or start < 0:
            raise OSError("damaged: a page refers to bytes before its start")
        # A copy may overlap with its own result, so that the copied bytes are repeated.
        window += (window[start : start + length] * (length // back + 1))[:length]
    yield bytes(window)


def _number(stream: IO[bytes], n_bytes: int) -> int:
    return int.from_bytes(stream.read(n_bytes), "little")


class _Dictionary:
    """The values of a dictionary by number; a large dictionary is in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_HELD_BYTES)  # noqa: SIM115 - closed by __exit__
        self._starts = [0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, values_: Iterator[bytes]) -> None:
        """Append values."""
        self._file.seek(self._starts[-1])
        for value in values_:
            self._starts.append(self._starts[-1] + self._file.write(value))

    def __getitem__(self, number: int) -> bytes:
        if number >= len(self._starts) - 1:
            raise OSError("damaged: a page refers to a value that its dictionary does not have")
        self._file.seek(self._starts[number])
        return self._file.read(self._starts[number + 1] - self._starts[number])


def _runs(data: bytes, width: int, n: int) -> Iterator[int]:
    """Decode parquet's RLE/bit-packed hybrid of integers.

    Parameters
    ----------
    width
        Bits of an integer.
    n
        The number of integers.
    """
    at = 0
    while n > 0:
        header = shift = 0
        while True:
            if at >= len(data):
                raise OSError("damaged: a page has fewer values than it declares")
            byte = data[at]
            at += 1
            header |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 - the highest bit is set if more bytes follow
                break
        if header & 1 and width:
            for start in range(0, header >> 1, _GROUPS_AT_ONCE):
                groups = min((header >> 1) - start, _GROUPS_AT_ONCE)
                numbers = _unpacked(data[at : at + groups * width], width)[:n]
                at += groups * width
                n -= len(numbers)
                yield from numbers
        else:
            n_bytes = (width + 7) // 8
            count = min((header >> 1) * (8 if header & 1 else 1), n)
            yield from itertools.repeat(int.from_bytes(data[at : at + n_bytes], "little"), count)
            at += n_bytes
            n -= count


def _unpacked(data: bytes, width: int) -> list[int]:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    whole = bits[: len(bits) // width * width].reshape(-1, width)
    numbers: list[int] = (whole @ (1 << np.arange(width))).tolist()
    return numbers
