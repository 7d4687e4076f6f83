"""How much has been reviewed, against plain Python over the release's files."""

from collections import defaultdict
from typing import Any

import exclusions_oracle
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel.queries.coverage import StepCoverage, TargetCoverage

JUDGED_BY_CLICKS = {0, 1, 2}

Tables = dict[str, list[dict[str, Any]]]


def reviews_of(tables: Tables) -> dict[int, list[dict[str, Any]]]:
    """Return the deciding reviews of each image; a set of clicks is one review."""
    step_of = {image["id"]: image["step"] for image in tables["image"]}
    reviews = defaultdict(list)
    for rating in tables["rating"]:
        if step_of[rating["img_id"]] not in JUDGED_BY_CLICKS:
            reviews[rating["img_id"]].append(rating)
    seen = set()
    for click in tables["coordinate"]:
        key = click["img_id"], click["session"]
        if step_of[click["img_id"]] in JUDGED_BY_CLICKS and key not in seen:
            seen.add(key)
            reviews[click["img_id"]].append(click)
    return reviews


def by_step(tables: Tables) -> list[StepCoverage]:
    reviews, users = reviews_of(tables), {s["id"]: s["user"] for s in tables["session"]}
    rows = []
    for step in sorted({image["step"] for image in tables["image"]}):
        images = [image for image in tables["image"] if image["step"] == step]
        reviewed = [image for image in images if reviews[image["id"]]]
        of_step = [review for image in images for review in reviews[image["id"]]]
        rows.append(
            StepCoverage(
                step=dm.Step(step),
                n_targets=len({image["file1"] for image in images}),
                n_images=len(images),
                n_reviewed=len(reviewed),
                n_unreviewed=len(images) - len(reviewed),
                n_reviews=len(of_step),
                n_raters=len({users[review["session"]] for review in of_step} - {None}),
            )
        )
    return rows


def by_target(tables: Tables) -> list[tuple[Any, ...]]:
    reviews = reviews_of(tables)
    rows = []
    for step, file1 in sorted({(image["step"], image["file1"]) for image in tables["image"]}):
        numbers = [
            len(reviews[image["id"]])
            for image in tables["image"]
            if (image["step"], image["file1"]) == (step, file1)
        ]
        n_reviewed = sum(n > 0 for n in numbers)
        rows.append(
            (step, file1, len(numbers), n_reviewed, len(numbers) - n_reviewed, sum(numbers))
        )
    return rows


def numbers_of(row: TargetCoverage) -> tuple[Any, ...]:
    return row.step, row.file1, row.n_images, row.n_reviewed, row.n_unreviewed, row.n_reviews


def test_there_is_one_row_per_step(db: orm.Session, published: Tables) -> None:
    found = dm.Coverage().run(db)
    assert found == by_step(published)
    assert [row.step for row in found] == list(dm.Step)


def test_with_targets_there_is_one_row_per_target(db: orm.Session, published: Tables) -> None:
    found = dm.Coverage().run_targets(db)
    assert [numbers_of(row) for row in found] == by_target(published)


@pytest.mark.parametrize(
    "targets",
    [
        *({"step": [step]} for step in dm.Step),
        {"step": [dm.Step.MASK, dm.Step.DTIFIT], "ses": ["V1"]},
        {"scan": ["T1w", "rest1"]},
        {"task": ["rest"], "run_number": [2]},
    ],
)
def test_conditions_choose_targets(
    db: orm.Session, published: Tables, targets: dict[str, Any]
) -> None:
    images = [i for i in published["image"] if exclusions_oracle.meets(i, **targets)]
    ids = {image["id"] for image in images}
    some = {
        "session": published["session"],
        "image": images,
        **{
            table: [review for review in published[table] if review["img_id"] in ids]
            for table in ("rating", "coordinate")
        },
    }

    query = dm.Coverage(**targets)

    assert images
    assert query.run(db) == by_step(some)
    assert [numbers_of(row) for row in query.run_targets(db)] == by_target(some)


def test_crossed_reviews_do_not_count(db: orm.Session, published: Tables) -> None:
    steps = {image["id"]: image["step"] for image in published["image"]}
    crossed = [r for r in published["rating"] if steps[r["img_id"]] in JUDGED_BY_CLICKS]
    n_verdicts = sum(row.n_reviews for row in dm.Coverage().run(db) if row.step > 2)
    assert crossed
    assert n_verdicts == len(published["rating"]) - len(crossed)


def test_values_have_the_types_of_the_row(db: orm.Session) -> None:
    row = dm.Coverage().run(db)[0]
    assert type(row) is StepCoverage
    assert isinstance(row.step, dm.Step)
    assert {type(value) for value in row[1:]} == {int}
    assert type(dm.Coverage().run_targets(db)[0].n_reviews) is int


def test_targets_have_their_entities(db: orm.Session) -> None:
    for row in dm.Coverage(step=dm.Step.FMAP_COREGISTRATION).run_targets(db):
        assert row.file1.startswith(f"sub-{row.sub}_ses-{row.ses}_task-{row.scan[:-1]}_")


def test_selects_can_be_composed(db: orm.Session) -> None:
    for statement in (dm.Coverage().select(), dm.Coverage().select_targets()):
        rows = statement.order_by(None).subquery()
        total = db.scalar(sa.select(sa.func.sum(rows.c.n_images)))
        assert total == db.scalar(sa.select(sa.func.count(dm.Image.id)))


def test_reads_no_page_that_holds_a_picture(db: orm.Session) -> None:
    if db.connection().dialect.name == "sqlite":
        for query in (dm.Coverage().select(), dm.Coverage().select_targets()):
            statement = query.compile(db.connection(), compile_kwargs={"literal_binds": True})
            plan = db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
            assert [row for row in plan if " image" in row.detail] == []


class TestRows:
    """The rows that every query returns."""

    def test_are_a_sequence_of_their_type(self, db: orm.Session) -> None:
        rows = dm.Coverage().run(db)
        assert len(rows) == 5
        assert rows[-1].step is dm.Step.DTIFIT
        assert rows[1:3] == list(rows)[1:3]
        assert rows.columns == list(StepCoverage._fields)
        assert repr(rows) == "<5 rows of StepCoverage>"

    def test_go_into_pandas_polars_pyarrow_and_duckdb(self, db: orm.Session) -> None:
        import duckdb
        import pandas as pd
        import polars as pl
        import pyarrow as pa

        covered = dm.Coverage().run_targets(db)
        steps = [row.step.name for row in covered]
        table = pa.table(covered)
        assert table["step"].to_pylist() == steps
        assert pl.DataFrame(covered)["step"].to_list() == steps
        assert duckdb.sql("SELECT step FROM covered").fetchall() == [(step,) for step in steps]
        if hasattr(pd.DataFrame, "from_arrow"):
            assert pd.DataFrame.from_arrow(covered)["step"].tolist() == steps

    def test_keep_their_types_when_empty(self, db: orm.Session) -> None:
        filled = dm.Coverage().run_targets(db)
        empty = filled[:0]
        assert len(empty) == 0
        assert empty.to_arrow().schema == filled.to_arrow().schema
