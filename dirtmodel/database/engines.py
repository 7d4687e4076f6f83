"""Connections to SQLite and Postgres: connect hooks, and failures in plain words."""

import contextlib
import functools
import math
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.database.failures import as_error, check_sqlite_file, first_line, undo_unfinished
from dirtmodel.database.times import invalid_time
from dirtmodel.database.urls import display, is_sqlite, require_psycopg, sqlite_path
from dirtmodel.errors import DatabaseError

APPLICATION_ID: Final = 0x44495254
"""'DIRT' in SQLite's file header: tells our files from those of other programs."""

_BULK_CACHE_KB: Final = 262_144
"""A million reviews and their index fit into it."""

_SETTINGS: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    # Servers before version 12 write all digits from this value on only.
    "extra_float_digits": "3",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
"""Settings of Postgres that change how values, names and statements are read and written.

A server, a database or a role may have others. `default_transaction_read_only` is respected: with
it an administrator keeps a role from writing.
"""


def engine(url: sa.URL, *, read_only: bool = False, timeout: float | None = None) -> sa.Engine:
    """Make an engine with our connect hooks.

    Parameters
    ----------
    url
        As `parse_url` gives it.
    read_only
        SQLite is opened with `mode=ro` and `query_only`; on Postgres every transaction is READ
        ONLY.
    timeout
        Seconds after which Postgres ends a statement; None for no limit.
    """
    if is_sqlite(url):
        made = _sqlite_engine(url, read_only=read_only)
    else:
        made = _postgres_engine(url, read_only=read_only, timeout=timeout)
    # For the column type, which finds out about it as it converts the text of a column.
    vars(made.dialect)["describe_invalid_time"] = functools.partial(invalid_time, made)
    return made


def _sqlite_engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        return connect_sqlite(sqlite_path(url), read_only=read_only)

    made = sa.create_engine(url, creator=connect, poolclass=sa.NullPool)

    if not read_only:
        close = made.dialect.do_close

        def close_and_undo(connection: Any) -> None:
            close(connection)
            undo_unfinished(sqlite_path(url))

        made.dialect.do_close = close_and_undo  # type: ignore[assignment, method-assign]  # the event comes before

    # Python's sqlite3 begins a transaction before INSERT but not before DDL, so that a failed
    # migration could not be rolled back; with isolation_level=None and a BEGIN of our own it can.
    @sa.event.listens_for(made, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return made


def connect_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Connect to a SQLite file through the driver alone."""
    # Paths go in as URIs so that mode=ro can be asked for, whatever characters they hold.
    mode = "ro" if read_only else "rwc"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-65536")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _postgres_engine(url: sa.URL, *, read_only: bool, timeout: float | None) -> sa.Engine:
    require_psycopg()
    import psycopg

    # Notes are unicode, whatever the client's locale.
    options: dict[str, Any] = {"client_encoding": "utf8"}
    if "connect_timeout" not in url.query and "PGCONNECT_TIMEOUT" not in os.environ:
        options["connect_timeout"] = 10
    made = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)

    class ServerCursor(psycopg.ServerCursor[Any]):
        def close(self) -> None:
            try:
                super().close()
            except psycopg.OperationalError:
                # The connection is lost, which is noticed the second time.
                super().close()

    @sa.event.listens_for(made, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.server_cursor_factory = ServerCursor
        settings = dict(_SETTINGS)
        if timeout is not None:
            # Rounded up, because 0 would mean no limit.
            settings["statement_timeout"] = str(math.ceil(timeout * 1000))
        connection.execute(
            "SELECT set_config(name, value, false) "
            "FROM unnest(%s::text[], %s::text[]) AS settings (name, value)",
            [list(settings), list(settings.values())],
        )
        connection.commit()
        connection.read_only = read_only or None

    rollback = made.dialect.do_rollback

    def roll_back(connection: Any) -> None:
        # It fails only if the connection is lost, and then the server has rolled back.
        with contextlib.suppress(psycopg.Error):
            rollback(connection)

    made.dialect.do_rollback = roll_back  # type: ignore[assignment, method-assign]  # there is no event for it
    return made


def prepare_bulk_writes(connection: sa.Connection) -> None:
    """Switch foreign keys off and enlarge the cache on SQLite, until the connection is closed.

    Call this before the connection begins a transaction. Whoever calls it makes sure that no row
    dangles in the end, with `check_foreign_keys`.
    """
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        # Inside a transaction the first would do nothing.
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute(f"PRAGMA cache_size=-{_BULK_CACHE_KB}")


def reach(
    url: sa.URL, *, read_only: bool = True, timeout: float | None = None, explain: bool = True
) -> sa.Connection:
    """Connect to a database that exists, whatever its revision.

    Parameters
    ----------
    explain
        Raise failures of the database as `DatabaseError`. With False they stay SQLAlchemy's, for
        callers that have more to say about them.

    Raises
    ------
    DatabaseError
        If the database is missing or unreachable.
    """
    if is_sqlite(url):
        check_sqlite_file(sqlite_path(url))
    made = engine(url, read_only=read_only, timeout=timeout)
    try:
        connection = made.connect()
    except sa.exc.DBAPIError as error:
        known = as_error(url, error, read_only=read_only) if is_sqlite(url) else None
        unknown = DatabaseError(f"cannot open {display(url)}: {first_line(error)}")
        raise known or unknown from error
    if explain:

        @sa.event.listens_for(made, "handle_error")
        def explain_failure(context: sa.engine.ExceptionContext) -> DatabaseError | None:
            # SQLAlchemy raises what the listener returns in place of its own exception.
            error = context.sqlalchemy_exception
            if not isinstance(error, sa.exc.DBAPIError):
                return None
            if isinstance(error, sa.exc.DataError):
                return invalid_time(made)
            return as_error(url, error, read_only=read_only)

    return connection


@contextlib.contextmanager
def explained(connection: sa.Connection) -> Iterator[None]:
    """Raise failures as `DatabaseError` when the driver is used directly, to read."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        failure = as_error(connection.engine.url, error, read_only=True)
        raise failure or error from error
