"""Which tables and views there are, and what their columns mean."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import sqlalchemy as sa

from dirtmodel import database
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
