"""The starter kit's exclusion table, compared with its published pipeline on the files."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import sample

FMAP_COREGISTRATION, FAIL = 3, 2

Kit = list[tuple[int | None, str | None, str | None]]


def kit_in_polars(release: Path) -> Kit:
    """Apply the kit's pipeline, verb by verb: filter, join, extract, distinct, arrange."""
    qc = release / "pre-surgery/mris/derivatives/qc"
    image = pl.read_parquet(qc / "image.parquet", columns=["id", "step", "file1"])
    rating = pl.read_parquet(qc / "rating.parquet", columns=["rating", "img_id"])
    joined = rating.filter(pl.col("rating") == FAIL).join(
        image.filter(pl.col("step") == FMAP_COREGISTRATION), left_on="img_id", right_on="id"
    )
    # The regular expressions of Polars have no look-behind; a group has the same effect.
    table = joined.select(
        sub=pl.col("file1").str.extract("sub-([0-9]{5})").cast(pl.Int64),
        task=pl.col("file1").str.extract("(cuff|rest)"),
        run=pl.col("file1").str.extract("run-0([1|2])"),
    )
    return table.unique().sort("sub", "task", "run", nulls_last=True).rows()


def kit_in_python(tables: dict[str, list[dict[str, Any]]]) -> Kit:
    """Apply the same rule in plain Python, with the kit's regular expressions."""
    file1_of = {i["id"]: i["file1"] for i in tables["image"] if i["step"] == FMAP_COREGISTRATION}
    failed = {
        file1_of[rating["img_id"]]
        for rating in tables["rating"]
        if rating["rating"] == FAIL and rating["img_id"] in file1_of
    }
    found = set()
    for file1 in failed:
        sub = re.search(r"(?<=sub-)[0-9]{5}", file1)
        task = re.search(r"cuff|rest", file1)
        run = re.search(r"(?<=run-0)[1|2]", file1)
        found.add((int(sub[0]) if sub else None, task and task[0], run and run[0]))
    last = (10**9, "~", "~")
    return sorted(
        found, key=lambda row: [w if v is None else v for v, w in zip(row, last, strict=True)]
    )


def test_returns_the_kit_s_rows(
    db: orm.Session, release: Path, published: dict[str, list[dict[str, Any]]]
) -> None:
    found = dm.KitExclusions().run(db)
    assert len(found) > 3
    assert found == kit_in_python(published)
    assert found == kit_in_polars(release)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("style", ["polars", "duckdb", "pandas"])
def test_returns_the_kit_s_rows_for_any_release(tmp_path: Path, seed: int, style: Any) -> None:
    release = sample.write_release(
        tmp_path / "release", style=style, seed=seed, subjects=12, slices=1, pictures="tiny"
    )
    dm.load(release, tmp_path / "dirt.db")
    with dm.open(tmp_path / "dirt.db") as db:
        found = dm.KitExclusions().run(db)
    assert len(found) > 3
    assert found == kit_in_polars(release)


def test_parses_odd_names_as_the_kit_does(
    tmp_path: Path, read_release: Callable[[Path], dict[str, list[dict[str, Any]]]]
) -> None:
    odd = [
        "sub-123456_ses-V1_task-rest_run-01_boldref.nii.gz",
        "sub-1234_ses-V1_task-rest_run-01_boldref.nii.gz",
        "sub-10041_ses-V1_task-stress_run-01_boldref.nii.gz",
        "sub-10041_ses-V1_task-CUFF_run-02_boldref.nii.gz",
        "sub-10041_ses-V1_task-cuff_run-1_boldref.nii.gz",
        "sub-10041_ses-V1_task-cuff_run-03_boldref.nii.gz",
        "sub-10041_ses-V1_task-cuff_run-012_boldref.nii.gz",
        "sub-10041_ses-V1_task-cuff_run-0|_boldref.nii.gz",
        "sub-00042_ses-V1_task-cuff_task-rest_run-02_boldref.nii.gz",
        "brain.nii.gz",
    ]
    tables = sample.make_tables(subjects=4, slices=1, pictures="tiny", hazards=False)
    image, rating = tables["image"], tables["rating"]
    is_fmap = [step == FMAP_COREGISTRATION for step in image["step"].to_pylist()]
    names = iter(odd)
    renamed = [
        next(names, old) if fmap and n % 3 == 0 else old
        for n, (fmap, old) in enumerate(zip(is_fmap, image["file1"].to_pylist(), strict=True))
    ]
    import pyarrow as pa

    tables["image"] = image.set_column(
        image.column_names.index("file1"), "file1", pa.array(renamed, pa.large_string())
    )
    tables["rating"] = rating.set_column(
        rating.column_names.index("rating"), "rating", pa.array([FAIL] * len(rating), pa.int64())
    )
    release = sample.write_tables(tables, tmp_path / "release")
    dm.load(release, tmp_path / "dirt.db")

    with dm.open(tmp_path / "dirt.db") as db:
        found = dm.KitExclusions().run(db)

    assert set(odd) <= set(renamed)
    assert (None, None, None) in found
    assert (42, "cuff", "2") in found
    assert found == kit_in_python(read_release(release))
    assert found == kit_in_polars(release)


def test_a_fail_counts_even_if_its_rater_changed_it_later(release: Path, tmp_path: Path) -> None:
    dm.load(release, tmp_path / "dirt.db")
    with dm.open(tmp_path / "dirt.db", read_only=False) as db:
        before = dm.KitExclusions().run(db)
        fails = db.scalars(sa.select(dm.Rating).where(dm.Rating.rating == dm.Ratings.FAIL)).all()
        db.add_all(
            dm.Rating(
                rating=dm.Ratings.PASS,
                source_data_issue=False,
                img_id=fail.img_id,
                session_id=fail.session_id,
                created=dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
            )
            for fail in fails
        )
        db.flush()

        assert len(dm.Exclusions(step=3, latest=True).run(db)) == 0
        assert dm.KitExclusions().run(db) == before


def test_select_can_be_composed(db: orm.Session) -> None:
    names = dm.KitExclusions().select().subquery()
    n = db.scalar(sa.select(sa.func.count()).select_from(names))
    assert n == len(db.scalars(dm.KitExclusions().select()).all()) > 0


def test_reads_no_page_that_holds_a_picture(db: orm.Session) -> None:
    if db.connection().dialect.name == "sqlite":
        statement = dm.KitExclusions().select().compile(db.connection())
        plan = db.connection().exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}", tuple(statement.params.values())
        )
        assert [row for row in plan if "image" in row.detail] == []
