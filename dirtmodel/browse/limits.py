"""What one statement of a page may take: time, sizes of values and results, memory."""

import sqlite3
import weakref
from collections.abc import Callable
from typing import Any, Final

SETTINGS: Final = {
    "max_returned_rows": 5_000,
    # The server answers others meanwhile only if a statement leaves a thread to them.
    "num_sql_threads": 3,
    "sql_time_limit_ms": 5_000,
    "max_csv_mb": 100,
    "cache_size_kb": 16_000,
    # They cost a statement for each column.
    "suggest_facets": False,
}
"""Settings of Datasette."""

LARGEST_VALUE: Final = 1_000_000
_PATTERN: Final = 1_000
"""Matching takes the length of the text times that of the pattern, without a look at the clock."""

LARGEST_RESULT: Final = 20_000_000
_HEAP: Final = 500_000_000


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
    """Makes the rows of one statement after the other, and adds up their sizes."""

    def __init__(self) -> None:
        # Weakly, because a cursor that is kept would keep a lock on the file.
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
