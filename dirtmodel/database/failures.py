"""Error messages for failures of a database: what happened, where, and what to do next."""

import contextlib
import os
import shlex
import sqlite3
import stat
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.database.urls import display, is_sqlite, sqlite_path
from dirtmodel.errors import DatabaseError

SQLITE_MAGIC: Final = b"SQLite format 3\0"

_READ_ONLY: Final = "{} is open for reading only; to write, open it with read_only=False"

_WAL: Final = 2
"""Value of byte 18 of a SQLite file in WAL mode."""

_LOST: Final = ("08", "57P", "25P03", "25P04")
"""First characters of Postgres's error codes that mean that the server ended the connection."""

_IN_FAILED_TRANSACTION: Final = "25P02"
_READ_ONLY_TRANSACTION: Final = "25006"
_NO_RIGHT: Final = "42501"
_DEPENDENT_OBJECTS: Final = "2BP01"


def first_line(error: BaseException) -> str:
    """Return the first line of the driver's message, without SQLAlchemy's or our additions."""
    cause = _cause(error)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    if getattr(cause, "sqlstate", None) == _DEPENDENT_OBJECTS and cause.diag.message_detail:
        # Only the second line names the object.
        return f"{lines[0]} ({cause.diag.message_detail.splitlines()[0]})"
    return lines[0] if lines else type(cause).__name__


def is_denied(error: BaseException) -> bool:
    """Return whether the role lacks a right on Postgres."""
    return getattr(_cause(error), "sqlstate", None) == _NO_RIGHT


def as_error(url: sa.URL, error: BaseException, *, read_only: bool) -> DatabaseError | None:
    """Convert a failure of a database to a `DatabaseError`; None if the statement was at fault."""
    cause = _cause(error)
    if is_sqlite(url):
        message = _sqlite_failure(sqlite_path(url), cause, read_only=read_only)
    else:
        message = _postgres_failure(display(url), cause, read_only=read_only)
    return None if message is None else DatabaseError(message)


def _cause(error: BaseException) -> Any:
    cause = error.__cause__ if isinstance(error, DatabaseError) else None
    return cause or getattr(error, "orig", None) or error


def _postgres_failure(shown: str, cause: Any, *, read_only: bool) -> str | None:
    import psycopg

    if cause.sqlstate == _READ_ONLY_TRANSACTION:
        if read_only:
            return _READ_ONLY.format(shown)
        return (
            f"{shown} cannot be written: {first_line(cause)}; connect to the primary server, as a "
            "role that may write"
        )
    if is_denied(cause):
        right = "read" if read_only else "read and write"
        return (
            f"{shown} denied access: {first_line(cause)}; ask its owner for the right to {right} "
            "all its tables"
        )
    # An error without a code comes from libpq, when the connection is lost.
    if (cause.sqlstate or _LOST[0]).startswith(_LOST):
        return f"the connection to {shown} was lost: {first_line(cause)}; try again"
    kinds = (psycopg.OperationalError, psycopg.InternalError)
    if isinstance(cause, kinds) and cause.sqlstate != _IN_FAILED_TRANSACTION:
        return f"{shown} failed: {first_line(cause)}"
    return None


def _sqlite_failure(path: Path, cause: Any, *, read_only: bool) -> str | None:
    extended = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    # The lowest byte of an extended code is the primary code.
    code = extended & 0xFF
    if extended == sqlite3.SQLITE_READONLY_ROLLBACK:
        return _interrupted_change(path)
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} and _is_unreadable_wal(path):
        log = path.with_name(f"{path.name}-wal")
        return (
            f"{path} is in WAL mode, in which readers write to its folder, too, and {path.parent} "
            "is read-only; copy it to a folder that you can write to: "
            f"{_copy(path, *([log] if log.exists() else []))}"
        )
    if code == sqlite3.SQLITE_READONLY:
        return _not_writable(path, read_only=read_only)
    if code == sqlite3.SQLITE_BUSY:
        return (
            f"{path} is in use by another program or by a session that is still open; close it, or "
            "try again when it has finished"
        )
    is_failure = isinstance(cause, sqlite3.OperationalError) or type(cause) is sqlite3.DatabaseError
    if code != sqlite3.SQLITE_ERROR and is_failure:
        return f"{path} failed: {first_line(cause)}"
    return None


def _not_writable(path: Path, *, read_only: bool) -> str:
    if read_only:
        return _READ_ONLY.format(path)
    return (
        f"{path} cannot be written: the file or its folder is read-only; ask its owner, or "
        f"copy it to a folder that you can write to: {_copy(path)}"
    )


def undo_unfinished(path: Path) -> None:
    """Let SQLite undo a failed change, if the journal still exists.

    If the disk is full, SQLite leaves this to the next connection.
    """
    if _journal(path).exists():
        uri = f"{path.absolute().as_uri()}?mode=rw"
        # If this fails, because the disk is full or another program uses the file, SQLite undoes
        # the change when the database is opened again.
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection,
        ):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def unfinished(url: sa.URL, task: str) -> str | None:
    """Describe the state of a database with a failed change that SQLite could not undo yet.

    Returns the end of a sentence about the database, or None if no change is left to undo.
    """
    if not is_sqlite(url) or not (journal := _journal(sqlite_path(url))).exists():
        return None
    return (
        f"contains a part of the change, which {journal} can undo (leave both files where they "
        f"are, free some disk space, and run the {task} again)"
    )


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}-journal")


def _interrupted_change(path: Path) -> str:
    """Describe an interrupted change, which must be undone before the database can be read."""
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        undo = f"dirtmodel upgrade --db {shlex.quote(str(path))}"
        return f"a change to {path} was interrupted; undo it with: {undo}"
    return (
        f"a change to {path} was interrupted, and cannot be undone because the file or its folder "
        f"is read-only; copy it with its journal: {_copy(path, _journal(path))}; then undo the "
        f"change in the copy: dirtmodel upgrade --db {shlex.quote(f'FOLDER/{path.name}')}"
    )


def _copy(*paths: Path) -> str:
    return f"cp {' '.join(shlex.quote(str(path)) for path in paths)} FOLDER"


def _is_unreadable_wal(path: Path) -> bool:
    """Return True if a file is in WAL mode and its folder is read-only."""
    with path.open("rb") as file:
        header = file.read(20)
    return header[18:19] == bytes([_WAL]) and not os.access(path.parent, os.W_OK)


def check_sqlite_file(path: Path) -> None:
    """Make sure that a path leads to a SQLite file, before SQLite opens it."""
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
