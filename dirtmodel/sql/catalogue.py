"""Which tables and views there are, and what their columns mean."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import nearest
from dirtmodel.models import views


class Described(NamedTuple):
    """A table or view, or one of its columns."""

    table: str
    column: str | None
    type: str
    description: str


def describe() -> Iterator[Described]:
    """Describe all tables and views, each before its columns."""
    for table in relations():
        kind = "view" if table.metadata is views.metadata else "table"
        yield Described(table.name, None, kind, table.comment or "")
        for column in table.columns:
            yield Described(table.name, column.name, type_name(column), column.comment or "")


_MISSING: Final = re.compile(
    r"no such (?P<sqlite>table|column): (?:\w+\.)*(?P<sqlite_name>\w+)"
    r"|(?P<postgres>relation|column) \"?(?:\w+\.)*(?P<postgres_name>\w+)\"? does not exist"
)


def suggest(message: str) -> str:
    """Add the nearest name to a server's message about a table or column that does not exist.

    >>> suggest("no such table: imagge")
    'no such table: imagge (did you mean image?); list the names with: dirtmodel sql --tables'
    """
    missing = _MISSING.fullmatch(message)
    if missing is None:
        return message
    kind = missing["sqlite"] or missing["postgres"]
    known = (row.column if kind == "column" else row.table for row in describe())
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


def type_name(column: sa.Column[object]) -> str:
    """Return a column's type in plain words; enums are integers in tables."""
    impl = column.type
    while isinstance(impl, sa.TypeDecorator):
        impl = impl.impl_instance
    names = {
        sa.BigInteger: "integer",
        sa.Integer: "integer",
        sa.Double: "number",
        sa.DateTime: "time",
        sa.LargeBinary: "bytes",
        sa.Boolean: "true or false",
        sa.JSON: "JSON",
        sa.String: "text",
    }
    return next(name for type_, name in names.items() if isinstance(impl, type_))
