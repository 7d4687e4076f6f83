"""The models as people use them: relationships, and what is loaded when."""

import datetime as dt
import re

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel.models import Base, views


@pytest.fixture
def statements(db: orm.Session) -> list[str]:
    """Return a list that collects the statements that the session sends."""
    sent: list[str] = []

    def listen(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        sent.append(statement)

    connection = db.connection()
    sa.event.listen(connection, "before_cursor_execute", listen)
    db.execute(sa.text("SELECT 1"))
    assert sent
    return sent


class TestReviews:
    def test_of_an_image_are_its_ratings_and_sets_of_clicks(self, db: orm.Session) -> None:
        images = db.scalars(sa.select(dm.Image).where(dm.Image.reviews.any())).all()
        assert images
        for image in images:
            ratings = [r for r in image.reviews if r.kind == "rating"]
            clicks = [r for r in image.reviews if r.kind == "coordinate"]
            assert len(ratings) == len(image.ratings)
            assert {r.session_id for r in clicks} == {c.session_id for c in image.coordinates}

    def test_of_a_session_are_those_made_in_it(self, db: orm.Session) -> None:
        session = db.scalars(sa.select(dm.Session).where(dm.Session.ratings.any())).first()
        assert session is not None
        assert session.reviews
        assert {review.session for review in session.reviews} == {session}
        assert {review.rater for review in session.reviews} == {session.user}

    def test_have_enums_and_aware_times(self, db: orm.Session) -> None:
        failed = db.scalars(
            sa.select(dm.Review)
            .where(dm.Review.verdict == dm.Ratings.FAIL)
            .where(dm.Review.step == dm.Step.FMAP_COREGISTRATION)
        ).first()
        assert failed is not None
        assert (failed.verdict, failed.step) == (dm.Ratings.FAIL, dm.Step.FMAP_COREGISTRATION)
        assert failed.created.tzinfo is dt.UTC
        assert isinstance(failed.source_data_issue, bool)

    def test_are_mapped_one_to_one(self, db: orm.Session) -> None:
        mapped = db.scalars(sa.select(dm.Review)).all()
        assert len(mapped) == db.scalar(sa.text("SELECT count(*) FROM review"))


def test_views_are_not_created_as_tables() -> None:
    assert set(views.metadata.tables) == {view.name for view in views.VIEWS}
    assert not set(views.metadata.tables) & set(Base.metadata.tables)


def test_images_of_a_target_are_ordered_by_display_and_slice(db: orm.Session) -> None:
    target = db.scalars(sa.select(dm.Target).where(dm.Target.step == dm.Step.MASK)).first()
    assert target is not None
    places = [(image.display, image.slice) for image in target.images]
    assert len(places) == len(target.pictures)
    assert places == sorted(places)


def test_a_view_declares_the_columns_it_has(db: orm.Session) -> None:
    inspector = sa.inspect(db.connection())
    for view in views.VIEWS:
        found = [column["name"] for column in inspector.get_columns(view.name)]
        assert [column.name for column in view.columns] == found


@pytest.mark.parametrize("loaded_url", ["postgres"], indirect=True)
def test_views_have_comments_on_postgres(db: orm.Session) -> None:
    inspector = sa.inspect(db.connection())
    for view in views.VIEWS:
        assert inspector.get_table_comment(view.name)["text"] == view.comment
        found = {column["name"]: column["comment"] for column in inspector.get_columns(view.name)}
        assert found == {column.name: column.comment for column in view.columns}


class TestPictures:
    def test_are_not_loaded_with_images(self, db: orm.Session, statements: list[str]) -> None:
        images = db.scalars(sa.select(dm.Image).limit(1000)).all()
        for image in images:
            repr(image)
        for review in db.scalars(sa.select(dm.Review)):
            repr(review.image)
        for target in db.scalars(sa.select(dm.Target).options(orm.selectinload(dm.Target.images))):
            repr(target.images)
        assert all("img" in sa.inspect(image).unloaded for image in images)
        assert [text for text in statements if re.search(r"\.img\b", text)] == []

    def test_are_loaded_when_asked_for(self, db: orm.Session, statements: list[str]) -> None:
        image = db.scalars(sa.select(dm.Image).order_by(dm.Image.id)).first()
        assert image is not None
        assert image.img[:4] in {b"\x89PNG", b"GIF8"}
        assert len([text for text in statements if re.search(r"\.img\b", text)]) == 1


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (
            dm.Review(img_id=7, rater="ada", n_clicks=1),
            "<Review of image 7 by ada: 1 click>",
        ),
        (dm.Review(img_id=7, n_clicks=0), "<Review of image 7 by unknown: nothing wrong>"),
        (
            dm.Review(img_id=7, rater="ada", verdict=dm.Ratings.FAIL),
            "<Review of image 7 by ada: FAIL>",
        ),
        (
            dm.Tally(img_id=7, n_reviews=2),
            "<Tally of image 7: 2 reviews>",
        ),
        (dm.Session(id=3, step=dm.Step.MASK), "<Session 3 MASK by unknown>"),
        (
            dm.Target(id=2, step=dm.Step.DTIFIT, file1="a_FA.nii.gz"),
            "<Target 2 DTIFIT a_FA.nii.gz>",
        ),
    ],
)
def test_repr_names_the_row(row: object, text: str) -> None:
    assert repr(row) == text


def test_verdicts_of_reviews_compare_and_sort_as_those_of_ratings(db: orm.Session) -> None:
    review, rating = dm.Review.verdict, dm.Rating.rating
    unreviewed = dm.Review.kind == "rating"
    for of, condition in ((review, unreviewed), (rating, sa.true())):
        found = [
            db.scalar(sa.select(sa.func.count()).where(condition, of >= dm.Ratings.UNSURE)),
            db.scalar(sa.select(sa.func.count()).where(condition, of == 2)),
            db.scalar(sa.select(sa.func.max(of)).where(condition)),
            db.scalars(sa.select(of).where(condition).distinct().order_by(of)).all(),
        ]
        if of is review:
            expected = found

    assert found == expected
    assert found[2:] == [dm.Ratings.FAIL, list(dm.Ratings)]


def test_steps_of_reviews_are_those_of_their_images(db: orm.Session) -> None:
    apart = (
        sa.select(sa.func.count())
        .join_from(dm.Review, dm.Image, dm.Image.id == dm.Review.img_id)
        .where(dm.Image.step != dm.Review.step)
    )

    assert db.scalar(apart) == 0
    assert db.scalar(sa.select(sa.func.count()).where(dm.Review.step.in_([0, 1, 2, 3, 4]))) > 0
