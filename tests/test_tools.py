"""Common tools open a loaded database and return the same rows."""

import json
import shutil
import sqlite3
import subprocess
import sys
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import duckdb
import pandas as pd
import polars as pl
import pytest
import sqlalchemy as sa

import dirtmodel as dm
from dirtmodel.sql import ask

QUESTION = """
SELECT t.sub, t.task, t.run, count(*) AS n FROM rating AS r
JOIN picture AS p ON p.img_id = r.img_id
JOIN target AS t ON t.id = p.target_id
WHERE t.step = 3 AND r.rating = 2
GROUP BY t.sub, t.task, t.run ORDER BY t.sub, t.task, t.run
"""

Rows = list[tuple[str, str, int, int]]


@pytest.fixture(scope="module")
def answer(demo_db: Path) -> Rows:
    """Return the rows by the ORM."""
    n = sa.func.count()
    of = (dm.Target.sub, dm.Target.task, dm.Target.run)
    statement = (
        sa.select(*of, n)
        .join(dm.Picture, dm.Picture.target_id == dm.Target.id)
        .join(dm.Rating, dm.Rating.img_id == dm.Picture.img_id)
        .where(dm.Target.step == 3, dm.Rating.rating == dm.Ratings.FAIL)
        .group_by(*of)
        .order_by(*of)
    )
    with dm.open(demo_db) as session:
        found = [tuple(row) for row in session.execute(statement)]
    assert found
    return found


def test_dirtmodel_sql_reads_the_database(demo_db: Path, answer: Rows) -> None:
    with ask(demo_db, QUESTION) as asked:
        assert list(asked.rows) == answer


def test_the_sqlite3_shell_reads_the_database(demo_db: Path, answer: Rows) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("there is no sqlite3 shell here")
    done = subprocess.run(
        ["sqlite3", "-readonly", "-separator", "|", str(demo_db), QUESTION],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["|".join(map(str, row)) for row in answer]


def test_duckdb_reads_the_database_with_sqlite_scan(demo_db: Path, answer: Rows) -> None:
    version = f"v{duckdb.__version__}"
    try:
        package = resources.files("duckdb_extension_sqlite_scanner")
    except ModuleNotFoundError:
        pytest.skip("duckdb-extension-sqlite-scanner is not installed")
    extension = package / "extensions" / version / "sqlite_scanner.duckdb_extension"
    if not extension.is_file():
        pytest.skip(f"duckdb-extension-sqlite-scanner has nothing for DuckDB {version}")
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{extension}'")
        question = QUESTION
        for table in ("rating", "picture", "target"):
            scan = f"sqlite_scan('{demo_db}', '{table}')"
            question = question.replace(f" {table} AS", f" {scan} AS")
        assert connection.execute(question).fetchall() == answer


def test_duckdb_reads_arrow_tables(demo_db: Path, answer: Rows) -> None:
    with sqlite3.connect(f"{demo_db.as_uri()}?mode=ro", uri=True) as source:
        tables = {
            table: pl.read_database(f"SELECT * FROM {table}", source).to_arrow()
            for table in ("rating", "picture", "target")
        }
    source.close()
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        assert connection.execute(QUESTION).fetchall() == answer


def test_pandas_reads_the_database(demo_db: Path, answer: Rows) -> None:
    engine = sa.create_engine(f"sqlite:///{demo_db}")
    with engine.connect() as connection:
        frame = pd.read_sql(sa.text(QUESTION), connection)
    engine.dispose()
    assert list(frame.itertuples(index=False, name=None)) == answer


def test_polars_reads_the_database(demo_db: Path, answer: Rows) -> None:
    engine = sa.create_engine(f"sqlite:///{demo_db}")
    with engine.connect() as connection:
        frame = pl.read_database(QUESTION, connection)
    engine.dispose()
    assert frame.rows() == answer


def test_datasette_reads_the_database(demo_db: Path, answer: Rows) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "datasette",
            str(demo_db),
            "--get",
            "/dirt.json?_shape=arrays&sql=" + quote(QUESTION),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(done.stdout)["rows"]
    assert [tuple(row) for row in rows] == answer
