"""Fetching rows of any size from a database, with few bytes in memory at a time."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.groups import groups, row_size

_BOUNDED: Final = (sa.Integer, sa.Float, sa.Boolean, sa.DateTime, sa.Date)
"""Types whose values are small on Postgres. On SQLite, any column can have large values."""

_STREAMED: Final = {"stream_results": True}
_SIZES_AT_ONCE: Final = 16_384


def fetched(
    connection: sa.Connection,
    statement: sa.Select[Any],
    at_most: int,
    columns: Iterable[sa.ColumnElement[Any]] | None = None,
) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the rows of a statement in groups of few bytes.

    SQLite returns one row after the other. Postgres sends a requested number of rows at once;
    therefore their sizes are read first, with another cursor.

    Parameters
    ----------
    connection
        The connection. On Postgres, all statements of its transaction must see the same rows.
    at_most
        The maximum number of rows in a group.
    columns
        The selected columns, if `statement` selects expressions of other types.
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
    """Return the number of bytes of a value: a BLOB on either engine, any type on Postgres.

    The engines do not read a large value for this.
    """
    if isinstance(column.type, sa.LargeBinary):
        # For text, `length` would return the number of characters.
        length = sa.func.length(sa.type_coerce(column, sa.types.NullType()))
    else:
        length = sa.func.octet_length(sa.cast(column, sa.Text))
    return sa.func.coalesce(length, 0)
