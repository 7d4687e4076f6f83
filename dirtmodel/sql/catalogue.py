"""Listing and describing the tables, views and columns of a database."""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine.reflection import ObjectKind

from dirtmodel import database
from dirtmodel.errors import nearest
from dirtmodel.models import views


class Described(NamedTuple):
    """A table or view, or one of its columns."""

    table: str
    column: str | None
    type: str
    description: str


def describe(connection: sa.Connection | None = None) -> Iterator[Described]:
    """Describe all tables and views, each before its columns.

    With a connection, the additional columns, tables and views of its database are included.
    """
    existing = {} if connection is None else _columns(connection)
    for table in relations():
        kind = "view" if table.metadata is views.metadata else "table"
        yield Described(table.name, None, kind, table.comment or "")
        for column in table.columns:
            yield Described(table.name, column.name, type_name(column.type), column.comment or "")
        for name, type_ in existing.pop(table.name, {}).items():
            if name not in table.columns:
                yield Described(table.name, name, type_name(type_), _EXTRA)
    existing.pop("alembic_version", None)
    for name, columns in sorted(existing.items()):
        yield Described(name, None, "table or view", _EXTRA)
        for column_name, type_ in columns.items():
            yield Described(name, column_name, type_name(type_), "")


_EXTRA: Final = "only in this database"


def _columns(connection: sa.Connection) -> dict[str, dict[str, sa.types.TypeEngine[Any]]]:
    """Return the types of the columns of each table and view of a database."""
    reflected = sa.inspect(connection).get_multi_columns(kind=ObjectKind.ANY)
    return {
        table: {column["name"]: column["type"] for column in columns}
        for (_, table), columns in reflected.items()
    }


_MISSING: Final = re.compile(
    r"no such (?P<sqlite>table|column): (?:\w+\.)*(?P<sqlite_name>\w+)"
    r"|(?P<postgres>relation|column) \"?(?:\w+\.)*(?P<postgres_name>\w+)\"? does not exist"
)


def suggest(message: str, connection: sa.Connection | None = None) -> str:
    """Add a suggestion to an engine's message about a table or column that does not exist.

    With a connection, additional names of its database are suggested as well.

    >>> suggest("no such table: imagge")
    'no such table: imagge (did you mean image?); list the names with: dirtmodel sql --tables'
    """
    missing = _MISSING.fullmatch(message)
    if missing is None:
        return message
    kind = missing["sqlite"] or missing["postgres"]
    known = (row.column if kind == "column" else row.table for row in describe(connection))
    near = nearest(missing["sqlite_name"] or missing["postgres_name"], filter(None, known))
    return f"{message}{near}; list the names with: dirtmodel sql --tables"


_ORDER: Final = (
    *("step", "display", "verdict"),
    *("session", "image", "rating", "coordinate"),
    *("target", "picture", "review", "tally"),
)


def relations() -> list[sa.Table]:
    """List lookup, mirrored and derived tables, the records of a load, and the views."""
    tables = {table.name: table for table in database.tables()}
    first = [tables.pop(name) for name in _ORDER]
    return [*first, *tables.values(), *views.VIEWS]


def type_name(type_: sa.types.TypeEngine[Any]) -> str:
    """Return the type of a column in plain words; the type of an enum is integer."""
    impl = type_
    while isinstance(impl, sa.TypeDecorator):
        impl = impl.impl_instance
    names = {
        sa.BigInteger: "integer",
        sa.Integer: "integer",
        sa.Float: "number",
        sa.Numeric: "number",
        sa.DateTime: "time",
        sa.LargeBinary: "bytes",
        sa.Boolean: "true or false",
        sa.JSON: "JSON",
        sa.String: "text",
    }
    known = (name for kind, name in names.items() if isinstance(impl, kind))
    return next(known, "" if isinstance(impl, sa.types.NullType) else str(impl).lower())
