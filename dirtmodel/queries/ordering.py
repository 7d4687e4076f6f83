"""Sort orders that are the same on SQLite and Postgres."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class _ByCodePoint(sa.ColumnElement[str]):
    """A text column compared by code point, as SQLite does and Postgres does with COLLATE "C"."""

    inherit_cache = True
    _traverse_internals = [("column", sa.sql.visitors.InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy reads a plain class attribute

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        self.column = column
        self.type = sa.Text()


@compiles(_ByCodePoint)
def _plain(element: _ByCodePoint, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.column, **options))


@compiles(_ByCodePoint, "postgresql")
def _collated(element: _ByCodePoint, compiler: SQLCompiler, **options: Any) -> str:
    return f'{compiler.process(element.column, **options)} COLLATE "C"'


def ascending(column: Any) -> sa.UnaryExpression[Any]:
    """Return an ORDER BY expression for a column: text by code point, NULL last."""
    ordered = _ByCodePoint(column) if isinstance(column.type, sa.Text) else column
    return sa.nulls_last(sa.asc(ordered))


def nulls_last(values: tuple[Any, ...]) -> tuple[tuple[bool, Any], ...]:
    """Return a key that sorts rows in Python as `ascending` does in SQL."""
    return tuple((value is None, "" if value is None else value) for value in values)
