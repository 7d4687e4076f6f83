"""Which images meet which conditions, and what was said of them."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel.errors import UsageError
from dirtmodel.models import Coordinate, Image, Picture, Rating, Target
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.images import Clicks, FoundImage, Images, Verdicts, blobs

Everything = list[tuple[Image, Picture, Target]]


def everything(db: orm.Session) -> Everything:
    """All images by brute force, as a second opinion."""
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
        ({"scan": ["dwi", "cuff1"]}, lambda _i, t: t.scan in {"dwi", "cuff1"}),
        ({"ses": "ses-V1"}, lambda _i, t: t.ses == "V1"),
    ],
)
def test_every_condition_is_met(db: orm.Session, conditions: dict[str, Any], meets: Any) -> None:
    expected = {image.id for image, _, target in everything(db) if meets(image, target)}

    found = Images(**conditions).run(db)

    assert {image.id for image in found} == expected
    assert len(found) == len(expected) > 0


def test_a_participant_may_be_written_as_in_file_names(db: orm.Session) -> None:
    sub = db.scalars(sa.select(Target.sub).where(Target.sub.is_not(None)).limit(1)).one()
    expected = {image.id for image, _, target in everything(db) if target.sub == sub}

    for written in (sub, f"sub-{sub}", int(sub)):
        assert {image.id for image in Images(sub=written).run(db)} == expected


def test_rows_come_by_step_file_display_and_slice(db: orm.Session) -> None:
    def place(row: FoundImage) -> tuple[Any, ...]:
        return (row.step, row.file1, row.display, row.slice is None, row.slice or 0, row.id)

    found = list(Images().run(db))

    assert found == sorted(found, key=place)


def test_a_row_says_what_the_tables_say(db: orm.Session) -> None:
    for image, picture, target in everything(db)[:20]:
        (row,) = Images(id=image.id).run(db)
        for name, value in row._asdict().items():
            (of,) = [table for table in (image, target, picture) if hasattr(table, name)][:1]
            assert value == getattr(of, name), name


@pytest.mark.parametrize("step", [dm.Step.FMAP_COREGISTRATION, dm.Step.MASK, None])
def test_of_excluded_targets_the_bad_images_are_found(
    db: orm.Session, step: dm.Step | None
) -> None:
    rows = Exclusions(step=step, level="target").run(db)
    expected = {img_id for row in rows for img_id in row.image_ids}

    found = Images(step=step, status="excluded").run(db)

    assert {image.id for image in found} == expected
    assert expected


def test_of_other_targets_all_images_are_found(db: orm.Session) -> None:
    rows = Exclusions(level="target", status=["kept", "unreviewed", "partial"]).run(db)
    named = {(row.step, row.file1) for row in rows}
    expected = {i.id for i, _, target in everything(db) if (target.step, target.file1) in named}

    found = Images(status=["kept", "unreviewed", "partial"]).run(db)

    assert {image.id for image in found} == expected
    assert expected


def test_conditions_read_as_options() -> None:
    images = Images(step=[dm.Step.MASK, dm.Step.DTIFIT], run_number=2, status="kept", id=[7, 8])

    assert images.text == "--step mask --step dtifit --run 2 --status kept --id 7 --id 8"


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"slice": "three"}, "'three' is no slice"),
        ({"run_number": "run-x"}, "'x' is no run"),
        ({"id": 2**63}, "9223372036854775808 is too large for any id"),
        (
            {"status": "bad"},
            "'bad' is no status; choose one of excluded, kept, unreviewed, partial",
        ),
    ],
)
def test_a_condition_that_cannot_be_read_is_named(conditions: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Images(**conditions)
    assert str(caught.value) == message


def test_verdicts_and_clicks_are_those_of_the_tables(db: orm.Session) -> None:
    ids = list(db.scalars(sa.select(Image.id)))
    ratings = db.scalars(sa.select(Rating).order_by(Rating.img_id, Rating.created, Rating.id))
    clicks = db.scalars(
        sa.select(Coordinate).order_by(Coordinate.img_id, Coordinate.created, Coordinate.id)
    )

    assert [(v.img_id, v.session, v.rater, v.verdict, v.notes) for v in Verdicts(ids).run(db)] == [
        (r.img_id, r.session_id, r.session.user, r.rating, r.notes) for r in ratings
    ]
    assert [(c.img_id, c.session, c.rater, c.x, c.y) for c in Clicks(ids).run(db)] == [
        (c.img_id, c.session_id, c.session.user, c.x, c.y) for c in clicks
    ]


def test_clicks_of_one_rater_and_of_latest_reviews(db: orm.Session) -> None:
    ids = list(db.scalars(sa.select(Image.id)))
    every = Clicks(ids).run(db)
    last = {}
    for click in every:
        unknown = click.session if click.rater is None else None
        last[click.img_id, click.rater, unknown] = click.session
    rater = next(click.rater for click in every if click.rater)

    of_rater = Clicks(ids, rater=rater).run(db)
    latest = Clicks(ids, latest=True).run(db)

    assert list(of_rater) == [click for click in every if click.rater == rater]
    assert list(latest) == [
        click
        for click in every
        if last[click.img_id, click.rater, click.session if click.rater is None else None]
        == click.session
    ]
    assert len(latest) < len(every)


def test_raters_are_those_whose_clicks_have_a_place(db: orm.Session) -> None:
    ids = list(db.scalars(sa.select(Image.id)))
    placed = {
        click.rater
        for click in Clicks(ids).run(db)
        if click.x is not None and click.y is not None and abs(click.x + click.y) < 1e300
    }

    raters = Clicks(ids).raters(db)

    assert raters == sorted(placed - {None}) + [None] * (None in placed)


def test_pictures_come_in_order_and_a_few_at_a_time(
    db: orm.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dirtmodel.queries.images._BATCH_IMAGES", 7)
    images = list(Images().run(db))[::-1]

    fetched = list(blobs(db, images))

    assert [image for image, _ in fetched] == images
    assert all(len(data) == image.n_bytes for image, data in fetched)


def test_more_ids_than_a_statement_has_parameters(db: orm.Session) -> None:
    ids = range(1, 70_000)

    assert len(Images(id=ids).run(db)) == len(Images().run(db))
