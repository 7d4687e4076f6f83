"""Preserving the objects that users added to a database when it is replaced or migrated.

On Postgres, a migration preserves most of them by itself.
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
    # Indexes of keys belong to the definition of their table.
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
        """True for a virtual table, such as a full-text index."""
        return self.kind == "table" and self.sql.split(None, 2)[1].upper() == "VIRTUAL"

    @property
    def indexes_other_table(self) -> bool:
        """True for a full-text index of the text in another table."""
        return self.is_virtual and _CONTENT.search(self.sql) is not None


class Kept(NamedTuple):
    """The objects that users added to a database.

    Parameters
    ----------
    broken
        Those that did not work before.
    task
        What is done to the database, for messages: `load` or `upgrade`.
    """

    objects: Sequence[Object]
    broken: frozenset[Object]
    task: str

    def of_kind(self, kind: str) -> list[Object]:
        """Return the objects of a kind, in the order in which they were created."""
        return [object_ for object_ in self.objects if object_.kind == kind]

    def error(self, object_: Object, reason: str) -> DatabaseError:
        """Return the error for an object that cannot be kept."""
        return DatabaseError(
            f"the {object_.kind} {object_.name} that was added to the database cannot be kept: "
            f"{reason}; nothing was changed; drop it, and create it again after the {self.task}"
        )

    def require(self, existing: Iterable[Object]) -> None:
        """Raise an error if one of the objects does not exist any more."""
        names = {(object_.kind, object_.name) for object_ in existing}
        for object_ in self.objects:
            if (object_.kind, object_.name) not in names:
                raise self.error(object_, f"it belongs to {object_.table}, which would be dropped")

    @contextlib.contextmanager
    def named(self, object_: Object) -> Iterator[None]:
        """Convert a failure of SQLite to an error that names the object."""
        try:
            yield
        except sqlite3.Error as error:
            raise self.error(object_, str(error)) from error


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
    added = [object_ for object_ in _objects(old) if object_.name.lower() not in ours]
    # A view that does not work here may use a function which only the user's program defines.
    return Kept(added, frozenset(object_ for object_ in added if _fault(old, object_)), task)


def postgres_objects(connection: sa.Connection, revision: str, task: str) -> Kept:
    """List the indexes and triggers in Postgres that no migration created.

    Postgres would drop them silently with their table.
    """
    ours = names_of(revision)
    objects = [Object(*row) for row in connection.execute(_ON_TABLES)]
    return Kept([o for o in objects if o.name.lower() not in ours], frozenset(), task)


def copy_objects(
    old: sqlite3.Connection, new: sqlite3.Connection, kept: Kept, *, rows: bool = True
) -> None:
    """Copy the tables, indexes, views and triggers that users added.

    Parameters
    ----------
    old, new
        The database that is replaced, and the database that replaces it.
    kept
        The objects that users added to the old database.
    rows
        Copy the rows of tables, too.

    Raises
    ------
    DatabaseError
        If an object cannot be kept; the message names it.
    """
    ours_now = {object_.name.lower() for object_ in _objects(new)}
    for object_ in kept.objects:
        if object_.name.lower() in ours_now:
            raise kept.error(object_, "the new schema has an object of this name")
    _copy_tables(old, new, kept, rows=rows)
    if rows:
        _copy_sequences(old, new)
    for object_ in (*kept.of_kind("index"), *kept.of_kind("view")):
        with kept.named(object_):
            new.execute(object_.sql)
    for object_ in kept.of_kind("table"):
        if object_.indexes_other_table:
            # The load has changed the text in our tables.
            name = quote(object_.name)
            with kept.named(object_):
                new.execute(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")
    for object_ in kept.of_kind("trigger"):
        with kept.named(object_):
            new.execute(object_.sql)
        # Check each trigger before the next one is created, which might be the cause of an error.
        _check(new, kept, object_)
    check_objects(new, kept)


def check_objects(new: sqlite3.Connection, kept: Kept) -> None:
    """Make sure that the objects which users added still exist and work.

    Raises
    ------
    DatabaseError
        If an object is missing or broken; the message names it.
    """
    kept.require(_objects(new))
    for object_ in kept.objects:
        _check(new, kept, object_)


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
        names = {object_.name.lower() for object_ in _objects(driver(connection))}
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
    for table in tables:
        if table.is_virtual:
            with kept.named(table):
                new.execute(table.sql)
    # Creating a virtual table also creates the tables in which it stores its rows.
    existing = {object_.name for object_ in _objects(new)}
    for table in tables:
        if not table.is_virtual:
            with kept.named(table):
                if table.name in existing:
                    new.execute(f"DELETE FROM {quote(table.name)}")
                else:
                    new.execute(table.sql)
                if rows:
                    _copy_rows(old, new, table.name)


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    quoted = quote(table)
    columns = old.execute(f"PRAGMA table_xinfo({quoted})").fetchall()
    # Hidden columns are generated from other columns.
    names = [quote(name) for _, name, _, _, _, _, hidden in columns if not hidden]
    if rowid := _rowid(old, table, [name.lower() for _, name, *_ in columns]):
        names.insert(0, rowid)
    listed, places = ", ".join(names), ", ".join("?" * len(names))
    # The rows are streamed, because a table may contain pictures.
    rows = old.execute(f"SELECT {listed} FROM {quoted}")
    new.executemany(f"INSERT INTO {quoted} ({listed}) VALUES ({places})", rows)


def _rowid(old: sqlite3.Connection, table: str, columns: Sequence[str]) -> str | None:
    """Return a name of the rowid, to which full-text indexes refer; None if there is no rowid."""
    name = next((name for name in ("rowid", "_rowid_", "oid") if name not in columns), None)
    if name is None:
        return None
    try:
        old.execute(f"SELECT {name} FROM {quote(table)} LIMIT 0")
    except sqlite3.OperationalError:
        return None
    return name


def _copy_sequences(old: sqlite3.Connection, new: sqlite3.Connection) -> None:
    """Copy the last ids of tables with AUTOINCREMENT."""
    has_sequences = "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'"
    if not all(database.execute(has_sequences).fetchone()[0] for database in (old, new)):
        return
    sequences = old.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    for name, last in sequences:
        new.execute("DELETE FROM sqlite_sequence WHERE name = ?", [name])
        new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", [name, last])


def _check(new: sqlite3.Connection, kept: Kept, object_: Object) -> None:
    """Make sure that an object works. SQLite does not check views and triggers on creation."""
    if object_ not in kept.broken and (reason := _fault(new, object_)):
        raise kept.error(object_, reason)


def _fault(connection: sqlite3.Connection, object_: Object) -> str | None:
    """Return the error that using an object raises, or None if it works."""
    try:
        if object_.kind == "view":
            connection.execute(f"SELECT * FROM {quote(object_.name)} LIMIT 0")
        elif object_.kind == "trigger":
            _compile(connection, object_)
        elif object_.kind == "table" and not object_.is_virtual:
            return _dangling(connection, object_)
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
            # Each text is different, because the driver would not compile the same text again.
            connection.execute(f"EXPLAIN {statement} -- {next(_numbers)}")
        except sqlite3.OperationalError as error:
            # A view can be modified only by the kinds of statements that it has triggers for.
            if "because it is a view" not in str(error):
                raise
