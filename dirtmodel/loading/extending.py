"""Adding columns and numbers to a database that a release has beyond this version's schema.

A load does this before it writes rows, so that the tables are empty.
"""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.errors import DatabaseError
from dirtmodel.models import Base, JudgedBy, lookups
from dirtmodel.release import Column, Extension
from dirtmodel.release.extension import reflected

EXTRA: Final = "a column of the release that DIRT does not have"
"""Comment on an added column. On Postgres, the next load recognises the column by this comment."""


def extend(connection: sa.Connection, extension: Extension) -> None:
    """Add the columns and the lookup rows of an extension that a database lacks.

    Raises
    ------
    DatabaseError
        If the schema has a column of the same name with another type.
    """
    for table, columns in extension.columns.items():
        known = {column["name"]: column for column in sa.inspect(connection).get_columns(table)}
        for column in columns:
            if column.name not in known:
                _add_column(connection, table, column)
            elif not _has_same_type(column, known[column.name]):
                before, after = (
                    type_.compile(connection.dialect)
                    for type_ in (known[column.name]["type"], column.sql_type)
                )
                raise DatabaseError(
                    f"the column {column.name} of {table} has the type {before} in the schema and "
                    f"{after} in the release; nothing was changed; change its type in a migration"
                )
    if connection.dialect.name == "sqlite":
        _move_img_to_the_end(connection)
    for table, numbers in extension.numbers.items():
        _add_numbers(connection, table, numbers)


def _has_same_type(column: Column, existing: Any) -> bool:
    return reflected(existing["name"], existing["type"]) == column


def _add_column(connection: sa.Connection, table: str, column: Column) -> None:
    added = sa.Column(column.name, column.sql_type, comment=EXTRA)
    _operations(connection).add_column(table, added)


def _add_numbers(
    connection: sa.Connection, table: str, numbers: Mapping[int, JudgedBy | None]
) -> None:
    """Add rows with placeholder names to a lookup table, and update the existing ones."""
    lookup = Base.metadata.tables[table]
    known = lookups.known(connection, table)
    for row in lookups.placeholders(table, numbers):
        number = row["id"]
        if number not in known:
            connection.execute(sa.insert(lookup), row)
        elif known[number] == row["name"]:
            # In an earlier release, the step may have been judged differently.
            connection.execute(sa.update(lookup).where(lookup.c.id == number).values(row))


def drop_leftovers(connection: sa.Connection, extension: Extension) -> None:
    """Drop columns and numbers that an earlier load added and this extension does not have.

    Only columns that a load added are dropped, and only rows with placeholder names are deleted.
    The tables are empty, so that no row refers to them.

    Raises
    ------
    DatabaseError
        If an object that a user added depends on such a column.
    """
    inspector = sa.inspect(connection)
    for table in extension.columns:
        kept = {column.name: column for column in extension.columns[table]}
        for existing in inspector.get_columns(table):
            name = existing["name"]
            if existing.get("comment") != EXTRA:
                continue
            if name not in kept or not _has_same_type(kept[name], existing):
                _refuse_dependents(connection, table, name)
                _operations(connection).drop_column(table, name)
    for table, kind in lookups.ENUMS.items():
        lookup = Base.metadata.tables[table]
        needed = extension.numbers.get(table, {})
        for number, name in lookups.known(connection, table).items():
            if name == kind.placeholder(number) and number not in needed:
                connection.execute(sa.delete(lookup).where(lookup.c.id == number))


_DEPENDENTS: Final = sa.text(
    "SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend AS d "
    "JOIN pg_class AS c ON c.oid = d.refobjid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid "
    "WHERE d.refclassid = 'pg_class'::regclass AND n.nspname = current_schema() "
    "AND c.relname = :table AND a.attname = :column ORDER BY 1 LIMIT 1"
)


def _refuse_dependents(connection: sa.Connection, table: str, column: str) -> None:
    """Make sure that nothing depends on a column: Postgres would drop its indexes silently."""
    dependent = connection.scalar(_DEPENDENTS, {"table": table, "column": column})
    if dependent is not None:
        name = dependent.removeprefix("rule _RETURN on ")
        raise DatabaseError(
            f"the {name} that was added to the database cannot be kept: the release has "
            f"no column {column} of this type in {table}; nothing was changed; drop it, and create "
            "it again after the load"
        )


def _operations(connection: sa.Connection) -> Any:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    return Operations(MigrationContext.configure(connection))


def _move_img_to_the_end(connection: sa.Connection) -> None:
    """Make `img` the last column of the empty table again; see `models.Image`."""
    names = [column["name"] for column in sa.inspect(connection).get_columns("image")]
    if names[-1] != "img":
        connection.exec_driver_sql("ALTER TABLE image DROP COLUMN img")
        connection.exec_driver_sql("ALTER TABLE image ADD COLUMN img BLOB NOT NULL")
