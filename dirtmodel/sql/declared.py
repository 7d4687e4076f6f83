"""The types that SQLite declares for the columns of a result, which Python's driver does not tell.

With them, booleans, times and JSON are the same Python values as those that Postgres returns. The
columns of tables and views have a declared type, computed ones have none.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from dirtmodel.sql.statement import Statement

_VIEW: Final = '"columns of the statement"'


def types(raw: sqlite3.Connection, statement: Statement) -> list[str]:
    """Return the declared type of each column; none at all for what is not a SELECT.

    SQLite knows them of a view, so that the statement becomes a temporary one for a moment. The
    connection stays unable to write to its file, which is opened read-only.
    """
    raw.execute("PRAGMA query_only=OFF")
    try:
        raw.execute(f"CREATE TEMP VIEW {_VIEW} AS {statement.without_parameters()}")
        found = raw.execute(f"PRAGMA temp.table_info({_VIEW})").fetchall()
        raw.execute(f"DROP VIEW temp.{_VIEW}")
    except (sqlite3.Error, sqlite3.Warning):
        # Running the statement itself reports what is wrong with it.
        return []
    finally:
        raw.execute("PRAGMA query_only=ON")
    return [str(declared).upper() for _, _, declared, *_ in found]


def converted(rows: Iterable[tuple[Any, ...]], declared: list[str]) -> Iterator[tuple[Any, ...]]:
    """Convert the values of columns with a type that SQLite does not have."""
    readers = [(n, _READERS[type_]) for n, type_ in enumerate(declared) if type_ in _READERS]
    if not readers:
        yield from rows
        return
    for row in rows:
        values = list(row)
        for n, read in readers:
            values[n] = read(values[n])
        yield tuple(values)


def _boolean(value: Any) -> Any:
    return bool(value) if value in {0, 1} else value


def _time(value: Any) -> Any:
    try:
        moment = dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _json(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "BOOLEAN": _boolean,
    "DATETIME": _time,
    "TIMESTAMP": _time,
    "JSON": _json,
}
"""A value of another kind, which SQLite allows in any column, is returned as it is."""
