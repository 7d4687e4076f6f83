"""Limiting the memory for reading the files of a release.

Rows are read in batches of few bytes. But Arrow also holds the pages of these rows in memory.
Columns for which this would be much are read by `streaming` instead.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from dirtmodel import groups
from dirtmodel.groups import row_size, take
from dirtmodel.release import pages, streaming

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

NARROW_ROWS: Final = 16_384
WIDE_ROWS: Final = 32
"""The maximum number of rows in a batch, without and with pictures.

Three batches are in memory at a time: one is written, one is ready, and one is decoded. In a
release, the largest pictures (600 KB) are next to each other.
"""

MUCH_BYTES: Final = 64 << 20
"""Bytes that Arrow may hold for a column; a column that needs more is streamed if possible."""

_REPEATS: Final = 16
"""An estimate of how often each value of a dictionary is repeated in a batch."""


def rows_at_a_time(n_bytes: int, n_rows: int, most: int) -> int:
    """Return the number of rows to read at a time; large rows are read in small numbers.

    >>> rows_at_a_time(2_500_000_000, 100_000, 32), rows_at_a_time(4_000_000_000, 1_000, 32)
    (32, 2)
    """
    mean = n_bytes // max(n_rows, 1)
    return max(1, min(most, groups.BYTES // max(mean, 1)))


class Streamed(NamedTuple):
    """A column that `streaming` can read: its index in the file, and its Arrow type."""

    number: int
    type: "pa.DataType"
    nullable: bool


class Needs(NamedTuple):
    """The memory that reading a file needs.

    Parameters
    ----------
    streamed
        The columns that are streamed, because Arrow would need much memory for them, by name.
    n_bytes
        The bytes that Arrow holds for one of the other columns, at most.
    n_rows
        The number of rows in the file.
    """

    streamed: Mapping[str, Streamed]
    n_bytes: int
    n_rows: int


def needs(path: Path, file: "pq.ParquetFile") -> Needs:
    """Check all sizes that a file declares, and return the memory that reading it needs.

    Raises
    ------
    OSError
        If the sizes contradict each other.
    """
    streamable = _streamable(file)
    names = {column.number: name for name, column in streamable.items()}
    streamed = {}
    n_bytes = 0
    with path.open("rb") as opened:
        groups = pages.chunks(opened)
        for index in range(len(groups[0]) if groups else 0):
            name = names.get(index)
            rows = WIDE_ROWS if name == "img" else NARROW_ROWS
            n_held = most = 0
            for group in groups:
                declared = list(pages.pages(opened, group[index]))
                n_held = max(n_held, _held_bytes(declared))
                most = max(most, n_held, _batch_bytes(group[index], declared, rows))
                if not all(streaming.is_readable(group[index], page) for page in declared):
                    name = None
            if name is not None and most > MUCH_BYTES:
                streamed[name] = streamable[name]
            else:
                n_bytes = max(n_bytes, n_held)
    return Needs(streamed, n_bytes, file.metadata.num_rows)


def _streamable(file: "pq.ParquetFile") -> dict[str, Streamed]:
    """Return the columns of bytes or text that could be streamed, by name."""
    import pyarrow.types as pt

    streamable = {}
    for index in range(len(file.schema)):
        column = file.schema.column(index)
        name, type_of_values = column.path, None
        if file.schema_arrow.names.count(name) == 1:
            type_of_values = file.schema_arrow.field(name).type
        is_plain = column.max_repetition_level == 0 and column.max_definition_level <= 1
        if not is_plain or column.physical_type != "BYTE_ARRAY" or type_of_values is None:
            continue
        for is_type in (pt.is_binary, pt.is_large_binary, pt.is_string, pt.is_large_string):
            if is_type(type_of_values):
                nullable = column.max_definition_level == 1
                streamable[name] = Streamed(index, type_of_values, nullable)
    return streamable


def _held_bytes(declared: list[pages.Page]) -> int:
    """Return the bytes that Arrow holds for a column chunk in addition to the batch."""
    # A page is held both compressed and decompressed; the values of a dictionary are copied.
    held = [page.n_bytes + page.n_stored_bytes for page in declared]
    return max(held, default=0) + sum(page.n_bytes for page in declared if page.is_dictionary)


def _batch_bytes(chunk: pages.Chunk, declared: list[pages.Page], rows: int) -> int:
    """Estimate the bytes of the largest batch with this number of rows."""
    batches = [
        # A dictionary contains each value only once; in a batch, values are repeated.
        _REPEATS * page.n_bytes
        if page.is_dictionary
        else min(chunk.n_bytes, page.n_bytes // max(page.n_values, 1) * rows)
        for page in declared
    ]
    return max(batches, default=0)


def read(
    path: Path, file: "pq.ParquetFile", names: list[str], streamed: Mapping[str, Streamed]
) -> "Iterator[pa.RecordBatch]":
    """Read columns of a file in batches of few bytes; streamed columns are the last ones."""
    streams = {
        name: (column.type, streaming.values(path, column.number, nullable=column.nullable))
        for name, column in streamed.items()
        if name in names
    }
    for batch in _by_arrow(path, file, [name for name in names if name not in streams]):
        yield from _with_streams(batch, streams) if streams else in_pieces(batch)


def _by_arrow(path: Path, file: "pq.ParquetFile", names: list[str]) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    n_rows = file.metadata.num_rows
    if not names:
        # Without columns, Arrow would return no rows.
        for start in range(0, n_rows, NARROW_ROWS):
            rows = pa.nulls(min(NARROW_ROWS, n_rows - start), pa.struct([]))
            yield pa.RecordBatch.from_struct_array(rows)
        return
    wanted = [
        index
        for index in range(len(file.schema))
        if file.schema.column(index).path.split(".")[0] in names
    ]
    with path.open("rb") as opened:
        n_bytes = sum(group[index].n_bytes for group in pages.chunks(opened) for index in wanted)
    most = WIDE_ROWS if "img" in names else NARROW_ROWS
    rows = rows_at_a_time(n_bytes, n_rows, most)
    yield from file.iter_batches(batch_size=rows, columns=names, use_threads=False)


def _with_streams(
    batch: "pa.RecordBatch", streams: "Mapping[str, tuple[pa.DataType, Iterator[bytes | None]]]"
) -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    rows = zip(*(values for _, values in streams.values()), strict=True)
    start = 0
    while start < batch.num_rows:
        taken = take(rows, row_size, batch.num_rows - start)
        if not taken:
            return
        columns = [
            _array(type_, values)
            for (type_, _), values in zip(streams.values(), zip(*taken, strict=True), strict=True)
        ]
        yield pa.RecordBatch.from_arrays(
            [*batch.slice(start, len(taken)).columns, *columns],
            names=[*batch.schema.names, *streams],
        )
        start += len(taken)


def _array(type_: "pa.DataType", values: tuple[bytes | None, ...]) -> "pa.Array":
    import pyarrow as pa

    array = pa.array(values, pa.large_binary())
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        # Not checked here, like text that Arrow reads; text that is not UTF-8 is found later.
        return array.view(pa.large_string())
    return array


def in_pieces(batch: "pa.RecordBatch") -> "Iterator[pa.RecordBatch]":
    """Split a batch that is larger than estimated into batches of few bytes."""
    if batch.num_rows <= 1 or batch.nbytes <= groups.BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from in_pieces(batch.slice(0, half))
    yield from in_pieces(batch.slice(half))
