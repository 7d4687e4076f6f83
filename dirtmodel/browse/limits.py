"""Limits for one statement of a page: time, sizes of values and results, memory."""

import sqlite3
import weakref
from collections.abc import Callable
from typing import Any, Final

SETTINGS: Final = {
    "max_returned_rows": 5_000,
    # With several threads, other pages do not wait for a slow statement.
    "num_sql_threads": 3,
    "sql_time_limit_ms": 5_000,
    "max_csv_mb": 100,
    "cache_size_kb": 16_000,
    # Suggestions would run one statement per column.
    "suggest_facets": False,
}
"""Settings of Datasette."""

LARGEST_VALUE: Final = 1_000_000
"""The most bytes of one value."""
_PATTERN: Final = 1_000
"""The most bytes of a LIKE pattern; the time limit does not interrupt the matching of one value."""

LARGEST_RESULT: Final = 20_000_000
"""The most bytes of a result."""
_HEAP: Final = 500_000_000
"""The most bytes of memory that SQLite may use."""


def limit_heap() -> None:
    """Limit the memory of SQLite in this process; a statement that needs more fails."""
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA hard_heap_limit={_HEAP}")
    connection.close()


def limit_connection(connection: sqlite3.Connection) -> None:
    """Limit the sizes of values and results on a connection."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _PATTERN)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.row_factory = _Rows()


class _Rows:
    """A row factory that adds up the sizes of the rows of each statement."""

    def __init__(self) -> None:
        # A weak reference, because a cursor keeps a lock on the file.
        self._cursor: Callable[[], sqlite3.Cursor | None] = lambda: None
        self._size = 0

    def __call__(self, cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
        if cursor is not self._cursor():
            self._cursor, self._size = weakref.ref(cursor), 0
        self._size += sum(len(value) for value in values if isinstance(value, str | bytes))
        if self._size > LARGEST_RESULT:
            raise sqlite3.OperationalError(
                f"the result is larger than {LARGEST_RESULT // 1_000_000} MB; choose fewer columns "
                "or rows, or use `dirtmodel sql`, which writes results of any size"
            )
        return sqlite3.Row(cursor, values)
