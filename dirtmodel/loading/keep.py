"""Objects that users added to a database, kept when it is replaced or migrated.

On Postgres, a migration keeps most of them by itself.
"""

import contextlib
import functools
import itertools
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from dirtmodel.database import migrate
from dirtmodel.database.fragments import quote
from dirtmodel.errors import DatabaseError

_numbers = itertools.count()

_CONTENT: Final = re.compile(
    r"""\bcontent\s*=\s*(?:'(?!'\s*[,)])|"(?!"\s*[,)])|[^\s'",)])""", re.IGNORECASE
)
"""An option of a full-text index that names the table whose text it indexes."""


_ON_TABLES: Final = sa.text(
    "SELECT 'index', i.relname, t.relname, '' FROM pg_index AS x "
    "JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid "
    "JOIN pg_namespace AS n ON n.oid = t.relnamespace WHERE n.nspname = current_schema() "
    # Those of keys belong to the definition of their table.
    "AND NOT EXISTS (SELECT FROM pg_constraint AS k "
    "WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x')) "
    "UNION ALL SELECT 'trigger', g.tgname, t.relname, '' FROM pg_trigger AS g "
    "JOIN pg_class AS t ON t.oid = g.tgrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace "
    "WHERE n.nspname = current_schema() AND NOT g.tgisinternal ORDER BY 1, 2"
)
"""Indexes and triggers, which belong to a table and are dropped with it."""


class Object(NamedTuple):
    """A table, index, view or trigger, as `sqlite_master` lists it."""

    kind: str
    name: str
    table: str
    sql: str

    @property
    def is_virtual(self) -> bool:
        """Whether it is a virtual table, a full-text index for example."""
        return self.kind == "table" and self.sql.split(None, 2)[1].upper() == "VIRTUAL"

    @property
    def indexes_other_table(self) -> bool:
        """Whether it is a full-text index of the text in another table."""
        return self.is_virtual and _CONTENT.search(self.sql) is not None


class Kept(NamedTuple):
    """What users added to a database, what of it was broken before, and what is being done."""

    objects: Sequence[Object]
    broken: frozenset[Object]
    task: str

    def of_kind(self, kind: str) -> list[Object]:
        """Return the objects of a kind, in the order in which they were created."""
        return [found for found in self.objects if found.kind == kind]

    def error(self, found: Object, reason: str) -> DatabaseError:
        """Return the error that names an object which cannot be kept."""
        return DatabaseError(
            f"the {found.kind} {found.name} that was added to the database cannot be kept: "
            f"{reason}; nothing was changed; drop it, and create it again after the {self.task}"
        )

    def require(self, there: Iterable[Object]) -> None:
        """Raise the error that names an object which is no longer there."""
        names = {(found.kind, found.name) for found in there}
        for found in self.objects:
            if (found.kind, found.name) not in names:
                raise self.error(found, f"it belongs to {found.table}, which would be dropped")

    @contextlib.contextmanager
    def named(self, found: Object) -> Iterator[None]:
        """Turn a failure of SQLite into an error that names the object."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.error(found, str(error)) from error


def users_objects(old: sqlite3.Connection, revision: str | None, task: str) -> Kept:
    """List the objects of a database that no migration created.

    Parameters
    ----------
    old
        The database.
    revision
        Its revision.
    task
        What is done to it, for messages: `load` or `upgrade`.
    """
    ours = names_of(revision or "base")
    theirs = [found for found in _objects(old) if found.name.lower() not in ours]
    # A view may use a function that only its own program defines: it works, but not here.
    return Kept(theirs, frozenset(found for found in theirs if _fault(old, found)), task)


def postgres_objects(connection: sa.Connection, revision: str, task: str) -> Kept:
    """List what users added to our tables in Postgres, and what it drops silently with a table."""
    ours = names_of(revision)
    found = [Object(*row) for row in connection.execute(_ON_TABLES)]
    return Kept([one for one in found if one.name.lower() not in ours], frozenset(), task)


def copy_objects(
    old: sqlite3.Connection, new: sqlite3.Connection, kept: Kept, *, rows: bool = True
) -> None:
    """Copy tables with their rows, and indexes, views and triggers.

    Parameters
    ----------
    old, new
        The database that is to be replaced, and the complete one that replaces it.
    kept
        What users added to the old database.
    rows
        With False, tables are copied empty.

    Raises
    ------
    DatabaseError
        If an object cannot be kept; the message names it.
    """
    ours_now = {found.name.lower() for found in _objects(new)}
    for found in kept.objects:
        if found.name.lower() in ours_now:
            raise kept.error(found, "the new schema has an object of this name")
    _copy_tables(old, new, kept, rows=rows)
    if rows:
        _copy_sequences(old, new)
    for found in (*kept.of_kind("index"), *kept.of_kind("view")):
        with kept.named(found):
            new.execute(found.sql)
    for found in kept.of_kind("table"):
        if found.indexes_other_table:
            # The load has changed the text in our tables.
            name = quote(found.name)
            with kept.named(found):
                new.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")
    for found in kept.of_kind("trigger"):
        with kept.named(found):
            new.execute(found.sql)
        # Checked before the next one is there, whose fault it might be.
        _check(new, kept, found)
    check_objects(new, kept)


def check_objects(new: sqlite3.Connection, kept: Kept) -> None:
    """Make sure that what users added is there and works as before.

    Raises
    ------
    DatabaseError
        If an object is missing or broken; the message names it.
    """
    kept.require(_objects(new))
    for found in kept.objects:
        _check(new, kept, found)


def driver(connection: sa.Connection) -> sqlite3.Connection:
    """Return the driver's connection to a SQLite database."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - for the type checker
    return raw


@functools.cache
def names_of(revision: str) -> frozenset[str]:
    """Return the names that the migrations create up to a revision, in lower case."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrate(connection, revision)
        names = {found.name.lower() for found in _objects(driver(connection))}
    engine.dispose()
    return frozenset(names | {"alembic_version"})


def _objects(connection: sqlite3.Connection) -> list[Object]:
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master "
        "WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid"
    )
    return [Object(*row) for row in rows]


def _copy_tables(
    old: sqlite3.Connection, new: sqlite3.Connection, kept: Kept, *, rows: bool
) -> None:
    tables = kept.of_kind("table")
    for found in tables:
        if found.is_virtual:
            with kept.named(found):
                new.execute(found.sql)
    # A virtual table makes the tables in which it stores its rows.
    made = {found.name for found in _objects(new)}
    for found in tables:
        if not found.is_virtual:
            with kept.named(found):
                if found.name in made:
                    new.execute(f"DELETE FROM {quote(found.name)}")
                else:
                    new.execute(found.sql)
                if rows:
                    _copy_rows(old, new, found.name)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    quoted = quote(table)
    columns = old.execute(f"PRAGMA table_xinfo({quoted})").fetchall()
    # Hidden columns are computed from the others.
    names = [quote(name) for _, name, _, _, _, _, hidden in columns if not hidden]
    if rowid := _rowid(old, table, [name.lower() for _, name, *_ in columns]):
        names.insert(0, rowid)
    listed, places = ", ".join(names), ", ".join("?" * len(names))
    # One row at a time: a table may hold pictures.
    rows = old.execute(f"SELECT {listed} FROM {quoted}")
    new.executemany(f"INSERT INTO {quoted} ({listed}) VALUES ({places})", rows)


def _rowid(old: sqlite3.Connection, table: str, columns: Sequence[str]) -> str | None:
    """Return a name for the rowid, to which full-text indexes refer; None where there is none."""
    name = next((name for name in ("rowid", "_rowid_", "oid") if name not in columns), None)
    if name is None:
        return None
    try:
        old.execute(f"SELECT {name} FROM {quote(table)} LIMIT 0")
    except sqlite3.OperationalError:
        return None
    return name


def _copy_sequences(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Copy the last ids that tables with AUTOINCREMENT have given out."""
    has_sequences = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"
    if not all(database.execute(has_sequences).fetchone()[0] for database in (old, new)):
        return
    sequences = old.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    for name, last in sequences:
        new.execute("DELETE FROM sqlite_sequence WHERE name = ?", [name])
        new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [name, last])


def _check(new: sqlite3.Connection, kept: Kept, found: Object) -> None:
    """Make sure that an object works: SQLite creates views and triggers unchecked."""
    if found not in kept.broken and (reason := _fault(new, found)):
        raise kept.error(found, reason)


def _fault(connection: sqlite3.Connection, found: Object) -> str | None:
    """Return what is wrong with an object, None if it works."""
    try:
        if found.kind == "view":
            connection.execute(f"SELECT * FROM {quote(found.name)} LIMIT 0")
        elif found.kind == "trigger":
            _compile(connection, found)
        elif found.kind == "table" and not found.is_virtual:
            return _dangling(connection, found)
    except sqlite3.Error as error:
        return str(error)
    return None


def _dangling(connection: sqlite3.Connection, table: Object) -> str | None:
    query = f"PRAGMA foreign_key_check({quote(table.name)})"
    row = connection.execute(query).fetchone()
    if row is None:
        return None
    _, rowid, referred, _ = row
    which = "a row" if rowid is None else f"row {rowid}"
    return f"{which} refers to a row of {referred} that is missing"


def _compile(connection: sqlite3.Connection, trigger: Object) -> None:
    """Compile statements that fire a trigger, without running them."""
    table = quote(trigger.table)
    columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    assigned = ", ".join(f"{quote(name)} = NULL" for name in columns)
    for statement in (
        f"INSERT INTO {table} DEFAULT VALUES",
        f"UPDATE {table} SET {assigned}",
        f"DELETE FROM {table}",
    ):
        try:
            # The driver caches statements by their text, and would not compile this one again.
            connection.execute(f"EXPLAIN {statement} -- {next(_numbers)}")
        except sqlite3.OperationalError as error:
            # A view takes the events that it has triggers for, and no others.
            if "because it is a view" not in str(error):
                raise
