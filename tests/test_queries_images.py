"""Which images meet which conditions, and which reviews and clicks they have."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel.errors import UsageError
from dirtmodel.models import Coordinate, Image, Picture, Rating, Review, Target
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.images import Clicks, FoundImage, Images, Reviews, blobs

Everything = list[tuple[Image, Picture, Target]]


def everything(db: orm.Session) -> Everything:
    """Read all images without any condition, for comparison."""
    rows = db.execute(
        sa.select(Image, Picture, Target)
        .join(Picture, Picture.img_id == Image.id)
        .join(Target, Target.id == Picture.target_id)
    )
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("conditions", "meets"),
    [
        ({}, lambda _i, _t: True),
        ({"step": dm.Step.MASK}, lambda i, _t: i.step == 0),
        ({"step": [dm.Step.MASK, dm.Step.DTIFIT]}, lambda i, _t: i.step in {0, 4}),
        ({"display": dm.DisplayMode.Y, "slice": 1}, lambda i, _t: i.display == 1 and i.slice == 1),
        ({"task": "rest", "run_number": 2}, lambda _i, t: t.task == "rest" and t.run == 2),
        ({"task": "task-rest", "run_number": "run-2"}, lambda _i, t: t.scan == "rest2"),
        ({"scan": ["DWI", "cuff1"]}, lambda _i, t: t.scan in {"dwi", "cuff1"}),
        ({"ses": "ses-V1"}, lambda _i, t: t.ses == "V1"),
    ],
)
def test_every_condition_is_met(db: orm.Session, conditions: dict[str, Any], meets: Any) -> None:
    expected = {image.id for image, _, target in everything(db) if meets(image, target)}

    found = Images(**conditions).run(db)

    assert {image.id for image in found} == expected
    assert len(found) == len(expected) > 0


def test_a_participant_is_accepted_with_and_without_prefix(db: orm.Session) -> None:
    sub = db.scalars(sa.select(Target.sub).where(Target.sub.is_not(None)).limit(1)).one()
    expected = {image.id for image, _, target in everything(db) if target.sub == sub}

    for written in (sub, f"sub-{sub}", int(sub)):
        assert {image.id for image in Images(sub=written).run(db)} == expected


def test_rows_are_ordered_by_step_file_display_and_slice(db: orm.Session) -> None:
    def place(row: FoundImage) -> tuple[Any, ...]:
        return (row.step, row.file1, row.display, row.slice is None, row.slice or 0, row.id)

    found = list(Images().run(db))

    assert found == sorted(found, key=place)


def test_a_row_holds_the_values_of_the_tables(db: orm.Session) -> None:
    for image, picture, target in everything(db)[:20]:
        (row,) = Images(id=image.id).run(db)
        for name, value in row._asdict().items():
            (of,) = [table for table in (image, target, picture) if hasattr(table, name)][:1]
            assert value == getattr(of, name), name


@pytest.mark.parametrize("step", [dm.Step.FMAP_COREGISTRATION, dm.Step.MASK, None])
def test_only_the_bad_images_of_excluded_targets_are_found(
    db: orm.Session, step: dm.Step | None
) -> None:
    rows = Exclusions(step=step, level="target").run(db)
    expected = {img_id for row in rows for img_id in row.image_ids}

    found = Images(step=step, status="excluded").run(db)

    assert {image.id for image in found} == expected
    assert expected


def test_all_images_of_other_targets_are_found(db: orm.Session) -> None:
    rows = Exclusions(level="target", status=["kept", "unreviewed", "partial"]).run(db)
    named = {(row.step, row.file1) for row in rows}
    expected = {i.id for i, _, target in everything(db) if (target.step, target.file1) in named}

    found = Images(status=["kept", "unreviewed", "partial"]).run(db)

    assert {image.id for image in found} == expected
    assert expected


def test_conditions_read_as_options_of_the_command_line() -> None:
    images = Images(step=[dm.Step.MASK, dm.Step.DTIFIT], run_number=2, status="kept", id=[7, 8])

    assert images.text == "--step mask --step dtifit --run 2 --status kept --id 7 --id 8"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"slice": "three"}, "'three' is not a slice"),
        ({"run_number": "run-x"}, "'x' is not a run"),
        ({"sub": []}, "sub needs at least one value; name one, or leave it out"),
        (
            {"scan": "rest3"},
            "'rest3' is not a scan; choose one of T1w, dwi, cuff1, cuff2, rest1, rest2",
        ),
        ({"id": 2**63}, "9223372036854775808 is larger than any id"),
        (
            {"status": "bad"},
            "'bad' is not a status; choose one of excluded, kept, unreviewed, partial",
        ),
    ],
)
def test_a_condition_that_cannot_be_read_is_rejected(
    conditions: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        Images(**conditions)
    assert str(caught.value) == message


@pytest.fixture
def ids(db: orm.Session) -> list[int]:
    """Return the ids of all images."""
    return list(db.scalars(sa.select(Image.id)))


def test_every_rating_and_every_set_of_clicks_is_a_review(db: orm.Session, ids: list[int]) -> None:
    ratings = {(r.img_id, r.id) for r in db.scalars(sa.select(Rating))}
    sets = {(c.img_id, c.session_id) for c in db.scalars(sa.select(Coordinate))}

    found = Reviews(ids).run(db)

    assert {(r.img_id, r.id) for r in found if r.kind == "rating"} == ratings
    assert {(r.img_id, r.session_id) for r in found if r.kind == "coordinate"} == sets
    assert len(found) == len(ratings) + len(sets)


def test_reviews_are_ordered_by_image_and_time(db: orm.Session, ids: list[int]) -> None:
    found = list(Reviews(ids).run(db))

    assert found == sorted(found, key=lambda r: (r.img_id, r.created, r.kind, r.id))


def test_a_review_holds_the_values_of_its_row(db: orm.Session, ids: list[int]) -> None:
    for found in Reviews(ids).run(db):
        row = db.get_one(Review, (found.img_id, found.kind, found.id))
        expected = found._asdict()
        assert {name: getattr(row, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "meets"),
    [
        ({"rater": "bkowalski"}, lambda review: review.rater == "bkowalski"),
        ({"decides": True}, lambda review: review.decides),
        ({"latest": True}, lambda review: review.latest),
        (
            {"rater": "cdiallo", "latest": True},
            lambda review: review.rater == "cdiallo" and review.latest,
        ),
    ],
)
def test_reviews_can_be_narrowed(
    db: orm.Session, ids: list[int], options: dict[str, Any], meets: Any
) -> None:
    every = Reviews(ids).run(db)
    expected = [review for review in every if meets(review)]

    assert Reviews(ids, **options).run(db) == expected
    assert 0 < len(expected) < len(every)


def test_notes_can_be_left_out(db: orm.Session, ids: list[int]) -> None:
    every = Reviews(ids).run(db)

    assert Reviews(ids, notes=False).run(db) == [review._replace(notes=None) for review in every]
    assert any(review.notes for review in every)


def test_half_a_point_is_not_a_click(db: orm.Session, ids: list[int]) -> None:
    rows = db.scalars(
        sa.select(Coordinate).order_by(Coordinate.img_id, Coordinate.created, Coordinate.id)
    ).all()
    whole = [(c.img_id, c.session_id, c.x, c.y) for c in rows if None not in {c.x, c.y}]

    assert [tuple(click) for click in Clicks(ids).run(db)] == whole
    assert any((c.x is None) != (c.y is None) for c in rows)


def test_there_are_as_many_clicks_as_the_reviews_have(db: orm.Session, ids: list[int]) -> None:
    clicks = Clicks(ids).run(db)

    assert len(clicks) == sum(review.n_clicks or 0 for review in Reviews(ids).run(db))


def test_pictures_are_fetched_in_order_and_a_few_at_a_time(
    db: orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dirtmodel.queries.images._BATCH_IMAGES", 7)
    images = list(Images().run(db))[::-1]

    fetched = list(blobs(db, images))

    assert [image for image, _ in fetched] == images
    assert all(len(data) == image.n_bytes for image, data in fetched)


def test_more_ids_than_a_statement_has_parameters_are_accepted(db: orm.Session) -> None:
    ids = range(1, 70_000)

    assert len(Images(id=ids).run(db)) == len(Images().run(db))
