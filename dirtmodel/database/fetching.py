"""Rows of any size from a database, of which few bytes are held at a time."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.groups import groups, row_size

_BOUNDED: Final = (sa.Integer, sa.Float, sa.Boolean, sa.DateTime, sa.Date)
"""Types whose values are small on Postgres; SQLite holds any value in any column."""

_STREAMED: Final = {"stream_results": True}
_SIZES_AT_ONCE: Final = 16_384


def fetched(
    connection: sa.Connection,
    statement: sa.Select[Any],
    at_most: int,
    columns: Iterable[sa.ColumnElement[Any]] | None = None,
) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the rows of a statement in groups of few bytes.

    SQLite steps from row to row. Postgres sends as many rows as it is asked for, whatever their
    sizes, which are therefore read first, with a cursor of their own.

    Parameters
    ----------
    connection
        On Postgres in a transaction whose statements all see the same rows.
    at_most
        Rows of a group.
    columns
        The columns that are selected, where `statement` selects expressions of other types.
    """
    # The cursor on the server is closed even if the rows are not read to the end.
    with connection.execute(statement, execution_options=_STREAMED) as result:
        if connection.dialect.name == "sqlite":
            yield from groups(result, row_size, at_most)
            return
        for number in _numbers_of_rows(
            connection, statement, at_most, columns or statement.selected_columns
        ):
            rows = result.fetchmany(number)
            if not rows:
                return
            yield rows


def _numbers_of_rows(
    connection: sa.Connection,
    statement: sa.Select[Any],
    at_most: int,
    columns: Iterable[sa.ColumnElement[Any]],
) -> Iterator[int]:
    sizes = [n_bytes(column) for column in columns if not isinstance(column.type, _BOUNDED)]
    if sizes:
        total = statement.with_only_columns(sum(sizes[1:], sizes[0]), maintain_column_froms=True)
        options = {**_STREAMED, "yield_per": _SIZES_AT_ONCE}
        with connection.execute(total, execution_options=options) as found:
            yield from map(len, groups(found.scalars(), int, at_most))
    yield from itertools.repeat(at_most)


def n_bytes(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Return how many bytes a value has: of BLOBs on either engine, of all types on Postgres.

    No engine reads a large value for that.
    """
    if isinstance(column.type, sa.LargeBinary):
        # What counts the characters of text counts the bytes of a BLOB.
        length = sa.func.length(sa.type_coerce(column, sa.types.NullType()))
    else:
        length = sa.func.octet_length(sa.cast(column, sa.Text))
    return sa.func.coalesce(length, 0)
