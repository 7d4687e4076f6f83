"""Opened databases: with and without `with`, and as arguments of functions."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, opening

CLOSED = "the session is closed; open the database again with dirtmodel.open"


def test_an_opened_database_is_a_session_without_a_with_block(loaded_url: sa.URL) -> None:
    db = dm.open(loaded_url)

    found = db.scalars(sa.select(dm.Image).limit(1)).all()

    assert isinstance(db, orm.Session)
    assert len(found) == 1
    db.close()


def test_closing_a_session_closes_its_connection(loaded_url: sa.URL) -> None:
    db = dm.open(loaded_url)
    connection = db.connection()

    db.close()

    assert connection.closed
    with pytest.raises(sa.exc.InvalidRequestError, match="permanently closed"):
        db.scalars(sa.select(dm.Image.id))


def test_a_session_that_is_forgotten_leaves_no_warning(loaded_url: sa.URL) -> None:
    dm.open(loaded_url).scalars(sa.select(dm.Image.id)).first()

    assert gc.collect() is not None


@pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)
def test_failures_are_explained_without_a_with_block(loaded_url: sa.URL) -> None:
    db = dm.open(loaded_url, timeout=0.05)

    with pytest.raises(dm.DatabaseError) as failed:
        db.execute(sa.text("SELECT pg_sleep(5)"))

    assert str(failed.value) == (
        f"{database.display(loaded_url)} failed: canceling statement due to statement timeout"
    )
    db.close()


def test_a_write_to_a_read_only_session_is_explained_without_a_with_block(
    loaded_url: sa.URL,
) -> None:
    db = dm.open(loaded_url)

    with pytest.raises(dm.DatabaseError) as refused:
        db.execute(sa.delete(dm.Rating))

    assert str(refused.value) == (
        f"{database.display(loaded_url)} is open for reading only; to write, open it with "
        "read_only=False"
    )
    db.close()


def test_a_database_is_passed_as_a_session_a_path_or_a_url(demo_db: Path) -> None:
    for db in (str(demo_db), demo_db, f"sqlite:///{demo_db}", database.parse_url(demo_db)):
        with opening.session_on(db) as session:
            assert session.scalar(sa.select(dm.Release.label)) == "demo"
        with pytest.raises(sa.exc.InvalidRequestError):
            session.scalar(sa.select(dm.Release.label))


def test_a_session_that_is_passed_stays_open(db: orm.Session) -> None:
    with opening.session_on(db) as session:
        assert session is db

    assert db.scalars(sa.select(dm.Release)).all()


def test_the_url_of_a_session_opens_the_same_database(db: orm.Session, loaded_url: sa.URL) -> None:
    assert opening.url_of(db) == loaded_url
    assert opening.url_of(loaded_url) == loaded_url


@pytest.mark.parametrize("wrong", [None, 7, b"dirt.db", ["dirt.db"]])
def test_what_is_not_a_database_is_refused(wrong: Any) -> None:
    message = f"{wrong!r} is not a database; pass an open session, a path or a URL"

    for use in (opening.url_of, lambda db: opening.session_on(db).__enter__(), dm.open):
        with pytest.raises(dm.UsageError) as refused:
            use(wrong)
        assert str(refused.value) == message


def test_a_closed_session_is_refused(demo_db: Path) -> None:
    db = dm.open(demo_db)
    db.close()

    for use in (opening.url_of, lambda db: opening.session_on(db).__enter__()):
        with pytest.raises(dm.UsageError) as refused:
            use(db)
        assert str(refused.value) == CLOSED


def test_a_session_without_a_database_is_refused() -> None:
    with orm.Session() as session, pytest.raises(dm.UsageError) as refused:
        opening.url_of(session)

    assert str(refused.value) == (
        "the session has no database; open one with dirtmodel.open, for example "
        'dirtmodel.open("dirt.db")'
    )


@pytest.mark.parametrize(
    "use",
    [
        lambda db, _folder: dm.ask(db, "SELECT 1").__enter__(),
        lambda db, folder: dm.export(db, folder / "release"),
        lambda db, _folder: dm.diff(db, db),
        lambda db, _folder: dm.refresh(db),
        lambda db, _folder: dm.image(db, 1),
        lambda db, folder: dm.report(db, folder / "report.html"),
        lambda db, _folder: dm.sheet(db, dm.Images()),
        lambda db, _folder: dm.heatmap(db, step="mask", display="x"),
        lambda db, folder: dm.extract(db, dm.Images(), folder),
        lambda db, _folder: dm.Coverage().run(db),
        lambda db, _folder: dm.Coverage().run_targets(db),
        lambda db, _folder: dm.Exclusions().run(db),
        lambda db, _folder: dm.Images(step="mask").run(db),
        lambda db, _folder: dm.Agreement("mask").run(db),
        lambda db, _folder: dm.Agreement("mask").by(db, "slice"),
        lambda db, _folder: dm.Agreement("mask").coefficients(db),
        lambda db, _folder: dm.Agreement("mask").disagreements(db),
        lambda db, _folder: dm.Consensus("fmap_coregistration").run(db),
        lambda db, _folder: dm.Consensus("fmap_coregistration").next(db, 1),
        lambda db, _folder: dm.Crossed().run(db),
        lambda db, _folder: dm.KitExclusions().run(db),
        lambda db, _folder: dm.BidsFilters(dm.Exclusions()).run(db),
    ],
)
def test_every_function_refuses_what_is_not_an_open_database(
    use: Callable[[Any, Path], Any], demo_db: Path, tmp_path: Path
) -> None:
    closed = dm.open(demo_db)
    closed.close()
    for wrong in (None, 7, closed, tmp_path / "no such.db"):
        with pytest.raises((dm.UsageError, dm.DatabaseError)) as refused:
            use(wrong, tmp_path)
        assert "\n" not in str(refused.value)


def test_a_query_runs_on_a_path_as_on_a_session(demo_db: Path) -> None:
    with dm.open(demo_db) as db:
        assert dm.KitExclusions().run(demo_db) == dm.KitExclusions().run(db)
        assert dm.Coverage().run_targets(str(demo_db)) == dm.Coverage().run_targets(db)


def test_functions_with_a_connection_of_their_own_take_a_session(
    db: orm.Session, tmp_path: Path
) -> None:
    db.scalars(sa.select(dm.Image.id)).first()

    exported = dm.export(db, tmp_path / "release")

    with dm.ask(db, "SELECT count(*) FROM image", trust=True) as answer:
        assert list(answer.rows) == [(exported["image"],)]
    with dm.diff(db, tmp_path / "release") as found:
        assert found.count()["rating"].n_differences == 0


def test_a_refresh_of_a_session_is_part_of_its_transaction(new_url: sa.URL, release: Path) -> None:
    dm.load(release, new_url)
    with dm.open(new_url, read_only=False) as db:
        before = db.scalars(sa.select(dm.Review.id)).all()
        db.execute(sa.text("DELETE FROM review"))

        refreshed = dm.refresh(db)

        assert refreshed.n_reviews == len(before)
        db.rollback()
    with dm.open(new_url) as db:
        assert len(db.scalars(sa.select(dm.Review.id)).all()) == len(before)
