"""Connections to SQLite and Postgres: connect hooks, and failures in plain words."""

import functools
import math
import os
import shlex
import sqlite3
import stat
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.database.urls import display, is_sqlite, sqlite_path
from dirtmodel.errors import DatabaseError

APPLICATION_ID: Final = 0x44495254
"""'DIRT' in SQLite's file header: tells our files from those of other programs."""

SQLITE_MAGIC: Final = b"SQLite format 3\0"

_FAILURE: Final = sa.exc.DatabaseError
"""What SQLAlchemy makes of a damaged file; its subclasses mostly mean a mistake in a statement."""

_READ_ONLY_TRANSACTION: Final = "25006"
"""Postgres's code for a write in a transaction that only reads."""

_BULK_CACHE_KB: Final = 262_144
"""A million reviews and their index fit into it."""
_NO_RIGHT: Final = "42501"
"""Postgres's code for what a role may not do."""


_DEPENDENT_OBJECTS: Final = "2BP01"
"""Postgres's code for what cannot be dropped because something else depends on it."""


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
        return _sqlite_engine(url, read_only=read_only)
    return _postgres_engine(url, read_only=read_only, timeout=timeout)


def _sqlite_engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    path = sqlite_path(url)

    def connect() -> sqlite3.Connection:
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

    made = sa.create_engine(url, creator=connect, poolclass=sa.NullPool)

    # Python's sqlite3 begins a transaction before INSERT but not before DDL, so that a failed
    # migration could not be rolled back; with isolation_level=None and a BEGIN of our own it can.
    @sa.event.listens_for(made, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return made


def _postgres_engine(url: sa.URL, *, read_only: bool, timeout: float | None) -> sa.Engine:
    require_psycopg()
    # Notes are unicode, whatever the client's locale.
    options: dict[str, Any] = {"client_encoding": "utf8"}
    if "connect_timeout" not in url.query and "PGCONNECT_TIMEOUT" not in os.environ:
        options["connect_timeout"] = 10
    made = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)

    @sa.event.listens_for(made, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        # psycopg reads timestamps in this style only.
        connection.execute("SELECT set_config('TimeZone', 'UTC', false)")
        connection.execute("SELECT set_config('DateStyle', 'ISO', false)")
        if timeout is not None:
            # Rounded up, because 0 would mean no limit.
            connection.execute(f"SET statement_timeout = {math.ceil(timeout * 1000)}")
        connection.commit()

    if read_only:
        return made.execution_options(postgresql_readonly=True)
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


def require_psycopg() -> None:
    """Raise an error that names the missing extra rather than the missing module."""
    try:
        import psycopg  # noqa: F401 - only to find out whether it is there
    except ImportError as error:
        raise DatabaseError(
            "Postgres needs psycopg, which is not installed; run: pip install 'dirtmodel[postgres]'"
        ) from error


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
        _check_sqlite_file(sqlite_path(url))
    made = engine(url, read_only=read_only, timeout=timeout)
    try:
        connection = made.connect()
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        raise DatabaseError(f"cannot open {display(url)}: {_reason(url, error)}") from error
    if explain:
        # SQLAlchemy raises what the listener returns in place of its own exception.
        sa.event.listen(made, "handle_error", functools.partial(_explained, url))
    return connection


def _explained(url: sa.URL, context: sa.engine.ExceptionContext) -> DatabaseError | None:
    """Describe the failure of a database as an error of ours; None for any other."""
    error = context.sqlalchemy_exception
    message = _failure(error) if isinstance(error, sa.exc.DBAPIError) else None
    return None if message is None else DatabaseError(f"{display(url)} {message}")


def _failure(error: sa.exc.DBAPIError) -> str | None:
    """Describe what is wrong with a database; None where the statement is wrong."""
    state = getattr(error.orig, "sqlstate", None)
    # The kind of failure is in the lowest byte.
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code == sqlite3.SQLITE_ERROR:
        return None
    if code == sqlite3.SQLITE_READONLY or state == _READ_ONLY_TRANSACTION:
        return "is open for reading only; to write, open it with read_only=False"
    if state == _NO_RIGHT:
        return f"refuses: {first_line(error)}; ask its owner for the right to read all its tables"
    if code == sqlite3.SQLITE_BUSY:
        return "is locked by another program that writes to it; try again when it has finished"
    if isinstance(error, sa.exc.OperationalError) or type(error) is _FAILURE:
        return f"failed: {first_line(error)}"
    return None


def first_line(error: Exception) -> str:
    """Return the driver's message, without what SQLAlchemy or `reach` made of it."""
    cause: Any = error.__cause__ if isinstance(error, DatabaseError) else None
    cause = cause or getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    if getattr(cause, "sqlstate", None) == _DEPENDENT_OBJECTS and cause.diag.message_detail:
        # Only the second line names the object.
        return f"{lines[0]} ({cause.diag.message_detail.splitlines()[0]})"
    return lines[0] if lines else type(cause).__name__


def _reason(url: sa.URL, error: Exception) -> str:
    reason = first_line(error)
    if is_sqlite(url) and "readonly" in reason:
        # Reading needs to write where a journal says that a change is to be undone first.
        undo = f"dirtmodel upgrade --db {shlex.quote(display(url))}"
        return f"a change to it was cut off; undo that with: {undo}"
    return reason


def _check_sqlite_file(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            if path.is_dir():
                raise DatabaseError(
                    f"{path} is a folder, not a database; if it holds a release, load it with: "
                    f"dirtmodel load {shlex.quote(str(path))} --db dirt.db"
                )
            raise DatabaseError(f"{path} is not a file; check the path of the database")
        with path.open("rb") as file:
            start = file.read(len(SQLITE_MAGIC))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatabaseError(
            f"there is no database at {path}; make one with: "
            f"dirtmodel load RELEASE --db {shlex.quote(str(path))}"
        ) from error
    except OSError as error:
        raise DatabaseError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise DatabaseError(
            f"{path} is empty; remove it and load a release with: "
            f"dirtmodel load RELEASE --db {shlex.quote(str(path))}"
        )
    if start != SQLITE_MAGIC:
        raise DatabaseError(f"{path} is not a SQLite database; check the path of the database")
