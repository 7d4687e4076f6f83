"""Releases with random damage, and the rows that a load of such a release must produce."""

import datetime as dt
import gzip
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dirtmodel.release.layout import TABLES, file_name

_PNG: Final = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_NUMBERS: Final = (-1, 0, 3, 5, 99, 100, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63))
HOSTILE: Final[dict[str, tuple[Any, ...]]] = {
    "int": _NUMBERS,
    "float": (math.nan, math.inf, -math.inf, -0.0, 1e308, 5e-324, 2.0**53, 0.1, -1.0),
    "text": (
        *("", " ", "\t\n", "NULL", "nan", "\\N", "\\.", "0", "1e400", "-Infinity", "a\0b"),
        *("\x1b[31m", "\u202eabc", "\ufeff", "𝔘\U0010ffff", "'; DROP TABLE image; --", '"', "%s"),
        *("../../etc/passwd", "sub-10003_ses-V1_task-rest_run-99999999999999999999_x", "é" * 9999),
    ),
    "time": (-(2**63), 2**63 - 1, 0, -1, 253_402_300_800_000_000, -62_135_596_800_000_001),
    "bytes": (b"", b"\0", b"GIF89a", _PNG, _PNG + b"\xff" * 13, b"\xff\xd8\xff\xe0" * 9),
}
TYPES: Final = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64()),
    *(pa.float16(), pa.float32(), pa.float64(), pa.bool_(), pa.decimal128(20, 0)),
    *(pa.decimal128(38, 4), pa.string(), pa.large_string(), pa.binary(), pa.large_binary()),
    *(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC")),
    *(pa.timestamp("us", "America/Chicago"), pa.date32(), pa.date64(), pa.time64("us")),
    *(pa.null(), pa.dictionary(pa.int32(), pa.string()), pa.duration("us")),
)


def chance(rng: random.Random, share: float) -> bool:
    """Return True in a share of all cases."""
    return rng.random() < share


def mutate(release: Path, folder: Path, rng: random.Random) -> list[str]:
    """Copy a release, damage the copy, and return a description of the damage.

    Parameters
    ----------
    release
        The folder with the four files.
    folder
        The folder of the damaged copy; it must not exist.
    """
    shutil.copytree(release, folder)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = folder / file_name(rng.choice(TABLES))
        way = rng.choice(_OF_BYTES if chance(rng, 0.4) else _OF_TABLES)
        if not path.is_file():
            continue
        if way in _OF_BYTES:
            path.write_bytes(way(path.read_bytes(), rng))
        else:
            try:
                table = pq.read_table(path, use_threads=False)
                write(way(table, rng), path, rng)
            except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError):
                # The values do not fit the new type, or the file is already damaged.
                continue
        done.append(f"{path.name} {way.__name__.strip('_')}")
    return done


def write(table: pa.Table, path: Path, rng: random.Random) -> None:
    """Write a table with random options of the parquet format."""
    pq.write_table(
        table,
        path,
        row_group_size=rng.choice((None, 1, 7, 1000)),
        compression=rng.choice(("zstd", "snappy", "gzip", "none")),
        use_dictionary=chance(rng, 0.5),
        data_page_version=rng.choice(("1.0", "2.0")),
        data_page_size=rng.choice((None, 64, 4096)),
        write_statistics=chance(rng, 0.5),
        write_page_checksum=chance(rng, 0.5),
        store_schema=chance(rng, 0.7),
    )


# -- bytes


def _flip_bits(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if damaged:
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _flip_footer(data: bytes, rng: random.Random) -> bytes:
    """Damage the footer, which has the positions of everything else."""
    end = min(len(data), 4000)
    return data[:-end] + _flip_bits(data[-end:], rng)


def _overwrite(data: bytes, rng: random.Random) -> bytes:
    start, n = rng.randrange(len(data) + 1), rng.choice((1, 4, 8, 100))
    return data[:start] + rng.choice((b"\0" * n, b"\xff" * n, rng.randbytes(n))) + data[start + n :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 100) :]


def _insert(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.randbytes(rng.randrange(1, 100)) + data[start:]


def _replace(data: bytes, rng: random.Random) -> bytes:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    return rng.choice((b"", b"PAR1", b"PAR1PAR1", pointer, gzip.compress(data), rng.randbytes(99)))


_OF_BYTES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(_flip_bits, _flip_bits, _flip_footer, _flip_footer),
    *(_overwrite, _cut, _remove, _insert, _replace),
)


# -- tables


def _values(table: pa.Table, rng: random.Random) -> pa.Table:
    """Put hostile values into some cells of a column."""
    at = rng.randrange(table.num_columns)
    field = table.schema.field(at)
    values = raw(table.column(at))
    hostile = HOSTILE[_family(field.type)]
    for _ in range(rng.choice((1, 1, 2, len(values)))):
        if values:
            values[rng.randrange(len(values))] = rng.choice((*hostile, rng.choice(values)))
    return table.set_column(at, field, [pa.array(values, field.type)])


def _pictures(table: pa.Table, rng: random.Random) -> pa.Table:
    """Damage some pictures; a table without pictures gets hostile values instead."""
    if "img" not in table.column_names:
        return _values(table, rng)
    at = table.column_names.index("img")
    values = table.column(at).to_pylist()
    for _ in range(rng.choice((1, 3))):
        row = rng.randrange(len(values))
        if values[row]:
            values[row] = rng.choice(_OF_BYTES)(values[row], rng)
    return table.set_column(at, table.schema.field(at), [pa.array(values, table.schema.types[at])])


def _nulls(table: pa.Table, rng: random.Random) -> pa.Table:
    at = rng.randrange(table.num_columns)
    share = rng.choice((0.05, 0.5, 1.0))
    values = [None if rng.random() < share else value for value in raw(table.column(at))]
    field = table.schema.field(at)
    return table.set_column(at, field, [pa.array(values, field.type)])


def _type(table: pa.Table, rng: random.Random) -> pa.Table:
    at = rng.randrange(table.num_columns)
    column = table.column(at)
    new = rng.choice(TYPES)
    if pa.types.is_dictionary(new):
        cast = column.cast(pa.string()).dictionary_encode()
    elif pa.types.is_null(new):
        cast = pa.chunked_array([pa.nulls(len(column))])
    else:
        cast = column.cast(new, safe=chance(rng, 0.5))
    return table.set_column(at, pa.field(table.column_names[at], cast.type), cast)


def _drop_column(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.remove_column(rng.randrange(table.num_columns))


def _rename_column(table: pa.Table, rng: random.Random) -> pa.Table:
    names = list(table.column_names)
    other = rng.choice(("ID", "image_id", "comments", "", "a b", 'x"y', "img", "id.x", *names))
    names[rng.randrange(len(names))] = other
    return table.rename_columns(names)


def _add_column(table: pa.Table, rng: random.Random) -> pa.Table:
    name = rng.choice(("age", "select", "é", "a.b", "Age", "rowid", "target_id", "x" * 80, 'q"'))
    value = rng.choice((1, -(2**63), 0.5, "text", True, b"\0", dt.date(2025, 1, 2), [1], {"a": 1}))
    values = [value if chance(rng, 0.8) else None for _ in range(table.num_rows)]
    return table.add_column(rng.randrange(table.num_columns + 1), name, pa.array(values))


def _order_columns(table: pa.Table, rng: random.Random) -> pa.Table:
    return table.select(rng.sample(range(table.num_columns), table.num_columns))


def _rows(table: pa.Table, rng: random.Random) -> pa.Table:
    """Shuffle, repeat or leave out rows."""
    rows = range(table.num_rows)
    chosen: list[int] = rng.choice(
        (
            rng.sample(rows, len(rows)),
            [*rows, *rng.choices(rows, k=3)] if rows else [],
            [row for row in rows if chance(rng, 0.7)],
            [],
        )
    )
    return table.take(pa.array(chosen, pa.int64()))


def _exchange_columns(table: pa.Table, rng: random.Random) -> pa.Table:
    names = list(table.column_names)
    rng.shuffle(names)
    return table.rename_columns(names)


_OF_TABLES: Final[tuple[Callable[[pa.Table, random.Random], pa.Table], ...]] = (
    *(_values, _values, _values, _pictures, _nulls, _type, _type),
    *(_drop_column, _rename_column, _add_column, _order_columns, _rows, _exchange_columns),
)


def _family(type_: pa.DataType) -> str:
    if pa.types.is_timestamp(type_):
        return "time"
    if pa.types.is_floating(type_):
        return "float"
    if pa.types.is_integer(type_):
        return "int"
    return "bytes" if pa.types.is_large_binary(type_) or pa.types.is_binary(type_) else "text"


def raw(column: pa.ChunkedArray) -> list[Any]:
    """Return Python values; times, which may be out of Python's range, as microseconds."""
    if not pa.types.is_timestamp(column.type):
        values: list[Any] = column.to_pylist()
        return values
    unit = column.type.unit
    ticks = column.cast(pa.int64()).to_pylist()
    return [tick if tick is None else _microseconds(tick, unit) for tick in ticks]


def _microseconds(ticks: int, unit: str) -> int:
    return ticks // 1_000 if unit == "ns" else ticks * {"us": 1, "ms": 1_000, "s": 1_000_000}[unit]
