"""Engines and connections for SQLite and Postgres, with the settings that dirtmodel needs."""

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
"""'DIRT' as a number, which the header of our SQLite files contains."""

_BULK_CACHE_KB: Final = 262_144
"""Size of SQLite's cache for bulk writes: a million reviews and their index fit into it."""

_SETTINGS: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    # Before version 12, Postgres writes all digits of a number only with this setting.
    "extra_float_digits": "3",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
}
"""Settings of Postgres that change how values, names and statements are read and written.

They override the defaults of the server, the database and the role.
`default_transaction_read_only` is not among them, because administrators use it to prevent a role
from writing.
"""


def engine(url: sa.URL, *, read_only: bool = False, timeout: float | None = None) -> sa.Engine:
    """Create an engine with our settings for connections and transactions.

    Parameters
    ----------
    url
        A URL that `parse_url` returned.
    read_only
        SQLite is opened with `mode=ro` and `query_only`; on Postgres every transaction is READ
        ONLY.
    timeout
        Seconds after which Postgres ends a statement; None for no limit.
    """
    if is_sqlite(url):
        created = _sqlite_engine(url, read_only=read_only)
    else:
        created = _postgres_engine(url, read_only=read_only, timeout=timeout)
    # `UTCDateTime` calls this when it reads a time that it cannot convert.
    vars(created.dialect)["describe_invalid_time"] = functools.partial(invalid_time, created)
    return created


def _sqlite_engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        return connect_sqlite(sqlite_path(url), read_only=read_only)

    created = sa.create_engine(url, creator=connect, poolclass=sa.NullPool)

    if not read_only:
        close = created.dialect.do_close

        def close_and_undo(connection: Any) -> None:
            close(connection)
            undo_unfinished(sqlite_path(url))

        created.dialect.do_close = close_and_undo  # type: ignore[assignment, method-assign]  # the event comes before

    # Python's sqlite3 begins a transaction before INSERT but not before DDL, so that a failed
    # migration could not be rolled back; with isolation_level=None and a BEGIN of our own it can.
    @sa.event.listens_for(created, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return created


def connect_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Connect to a SQLite file with the driver, without SQLAlchemy."""
    # The mode can be set only in a URI. `as_uri` escapes special characters of the path.
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

    # Notes are Unicode, which the encoding of the client's locale may not support.
    options: dict[str, Any] = {"client_encoding": "utf8"}
    if "connect_timeout" not in url.query and "PGCONNECT_TIMEOUT" not in os.environ:
        options["connect_timeout"] = 10
    created = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)

    class ServerCursor(psycopg.ServerCursor[Any]):
        def close(self) -> None:
            try:
                super().close()
            except psycopg.OperationalError:
                # The connection was lost. psycopg knows that now, and does not use it again.
                super().close()

    @sa.event.listens_for(created, "connect")
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

    rollback = created.dialect.do_rollback

    def roll_back(connection: Any) -> None:
        # This fails only if the connection is lost. Then the server has rolled back already.
        with contextlib.suppress(psycopg.Error):
            rollback(connection)

    created.dialect.do_rollback = roll_back  # type: ignore[assignment, method-assign]  # there is no event for it
    return created


def prepare_bulk_writes(connection: sa.Connection) -> None:
    """Switch foreign keys off and enlarge the cache on SQLite, until the connection is closed.

    Call this before the connection begins a transaction. Call `check_foreign_keys` before the
    transaction is committed.
    """
    if connection.dialect.name == "sqlite":
        raw: Any = connection.connection.driver_connection
        # Executed by the driver, because SQLite ignores `foreign_keys` inside a transaction.
        raw.execute("PRAGMA foreign_keys=OFF")
        raw.execute(f"PRAGMA cache_size=-{_BULK_CACHE_KB}")


def reach(
    url: sa.URL, *, read_only: bool = True, timeout: float | None = None, explain: bool = True
) -> sa.Connection:
    """Connect to an existing database of any revision.

    Parameters
    ----------
    explain
        Raise failures of the database as `DatabaseError`. With False, SQLAlchemy's exceptions are
        raised, for callers that add details to the message.

    Raises
    ------
    DatabaseError
        If the database is missing or unreachable.
    """
    if is_sqlite(url):
        check_sqlite_file(sqlite_path(url))
    created = engine(url, read_only=read_only, timeout=timeout)
    try:
        connection = created.connect()
    except sa.exc.DBAPIError as error:
        known = as_error(url, error, read_only=read_only) if is_sqlite(url) else None
        unknown = DatabaseError(f"cannot open {display(url)}: {first_line(error)}")
        raise known or unknown from error
    if explain:

        @sa.event.listens_for(created, "handle_error")
        def explain_failure(context: sa.engine.ExceptionContext) -> DatabaseError | None:
            # SQLAlchemy raises what the listener returns in place of its own exception.
            error = context.sqlalchemy_exception
            if not isinstance(error, sa.exc.DBAPIError):
                return None
            if isinstance(error, sa.exc.DataError):
                return invalid_time(created)
            return as_error(url, error, read_only=read_only)

    return connection


def take_snapshot(connection: sa.Connection) -> None:
    """Have all statements of a transaction see the same state, whoever writes to the database.

    Call this before the first statement of the transaction.
    """
    if connection.dialect.name != "sqlite":
        # Not as an execution option, with which the failures of a lost connection are not ours.
        connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))


@contextlib.contextmanager
def explained(connection: sa.Connection) -> Iterator[None]:
    """Raise failures as `DatabaseError` while the driver is used directly for reading."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        failure = as_error(connection.engine.url, error, read_only=True)
        raise failure or error from error
