"""Write the four files of a release as Polars, DuckDB or pandas do."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

Style = Literal["polars", "duckdb", "pandas"]

FOLDER: Final = Path("pre-surgery", "mris", "derivatives", "qc")
EMPTY_ROWS: Final = 3
"""Empty rows at the end of a table, from the terminator and two blank lines of `pg_dump`."""

_INT32_MAX: Final = 2**31 - 1
_ROW_GROUP: Final = {"duckdb": 2048, "pandas": 500}


def write_tables(
    tables: Mapping[str, Any],
    folder: Path,
    *,
    style: Style = "polars",
    empty_rows: int | None = None,
) -> Path:
    """Write logical tables as the files of a release and return `folder`.

    A column that is not of a canonical type (because a test has changed it) is written unchanged.

    Parameters
    ----------
    tables
        pyarrow tables by name, as returned by `make_tables`.
    folder
        The top folder of the documented layout.
    empty_rows
        Number of empty rows at the end of each file; by default that of the style.
    """
    for name, table in tables.items():
        schema = physical_schema(table, style)
        write_batches(table.to_batches(), schema, folder, name, style=style, empty_rows=empty_rows)
    return folder


def physical_schema(table: Any, style: Style) -> Any:
    """Return the schema of a logical table in a file of this style."""
    import pyarrow as pa

    fields = [
        pa.field(name, _physical_type(table.column(name), style)) for name in table.column_names
    ]
    schema = pa.schema(fields)
    return (
        schema.with_metadata(_pandas_metadata(schema, len(table))) if style == "pandas" else schema
    )


def _physical_type(column: Any, style: Style) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if style == "polars":
        return column.type
    narrowed = {
        pa.large_string(): pa.string(),
        pa.large_binary(): pa.binary(),
        pa.timestamp("us", tz="UTC"): (
            pa.timestamp("us") if style == "duckdb" else pa.timestamp("ns", tz="UTC")
        ),
    }
    if not pa.types.is_int64(column.type):
        return narrowed.get(column.type, column.type)
    if style == "pandas" and column.null_count:
        return pa.float64()
    largest = pc.max(pc.abs(column)).as_py()
    return pa.int32() if largest is None or largest <= _INT32_MAX else column.type


def _pandas_metadata(schema: Any, n_rows: int) -> dict[str, str]:
    """Return the metadata that `DataFrame.to_parquet` writes for a schema."""
    numpy_types = {
        "string": "object",
        "binary": "object",
        "timestamp[ns, tz=UTC]": "datetime64[ns]",
    }
    pandas_types = {"string": "unicode", "binary": "bytes", "timestamp[ns, tz=UTC]": "datetimetz"}
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": pandas_types.get(str(field.type), _numpy_name(field.type)),
            "numpy_type": numpy_types.get(str(field.type), _numpy_name(field.type)),
            "metadata": {"timezone": "UTC"} if "tz=UTC" in str(field.type) else None,
        }
        for field in schema
    ]
    index = {"kind": "range", "name": None, "start": 0, "stop": n_rows, "step": 1}
    return {
        "pandas": json.dumps(
            {
                "index_columns": [index],
                "column_indexes": [],
                "columns": columns,
                "creator": {"library": "pyarrow", "version": "26.0.0"},
                "pandas_version": "2.3.0",
            }
        )
    }


def _numpy_name(type_: Any) -> str:
    return {"double": "float64"}.get(str(type_), str(type_))


def write_batches(
    batches: Iterable[Any],
    schema: Any,
    folder: Path,
    name: str,
    *,
    style: Style,
    empty_rows: int | None = None,
) -> None:
    """Write one file of a release from batches, with few of them in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FOLDER / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    if empty_rows is None:
        empty_rows = EMPTY_ROWS if style == "polars" else 0
    rows = _with_empty_rows((_cast(b, schema) for b in batches), schema, empty_rows)
    options: dict[str, Any] = {
        "compression": "zstd" if style == "polars" else "snappy",
        "use_dictionary": [f.name for f in schema if f.name in {"file1", "file2", "notes", "user"}],
        "store_schema": style != "duckdb",
    }
    if style != "polars":
        with pq.ParquetWriter(path, schema, **options) as writer:
            for batch in rows:
                writer.write_batch(batch, row_group_size=_ROW_GROUP[style])
        return
    # pyarrow writes each batch as a separate row group. To write a single row group of any size,
    # write the batches to a temporary file first and map it into memory.
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        spool = Path(scratch, "rows.arrow")
        with pa.ipc.new_file(spool, schema) as sink:
            for batch in rows:
                sink.write_batch(batch)
        with (
            pa.memory_map(str(spool)) as source,
            pq.ParquetWriter(path, schema, **options) as writer,
        ):
            table = pa.ipc.open_file(source).read_all()
            writer.write_table(table, row_group_size=max(1, len(table)))


def _cast(batch: Any, schema: Any) -> Any:
    import pyarrow as pa

    columns = []
    for column, field in zip(batch.columns, schema, strict=True):
        naive = (
            pa.types.is_timestamp(column.type)
            and column.type.tz
            and field.type == pa.timestamp("us")
        )
        columns.append(
            column.cast(pa.int64()).cast(field.type) if naive else column.cast(field.type)
        )
    return pa.record_batch(columns, schema=schema)


def _with_empty_rows(batches: Iterable[Any], schema: Any, n: int) -> Iterator[Any]:
    import pyarrow as pa

    yield from batches
    if n:
        yield pa.record_batch([pa.nulls(n, field.type) for field in schema], schema=schema)
