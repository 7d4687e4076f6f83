"""Rows → table, csv, tsv, json, ndjson or parquet.

All but `table` stream: a million rows never stand in memory at once.
"""

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from dirtmodel.errors import OutputError
from dirtmodel.outputs.parquet import Row, write_parquet
from dirtmodel.outputs.values import dumps, escape_control, is_number, table_cell, text_cell

if TYPE_CHECKING:
    import pyarrow as pa


FORMATS: Final = ("table", "csv", "tsv", "json", "ndjson", "parquet")
_SUFFIXES: Final = {".jsonl": "ndjson", ".txt": "table"} | {
    f".{name}": name for name in FORMATS if name != "table"
}
_CSV_SPECIAL: Final = re.compile(r'[",\r\n]')


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
        write_parquet(columns, rows, file, schema)
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


def _write_table(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    from tabulate import tabulate

    kept = [tuple(row) for row in rows]
    cells = [[table_cell(value) for value in row] for row in kept]
    numeric = [
        any(map(is_number, values)) and all(v is None or is_number(v) for v in values)
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
        line = ",".join(_csv_cell(str(text_cell(value, ""))) for value in row)
        file.write((line or '""') + "\n")


def _csv_cell(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _CSV_SPECIAL.search(cell) else cell


def _write_tsv(columns: Sequence[str], rows: Iterable[Row], file: IO[str]) -> None:
    # BIDS knows no quoting, so what would break a line or a column is escaped instead.
    for row in itertools.chain([columns], rows):
        cells = (str(text_cell(value, "n/a")) for value in row)
        file.write("\t".join(escape_control(cell) for cell in cells) + "\n")


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
