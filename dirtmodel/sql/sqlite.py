"""One statement on a SQLite file that is opened read-only.

`mode=ro` keeps the file as it is; the authorizer keeps the statement away from other files, from
programs and from the settings of the connection. Everything that is not on its list is refused.
"""

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent import futures
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import QueryError
from dirtmodel.groups import row_size, take
from dirtmodel.sql import declared
from dirtmodel.sql.catalogue import suggest
from dirtmodel.sql.statement import (
    LARGEST_VALUE,
    Answer,
    Statement,
    out_of_memory,
    point_at,
    too_large,
    too_late,
)

T = TypeVar("T")

_ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_FUNCTION}
)
_REFUSED_FUNCTIONS: Final = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "lsdir", "fsdir"}
)
"""Functions that reach beyond the database; most of them exist in the shell only."""

_PRAGMAS: Final = frozenset(
    {
        "table_info",
        "table_xinfo",
        "table_list",
        "index_list",
        "index_info",
        "index_xinfo",
        "foreign_key_list",
        "foreign_key_check",
        "integrity_check",
        "quick_check",
        "compile_options",
        "function_list",
        "collation_list",
    }
)
"""Those that only tell, and whose argument is a name."""

_PLAIN_PRAGMAS: Final = frozenset(
    {"application_id", "encoding", "journal_mode", "page_count", "page_size", "user_version"}
)
"""Those that only tell as long as they are given no argument."""

_STEPS_BETWEEN_LOOKS: Final = 20_000
_PATIENCE: Final = 0.5
"""Seconds in which a statement that is late may end between two steps."""

_ROWS_AT_ONCE: Final = 1_000
_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9]\d{0,17})")
_FLOAT: Final = re.compile(r"[+-]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][+-]?\d+)?")
_NEAR: Final = re.compile(r'near "(?P<token>.+)": syntax error', re.DOTALL)
_NAME: Final = re.compile(
    r"(?:no such (?:column|table|function|view|collation sequence)|ambiguous column name|"
    r"misuse of (?:aggregate|window function)(?: function)?|wrong number of arguments to function|"
    r"not authorized to use function):? (?P<token>[^\s(]+)"
)
_WORDS: Final = re.compile(r"not authorized|authorization denied|access to .* is prohibited")


@contextlib.contextmanager
def ask(
    url: sa.URL, statement: Statement, parameters: Mapping[str, str], *, timeout: float | None
) -> Iterator[Answer]:
    """Run the statement and stream its rows."""
    with database.connect(url) as connection:
        # Of its own, because a statement that is not waited for any longer keeps it.
        raw = database.connect_sqlite(database.sqlite_path(url), read_only=True)
        raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
        types = declared.types(raw, statement)
        raw.set_authorizer(_authorize)
        watch = _Watch(timeout)
        raw.set_progress_handler(watch.look, _STEPS_BETWEEN_LOOKS)
        values = {name: number_or_text(text) for name, text in parameters.items()}
        try:
            with _explained(connection, raw, statement.text, watch):
                cursor = watch.wait_for(lambda: raw.execute(statement.text, values))
            if cursor.description is None:
                raise QueryError("the statement is empty; write one that starts with SELECT")
            columns = [column[0] for column in cursor.description]
            with contextlib.closing(_rows(cursor, connection, raw, statement.text, watch)) as rows:
                yield Answer(columns, declared.converted(rows, types))
        finally:
            raw.interrupt()
            watch.running.add_done_callback(lambda _: raw.close())


def number_or_text(text: str) -> int | float | str:
    """Take what is written like a number for one.

    >>> [number_or_text(text) for text in ("3", "2.5", "1e3", "007", "V1")]
    [3, 2.5, 1000.0, '007', 'V1']
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Watch:
    """Stops a statement that runs for too long, and waits for it no longer."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.running: futures.Future[Any] = futures.Future()
        self.running.set_result(None)

    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def look(self) -> bool:
        """Called by SQLite between the steps of a statement."""
        return self.is_late()

    def wait_for(self, call: Callable[[], T]) -> T:
        """Return the result of a call, unless it comes too late.

        One call of a function of SQLite, such as `printf('%.*c', 900000000, 'x')`, is one step and
        cannot be stopped, neither when it is late nor by Ctrl-C. It runs on in its thread, which
        does not keep the process from ending.
        """
        running: futures.Future[T] = futures.Future()

        def run() -> None:
            try:
                running.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised where the result is waited for
                running.set_exception(error)

        self.running = running
        threading.Thread(target=run, daemon=True).start()
        patience = None
        if self.deadline is not None:
            patience = max(self.deadline - time.monotonic(), 0) + _PATIENCE
        try:
            result = running.result(patience)
        except TimeoutError as error:
            raise too_late(self.timeout) from error
        if self.is_late():
            raise too_late(self.timeout)
        return result


def _rows(
    cursor: sqlite3.Cursor,
    connection: sa.Connection,
    raw: sqlite3.Connection,
    text: str,
    watch: _Watch,
) -> Generator[tuple[Any, ...], None, None]:
    with _explained(connection, raw, text, watch):
        while rows := watch.wait_for(lambda: take(cursor, row_size, _ROWS_AT_ONCE)):
            yield from rows


@contextlib.contextmanager
def _explained(
    connection: sa.Connection, raw: sqlite3.Connection, text: str, watch: _Watch
) -> Iterator[None]:
    """Turn what SQLite says into our error, with the place in the text."""
    try:
        yield
    except MemoryError as error:
        raise out_of_memory() from error
    except sqlite3.DataError as error:
        raise too_large(error) from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        message = str(error)
        if message == "interrupted":
            raise too_late(watch.timeout) from error
        if "one statement at a time" in message:
            raise QueryError("there is more than one statement; give one at a time") from error
        if _WORDS.search(message) or "readonly database" in message:
            message = f"{message}: statements may only read this database"
        place = _place(raw, text, str(error))
        raise QueryError(point_at(suggest(message, connection), text, place)) from error


def _place(raw: sqlite3.Connection, text: str, message: str) -> int | None:
    """Find out where a message points; Python does not pass SQLite's own offset on."""
    near = _NEAR.fullmatch(message)
    if near:
        return _first(
            text, re.escape(near["token"]), lambda end: _complains(raw, text[:end], message)
        )
    named = _NAME.search(message)
    if named is None:
        return len(text.rstrip()) if message == "incomplete input" else None
    # A name stands in the text as it is in the message, or without what qualifies it.
    token = re.escape(named["token"])
    return _first(text, rf"(?i)(?<!\w){token}(?!\w)", lambda _end: True)


def _first(text: str, pattern: str, accepted: Callable[[int], bool]) -> int | None:
    for found in re.finditer(pattern, text):
        if accepted(found.end()):
            return found.start()
    return None


def _complains(raw: sqlite3.Connection, text: str, message: str) -> bool:
    """Whether the text up to here already has the fault: its parser reads no further than that."""
    try:
        raw.execute(f"EXPLAIN {text}")
    except (sqlite3.Error, sqlite3.Warning) as error:
        return str(error) == message
    return False


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _via: str | None
) -> int:
    """Allow what only reads this file."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in _REFUSED_FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        allowed = name in _PRAGMAS or (name in _PLAIN_PRAGMAS and second is None)
    else:
        allowed = action in _ALLOWED
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
