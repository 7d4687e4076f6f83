"""Checking the sizes that a parquet file declares, before they are used.

Arrow allocates as many bytes as a footer or the header of a page declares, so that one wrong bit
can cost gigabytes. From the headers, the memory for reading the pages is known in advance.

Headers are written in Thrift's compact protocol. Only its integers, booleans, structs and lists are
interpreted here.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

_Fields = dict[int, Any]

_TAIL: Final = 8
"""Bytes after the footer: the length of the footer, and PAR1."""

_READ: Final = 256
"""Bytes that are read at first for the header of a page."""

_LARGEST_HEADER: Final = 1 << 26
"""Bytes of a header at most. It can contain the smallest and the largest picture of its page."""

_GROUPS: Final = 4
_ROWS: Final = 3
_CHUNKS: Final = 1
_CHUNK: Final = 3
_CODEC: Final = 4
_SIZES_OF_CHUNK: Final = (5, 6, 7, 9)
_DICTIONARY_AT: Final = 11
"""Numbers of fields. In a footer: the row groups and the number of rows. In a row group: the column
chunks and the number of rows. In a column chunk: a struct with the codec, the number of values, the
uncompressed and the stored bytes, the start of the data, and the start of the dictionary."""

_SIZES: Final = (2, 3)
_CHECKSUM: Final = 4
_DATA: Final = 5
_DICTIONARY: Final = 7
_DATA_2: Final = 8
"""Numbers of fields in the header of a page: the uncompressed and the stored size; the checksum;
and one struct for each kind of page, whose first field is the number of values."""

_ENCODING: Final = {_DATA: 2, _DICTIONARY: 2, _DATA_2: 4}
_LEVELS_ENCODING: Final = 3
_LEVELS_BYTES: Final = (5, 6)
_COMPRESSED: Final = 7
"""Numbers of fields in these structs: the encoding of values; in version 1, the encoding of levels;
in version 2, the bytes of levels, and a flag for compressed values."""

_STOP: Final = 0
_TRUE: Final = 1
_BOOLEANS: Final = frozenset({_TRUE, 2})
_INTEGERS: Final = frozenset({4, 5, 6})
_WIDTHS: Final = {3: 1, 7: 8}
"""Sizes of Thrift's bytes and doubles."""
_BINARY: Final = 8
_LISTS: Final = frozenset({9, 10})
_STRUCT: Final = 12

_DEEPEST: Final = 32
"""Levels of nested structs and lists at most."""


class Chunk(NamedTuple):
    """A column of a row group, as declared in the footer; the codec is parquet's number."""

    codec: int
    n_values: int
    n_bytes: int
    start: int
    end: int


class Page(NamedTuple):
    """A page, as declared in its header.

    Parameters
    ----------
    start
        The offset in the file at which the page begins, after its header.
    encoding, levels_encoding
        Parquet's numbers of encodings. `levels_encoding` is None if the page has no levels, or if
        its version allows only one encoding of them.
    levels_bytes
        The length of uncompressed levels before the values; None if the levels are compressed
        together with the values.
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
    """Return the length of the footer; 0 if the declared length exceeds the file."""
    with path.open("rb") as file:
        return _footer(file)[1]


def chunks(file: IO[bytes]) -> list[list[Chunk]]:
    """Return the column chunks of each row group; all row groups have the same number of them.

    Raises
    ------
    OSError
        If the declared sizes contradict each other or the size of the file.
    """
    end, length = _footer(file)
    file.seek(end)
    # pyarrow is not used for this: damaged metadata of a column makes it end the process.
    footer, _ = _struct(file.read(length))
    groups = _structs(footer.get(_GROUPS))
    _require(sum(_size(group.get(_ROWS)) for group in groups) == footer.get(_ROWS), "rows")
    row_groups = [
        [
            _chunk(declared, end)
            for declared in _structs([c.get(_CHUNK) for c in _structs(group.get(_CHUNKS))])
        ]
        for group in groups
    ]
    _require(len(set(map(len, row_groups))) <= 1, "row groups")
    return row_groups


def _chunk(declared: _Fields, end: int) -> Chunk:
    n_values, n_bytes, n_stored, first = (_size(declared.get(field)) for field in _SIZES_OF_CHUNK)
    # Some writers declare the offset 0 for a dictionary, or for data, that does not exist.
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
        # Each value of a dictionary takes at least one byte.
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
    """Return the offset of the footer in the file, and its length."""
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
    """Return the header of a page, and the offset in the file at which it ends."""
    n_read = _READ
    while True:
        file.seek(start)
        data = file.read(min(n_read, end - start))
        if len(data) < n_read or n_read >= _LARGEST_HEADER:
            return _struct(data, start)
        with contextlib.suppress(_IncompleteError):
            return _struct(data, start)
        n_read *= 16


def _structs(values: Any) -> list[_Fields]:
    _require(isinstance(values, list) and all(isinstance(v, dict) for v in values), "parts")
    return list(values)


def _struct(data: bytes, start: int = 0) -> tuple[_Fields, int]:
    """Read a struct, and return its fields by number, and the offset of its end.

    Parameters
    ----------
    start
        The offset of the data in the file.
    """
    reader = _Thrift(data)
    return reader.struct(), start + reader.at


class _IncompleteError(OSError):
    """The data ends within a struct."""


class _Thrift:
    """A parser that returns integers, booleans, structs and lists, and skips other values."""

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
            # In a struct, the type of a field is also its value; in a list, the value is a byte.
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
            raise _IncompleteError("damaged: the description of its content is incomplete")

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the highest bit is set if more bytes follow
                return value
            shift += 7

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
