"""The derived tables follow from DIRT's tables, whichever program changes these."""

import datetime as dt
import hashlib
import io
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import cli, database, entities, groups, sample
from dirtmodel.loading import refresh
from dirtmodel.models import JUDGED_BY, JudgedBy

START = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)
NAMES = (
    (3, "sub-10001_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz"),
    (3, "sub-10002_ses-V1_task-cuff_run-02_desc-coreg_boldref.nii.gz"),
    (0, "sub-10001_ses-V1_desc-brain_mask.nii.gz"),
    (1, "mask.nii.gz"),
)
USERS = (None, "ann", "Bob")
PLACES = ((3.0, 4.0), (None, None), (3.0, None), (float("inf"), 2.0))


def picture(shade: int) -> bytes:
    """Return a picture of one pixel."""
    buffer = io.BytesIO()
    PillowImage.new("L", (1, 1), shade).save(buffer, "PNG")
    return buffer.getvalue()


# -- what the tables should hold, in plain Python


class Derived(NamedTuple):
    """The derived tables, with (step, file1) instead of the ids of targets, which are arbitrary."""

    targets: set[Any]
    pictures: set[Any]
    reviews: set[Any]
    tallies: set[Any]


def expected(session: orm.Session) -> Derived:
    """Derive all rows from DIRT's tables, one by one."""
    images = {row.id: row for row in rows_of(session, dm.Image)}
    users = {row.id: row.user for row in rows_of(session, dm.Session)}
    reviews = list(reviews_of(session, images, users))
    latest: dict[Any, Any] = {}
    for review in reviews:
        if review["decides"]:
            latest[rater_key(review)] = max(
                latest.get(rater_key(review), time_key(review)), time_key(review)
            )
    for review in reviews:
        review["latest"] = review["decides"] and latest[rater_key(review)] == time_key(review)
    return Derived(
        {target_row(image.step, image.file1) for image in images.values()},
        {
            (
                image.id,
                (image.step, image.file1),
                "PNG",
                1,
                1,
                len(image.img),
                hashlib.sha256(image.img).hexdigest(),
            )
            for image in images.values()
        },
        {tuple(review.values()) for review in reviews},
        {tally_row(image, reviews) for image in images.values()},
    )


def rater_key(review: dict[str, Any]) -> tuple[Any, ...]:
    """Name a rater on an image; a session without a user is a rater of its own."""
    return review["img_id"], review["rater"], review["rater"] is None and review["session"]


def time_key(review: dict[str, Any]) -> tuple[Any, ...]:
    return review["created"], review["id"]


def target_row(step: int, file1: str) -> tuple[Any, ...]:
    found = entities.parse(file1)
    return (step, file1, *found[:4], entities.scan(step, found), *found[4:])


def reviews_of(
    session: orm.Session, images: dict[int, Any], users: dict[int, str | None]
) -> Iterator[dict[str, Any]]:
    for row in rows_of(session, dm.Rating):
        yield review_row("rating", [row], images[row.img_id], users)
    sets = defaultdict(list)
    for row in rows_of(session, dm.Coordinate):
        sets[row.img_id, row.session].append(row)
    for rows in sets.values():
        by_time = sorted(rows, key=lambda row: (row.created, row.id))
        yield review_row("coordinate", by_time, images[rows[0].img_id], users)


def review_row(
    kind: str, rows: list[Any], image: Any, users: dict[int, str | None]
) -> dict[str, Any]:
    clicks = [row for row in rows if kind == "coordinate" and None not in (row.x, row.y)]
    by_verdict = JUDGED_BY[dm.Step(image.step)] is JudgedBy.VERDICT
    notes = [row.notes for row in rows if row.notes is not None]
    return {
        "img_id": image.id,
        "kind": kind,
        "id": rows[-1].id,
        "target": (image.step, image.file1),
        "session": rows[-1].session,
        "rater": users[rows[-1].session],
        "step": image.step,
        "created": rows[-1].created,
        "verdict": rows[-1].rating if kind == "rating" else None,
        "n_clicks": len(clicks) if kind == "coordinate" else None,
        "source_data_issue": any(row.source_data_issue for row in rows),
        "decides": by_verdict == (kind == "rating"),
        "notes": notes[-1] if notes else None,
    }


def tally_row(image: Any, reviews: list[dict[str, Any]]) -> tuple[Any, ...]:
    own = [review for review in reviews if review["img_id"] == image.id and review["decides"]]
    verdicts = [review["verdict"] for review in own]
    return (
        image.id,
        (image.step, image.file1),
        len(own),
        *(verdicts.count(verdict) for verdict in (0, 1, 2)),
        sum(review["n_clicks"] or 0 for review in own),
        sum(review["source_data_issue"] for review in own),
    )


# -- what they hold


def rows_of(session: orm.Session, model: Any) -> list[Any]:
    return list(session.connection().execute(sa.select(model.__table__)))


def stored(session: orm.Session) -> Derived:
    """Read the derived tables."""
    targets = {row.id: tuple(row)[1:] for row in rows_of(session, dm.Target)}
    keys = {target_id: row[:2] for target_id, row in targets.items()}
    columns = dm.Review.__table__.c
    last = ("notes", "latest")
    names = [column.name for column in columns if column.name not in last] + list(last)
    return Derived(
        set(targets.values()),
        {(row[0], keys[row[1]], *row[2:]) for row in rows_of(session, dm.Picture)},
        {
            tuple(
                keys[row.target_id] if name == "target_id" else getattr(row, name) for name in names
            )
            for row in rows_of(session, dm.Review)
        },
        {(row[0], keys[row[1]], *row[2:]) for row in rows_of(session, dm.Tally)},
    )


# -- a load and an upgrade


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a release with pictures of one pixel and every known hazard."""
    return sample.write_release(
        tmp_path_factory.mktemp("few"), subjects=2, slices=1, pictures="tiny", raters=3
    )


@pytest.fixture
def few_url(few: Path, new_url: sa.URL) -> sa.URL:
    dm.load(few, new_url)
    return new_url


def without_sizes(derived: Derived) -> Derived:
    """Leave out what the oracle does not know about pictures of more than one pixel."""
    return derived._replace(pictures={row[:2] + row[5:] for row in derived.pictures})


def test_a_load_computes_the_derived_tables(few_url: sa.URL) -> None:
    with dm.open(few_url) as session:
        found = stored(session)

        assert without_sizes(found) == without_sizes(expected(session))
    assert all(found)


def test_an_upgrade_computes_the_derived_tables(few_url: sa.URL) -> None:
    with dm.open(few_url) as session:
        before = stored(session)
    dm.upgrade(few_url, "0002")

    dm.upgrade(few_url)

    with dm.open(few_url) as session:
        assert stored(session) == before


# -- other programs


def as_another_program(url: sa.URL, *statements: str) -> None:
    with database.engine(url).begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


CHANGES = {
    "a verdict changes": ["UPDATE rating SET rating = 2 - rating"],
    "ratings go": ["DELETE FROM rating WHERE id % 2 = 0"],
    "clicks go": ["DELETE FROM coordinate WHERE id % 3 = 0"],
    "clicks lose their place": ["UPDATE coordinate SET y = NULL WHERE id % 2 = 0"],
    "a user is named": ['UPDATE session SET "user" = \'new\' WHERE "user" IS NULL'],
    "reviews move": ["UPDATE rating SET img_id = (SELECT max(img_id) FROM rating)"],
    "images go": ["DELETE FROM image WHERE id % 2 = 0"],
    "images change their file": [
        "UPDATE image SET file1 = 'sub-9_desc-brain_mask.nii.gz' WHERE slice IS NULL"
    ],
    "everything goes": ["DELETE FROM image", "DELETE FROM session"],
    "derived rows are damaged": [
        "UPDATE picture SET n_bytes = 0",
        "UPDATE review SET rater = 'wrong'",
        "DELETE FROM tally",
        "DELETE FROM review WHERE kind = 'coordinate'",
    ],
}


@pytest.mark.parametrize("statements", CHANGES.values(), ids=CHANGES)
def test_refresh_follows_what_another_program_wrote(statements: list[str], few_url: sa.URL) -> None:
    as_another_program(few_url, *statements)

    refreshed = dm.refresh(few_url)

    with dm.open(few_url) as session:
        found = stored(session)
        assert without_sizes(found) == without_sizes(expected(session))
    assert refreshed == (len(found.targets), len(found.pictures), len(found.reviews))


def test_pictures_are_read_by_their_bytes(few_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "BYTES", 1)
    monkeypatch.setattr(refresh, "_SIZES_AT_ONCE", 10)
    with dm.open(few_url) as session:
        ids = session.scalars(sa.select(dm.Image.id).order_by(dm.Image.id)).all()

        found = list(refresh._stored(session.connection()))

    assert [[image.img_id for image in group] for group in found] == [[img_id] for img_id in ids]


def test_refresh_follows_a_change_of_what_decides(few_url: sa.URL) -> None:
    as_another_program(few_url, "UPDATE step SET judged_by = 'clicks'")

    dm.refresh(few_url)

    with dm.open(few_url) as session:
        decides = sa.select(dm.Review.kind).where(dm.Review.decides).distinct()
        assert session.scalars(decides).all() == ["coordinate"]


def test_a_target_keeps_its_id(few_url: sa.URL) -> None:
    ids = sa.select(dm.Target.id, dm.Target.file1).order_by(dm.Target.id)
    with dm.open(few_url) as session:
        before = session.execute(ids).all()
    first = before[0].file1.replace("'", "''")
    as_another_program(few_url, f"DELETE FROM image WHERE file1 = '{first}'")

    dm.refresh(few_url)

    with dm.open(few_url) as session:
        assert session.execute(ids).all() == before[1:]


def test_images_left_behind_without_foreign_keys_are_cleaned_up(few: Path, tmp_path: Path) -> None:
    path = tmp_path / "dirt.db"
    dm.load(few, path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM rating")
        connection.execute("DELETE FROM coordinate")
        connection.execute("DELETE FROM image WHERE id % 2 = 0")

    dm.refresh(path)

    with dm.open(path) as session:
        assert without_sizes(stored(session)) == without_sizes(expected(session))


def test_a_damaged_picture_is_named_and_nothing_is_changed(few_url: sa.URL) -> None:
    with dm.open(few_url, read_only=False) as session:
        img_id = session.scalars(sa.select(sa.func.max(dm.Image.id))).one()
        statement = sa.update(dm.Image.__table__).where(dm.Image.__table__.c.id == img_id)
        session.connection().execute(statement.values(img=b"not a picture"))
        session.connection().execute(sa.delete(dm.Rating.__table__))
        session.commit()
        before = stored(session)

    with pytest.raises(
        dm.DatabaseError,
        match=f"^image {img_id}: the stored picture is neither PNG nor GIF; nothing was changed; "
        "replace the picture or delete the image, and try again$",
    ):
        dm.refresh(few_url)

    with dm.open(few_url) as session:
        assert stored(session) == before


def test_the_command_reports_the_numbers_of_rows(few_url: sa.URL) -> None:
    as_another_program(few_url, "DELETE FROM coordinate", "DELETE FROM rating WHERE id > 1")
    url = few_url.render_as_string(hide_password=False)

    result = CliRunner().invoke(cli.main, ["refresh", "--db", url])

    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr == (
        f"Refreshed {database.display(few_url)}: 12 target, 35 picture, 1 review rows.\n"
    )


# -- a session that writes


class World:
    """A database that changes, and the time of the next change."""

    def __init__(self, session: orm.Session) -> None:
        self.session = session
        self.now = START

    def tick(self, seconds: int) -> dt.datetime:
        self.now += dt.timedelta(seconds=seconds)
        return self.now

    def pick(self, model: Any, number: int) -> Any:
        """Return one row of a table, or None if there is none."""
        ids = self.session.scalars(sa.select(model.id).order_by(model.id)).all()
        return self.session.get(model, ids[number % len(ids)]) if ids else None


def add_session(world: World, a: int, b: int) -> None:
    session = dm.Session(step=dm.Step(a % 5), user=USERS[b % 3], created=world.tick(1))
    world.session.add(session)


def add_image(world: World, a: int, b: int) -> None:
    step, file1 = NAMES[a % len(NAMES)]
    world.session.add(
        dm.Image(
            step=dm.Step(step),
            file1=file1,
            display=dm.DisplayMode.Z,
            created=world.tick(1),
            img=picture(b),
        )
    )


def add_review(world: World, a: int, b: int) -> None:
    image, session = world.pick(dm.Image, a), world.pick(dm.Session, b)
    if image is None or session is None:
        return
    common = {
        "image": image,
        "session": session,
        "source_data_issue": b % 4 == 0,
        "notes": None if a % 3 else f"note {b}",
        "created": world.tick(b % 2),
    }
    if a % 2:
        world.session.add(dm.Rating(rating=dm.Ratings(b % 3), **common))
        return
    for x, y in PLACES[b % 4 :]:
        world.session.add(dm.Coordinate(x=x, y=y, **common))


def change_review(world: World, a: int, b: int) -> None:
    review = world.pick(dm.Rating if a % 2 else dm.Coordinate, b)
    image, session = world.pick(dm.Image, a), world.pick(dm.Session, a)
    if review is None:
        return
    changes: list[Callable[[], None]] = [
        lambda: setattr(review, "image", image),
        lambda: setattr(review, "img_id", image.id),
        lambda: setattr(review, "session", session),
        lambda: setattr(review, "created", world.tick(1)),
        lambda: setattr(review, "source_data_issue", not review.source_data_issue),
        lambda: setattr(review, "notes", f"changed {a}"),
        lambda: (
            setattr(review, "rating", dm.Ratings(a % 3))
            if isinstance(review, dm.Rating)
            else setattr(review, "x", PLACES[a % 4][0])
        ),
    ]
    changes[a % len(changes)]()


def change_session(world: World, a: int, b: int) -> None:
    if session := world.pick(dm.Session, a):
        session.user = USERS[b % 3]


def change_image(world: World, a: int, b: int) -> None:
    if image := world.pick(dm.Image, a):
        step, image.file1 = NAMES[b % len(NAMES)]
        image.step = dm.Step(step)
        if b % 2:
            image.img = picture(b)


def delete(world: World, a: int, b: int) -> None:
    row = world.pick((dm.Rating, dm.Coordinate, dm.Image, dm.Session)[a % 4], b)
    if row is not None:
        world.session.delete(row)


def change_many(world: World, a: int, b: int) -> None:
    """Return statements that change rows without loading them."""
    statements = (
        sa.update(dm.Rating).where(dm.Rating.id % 2 == b % 2).values(rating=dm.Ratings(a % 3)),
        sa.delete(dm.Coordinate).where(dm.Coordinate.id % 3 == b % 3),
        sa.update(dm.Session).where(dm.Session.id % 2 == b % 2).values(user=USERS[a % 3]),
    )
    world.session.execute(statements[a % len(statements)])


def roll_back(world: World, _a: int, _b: int) -> None:
    world.session.rollback()


OPERATIONS = (
    add_session,
    add_image,
    add_review,
    add_review,
    change_review,
    change_session,
    change_image,
    delete,
    change_many,
    roll_back,
)


@pytest.fixture
def empty_url(new_url: sa.URL) -> sa.URL:
    """Return a database of the newest revision without rows."""
    if not database.is_sqlite(new_url):
        schema = str(new_url.query["options"]).rpartition("=")[2]
        as_another_program(new_url, f"CREATE SCHEMA {schema}")
    with database.engine(new_url).begin() as connection:
        database.migrate(connection)
    return new_url


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    operations=st.lists(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 50), st.integers(0, 50)),
        min_size=5,
        max_size=25,
    )
)
def test_a_session_that_writes_keeps_the_derived_tables_up_to_date(
    operations: list[tuple[Any, int, int]], empty_url: sa.URL
) -> None:
    with dm.open(empty_url, read_only=False) as session:
        world = World(session)
        for operation in (add_session, add_image, add_review):
            operation(world, 0, 0)
            session.flush()
        for operation, a, b in operations:
            operation(world, a, b)
            session.flush()

            assert stored(session) == expected(session), operation
        session.rollback()


def test_a_flush_makes_new_reviews_readable_at_once(few_url: sa.URL) -> None:
    with dm.open(few_url, read_only=False) as session:
        image = session.scalars(sa.select(dm.Image).where(dm.Image.step == dm.Step.DTIFIT)).first()
        assert image is not None
        before = len(image.reviews)
        sitting = dm.Session(step=dm.Step.DTIFIT, user="new", created=START)
        rating = dm.Rating(rating=dm.Ratings.FAIL, source_data_issue=False, created=START)
        rating.image, rating.session = image, sitting

        session.add(rating)
        session.flush()

        assert len(image.reviews) == before + 1
        assert [review.verdict for review in sitting.reviews] == [dm.Ratings.FAIL]


def test_a_new_image_has_its_target_and_picture_at_once(few_url: sa.URL) -> None:
    with dm.open(few_url, read_only=False) as session:
        image = dm.Image(
            step=dm.Step.MASK,
            file1="sub-77777_ses-V3_desc-brain_mask.nii.gz",
            display=dm.DisplayMode.X,
            slice=1,
            created=START,
            img=picture(7),
        )

        session.add(image)
        session.flush()

        assert image.target is not None
        assert (image.target.sub, image.target.scan) == ("77777", "T1w")
        assert image.picture is not None
        assert image.picture.sha256 == hashlib.sha256(picture(7)).hexdigest()


def test_a_new_image_that_is_not_a_picture_is_refused(few_url: sa.URL) -> None:
    with dm.open(few_url, read_only=False) as session:
        session.add(
            dm.Image(
                id=77,
                step=dm.Step.MASK,
                file1="mask.nii.gz",
                display=dm.DisplayMode.X,
                created=START,
                img=b"GIF89a",
            )
        )

        with pytest.raises(dm.DatabaseError, match=r"^image 77: the stored picture is truncated"):
            session.flush()


def test_a_rollback_undoes_the_derived_rows(few_url: sa.URL) -> None:
    with dm.open(few_url, read_only=False) as session:
        before = stored(session)
        session.execute(sa.delete(dm.Rating))

        session.rollback()

        assert stored(session) == before
