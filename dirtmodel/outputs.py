"""Rows → table, csv, tsv, json, ndjson or parquet.

All but `table` stream: a million rows never stand in memory at once.
"""

import contextlib
import datetime as dt
import decimal
import enum
import io
import itertools
import json
import math
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from dirtmodel.errors import OutputError

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS: Final = ("table", "csv", "tsv", "json", "ndjson", "parquet")
_SUFFIXES: Final = {".jsonl": "ndjson", ".txt": "table"} | {
    f".{name}": name for name in FORMATS if name != "table"
}
_CHUNK: Final = 16_384
_KB: Final = 1_000
_SQLITE_MAGIC: Final = b"SQLite format 3\0"
_CSV_SPECIAL: Final = re.compile(r'[",\r\n]')
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

Row = Sequence[Any]


def format_of(path: Path | None, asked: str | None) -> str:
    """Choose the format: the one asked for, else by the file's suffix, else `table`.

    >>> format_of(Path("excluded.tsv"), None)
    'tsv'
    """
    if asked is not None:
        return asked
    return _SUFFIXES.get(path.suffix.lower(), "table") if path else "table"


def write(
    columns: Sequence[str],
    rows: Iterable[Row],
    format: str,  # noqa: A002 - the option's name
    file: IO[bytes],
    *,
    schema: "pa.Schema | None" = None,
) -> None:
    """Write rows to a binary file.

    Enums become DIRT's upper-case names. NULL is empty in csv and table, `n/a` in tsv (BIDS), null
    in json and ndjson. Bytes are never written but described by their size.

    Parameters
    ----------
    schema
        Types for parquet; without it they are taken from the values.

    Raises
    ------
    OutputError
        When the format cannot hold the rows: two columns of one name in json, ndjson or parquet,
        values of several types in one parquet column.
    """
    if format in {"json", "ndjson", "parquet"}:
        _refuse_equal_names(columns, format)
    if format == "parquet":
        _write_parquet(columns, rows, file, schema)
        return
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=False)
    try:
        _TEXT[format](columns, rows, text)
        text.flush()
    finally:
        text.detach()


def _refuse_equal_names(columns: Sequence[str], format: str) -> None:  # noqa: A002 - as in write
    for name in columns:
        if list(columns).count(name) > 1:
            raise OutputError(
                f"several columns are called {name}, and {format} can keep only one; rename them "
                "with AS, or choose --format csv"
            )


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place with -o"
        ) from error


@contextlib.contextmanager
def destination(path: Path, *, follow: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only when it is complete.

    A link stays one, and a device or a pipe is written to as it is.

    Parameters
    ----------
    follow
        With False, what is written takes the place of a link, a device or a pipe: nothing outside
        of the folder is touched.

    Raises
    ------
    OutputError
        When it cannot be written; what was there before is still there.
    """
    path = Path(os.path.realpath(path)) if follow else path
    _spare_databases(path)
    if follow and path.exists() and not path.is_file():
        with _unwritable(path, "choose another place with -o"), path.open("wb") as file:
            yield file
        return
    try:
        # Not by tempfile, whose files are their owner's alone; and who asks for the usual rights
        # has to change those of the whole process for a moment.
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; choose another place with -o"
        ) from error
    try:
        with _unwritable(path, "what was there is as it was"):
            with os.fdopen(handle, "wb") as file:
                yield file
            if path.exists():
                partial.chmod(path.stat().st_mode & 0o777)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _spare_databases(path: Path) -> None:
    """No result is worth a database, whose path is easily typed for -o instead of --db."""
    if not path.is_file():
        return
    with _unwritable(path, "choose another place with -o"), path.open("rb") as file:
        start = file.read(len(_SQLITE_MAGIC))
    if start == _SQLITE_MAGIC:
        raise OutputError(
            f"{path} is a SQLite database and will not be overwritten; choose another place with -o"
        )


@contextlib.contextmanager
def _unwritable(place: Path | str, then: str) -> Iterator[None]:
    """Turn what the system says against writing into our error; a reader that left is not one."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}; {then}") from error


def _write_table(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    from tabulate import tabulate

    kept = [tuple(row) for row in rows]
    cells = [[_table_cell(value) for value in row] for row in kept]
    numeric = [
        any(map(_is_number, values)) and all(v is None or _is_number(v) for v in values)
        for values in ([row[n] for row in kept] for n in range(len(columns)))
    ]
    file.write(
        tabulate(
            cells,
            headers=list(columns),
            disable_numparse=True,
            missingval="",
            colalign=["right" if right else "left" for right in numeric] if cells else None,
        )
    )
    file.write("\n")


def _write_csv(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    # The standard library leaves a lone carriage return unquoted, which readers take for a line's
    # end.
    for row in itertools.chain([columns], rows):
        line = ",".join(_csv_cell(str(_text_cell(value, ""))) for value in row)
        file.write((line or '""') + "\n")


def _csv_cell(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _CSV_SPECIAL.search(cell) else cell


def _write_tsv(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    # BIDS knows no quoting, so what would break a line or a column is escaped instead.
    for row in itertools.chain([columns], rows):
        cells = (str(_text_cell(value, "n/a")) for value in row)
        file.write("\t".join(_CONTROL.sub(_escape, cell) for cell in cells) + "\n")


def _write_json(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    file.write("[")
    separator = "\n"
    for line in _json_lines(columns, rows):
        file.write(separator + line)
        separator = ",\n"
    file.write("\n]\n")


def _write_ndjson(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    file.writelines(line + "\n" for line in _json_lines(columns, rows))


_TEXT: Final[dict[str, Callable[[Sequence[str], Iterable[Row], IO[str]], None]]] = {
    "table": _write_table,
    "csv": _write_csv,
    "tsv": _write_tsv,
    "json": _write_json,
    "ndjson": _write_ndjson,
}


def _json_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield dumps(dict(zip(columns, row, strict=True)))


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write JSON that any reader takes: no NaN, no bytes, names instead of enums."""
    return json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False, indent=indent)


def jsonable(value: Any) -> Any:
    """Bring a value into what JSON knows; what is not a number there becomes null."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, decimal.Decimal):
        value = _decimal(value)
    match value:
        case dict():
            return {str(key): jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _:
            return _json_scalar(value)


def _json_scalar(value: Any) -> Any:
    match value:
        case enum.Enum():
            return value.name
        case float():
            return value if math.isfinite(value) else None
        case dt.datetime():
            return value.isoformat()
        case bytes() | memoryview():
            return describe_bytes(value)
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def _decimal(value: decimal.Decimal) -> int | float | None:
    """Postgres gives sums and averages as decimals; JSON has one kind of number."""
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def describe_bytes(data: bytes | memoryview) -> str:
    """Say what a BLOB is instead of printing it.

    >>> describe_bytes(b"abc")
    '<3 bytes>'
    """
    from dirtmodel.draw.header import probe
    from dirtmodel.errors import PictureError

    n_bytes = memoryview(data).nbytes
    size = f"{n_bytes} bytes" if n_bytes < _KB else f"{n_bytes / _KB:.0f} KB"
    try:
        header = probe(data)
    except PictureError:
        return f"<{size}>"
    return f"<{header.format} {header.width}×{header.height}, {size}>"


def _text_cell(value: Any, null: str) -> Any:
    match value:
        case None:
            return null
        case bool():
            return "true" if value else "false"
        case int() | float() | decimal.Decimal() | str() if not isinstance(value, enum.Enum):
            return value
        case list() | tuple():
            return " ".join(str(_text_cell(item, null)) for item in value) or null
        case dict():
            return dumps(value)
        case _:
            return str(jsonable(value))


def _is_number(value: Any) -> bool:
    """Tell what lines up on the right."""
    return isinstance(value, int | float | decimal.Decimal) and not isinstance(
        value, bool | enum.Enum
    )


def _table_cell(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    cell = _text_cell(value, "")
    # Notes are anybody's text: they shall not move the cursor or colour the terminal.
    return _CONTROL.sub(_escape, cell) if isinstance(cell, str) else cell


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def _write_parquet(
    columns: Sequence[str], rows: Iterable[Row], file: IO[bytes], schema: "pa.Schema | None"
) -> None:
    """Write chunk by chunk; where types must be found out, chunks wait on disk until all agree."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def tables() -> Iterator[pa.Table]:
        iterator = iter(rows)
        while chunk := list(itertools.islice(iterator, _CHUNK)):
            yield _arrow_table(columns, chunk, schema)

    if schema is not None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for table in tables():
                writer.write_table(table)
        return
    with tempfile.TemporaryDirectory() as folder:
        schemas = [pa.schema([(name, pa.null()) for name in columns])]
        for n, table in enumerate(tables(), 1):
            schemas.append(table.schema)
            pq.write_table(table, f"{folder}/{n}.parquet", compression="zstd")
        try:
            unified = pa.unify_schemas(schemas, promote_options="permissive")
        except pa.ArrowException as error:
            raise _mixed(_differing(schemas)) from error
        with pq.ParquetWriter(file, unified, compression="zstd") as writer:
            for n in range(1, len(schemas)):
                # Threads and read-ahead would each hold memory of their own.
                with pq.ParquetFile(f"{folder}/{n}.parquet", pre_buffer=False) as chunk:
                    writer.write_table(_cast(chunk.read(use_threads=False), unified))


def _differing(schemas: "Sequence[pa.Schema]") -> str:
    """The first column whose types in the chunks cannot be brought together."""
    import pyarrow as pa

    for name in schemas[0].names:
        try:
            pa.unify_schemas(
                [pa.schema([schema.field(name)]) for schema in schemas],
                promote_options="permissive",
            )
        except pa.ArrowException:
            return str(name)
    raise AssertionError("called for schemas that can be unified")


def _cast(table: "pa.Table", schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    columns = []
    for column, field in zip(table.columns, schema, strict=True):
        try:
            columns.append(column.cast(field.type))
        except pa.ArrowException as error:
            raise _mixed(field.name) from error
    return pa.Table.from_arrays(columns, schema=schema)


def _mixed(column: str) -> OutputError:
    return OutputError(
        f"column {column} holds values of several types, which parquet cannot; "
        "cast it in the query or choose --format csv"
    )


def _arrow_table(
    columns: Sequence[str], chunk: list[Row], schema: "pa.Schema | None"
) -> "pa.Table":
    import pyarrow as pa

    arrays = []
    for n, name in enumerate(columns):
        values = [_arrow_value(row[n]) for row in chunk]
        try:
            arrays.append(pa.array(values, schema.field(n).type if schema else None))
        except (pa.ArrowException, OverflowError) as error:
            raise _mixed(name) from error
    return pa.Table.from_arrays(arrays, names=list(columns))


def _arrow_value(value: Any) -> Any:
    match value:
        case enum.Enum():
            return value.name
        case bytes() | memoryview():
            return describe_bytes(value)
        case _:
            return value
