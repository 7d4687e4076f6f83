"""Writing an Alembic revision that adds a release's unknown columns and numbers to the schema."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import UsageError
from dirtmodel.models import UTCDateTime, lookups
from dirtmodel.release import Column, Extension

_FILE_NAME: Final = re.compile(r"([0-9]{4})_.+\.py", re.DOTALL)

_TEMPLATE: Final = '''"""Add what {name} has beyond DIRT's schema

Revision ID: {revision}
Revises: {before}
"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"
branch_labels = None
depends_on = None

# Table, name and type of each column.
COLUMNS = [{columns}]

# Lookup table and row of each number. Once DIRT has named it, write its name here.
NUMBERS = [{numbers}]


def upgrade() -> None:
    for table, name, type_ in COLUMNS:
        add_column(table, name, type_)
    for table, row in NUMBERS:
        names = ", ".join(row)
        values = ", ".join(f":{{name}}" for name in row)
        insert = f"INSERT INTO {{table}} ({{names}}) VALUES ({{values}})"
        op.execute(sa.text(f"{{insert}} ON CONFLICT (id) DO NOTHING").bindparams(**row))


def downgrade() -> None:
    for table, name, _ in COLUMNS:
        op.drop_column(table, name)
    for table, row in NUMBERS:
        lookup = sa.table(table, sa.column("id"))
        op.execute(sa.delete(lookup).where(lookup.c.id == row["id"]))


def add_column(table: str, name: str, type_: sa.types.TypeEngine) -> None:
    """Add a column, unless a load has added it to this database already."""
    if not op.get_context().as_sql:
        known = [column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)]
        if name in known:
            if op.get_context().dialect.name == "postgresql":
                # A load drops columns that have its comment when a release does not have them.
                op.alter_column(table, name, comment=None)
            return
    op.add_column(table, sa.Column(name, type_, nullable=True))
'''


def check_path(path: Path) -> None:
    """Make sure that a revision can be written to a file of this name.

    Raises
    ------
    UsageError
        If the name does not start with a new revision id, as `0004_release_4.py` does.
    """
    last = database.known_revisions()[-1]
    example = f"call the file {int(last) + 1:04}_new_release.py, for example"
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise UsageError(
            f"{path.name} is not a revision id of four digits, an underscore, a description and "
            f".py; {example}"
        )
    if match[1] <= last:
        raise UsageError(
            f"{path.name} starts with the revision id {match[1]}, which is not after the last one, "
            f"{last}; {example}"
        )


def migration_text(extension: Extension, name: str, path: Path) -> str:
    """Return the source of a revision that adds an extension to the newest schema.

    Parameters
    ----------
    name
        The name of the release.
    path
        The file to which the revision will be written; see `check_path`.
    """
    return _TEMPLATE.format(
        # The name of a release must not end the docstring. Other names are quoted literals.
        name=re.sub(r"[^\w .-]+", "?", name),
        revision=path.name.partition("_")[0],
        before=database.known_revisions()[-1],
        columns=_lines(_columns(extension)),
        numbers=_lines(_numbers(extension)),
    )


def _lines(items: Iterable[str]) -> str:
    lines = "".join(f"    {item},\n" for item in items)
    return f"\n{lines}" if lines else ""


def _columns(extension: Extension) -> Iterator[str]:
    for table, columns in extension.columns.items():
        for column in columns:
            yield f'("{table}", {column.name!a}, {_type(column)})'


def _numbers(extension: Extension) -> Iterator[str]:
    for table, numbers in extension.numbers.items():
        for row in lookups.placeholders(table, numbers):
            yield f'("{table}", {row!r})'


def _type(column: Column) -> str:
    """Return the Python source of a column's SQL type."""
    if column.digits is not None:
        return f"sa.Numeric({column.digits[0]}, {column.digits[1]})"
    type_: Any = column.sql_type
    if isinstance(type_, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    if isinstance(type_, sa.BigInteger):
        return "sa.BigInteger()"
    return f"sa.{type(type_).__name__}()"
