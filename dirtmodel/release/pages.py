"""The sizes that a parquet file declares, compared with the file before anything trusts them.

Arrow allocates what a footer or the header of a page asks for, so that a flipped bit can cost
gigabytes. The headers also tell in advance how much memory reading the pages takes.

The headers are in Thrift's compact protocol, of which only integers, booleans, structs and lists
are interpreted here.
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
_CODEC: Final = 4
_SIZES_OF_CHUNK: Final = (5, 6, 7, 9)
_DICTIONARY_AT: Final = 11
"""Fields of a footer and its row groups: the row groups, the number of rows; the column chunks,
each with a struct; in it, how pages are compressed, numbers of values, of bytes as they are read
and as they are stored, and where the data begins; where the dictionary begins."""

_SIZES: Final = (2, 3)
_CHECKSUM: Final = 4
_DATA: Final = 5
_DICTIONARY: Final = 7
_DATA_2: Final = 8
"""Fields of a page's header: its sizes as it is read and as it is stored; its checksum; what kind
of page it is, each a struct that begins with the number of its values."""

_ENCODING: Final = {_DATA: 2, _DICTIONARY: 2, _DATA_2: 4}
_LEVELS_ENCODING: Final = 3
_LEVELS_BYTES: Final = (5, 6)
_COMPRESSED: Final = 7
"""Fields of these structs: how values are encoded; in version 1, how levels are encoded; in version
2, how many bytes they take, and whether the values are compressed."""

_STOP: Final = 0
_TRUE: Final = 1
_BOOLEANS: Final = frozenset({_TRUE, 2})
_INTEGERS: Final = frozenset({4, 5, 6})
_WIDTHS: Final = {3: 1, 7: 8}
"""Bytes and doubles."""
_BINARY: Final = 8
_LISTS: Final = frozenset({9, 10})
_STRUCT: Final = 12

_DEEPEST: Final = 32


class Chunk(NamedTuple):
    """A column of a row group, as the footer declares it; the codec is parquet's number."""

    codec: int
    n_values: int
    n_bytes: int
    start: int
    end: int


class Page(NamedTuple):
    """What the header of a page declares.

    Parameters
    ----------
    start
        Where the page begins in the file, after its header.
    encoding, levels_encoding
        Parquet's numbers; the latter is None where there are no levels, or no choice.
    levels_bytes
        The length of levels that are stored before the values and never compressed; None where
        they are part of what is compressed.
    """

    is_dictionary: bool
    n_values: int
    n_bytes: int
    n_stored_bytes: int
    start: int
    encoding: int
    levels_encoding: int | None
    levels_bytes: int | None
    is_compressed: bool
    checksum: int | None


def footer_length(path: Path) -> int:
    """Return the length of the footer; 0 where it is not within the file."""
    with path.open("rb") as file:
        return _footer(file)[1]


def chunks(file: IO[bytes]) -> list[list[Chunk]]:
    """Return the column chunks of each row group, equally many of each.

    Raises
    ------
    OSError
        If the declared sizes contradict each other, or the file's own.
    """
    end, length = _footer(file)
    file.seek(end)
    # Not by pyarrow, which ends the process where the metadata of a column is damaged.
    footer, _ = _struct(file.read(length))
    groups = _structs(footer.get(_GROUPS))
    _require(sum(_size(group.get(_ROWS)) for group in groups) == footer.get(_ROWS), "rows")
    found = [
        [
            _chunk(declared, end)
            for declared in _structs([c.get(_CHUNK) for c in _structs(group.get(_CHUNKS))])
        ]
        for group in groups
    ]
    _require(len(set(map(len, found))) <= 1, "row groups")
    return found


def _chunk(declared: _Fields, end: int) -> Chunk:
    n_values, n_bytes, n_stored, first = (_size(declared.get(field)) for field in _SIZES_OF_CHUNK)
    # What is absent, a dictionary or all data, may be declared to be at the start of the file.
    dictionary = _size(declared.get(_DICTIONARY_AT) or 0)
    start = min((at for at in (first, dictionary) if at), default=0)
    _require(start + n_stored <= end, "column chunks")
    return Chunk(_size(declared.get(_CODEC)), n_values, n_bytes, start, start + n_stored)


def pages(file: IO[bytes], chunk: Chunk) -> Iterator[Page]:
    """Yield the pages of a column chunk.

    Raises
    ------
    OSError
        If the declared sizes contradict each other.
    """
    n_values = 0
    start = chunk.start
    while start < chunk.end:
        page = _page(*_header(file, start, chunk.end))
        start = page.start + page.n_stored_bytes
        _require(start <= chunk.end and page.n_bytes <= chunk.n_bytes, "pages")
        # Each value of a dictionary takes a byte at least.
        _require(not page.is_dictionary or page.n_values <= page.n_bytes, "dictionaries")
        n_values += 0 if page.is_dictionary else page.n_values
        yield page
    _require(n_values == chunk.n_values, "values")


def _page(header: _Fields, start: int) -> Page:
    kinds = [kind for kind in _ENCODING if kind in header]
    _require(len(kinds) == 1, "pages")
    (kind,) = kinds
    (described,) = _structs([header[kind]])
    n_bytes, n_stored_bytes = (_size(header.get(field)) for field in _SIZES)
    levels_bytes = None
    if kind == _DATA_2:
        levels_bytes = sum(_size(described.get(field)) for field in _LEVELS_BYTES)
        _require(levels_bytes <= min(n_bytes, n_stored_bytes), "pages")
    checksum = header.get(_CHECKSUM)
    return Page(
        is_dictionary=kind == _DICTIONARY,
        n_values=_size(described.get(1)),
        n_bytes=n_bytes,
        n_stored_bytes=n_stored_bytes,
        start=start,
        encoding=_size(described.get(_ENCODING[kind])),
        levels_encoding=_size(described.get(_LEVELS_ENCODING)) if kind == _DATA else None,
        levels_bytes=levels_bytes,
        is_compressed=kind != _DATA_2 or described.get(_COMPRESSED) is not False,
        checksum=checksum & 0xFFFFFFFF if isinstance(checksum, int) else None,
    )


def _footer(file: IO[bytes]) -> tuple[int, int]:
    """Return where the footer begins, and its length."""
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL:
        return 0, 0
    file.seek(size - _TAIL)
    length = int.from_bytes(file.read(_TAIL // 2), "little")
    start = size - _TAIL - length
    return (start, length) if start >= 0 else (0, 0)


def _require(agrees: bool, what: str) -> None:
    if not agrees:
        raise OSError(f"damaged: the declared sizes of its {what} contradict each other")


def _size(declared: Any) -> int:
    _require(isinstance(declared, int) and declared >= 0, "pages")
    return int(declared)


def _header(file: IO[bytes], start: int, end: int) -> tuple[_Fields, int]:
    """Return the header of a page, and where it ends in the file."""
    n_read = _READ
    while True:
        file.seek(start)
        data = file.read(min(n_read, end - start))
        if len(data) < n_read or n_read >= _LARGEST_HEADER:
            return _struct(data, start)
        with contextlib.suppress(_CutOffError):
            return _struct(data, start)
        n_read *= 16


def _structs(values: Any) -> list[_Fields]:
    _require(isinstance(values, list) and all(isinstance(v, dict) for v in values), "parts")
    return list(values)


def _struct(data: bytes, start: int = 0) -> tuple[_Fields, int]:
    """Read a struct that starts at a place; return its fields by number, and where it ends."""
    reader = _Thrift(data)
    return reader.struct(), start + reader.at


class _CutOffError(OSError):
    """The data ends within a struct."""


class _Thrift:
    """Reads integers, booleans, structs and lists, and skips the rest."""

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
            return (self._byte() if element else kind) == _TRUE
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
