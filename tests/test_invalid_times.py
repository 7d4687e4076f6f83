"""Invalid times of other programs are refused by the tables, and named when they are read."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import database
from dirtmodel.cli import main

INVALID = {
    "sqlite": [
        *("''", "5", "'yesterday'", "'2025-01-01'", "'2025-01-01T00:00:00.000000'"),
        *("'2025-02-30 00:00:00.000000'", "'2025-01-01 24:00:00.000000'"),
        *("'0000-01-01 00:00:00.000000'", "'2025-01-01 00:00:00.000000+02:00'"),
    ],
    "postgresql": [
        *("'infinity'", "'-infinity'", "'0001-12-31 00:00:00+00 BC'", "'10000-01-01 00:00:00+00'"),
    ],
}
VALID = ["'0001-01-01 00:00:00.000000'", "'2024-02-29 23:59:59.999999'"]


def backend(url: sa.URL) -> str:
    return url.get_backend_name()


def test_they_are_refused_by_the_tables(new_url: sa.URL) -> None:
    insert = "INSERT INTO session (id, step, created) VALUES ({}, 0, {})"
    accepted = []
    with database.engine(new_url).begin() as connection:
        if backend(new_url) == "postgresql":
            schema = str(new_url.query["options"]).partition("=")[2]
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        database.migrate(connection)
        for number, value in enumerate([*INVALID[backend(new_url)], *VALID]):
            with contextlib.suppress(sa.exc.IntegrityError), connection.begin_nested():
                connection.exec_driver_sql(insert.format(number, value))
                accepted.append(value)
    assert accepted == VALID


@pytest.fixture
def damaged(new_url: sa.URL, release: Path) -> sa.URL:
    """Return a database that contains an invalid time."""
    dm.load(release, new_url)
    value = INVALID[backend(new_url)][0]
    update = f"UPDATE rating SET created = {value} WHERE id = (SELECT min(id) FROM rating)"
    if backend(new_url) == "sqlite":
        with contextlib.closing(sqlite3.connect(database.sqlite_path(new_url))) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            connection.execute(update)
            connection.commit()
    else:
        with database.engine(new_url).begin() as connection:
            connection.exec_driver_sql("ALTER TABLE rating DROP CONSTRAINT ck_rating_created")
            connection.exec_driver_sql(update)
    dm.refresh(new_url)
    return new_url


@pytest.mark.parametrize("command", ["image", "export"])
def test_they_are_named_when_they_are_read(damaged: sa.URL, tmp_path: Path, command: str) -> None:
    with dm.open(damaged) as session:
        id_, image = session.execute(
            sa.select(dm.Rating.id, dm.Rating.img_id).order_by(dm.Rating.id).limit(1)
        ).one()
    arguments = {
        "image": [str(image), "-o", str(tmp_path / "image.png")],
        "export": [str(tmp_path / "export")],
    }[command]
    shown = "''" if backend(damaged) == "sqlite" else "'infinity'"
    done = CliRunner().invoke(
        main, [command, *arguments, "--db", damaged.render_as_string(hide_password=False)]
    )
    assert done.exit_code == 2
    assert done.stderr == (
        f"Error: {database.display(damaged)}: rating row {id_}: created is {shown}, which is not a "
        "time between the years 1 and 9999; correct it with the program that wrote it, then run: "
        "dirtmodel refresh\n"
    )
