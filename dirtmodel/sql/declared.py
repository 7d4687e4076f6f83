"""The declared types of the columns of a result on SQLite, which Python's driver does not return.

They are used to convert booleans, times and JSON to the same Python values as on Postgres. Columns
of tables and views have a declared type; computed columns have none.
"""

import datetime as dt
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from dirtmodel.sql.statement import Statement

_VIEW: Final = '"columns of the statement"'


def types(raw: sqlite3.Connection, statement: Statement) -> list[str]:
    """Return the declared type of each column; an empty list if the statement is not a SELECT.

    SQLite reports the types of a view, so that a temporary view of the statement is created. The
    file of the database is opened read-only, and therefore not changed.
    """
    raw.execute("PRAGMA query_only=OFF")
    try:
        raw.execute(f"CREATE TEMP VIEW {_VIEW} AS {statement.without_parameters()}")
        columns = raw.execute(f"PRAGMA temp.table_info({_VIEW})").fetchall()
        raw.execute(f"DROP VIEW temp.{_VIEW}")
    except (sqlite3.Error, sqlite3.Warning):
        # The error is reported when the statement itself is run.
        return []
    finally:
        raw.execute("PRAGMA query_only=ON")
    return [str(declared).upper() for _, _, declared, *_ in columns]


def converted(rows: Iterable[tuple[Any, ...]], declared: list[str]) -> Iterator[tuple[Any, ...]]:
    """Convert the values of columns whose declared type SQLite stores as another type."""
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
"""Functions that convert values by declared type; invalid values, which SQLite allows, are returned
unchanged."""
