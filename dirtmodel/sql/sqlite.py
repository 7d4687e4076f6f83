"""Running one statement on a SQLite file that is opened read-only.

`mode=ro` prevents changes to the file. The authorizer prevents access to other files, to programs
and to the settings of the connection: it denies everything that is not explicitly allowed.
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
"""Functions that access more than the database; most of them exist only in the sqlite3 shell."""

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
"""Pragmas that only return information; their argument is a name."""

_PLAIN_PRAGMAS: Final = frozenset(
    {"application_id", "encoding", "journal_mode", "page_count", "page_size", "user_version"}
)
"""Pragmas that only return information if they have no argument."""

_STEPS_BETWEEN_CHECKS: Final = 20_000
"""The number of SQLite's instructions between two checks of the time."""

_PATIENCE: Final = 0.5
"""Seconds after the timeout in which SQLite may stop the statement itself."""

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
    """Run a statement and stream its rows; see `dirtmodel.sql.ask`."""
    with database.connect(url) as connection:
        # A separate connection, because a statement that cannot be stopped continues to use it.
        raw = database.connect_sqlite(database.sqlite_path(url), read_only=True)
        raw.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
        types = declared.types(raw, statement)
        raw.set_authorizer(_authorize)
        watch = _Watch(timeout)
        raw.set_progress_handler(watch.is_late, _STEPS_BETWEEN_CHECKS)
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
    """Convert text that looks like a number to a number.

    >>> [number_or_text(text) for text in ("3", "2.5", "1e3", "007", "V1")]
    [3, 2.5, 1000.0, '007', 'V1']
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


class _Watch:
    """Stops a statement that takes too long, or stops waiting for it."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout = timeout
        self.deadline = None if timeout is None else time.monotonic() + timeout
        self.running: futures.Future[Any] = futures.Future()
        self.running.set_result(None)

    def is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def wait_for(self, call: Callable[[], T]) -> T:
        """Run a call in a thread, and return its result or raise an error if it takes too long.

        SQLite cannot stop a single call of a function such as `printf('%.*c', 900000000, 'x')`,
        neither at the timeout nor after Ctrl-C. Then the call continues in its thread, which does
        not prevent the process from ending.
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
    """Convert SQLite's errors to `QueryError`, with the position in the text."""
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
            raise QueryError("there is more than one statement; run one at a time") from error
        if _WORDS.search(message) or "readonly database" in message:
            message = f"{message}: statements may only read this database"
        place = _place(raw, text, str(error))
        raise QueryError(point_at(suggest(message, connection), text, place)) from error


def _place(raw: sqlite3.Connection, text: str, message: str) -> int | None:
    """Find the position of an error in the text; Python does not provide SQLite's offset."""
    near = _NEAR.fullmatch(message)
    if near:
        return _first(
            text, re.escape(near["token"]), lambda end: _complains(raw, text[:end], message)
        )
    named = _NAME.search(message)
    if named is None:
        return len(text.rstrip()) if message == "incomplete input" else None
    # The text contains the name as it is in the message, possibly without its qualifier.
    token = re.escape(named["token"])
    return _first(text, rf"(?i)(?<!\w){token}(?!\w)", lambda _end: True)


def _first(text: str, pattern: str, accepted: Callable[[int], bool]) -> int | None:
    for match in re.finditer(pattern, text):
        if accepted(match.end()):
            return match.start()
    return None


def _complains(raw: sqlite3.Connection, text: str, message: str) -> bool:
    """Return True if this beginning of the text raises the same error; the parser stops there."""
    try:
        raw.execute(f"EXPLAIN {text}")
    except (sqlite3.Error, sqlite3.Warning) as error:
        return str(error) == message
    return False


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _via: str | None
) -> int:
    """Allow actions that only read this database."""
    if action == sqlite3.SQLITE_FUNCTION:
        allowed = (second or "").lower() not in _REFUSED_FUNCTIONS
    elif action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        allowed = name in _PRAGMAS or (name in _PLAIN_PRAGMAS and second is None)
    else:
        allowed = action in _ALLOWED
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
