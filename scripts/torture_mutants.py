"""Check and load damaged releases, and compare the loaded rows with what pyarrow reads."""

import contextlib
import datetime as dt
import itertools
import math
import random
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import mutants
import psycopg
import pyarrow.parquet as pq
import sqlalchemy as sa
from torture_places import MUTANTS, Bench
from torture_running import Failure, check_end, run_here
from torture_servers import conninfo

from dirtmodel.database.fragments import quote
from dirtmodel.release.columns import COLUMNS
from dirtmodel.release.layout import TABLES, file_name

Connection = sqlite3.Connection | psycopg.Connection[Any]

OPTIONAL_TEXT: Final = frozenset({"user", "file2", "notes"})
"""Columns in which blank text is NULL."""
SHARE_CHECKED: Final = 0.5
"""Share of mutants to check before a load without options, which begins with the same checks."""
SHARE_OF_POSTGRES: Final = 0.1


def mutant(bench: Bench, rng: random.Random, folder: Path) -> None:
    """Check and load a damaged release, in this process."""
    release, work = folder / "release", folder / "work"
    work.mkdir()
    original = rng.choice(sorted((bench.inputs / "releases").iterdir()))
    done = mutants.mutate(original, release, rng)
    options = rng.choice(([], [], ["--quarantine"], ["--quarantine", "--extend"], ["--extend"]))
    checked = None
    if not options and mutants.chance(rng, SHARE_CHECKED):
        checked = run_here(["check", str(release)])
        check_end(checked, frozenset({0, 1}))
    on_server = mutants.chance(rng, SHARE_OF_POSTGRES)
    url = schema(bench, folder.name) if on_server else sqlite(work / "dirt.db")
    shown = url.render_as_string(hide_password=False)
    (folder / "done.txt").write_text(f"{original.name}: {done}\n{shown} {options}\n")
    loaded = run_here(["load", str(release), "--db", shown, *options])
    check_end(loaded, frozenset({0, 2}))
    if checked is not None and checked.code != {0: 0, 2: 1}[loaded.code]:
        raise Failure(f"check ended with {checked.code} and load with {loaded.code}")
    expected = {work / "dirt.db"} if loaded.code == 0 and not on_server else set()
    if (found := set(work.iterdir())) != expected:
        raise Failure(f"load ended with {loaded.code} and left {sorted(found)}")
    with postgres(url, folder.name) if on_server else sqlite_file(work / "dirt.db") as connection:
        if (connection is not None) != (loaded.code == 0):
            raise Failure(f"load ended with {loaded.code}; database: {connection}")
        if connection and (wrong := list(itertools.islice(differences(release, connection), 3))):
            raise Failure("\n".join(wrong))


def sqlite(path: Path) -> sa.URL:
    """Return the URL of a file."""
    return sa.URL.create("sqlite", database=str(path))


def schema(bench: Bench, number: str) -> sa.URL:
    """Return the URL of a schema that does not exist yet."""
    options = {"options": f"-csearch_path=m{number}"}
    return bench.server.url.set(database=MUTANTS).update_query_dict(options)


@contextlib.contextmanager
def sqlite_file(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Open the loaded SQLite file, which must not be malformed; None if there is none."""
    if not path.exists():
        yield None
        return
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for pragma, sound in (("integrity_check", [("ok",)]), ("foreign_key_check", [])):
            if (found := connection.execute(f"PRAGMA {pragma}").fetchall()) != sound:
                raise Failure(f"{pragma}: {found[:3]}")
        yield connection


@contextlib.contextmanager
def postgres(url: sa.URL, number: str) -> Iterator[psycopg.Connection[Any] | None]:
    """Connect to the loaded schema, and drop it at the end; None if there is none."""
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
        there = connection.execute(query, [f"m{number}"]).fetchone()
        try:
            yield connection if there else None
        finally:
            connection.execute(f"DROP SCHEMA IF EXISTS m{number} CASCADE".encode())


def execute(connection: Connection, statement: str) -> Any:
    """Run a query directly through the driver, without any of the code under test."""
    if isinstance(connection, sqlite3.Connection):
        return connection.execute(statement)
    return connection.execute(statement.encode())


def differences(release: Path, connection: Connection) -> Iterator[str]:
    """Yield the differences between a database and the release that was loaded into it."""
    quarantined = [table for (table,) in execute(connection, 'SELECT "table" FROM quarantine')]
    for name in TABLES:
        in_file = pq.read_table(release / file_name(name), use_threads=False)
        columns = {
            column: mutants.raw(in_file.column(at))
            for at, column in enumerate(in_file.column_names)
        }
        rows = execute(connection, f"SELECT * FROM {quote(name)}")
        # A column that cannot be kept is reported, and not loaded.
        kept = [column for (column, *_) in rows.description if column in columns]
        loaded = [dict(zip((c[0] for c in rows.description), row, strict=True)) for row in rows]
        n_empty = sum(
            all(map(_is_empty, kept, cells))
            for cells in zip(*(columns[column] for column in kept), strict=True)
        )
        n_quarantined = quarantined.count(name)
        if len(loaded) + n_quarantined + n_empty != len(in_file):
            yield (
                f"{name}: {len(in_file)} rows in the file, {n_empty} of them empty, but "
                f"{len(loaded)} loaded and {n_quarantined} quarantined"
            )
        names = [column.name for column in COLUMNS[name] if column.name in columns]
        yield from _differing(name, {column: columns[column] for column in names}, loaded)


def _is_empty(column: str, value: Any) -> bool:
    blank = column in OPTIONAL_TEXT and isinstance(value, str) and not value.strip()
    return blank or _is_nothing(value)


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _differing(
    name: str, columns: dict[str, list[Any]], rows: list[dict[str, Any]]
) -> Iterator[str]:
    at: dict[int, list[int]] = {}
    for row, id_ in enumerate(columns["id"]):
        # Rows with other numbers than whole ones were rejected.
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            at.setdefault(int(id_), []).append(row)
    for loaded in rows:
        candidates = at.get(loaded["id"], [])
        if not any(
            all(same(column, loaded[column], values[n]) for column, values in columns.items())
            for n in candidates
        ):
            shown = {column: [values[n] for n in candidates] for column, values in columns.items()}
            yield f"{name} {loaded['id']}: {loaded} was loaded from {shown}"[:2000]


def same(column: str, loaded: Any, raw: Any) -> bool:
    """Return true if a loaded value is equivalent to the one that pyarrow reads."""
    if isinstance(raw, bytes) and not isinstance(loaded, bytes):
        raw = raw.decode()
    if isinstance(raw, str) and loaded is None:
        return not raw.strip() or raw.lower() == "nan"
    if _is_nothing(raw) or loaded is None:
        return loaded is None and _is_nothing(raw)
    if column == "created":
        return _ticks(loaded) == (raw if isinstance(raw, int) else _ticks(raw))
    if column == "source_data_issue":
        return bool(loaded) == (str(raw).lower() in {"true", "t", "1", "1.0"})
    kind = type(loaded)
    return bool(loaded == (Decimal(raw) if isinstance(loaded, int) else kind(raw)))


def _ticks(moment: dt.datetime | dt.date | str) -> int:
    """Return a time in microseconds since 1970."""
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.fromisoformat(str(moment))
        moment = moment.replace(tzinfo=moment.tzinfo or dt.UTC)
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)
