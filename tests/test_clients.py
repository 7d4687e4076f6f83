"""Common clients read every table and view with the same values."""

import contextlib
import datetime as dt
import json
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import adbc_driver_sqlite.dbapi
import duckdb
import ibis
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel import database
from dirtmodel.models import views

Row = tuple[Any, ...]
Read = Callable[[str], list[Row]]

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")
NAMES = sorted([table.name for table in database.tables()] + [view.name for view in views.VIEWS])


@pytest.fixture(scope="module")
def path(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clients") / "dirt.db"
    dm.load(release, path)
    return path


def plain(value: Any) -> Any:
    """Convert a client's types to plain Python, so that values can be compared."""
    if isinstance(value, str) and TIME.fullmatch(value):
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        value = json.loads(value)
    if isinstance(value, dict | list):
        return json.dumps(value)
    if isinstance(value, bool):
        return int(value)
    return None if value is pd.NaT or value != value else value  # noqa: PLR0124 - NaN


def comparable(rows: Any) -> list[Row]:
    return sorted((tuple(plain(value) for value in row) for row in rows), key=repr)


def pandas(path: Path) -> Iterator[Read]:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        yield lambda name: list(
            pd.read_sql_table(name, connection, coerce_float=False)
            .astype(object)
            .itertuples(index=False, name=None)
        )


def polars_read_database(path: Path) -> Iterator[Read]:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        yield lambda name: pl.read_database(
            f"SELECT * FROM {name}", connection, infer_schema_length=None
        ).rows()


def polars_read_database_uri(path: Path) -> Iterator[Read]:
    yield lambda name: pl.read_database_uri(f"SELECT * FROM {name}", f"sqlite://{path}").rows()


def adbc(path: Path) -> Iterator[Read]:
    with adbc_driver_sqlite.dbapi.connect(str(path)) as connection, connection.cursor() as cursor:
        yield lambda name: cursor.execute(f"SELECT * FROM {name}").fetchall()


@contextlib.contextmanager
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    folder = resources.files("duckdb_extension_sqlite_scanner") / "extensions"
    extension = folder / f"v{duckdb.__version__}" / "sqlite_scanner.duckdb_extension"
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        yield connection


def duckdb_attach(path: Path) -> Iterator[Read]:
    with duck() as connection:
        connection.execute(f"ATTACH '{path}' AS dirt (TYPE sqlite, READ_ONLY)")
        yield lambda name: connection.execute(f"SELECT * FROM dirt.{name}").fetchall()


def duckdb_sqlite_scan(path: Path) -> Iterator[Read]:
    with duck() as connection:
        yield lambda name: connection.execute(
            f"SELECT * FROM sqlite_scan('{path}', '{name}')"
        ).fetchall()


def ibis_sqlite(path: Path) -> Iterator[Read]:
    connection = ibis.sqlite.connect(path)
    with warnings.catch_warnings():
        # ibis asks for an option that pandas 3 deprecates.
        warnings.filterwarnings("ignore", "The 'future.infer_string' option")
        yield lambda name: list(
            connection.table(name).execute().astype(object).itertuples(index=False, name=None)
        )
    connection.disconnect()


def reflection(path: Path) -> Iterator[Read]:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        yield lambda name: [
            tuple(row)
            for row in connection.execute(
                sa.select(sa.Table(name, sa.MetaData(), autoload_with=connection))
            )
        ]


@pytest.mark.parametrize(
    "client",
    [
        pandas,
        polars_read_database,
        polars_read_database_uri,
        adbc,
        duckdb_attach,
        duckdb_sqlite_scan,
        ibis_sqlite,
        reflection,
    ],
)
def test_a_client_reads_every_table_and_view(
    client: Callable[[Path], Iterator[Read]], path: Path
) -> None:
    different = []

    with contextlib.closing(sqlite3.connect(path)) as raw:
        for read in client(path):
            for name in NAMES:
                expected = comparable(raw.execute(f"SELECT * FROM {name}"))
                if comparable(read(name)) != expected:
                    different.append(name)

    assert different == []


def test_every_column_declares_its_type(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as raw:
        undeclared = [
            (name, column[1])
            for name in NAMES
            for column in raw.execute(f"PRAGMA table_info({name})")
            if not column[2]
        ]

    assert undeclared == []
