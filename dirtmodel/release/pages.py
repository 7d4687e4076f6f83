"""The sizes that a parquet file declares, compared with the file before Arrow trusts them.

Arrow allocates what a footer or the header of a page asks for, so that a flipped bit can cost
gigabytes. It also holds each page as a whole, and some writers make pages of a thousand pictures;
the headers of the pages tell in advance how much memory reading takes.

The headers are in Thrift's compact protocol, of which only integers are interpreted here.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

_Fields = dict[int, Any]

_TAIL: Final = 8
"""Bytes after the footer: its length, and PAR1."""

_READ: Final = 256
_LARGEST_HEADER: Final = 1 << 26
"""A header can hold the smallest and the largest value of its page, which may be pictures."""

_GROUPS: Final = 4
_ROWS: Final = 3
_CHUNKS: Final = 1
_CHUNK: Final = 3
_SIZES_OF_CHUNK: Final = (5, 6, 7, 9)
_DICTIONARY_AT: Final = 11
"""Fields of a footer and its row groups: the row groups, the number of rows; the column chunks,
each with a struct; in it, numbers of values, of bytes as they are read and as they are stored, and
where the data begins; where the dictionary begins."""

_SIZES: Final = (2, 3)
_DICTIONARY: Final = 7
_KINDS: Final = (5, _DICTIONARY, 8)
"""Fields of a page's header: its sizes as it is read and as it is stored; what kind of page it is,
each a struct that begins with the number of its values."""

_STOP: Final = 0
_BOOLEANS: Final = frozenset({1, 2})
_INTEGERS: Final = frozenset({4, 5, 6})
_WIDTHS: Final = {3: 1, 7: 8}
"""Bytes and doubles."""
_BINARY: Final = 8
_LISTS: Final = frozenset({9, 10})
_STRUCT: Final = 12

_DEEPEST: Final = 32


class Page(NamedTuple):
    """What the header of a page declares."""

    is_dictionary: bool
    n_values: int
    n_bytes: int
    n_stored_bytes: int


def footer_length(path: Path) -> int:
    """Return the length of the footer; 0 where it is not within the file."""
    with path.open("rb") as file:
        return _footer(file)[1]


def n_bytes_held(path: Path) -> int:
    """Compare all declared sizes of a parquet file with each other and with its own.

    Returns
    -------
    int
        Bytes that Arrow holds at a time while it reads the column with the largest pages.

    Raises
    ------
    OSError
        If the sizes contradict each other.
    """
    with path.open("rb") as file:
        end, length = _footer(file)
        file.seek(end)
        # Not by pyarrow, which ends the process where the metadata of a column is damaged.
        footer, _ = _struct(file.read(length))
        groups = _structs(footer.get(_GROUPS))
        _require(sum(_size(group.get(_ROWS)) for group in groups) == footer.get(_ROWS), "rows")
        chunks = [chunk.get(_CHUNK) for group in groups for chunk in _structs(group.get(_CHUNKS))]
        return max((_held(file, chunk, end) for chunk in _structs(chunks)), default=0)


def _footer(file: IO[bytes]) -> tuple[int, int]:
    """Return where the footer begins, and its length."""
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL:
        return 0, 0
    file.seek(size - _TAIL)
    length = int.from_bytes(file.read(_TAIL // 2), "little")
    start = size - _TAIL - length
    return (start, length) if start >= 0 else (0, 0)


def _held(file: IO[bytes], chunk: _Fields, end: int) -> int:
    n_values, n_bytes, n_stored, first = (_size(chunk.get(field)) for field in _SIZES_OF_CHUNK)
    # What is absent, a dictionary or all data, may be declared to be at the start of the file.
    dictionary = _size(chunk.get(_DICTIONARY_AT) or 0)
    start = min((at for at in (first, dictionary) if at), default=0)
    _require(start + n_stored <= end, "column chunks")
    pages = list(_pages(file, start, start + n_stored))
    _require(all(page.n_bytes <= n_bytes for page in pages), "pages")
    data = [page for page in pages if not page.is_dictionary]
    dictionaries = [page for page in pages if page.is_dictionary]
    _require(sum(page.n_values for page in data) == n_values, "values")
    # Each value of a dictionary takes a byte at least.
    _require(all(page.n_values <= page.n_bytes for page in dictionaries), "dictionaries")
    # A page is held as it is stored and decompressed; the values of a dictionary are copied.
    held = [page.n_bytes + page.n_stored_bytes for page in pages]
    return max(held, default=0) + sum(page.n_bytes for page in dictionaries)


def _require(agrees: bool, what: str) -> None:
    if not agrees:
        raise OSError(f"damaged: the declared sizes of its {what} contradict each other")


def _pages(file: IO[bytes], start: int, end: int) -> Iterator[Page]:
    while start < end:
        header, length = _header(file, start, end)
        n_bytes, n_stored = (header.get(field) for field in _SIZES)
        described = _structs([header[field] for field in _KINDS if field in header])
        _require(len(described) == 1, "pages")
        n_values = described[0].get(1)
        page = Page(_DICTIONARY in header, *map(_size, (n_values, n_bytes, n_stored)))
        start += length + page.n_stored_bytes
        _require(start <= end, "pages")
        yield page


def _size(declared: Any) -> int:
    _require(isinstance(declared, int) and declared >= 0, "pages")
    return int(declared)


def _header(file: IO[bytes], start: int, end: int) -> tuple[_Fields, int]:
    n_read = _READ
    while True:
        file.seek(start)
        data = file.read(min(n_read, end - start))
        if len(data) < n_read or n_read >= _LARGEST_HEADER:
            return _struct(data)
        with contextlib.suppress(_CutOffError):
            return _struct(data)
        n_read *= 16


def _structs(values: Any) -> list[_Fields]:
    _require(isinstance(values, list) and all(isinstance(v, dict) for v in values), "parts")
    return list(values)


def _struct(data: bytes) -> tuple[_Fields, int]:
    """Read a struct and return its fields by number and its length."""
    reader = _Thrift(data)
    return reader.struct(), reader.at


class _CutOffError(OSError):
    """The data ends within a struct."""


class _Thrift:
    """Reads integers, structs and lists, and skips the rest."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def struct(self, depth: int = 0) -> _Fields:
        """Read the fields of a struct, by number."""
        fields: _Fields = {}
        number = 0
        while (start := self._byte()) != _STOP:
            number = number + (start >> 4) if start >> 4 else self._integer()
            fields[number] = self._value(start & 0x0F, depth)
        return fields

    def _value(self, kind: int, depth: int, *, element: bool = False) -> Any:
        _require(depth < _DEEPEST, "parts")
        if kind in _BOOLEANS:
            # A boolean field is its type; in a list it takes a byte.
            return self._skip(int(element))
        if kind in _INTEGERS:
            return self._integer()
        if kind in _WIDTHS:
            return self._skip(_WIDTHS[kind])
        if kind == _BINARY:
            return self._skip(self._unsigned())
        if kind in _LISTS:
            start = self._byte()
            n = self._unsigned() if start >> 4 == 15 else start >> 4  # noqa: PLR2004 - Thrift's
            return [self._value(start & 0x0F, depth + 1, element=True) for _ in range(n)]
        _require(kind == _STRUCT, "parts")
        return self.struct(depth + 1)

    def _byte(self) -> int:
        self._skip(1)
        return self._data[self.at - 1]

    def _skip(self, n: int) -> None:
        self.at += n
        if self.at > len(self._data):
            raise _CutOffError("damaged: the description of its content is cut off")

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
                return value
            shift += 7

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
