"""Loading from DIRT's own database: the same rows as from the published files."""

import datetime as dt
import itertools
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import cli, database, groups, sample
from dirtmodel import release as releases
from dirtmodel.release.dirt import DIRT_COLUMNS, DIRT_TABLES

SQLITE_SCHEMA = """
CREATE TABLE ratings_session (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
  step integer NOT NULL, created datetime NOT NULL, "user" text NULL);
CREATE TABLE ratings_image (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, img BLOB NOT NULL,
  slice integer NULL, file1 text NOT NULL, file2 text NULL, display integer NOT NULL,
  step integer NOT NULL, created datetime NOT NULL,
  CONSTRAINT image_meta UNIQUE (slice, file1, display, step));
CREATE TABLE ratings_rating (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
  source_data_issue bool NOT NULL, created datetime NOT NULL, rating integer NOT NULL,
  image_id bigint NOT NULL REFERENCES ratings_image (id) DEFERRABLE INITIALLY DEFERRED,
  session_id bigint NOT NULL REFERENCES ratings_session (id) DEFERRABLE INITIALLY DEFERRED,
  comments text NOT NULL DEFAULT '');
CREATE TABLE ratings_clickedcoordinate (id integer NOT NULL PRIMARY KEY AUTOINCREMENT,
  source_data_issue bool NOT NULL, created datetime NOT NULL, x real NULL, y real NULL,
  image_id bigint NOT NULL REFERENCES ratings_image (id) DEFERRABLE INITIALLY DEFERRED,
  session_id bigint NOT NULL REFERENCES ratings_session (id) DEFERRABLE INITIALLY DEFERRED,
  comments text NOT NULL DEFAULT '');
"""
POSTGRES_SCHEMA = (
    SQLITE_SCHEMA.replace("integer NOT NULL PRIMARY KEY AUTOINCREMENT", "bigint PRIMARY KEY")
    .replace("datetime", "timestamp with time zone")
    .replace("BLOB", "bytea")
    .replace(" bool ", " boolean ")
    .replace(" real ", " double precision ")
)
DJANGO_NAMES = {new: old for old, new in DIRT_COLUMNS.items()}
DERIVED = ("target", "picture", "review", "tally")
CONTENT = ("session", "image", "rating", "coordinate", *DERIVED)
schemas = itertools.count()


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return sample.make_tables(subjects=2, slices=1, picture_size=(48, 36), frames=2)


@pytest.fixture(scope="module")
def published(tables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release with the same rows, as the published pipeline writes it."""
    return sample.write_tables(tables, tmp_path_factory.mktemp("published"))


def as_django_stores_it(row: dict[str, Any], *, sqlite: bool) -> dict[str, Any]:
    kept = {DJANGO_NAMES.get(name, name): value for name, value in row.items()}
    if "comments" in kept:
        kept["comments"] = kept["comments"] or ""
    if sqlite:
        created = kept["created"].replace(tzinfo=None)
        kept["created"] = str(created)
    return kept


def insert(cursor: Any, tables: dict[str, Any], mark: str) -> None:
    for table, rows in tables.items():
        for row in rows.to_pylist():
            kept = as_django_stores_it(row, sqlite=mark == "?")
            names = ", ".join(f'"{name}"' for name in kept)
            places = ", ".join([mark] * len(kept))
            cursor.execute(
                f"INSERT INTO {DIRT_TABLES[table]} ({names}) VALUES ({places})", [*kept.values()]
            )


@pytest.fixture(params=["sqlite", "postgres"])
def dirt(request: pytest.FixtureRequest, tables: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """Return DIRT's database, on each engine."""
    if request.param == "sqlite":
        path = tmp_path / "db.sqlite3"
        with sqlite3.connect(path) as connection:
            connection.executescript(SQLITE_SCHEMA)
            insert(connection.cursor(), tables, "?")
        connection.close()
        yield str(path)
        return
    server = request.getfixturevalue("postgres_server")
    name = f"dirt_{os.getpid()}_{next(schemas)}"
    with psycopg.connect(server) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        connection.execute(f"SET search_path TO {name}")
        connection.execute(POSTGRES_SCHEMA)
        insert(connection.cursor(), tables, "%s")
    separator = "&" if "?" in server else "?"
    yield f"{server}{separator}options=-csearch_path%3D{name}"
    with psycopg.connect(server) as connection:
        connection.execute(f"DROP SCHEMA {name} CASCADE")


def change(place: str, *statements: str) -> None:
    with database.engine(database.parse_url(place)).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def content(db: Path) -> dict[str, list[Any]]:
    with database.connect(database.parse_url(db)) as connection:
        return {
            name: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {name}"))))
            for name in CONTENT
        }


def test_the_database_equals_that_of_the_published_files(
    dirt: str, published: Path, tmp_path: Path
) -> None:
    dm.load(published, tmp_path / "published.db")

    loaded = dm.load(dirt, tmp_path / "dirt.db")

    assert content(tmp_path / "dirt.db") == content(tmp_path / "published.db")
    assert sum(loaded.n_rows.values()) > 100


def test_the_findings_equal_those_of_the_published_files(dirt: str, published: Path) -> None:
    expected = {
        (found.code, found.n)
        for found in releases.check(published)
        # The lines at the end of the dump.
        if found.code != "empty-rows"
    }

    found = releases.check(dirt)

    assert {(f.code, f.n) for f in found} == expected
    assert {f.file for f in found} <= set(DIRT_TABLES.values())


def test_the_command_accepts_it_as_a_release(dirt: str, tmp_path: Path) -> None:
    told = CliRunner().invoke(cli.main, ["load", dirt, "--db", str(tmp_path / "new.db")])

    assert told.exit_code == 0
    assert "Loaded " in told.stderr
    assert CliRunner().invoke(cli.main, ["check", dirt]).exit_code == 0


def test_diff_accepts_it_as_a_release(dirt: str, published: Path) -> None:
    with dm.diff(published, dirt) as found:
        counts = found.count()

    assert all(said.n_differences == 0 and said.unchanged for said in counts.values())


def test_blank_texts_are_null_as_in_a_release(dirt: str, tmp_path: Path) -> None:
    change(dirt, "UPDATE ratings_session SET \"user\" = ' '")

    dm.load(dirt, tmp_path / "new.db")

    with dm.open(tmp_path / "new.db") as db:
        assert set(db.scalars(sa.select(dm.Session.user))) == {None}
        assert "" not in set(db.scalars(sa.select(dm.Rating.notes)))


def test_a_database_from_before_there_were_comments_loads_with_a_finding(
    dirt: str, tmp_path: Path
) -> None:
    change(
        dirt,
        "ALTER TABLE ratings_rating DROP COLUMN comments",
        "ALTER TABLE ratings_clickedcoordinate DROP COLUMN comments",
    )

    loaded = dm.load(dirt, tmp_path / "new.db")

    told = [f.examples for f in loaded.findings if f.code == "no-notes"]
    assert told == [
        ("ratings_clickedcoordinate has no column notes",),
        ("ratings_rating has no column notes",),
    ]


def test_a_column_of_a_later_dirt_is_kept_and_reported(dirt: str, tmp_path: Path) -> None:
    change(
        dirt,
        "ALTER TABLE ratings_rating ADD COLUMN confidence integer",
        "UPDATE ratings_rating SET confidence = 7",
    )

    loaded = dm.load(dirt, tmp_path / "new.db")

    (reported,) = [f for f in loaded.findings if f.code == "extra-column"]
    assert reported.examples[0].startswith("ratings_rating column confidence (int64)")
    with dm.open(tmp_path / "new.db") as db:
        found = db.scalars(sa.text("SELECT DISTINCT confidence FROM rating")).all()
    assert found == [7]


def test_rows_that_cannot_be_loaded_are_refused_or_quarantined(dirt: str, tmp_path: Path) -> None:
    change(
        dirt, "UPDATE ratings_rating SET rating = 3 WHERE id = (SELECT min(id) FROM ratings_rating)"
    )

    with pytest.raises(dm.ReleaseError, match=r"ratings_rating id \d+: rating 3 is not PASS"):
        dm.load(dirt, tmp_path / "new.db")

    assert not (tmp_path / "new.db").exists()
    assert dm.load(dirt, tmp_path / "new.db", quarantine=True).n_quarantined == 1


def test_rows_are_fetched_by_their_bytes(dirt: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "BYTES", 100_000)
    change(dirt, f"UPDATE ratings_rating SET comments = '{'x' * 100_000}' WHERE id IN (3, 5)")

    with releases.opened(dirt) as source:
        narrow, wide = (list(source.read("rating", names)) for names in (["id"], ["id", "notes"]))

    (ids,) = (batch.column("id").to_pylist() for batch in narrow)
    assert [batch.column("id").to_pylist() for batch in wide] == [
        ids[: ids.index(3) + 1],
        ids[ids.index(3) + 1 : ids.index(5) + 1],
        ids[ids.index(5) + 1 :],
    ]


def test_it_is_left_unchanged(dirt: str, tmp_path: Path) -> None:
    before = Path(dirt).read_bytes() if Path(dirt).exists() else b""

    dm.load(dirt, tmp_path / "new.db")

    assert (Path(dirt).read_bytes() if Path(dirt).exists() else b"") == before


def spoilt(tables: dict[str, Any], path: Path, statement: str) -> Path:
    """Return DIRT's database on SQLite, which accepts any value in any column."""
    with sqlite3.connect(path) as connection:
        connection.executescript(SQLITE_SCHEMA)
        insert(connection.cursor(), tables, "?")
        connection.execute(statement)
    connection.close()
    return path


@pytest.mark.parametrize(
    ("table", "column", "value", "shown", "kind"),
    [
        *(
            ("rating", "created", value, repr(shown), "timestamps")
            for value, shown in [
                ("'yesterday'", "yesterday"),
                ("''", ""),
                ("'infinity'", "infinity"),
                ("'0044-03-15 BC'", "0044-03-15 BC"),
                ("1753533296", "1753533296"),
                ("1.5", "1.5"),
                ("x'ff'", r"b'\xff'"),
                ("CAST(x'ff' AS TEXT)", r"\udcff"),
            ]
        ),
        ("rating", "rating", "1.9", "'1.9'", "whole numbers of 32 bits"),
        ("rating", "source_data_issue", "0.7", "'0.7'", "true or false"),
        ("rating", "comments", "CAST(x'ff' AS TEXT)", r"b'\xff'", "text"),
        ("clickedcoordinate", "x", "'left'", "'left'", "numbers"),
    ],
)
def test_a_value_of_the_wrong_type_is_found_by_its_id_and_quarantined(
    table: str,
    column: str,
    value: str,
    shown: str,
    kind: str,
    tables: dict[str, Any],
    tmp_path: Path,
) -> None:
    last = f"(SELECT max(id) FROM ratings_{table})"
    path = spoilt(
        tables,
        tmp_path / "db.sqlite3",
        f"UPDATE ratings_{table} SET {column} = {value} WHERE id = {last}",
    )
    id_ = max(tables["coordinate" if "click" in table else table]["id"].to_pylist())

    (found,) = (f for f in releases.check(path) if f.severity == "error")

    name = DIRT_COLUMNS.get(column, column)
    assert (found.code, found.examples) == (
        "bad-value",
        (f"ratings_{table} id {id_}: {name} {shown} does not fit a column of {kind}",),
    )
    assert dm.load(path, tmp_path / "new.db", quarantine=True).n_quarantined == 1


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "0044-03-15 00:00:00+00 BC"])
def test_times_that_python_cannot_hold_are_found_on_postgres(
    moment: str, dirt: str, tmp_path: Path
) -> None:
    first = "(SELECT min(id) FROM ratings_rating)"
    change(dirt, f"UPDATE ratings_rating SET created = '{moment}' WHERE id = {first}")

    (found,) = (f for f in releases.check(dirt) if f.severity == "error")

    assert found.code == "bad-value"
    assert found.examples[0].endswith(f": created '{moment}' does not fit a column of timestamps")
    assert dm.load(dirt, tmp_path / "new.db", quarantine=True).n_quarantined == 1


def test_microseconds_may_be_missing(tmp_path: Path, tables: dict[str, Any]) -> None:
    path = tmp_path / "db.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript(SQLITE_SCHEMA)
        insert(connection.cursor(), tables, "?")
        connection.execute("UPDATE ratings_session SET created = '2025-07-13 00:00:00'")
    connection.close()

    dm.load(path, tmp_path / "new.db")

    with dm.open(tmp_path / "new.db") as db:
        expected = {dt.datetime(2025, 7, 13, tzinfo=dt.UTC)}
        assert set(db.scalars(sa.select(dm.Session.created))) == expected


def test_a_database_without_such_tables_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()

    with pytest.raises(dm.DatabaseError, match="has neither DIRT's tables"):
        dm.load(tmp_path / "other.db", tmp_path / "new.db")


def test_a_database_of_dirtmodel_is_accepted_as_a_release(published: Path, tmp_path: Path) -> None:
    dm.load(published, tmp_path / "one.db")

    dm.load(tmp_path / "one.db", tmp_path / "two.db")

    assert content(tmp_path / "two.db") == content(tmp_path / "one.db")
