"""Databases of earlier revisions: upgrades, dry runs of upgrades, and differences."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from forking import Forked

import dirtmodel as dm
from dirtmodel import cli, database, sample
from dirtmodel.release.layout import TABLES

EARLIER = database.known_revisions()[:-1]
HEAD = database.known_revisions()[-1]


@pytest.fixture(params=EARLIER)
def earlier(request: pytest.FixtureRequest, release: Path, new_url: sa.URL) -> sa.URL:
    """Return the release in a database of each earlier revision, on each engine."""
    dm.load(release, new_url)
    dm.upgrade(new_url, request.param)
    return new_url


def text(url: sa.URL) -> str:
    return (
        str(url.database) if database.is_sqlite(url) else url.render_as_string(hide_password=False)
    )


def everything(url: sa.URL) -> dict[str, list[Any]]:
    with database.reach(url) as connection:
        return {
            table: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {table}"))))
            for table in TABLES
        }


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.main, arguments)


def test_a_dry_run_prints_the_sql_and_changes_nothing(earlier: sa.URL) -> None:
    before = everything(earlier)
    with database.reach(earlier) as connection:
        revision = database.current_revision(connection)

    result = run("upgrade", "--db", text(earlier), "--dry-run")

    assert result.exit_code == 0
    assert f"UPDATE alembic_version SET version_num='{HEAD}'" in result.stdout
    assert ("ADD COLUMN notes" in result.stdout) == (revision == "0001")
    assert "CREATE TABLE review (" in result.stdout
    assert everything(earlier) == before
    with database.reach(earlier) as connection:
        assert database.current_revision(connection) == revision


def test_the_sql_of_a_dry_run_and_a_refresh_are_an_upgrade(release: Path, tmp_path: Path) -> None:
    dm.load(release, tmp_path / "old.db")
    with dm.open(tmp_path / "old.db") as db:
        expected = db.execute(sa.text("SELECT * FROM review ORDER BY img_id, kind, id")).all()
    dm.upgrade(tmp_path / "old.db", "0001")
    dm.upgrade(tmp_path / "old.db", "0002")
    script = database.upgrade_sql(tmp_path / "old.db")

    with sqlite3.connect(tmp_path / "old.db") as connection:
        connection.executescript(script)
    connection.close()
    dm.refresh(tmp_path / "old.db")

    with dm.open(tmp_path / "old.db") as db:
        found = db.execute(sa.text("SELECT * FROM review ORDER BY img_id, kind, id")).all()
    # The downgrade to 0001 has dropped the notes, the last column.
    assert [row[:-1] for row in found] == [row[:-1] for row in expected]


def test_a_dry_run_at_head_prints_nothing(loaded_url: sa.URL) -> None:
    assert database.upgrade_sql(loaded_url) == ""


def test_a_dry_run_on_another_programs_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()

    result = run("upgrade", "--db", str(tmp_path / "other.db"), "--dry-run")

    assert result.exit_code == 2
    assert "is not a database of dirtmodel" in result.stderr


def test_a_database_of_any_revision_can_be_compared_and_is_unchanged(
    earlier: sa.URL, loaded_url: sa.URL
) -> None:
    before = everything(earlier)

    with dm.diff(earlier, loaded_url) as found:
        counts = found.count()
        schema = list(found.schema())
        revision = found.old.revision

    assert [e["revision"] for e in schema if e["change"] == "revision"] == [
        r for r in database.known_revisions() if r > str(revision)
    ]
    assert {e["only_in"] for e in schema if e["change"] == "revision"} == {"new"}
    for table, said in counts.items():
        # Revision 0001 has no notes.
        no_notes = revision == "0001" and table in {"rating", "coordinate"}
        assert bool(said.changed) == no_notes, table
        assert said.added == said.removed == said.rekeyed == 0
    assert everything(earlier) == before


def test_an_upgrade_loses_no_row(earlier: sa.URL) -> None:
    before = everything(earlier)

    result = run("upgrade", "--db", text(earlier))

    assert result.exit_code == 0
    after = everything(earlier)
    assert {table: len(rows) for table, rows in after.items()} == {
        table: len(rows) for table, rows in before.items()
    }
    assert after["image"] == before["image"]
    assert after["session"] == before["session"]


@pytest.mark.parametrize(
    ("task", "start", "message"),
    [
        ("upgrade", EARLIER[-1], "{path} could not be upgraded and {state}: disk I/O error\n"),
        ("refresh", HEAD, "{path} failed: disk I/O error; it {state}\n"),
    ],
)
def test_a_change_that_cannot_be_undone_for_lack_of_space_names_its_journal(
    task: str, start: str, message: str, tmp_path: Path
) -> None:
    path, journal = tmp_path / "dirt.db", tmp_path / "dirt.db-journal"
    small = sample.write_release(tmp_path / "small", subjects=2, slices=1, pictures="tiny")
    dm.load(small, path)
    dm.upgrade(path, start)
    before = everything(database.parse_url(path))
    limited = Forked(
        f"""
        import resource
        import dirtmodel as dm
        space = {path.stat().st_size - 30_000}
        resource.setrlimit(resource.RLIMIT_FSIZE, (space, space))
        try:
            dm.{task}({str(path)!r})
        except dm.DatabaseError as error:
            print(error)
        """
    )

    _, printed, _ = limited.finished()

    assert printed == message.format(
        path=path,
        state=f"contains a part of the change, which {journal} can undo (leave both files where "
        f"they are, free some disk space, and run the {task} again)",
    )
    getattr(dm, task)(path)
    assert everything(database.parse_url(path)) == before
    assert not journal.exists()


def test_what_a_failed_change_left_is_undone_when_the_connection_is_closed(
    release: Path, tmp_path: Path
) -> None:
    path, journal = tmp_path / "dirt.db", tmp_path / "dirt.db-journal"
    dm.load(release, path)
    before = path.read_bytes()
    session = dm.open(path, read_only=False)
    # The state that a full disk leaves.
    killed = Forked(
        f"""
        import os, sqlite3
        other = sqlite3.connect({str(path)!r})
        other.executescript("PRAGMA cache_size = 1; BEGIN; UPDATE image SET file1 = 'x'")
        os._exit(0)
        """
    )
    killed.finished()
    assert journal.exists()

    session.close()

    assert not journal.exists()
    assert path.read_bytes() == before
