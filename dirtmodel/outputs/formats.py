"""Writing rows as a table, csv, tsv, json, ndjson or parquet.

All formats are streamed: rows are not held in memory all at once.
"""

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from dirtmodel.errors import OutputError
from dirtmodel.outputs.parquet import Row, write_parquet
from dirtmodel.outputs.table import write_table
from dirtmodel.outputs.values import dumps, escape_control, text_cell

if TYPE_CHECKING:
    import pyarrow as pa


FORMATS: Final = ("table", "csv", "tsv", "json", "ndjson", "parquet")
_SUFFIXES: Final = {".jsonl": "ndjson", ".txt": "table"} | {
    f".{name}": name for name in FORMATS if name != "table"
}
_BYTES: Final = frozenset({bytes, memoryview})
_CSV_SPECIAL: Final = re.compile(r'[",\r\n]')


def format_of(path: Path | None, option: str | None) -> str:
    """Return the format of an option, or else of the file's suffix, or else `table`.

    Raises
    ------
    OutputError
        If there is no option and the suffix of the file does not name a format.

    Examples
    --------
    >>> format_of(Path("excluded.tsv"), None)
    'tsv'
    """
    if option is not None:
        return option
    if path is None or not path.suffix:
        return "table"
    try:
        return _SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"the suffix of {path} does not name a format; choose one of "
            f"{', '.join(sorted(_SUFFIXES))}, or add --format"
        ) from None


def write(
    columns: Sequence[str],
    rows: Iterable[Row],
    format: str,  # noqa: A002 - the option's name
    file: IO[bytes],
    *,
    schema: "pa.Schema | None" = None,
    width: int | None = None,
) -> list[str]:
    """Write rows to a binary file.

    Enums become DIRT's upper-case names. NULL is empty in csv and table, `n/a` in tsv (BIDS), null
    in json and ndjson. Only parquet contains bytes; a table describes them.

    Parameters
    ----------
    schema
        Types of the columns for parquet; by default they are inferred from the values.
    width
        The maximum number of characters in a line of a table; see `table`.

    Returns
    -------
    list of str
        The columns that a table does not contain because they did not fit.

    Raises
    ------
    OutputError
        If the format cannot contain the rows: two columns of the same name in json, ndjson or
        parquet; values of several types in one parquet column; bytes in csv, tsv, json or ndjson.
    """
    if format in {"json", "ndjson", "parquet"}:
        _refuse_equal_names(columns, format)
    if format == "parquet":
        write_parquet(columns, rows, file, schema)
        return []
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=False)
    left_out: list[str] = []
    try:
        if format == "table":
            left_out = write_table(columns, rows, text, width)
        else:
            checked = _refuse_bytes(columns, rows, format)
            # Check the first row before the heading is written.
            first = list(itertools.islice(checked, 1))
            _TEXT[format](columns, itertools.chain(first, checked), text)
        text.flush()
    finally:
        text.detach()
    return left_out


def _refuse_equal_names(columns: Sequence[str], format: str) -> None:  # noqa: A002 - as in write
    for name in columns:
        if list(columns).count(name) > 1:
            raise OutputError(
                f"several columns are called {name}, and {format} can keep only one; rename them "
                "with AS, or choose --format csv"
            )


def _refuse_bytes(
    columns: Sequence[str],
    rows: Iterable[Row],
    format: str,  # noqa: A002 - as in write
) -> Iterator[Row]:
    """Yield the rows, and raise an error at the first one that contains bytes."""
    for row in rows:
        if not _BYTES.isdisjoint(map(type, row)):
            (name, *_) = (n for n, v in zip(columns, row, strict=True) if type(v) in _BYTES)
            raise OutputError(
                f"column {name} has pictures or other bytes, which {format} cannot contain; "
                "leave it out, choose parquet, or write the pictures as files with: "
                "dirtmodel extract"
            )
        yield row


def _write_csv(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    # Not with the standard library, which does not quote a carriage return; readers would take it
    # for the end of a line.
    for row in itertools.chain([columns], rows):
        line = ",".join(_csv_cell(str(text_cell(value, ""))) for value in row)
        file.write((line or '""') + "\n")


def _csv_cell(cell: str) -> str:
    return _quoted(cell) if _CSV_SPECIAL.search(cell) else cell


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _write_tsv(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    # Some readers split lines at every tab and line break, even in quoted cells; therefore these
    # are escaped. Others take any quotation mark for the start of a quoted cell.
    for row in itertools.chain([columns], rows):
        cells = (escape_control(str(text_cell(value, "n/a"))) for value in row)
        file.write("\t".join(_quoted(c) if '"' in c else c for c in cells) + "\n")


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
    "csv": _write_csv,
    "tsv": _write_tsv,
    "json": _write_json,
    "ndjson": _write_ndjson,
}


def _json_lines(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield dumps(dict(zip(columns, row, strict=True)))
