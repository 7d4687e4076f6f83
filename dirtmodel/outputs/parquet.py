"""Writing rows as parquet."""

import datetime as dt
import enum
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

from dirtmodel.errors import OutputError
from dirtmodel.groups import groups, row_size

if TYPE_CHECKING:
    import pyarrow as pa

Row = Sequence[Any]


_CHUNK: Final = 16_384
"""The maximum number of rows in a chunk."""


def write_parquet(
    columns: Sequence[str], rows: Iterable[Row], file: IO[bytes], schema: "pa.Schema | None"
) -> None:
    """Write rows in chunks; without a schema, chunks are kept on disk until the types are known."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def tables() -> Iterator[pa.Table]:
        for chunk in groups(rows, row_size, _CHUNK):
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
                # Threads and read-ahead would need more memory.
                with pq.ParquetFile(f"{folder}/{n}.parquet", pre_buffer=False) as chunk:
                    writer.write_table(_cast(chunk.read(use_threads=False), unified))


def _differing(schemas: "Sequence[pa.Schema]") -> str:
    """Return the first column whose types differ between chunks and cannot be unified."""
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
        f"column {column} has values of several types, which parquet does not allow; cast it in "
        "the query, or choose --format csv"
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
        case dt.datetime() if value.tzinfo is not None:
            return value.astimezone(dt.UTC)
        case _:
            return value
