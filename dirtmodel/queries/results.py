"""The result of a query: typed rows that table libraries can read."""

import enum
import importlib
import operator
import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import sqlalchemy as sa

from dirtmodel.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Statement = sa.Select[*tuple[Any, ...]]
"""A SELECT of any columns, which can be composed with others."""

RowT = TypeVar("RowT", bound=tuple[Any, ...])


class Rows(Generic[RowT]):
    """Rows of one NamedTuple type.

    They are a sequence and an Arrow stream (`__arrow_c_stream__`), which polars, pyarrow and DuckDB
    read directly. `to_pandas()`, `to_polars()` and `to_arrow()` return tables, in which enums are
    DIRT's names. A notebook shows the first rows as a table; `text()` returns the table that the
    command line prints.
    """

    # Not a subclass of Sequence: polars would read the rows one by one, not the Arrow stream.

    def __init__(
        self, row_type: type[RowT], rows: Iterable[RowT], columns: Sequence[str] | None = None
    ) -> None:
        self.row_type = row_type
        self.columns = list(column_names(row_type) if columns is None else columns)
        """The columns of the result; fields of the rows that are always None are left out."""
        self._rows = list(rows)

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> "Rows[RowT]": ...
    def __getitem__(self, index: int | slice) -> "RowT | Rows[RowT]":
        if isinstance(index, slice):
            return Rows(self.row_type, self._rows[index], self.columns)
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[RowT]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Rows):
            return self._rows == other._rows
        return self._rows == other

    __hash__ = None  # type: ignore[assignment]  # compared by value and may be large

    def __repr__(self) -> str:
        return f"<{len(self)} rows of {self.row_type.__name__}>"

    def text(self) -> str:
        """Return the table that the command line prints."""
        from dirtmodel.outputs import table_text

        return table_text(self.columns, list(self.values()))

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        """Show the first rows and the number of rows in a notebook."""
        from dirtmodel.outputs import table_html

        return table_html(self.columns, list(self.values()))

    def to_pandas(self) -> "pd.DataFrame":
        """Return a pandas data frame; columns of integers with NULLs stay integers (Int64).

        Raises
        ------
        UsageError
            If pandas is not installed.
        """
        pandas = _library("pandas")
        import pyarrow as pa

        nullable = {pa.int64(): pandas.Int64Dtype(), pa.bool_(): pandas.BooleanDtype()}
        return self.to_arrow().to_pandas(types_mapper=nullable.get)

    def to_polars(self) -> "pl.DataFrame":
        """Return a polars data frame.

        Raises
        ------
        UsageError
            If polars is not installed.
        """
        frame: pl.DataFrame = _library("polars").DataFrame(self)
        return frame

    def to_arrow(self) -> "pa.Table":
        """Return a pyarrow table."""
        import pyarrow as pa

        schema = self.schema
        columns = zip(*self.values(), strict=True) if self._rows else [[] for _ in schema]
        arrays = [
            pa.array([plain(value) for value in column], field.type)
            for field, column in zip(schema, columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=schema)

    def values(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows as tuples of the columns."""
        if self.columns == column_names(self.row_type):
            return iter(self._rows)
        places = [column_names(self.row_type).index(name) for name in self.columns]
        if len(places) == 1:  # itemgetter would return values, not tuples
            return ((row[places[0]],) for row in self._rows)
        return map(operator.itemgetter(*places), self._rows)

    @property
    def schema(self) -> "pa.Schema":
        """The Arrow types of the columns."""
        import pyarrow as pa

        schema = arrow_schema(self.row_type)
        return pa.schema([schema.field(name) for name in self.columns])

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{name} is not installed; install it with: pip install {name}") from error


def column_names(row_type: type[tuple[Any, ...]]) -> list[str]:
    """Return the names of the fields of a NamedTuple type."""
    return list(row_type.__annotations__)


def plain(value: Any) -> Any:
    """Return DIRT's name of an enum member, and any other value unchanged."""
    return value.name if isinstance(value, enum.Enum) else value


def arrow_schema(row_type: type[tuple[Any, ...]]) -> "pa.Schema":
    """Return the Arrow schema that matches the annotations of a NamedTuple type."""
    import pyarrow as pa

    hints = typing.get_type_hints(row_type)
    return pa.schema([(name, _arrow_type(hint)) for name, hint in hints.items()])


def _arrow_type(hint: Any) -> "pa.DataType":
    import datetime as dt

    import pyarrow as pa

    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not types.NoneType)
    if typing.get_origin(hint) in {tuple, list}:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return pa.string()
    return {
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        str: pa.string(),
        dt.datetime: pa.timestamp("us", "UTC"),
    }[hint]
