"""Numbers that DIRT does not define: refused, or kept on request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.cli import main
from dirtmodel.models import JUDGED_BY, JudgedBy, Ratings, Step, lookups
from dirtmodel.release.layout import QC_FOLDER
from dirtmodel.release.tables import InvalidReleaseError

Tables = dict[str, Any]
Change = Callable[[Tables], Tables]
NEW = 900_000
"""The first id that is unused in all tables."""


@pytest.fixture(scope="module")
def tables() -> Tables:
    """Four small tables in which nothing is unusual."""
    return sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)


def write(tables: Tables, folder: Path, name: str = "release") -> Path:
    return sample.write_tables(tables, folder / name, empty_rows=0)


def appended(tables: Tables, table: str, **values: Any) -> Tables:
    """Append a row: a copy of the first one with other values."""
    row = {**tables[table].slice(0, 1).to_pylist()[0], "id": NEW, **values}
    added = pa.Table.from_pylist([row], tables[table].schema)
    return {**tables, table: pa.concat_tables([tables[table], added])}


def with_step(tables: Tables, step: int, *, reviewed_by: str | None = None) -> Tables:
    """Add a step with one image, one session, and perhaps one review."""
    tables = appended(tables, "image", step=step)
    tables = appended(tables, "session", step=step)
    if reviewed_by is not None:
        tables = appended(tables, reviewed_by, img_id=NEW, session=NEW)
    return tables


def last_row(tables: Tables, table: str) -> int:
    return len(tables[table])


def lookup(url: sa.URL, table: str) -> list[tuple[Any, ...]]:
    """Return the rows of a lookup table that DIRT does not define."""
    known = {int(member) for member in lookups.ENUMS[table]}
    with database.engine(url).connect() as connection:
        rows = connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY id"))
        return [tuple(row) for row in rows if row[0] not in known]


def found(release: Path, *, extend: bool) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(f.code, f.file): f.examples for f in dm.check(release, extend=extend)}


# -- refused

STEPS = (
    "MASK (0), SPATIAL_NORMALIZATION (1), SURFACE_LOCALIZATION (2), FMAP_COREGISTRATION (3) or "
    "DTIFIT (4)"
)


def test_a_refusal_names_the_row_the_known_numbers_and_the_option(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = appended(tables, "rating", rating=5)
    release = write(tables, tmp_path)

    with pytest.raises(InvalidReleaseError) as caught:
        dm.load(release, new_url)

    assert str(caught.value) == (
        f"{release / QC_FOLDER} has 1 error; nothing was loaded; keep new numbers with --extend, "
        "or load only the rows without errors with --quarantine:\n"
        "error    unknown-enum       rating.parquet      1  a number that DIRT does not define; "
        "--extend keeps 0 to 99\n"
        f"           rating.parquet row {last_row(tables, 'rating')}: rating 5 is not PASS (0), "
        "UNSURE (1) or FAIL (2)"
    )


@pytest.mark.parametrize(
    ("table", "column", "known"),
    [
        ("image", "step", STEPS),
        ("session", "step", STEPS),
        ("image", "display", "X (0), Y (1) or Z (2)"),
        ("rating", "rating", "PASS (0), UNSURE (1) or FAIL (2)"),
    ],
)
def test_an_unknown_number_is_an_error(
    table: str, column: str, known: str, tables: Tables, tmp_path: Path
) -> None:
    tables = appended(tables, table, **{column: 5})
    release = write(tables, tmp_path)

    errors = found(release, extend=False)

    row = last_row(tables, table)
    message = f"{table}.parquet row {row}: {column} 5 is not {known}"
    assert errors == {("unknown-enum", f"{table}.parquet"): (message,)}


@pytest.mark.parametrize("number", [100, -1, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize(
    ("table", "column"), [("image", "step"), ("image", "display"), ("rating", "rating")]
)
def test_a_number_outside_0_to_99_is_damage_and_remains_an_error(
    table: str, column: str, number: int, tables: Tables, tmp_path: Path
) -> None:
    tables = appended(tables, table, **{column: number})
    release = write(tables, tmp_path)

    with pytest.raises(InvalidReleaseError) as caught:
        dm.load(release, tmp_path / "dirt.db", extend=True)

    assert [finding.code for finding in caught.value.findings] == ["unknown-enum"]
    assert str(caught.value).startswith(
        f"{release / QC_FOLDER} has 1 error; nothing was loaded; repair the release, or load only "
        "the rows without errors with --quarantine:\n"
    )


def test_the_command_line_refuses_with_the_same_words(tables: Tables, tmp_path: Path) -> None:
    tables = appended(tables, "rating", rating=3)
    release = write(tables, tmp_path)

    loaded = CliRunner().invoke(main, ["load", str(release), "--db", str(tmp_path / "dirt.db")])

    assert loaded.exit_code == 2
    assert "keep new numbers with --extend" in loaded.stderr
    assert not (tmp_path / "dirt.db").exists()


# -- kept


def test_extend_keeps_numbers_under_placeholder_names(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = with_step(tables, 5, reviewed_by="rating")
    tables = appended(tables, "image", id=NEW + 1, display=3, slice=77)
    tables = appended(tables, "rating", id=NEW + 1, rating=3)
    rows = {table: last_row(tables, table) for table in tables}

    loaded = dm.load(write(tables, tmp_path), new_url, extend=True)

    kept = {f.file: f for f in loaded.findings if f.code == "kept-number"}
    assert {file: finding.examples for file, finding in kept.items()} == {
        "image.parquet": (
            f"image.parquet row {rows['image']}: display 3 is kept as DISPLAY_3",
            f"image.parquet row {rows['image'] - 1}: step 5 is kept as STEP_5",
        ),
        "session.parquet": (f"session.parquet row {rows['session']}: step 5 is kept as STEP_5",),
        "rating.parquet": (f"rating.parquet row {rows['rating']}: rating 3 is kept as RATING_3",),
    }
    assert {finding.severity for finding in kept.values()} == {"warning"}
    assert lookup(new_url, "step") == [(5, "STEP_5", "verdict")]
    assert lookup(new_url, "display") == [(3, "DISPLAY_3")]
    assert lookup(new_url, "verdict") == [(3, "RATING_3")]


def test_the_first_and_the_last_number_that_can_be_kept(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = with_step(tables, 99)
    tables = appended(tables, "rating", rating=99)

    dm.load(write(tables, tmp_path), new_url, extend=True)

    assert lookup(new_url, "step") == [(99, "STEP_99", "clicks")]
    assert lookup(new_url, "verdict") == [(99, "RATING_99")]
    with dm.open(new_url) as db:
        assert db.get_one(dm.Image, NEW).step is Step(99)
        assert db.get_one(dm.Rating, NEW).rating is Ratings(99)


def test_a_rating_without_an_image_does_not_rate_image_0(tables: Tables, tmp_path: Path) -> None:
    tables = appended(tables, "image", id=0, step=5)
    tables = appended(tables, "rating", img_id=None)
    release = write(tables, tmp_path)

    dm.load(release, tmp_path / "dirt.db", extend=True, quarantine=True)

    assert lookup(database.parse_url(tmp_path / "dirt.db"), "step") == [(5, "STEP_5", "clicks")]


@pytest.mark.parametrize(
    ("reviewed_by", "judged_by"),
    [("rating", "verdict"), ("coordinate", "clicks"), (None, "clicks")],
)
def test_a_new_step_is_judged_by_verdict_if_its_images_have_ratings(
    reviewed_by: str | None,
    judged_by: str,
    tables: Tables,
    new_url: sa.URL,
    tmp_path: Path,
) -> None:
    tables = with_step(tables, 7, reviewed_by=reviewed_by)

    loaded = dm.load(write(tables, tmp_path), new_url, extend=True)

    assert lookup(new_url, "step") == [(7, "STEP_7", judged_by)]
    assert "crossed-table" not in {finding.code for finding in loaded.findings}
    with dm.open(new_url) as db:
        reviews = db.execute(
            sa.select(dm.Review.kind, dm.Review.decides).where(dm.Review.step == 7)
        ).all()
    assert [tuple(review) for review in reviews] == ([(reviewed_by, True)] if reviewed_by else [])


def test_clicks_on_a_new_step_that_has_ratings_do_not_decide(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = with_step(tables, 7, reviewed_by="rating")
    tables = appended(tables, "coordinate", img_id=NEW, session=NEW)

    loaded = dm.load(write(tables, tmp_path), new_url, extend=True)

    crossed = [f.examples for f in loaded.findings if f.code == "crossed-table"]
    row = last_row(tables, "coordinate")
    assert crossed == [(f"coordinate.parquet row {row}: clicks on image {NEW} of STEP_7",)]
    with dm.open(new_url) as db:
        reviews = db.execute(
            sa.select(dm.Review.kind, dm.Review.decides).where(dm.Review.step == 7)
        ).all()
    assert {tuple(review) for review in reviews} == {("rating", True), ("coordinate", False)}


def test_a_new_step_only_in_a_session_is_kept(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = appended(tables, "session", step=8)

    dm.load(write(tables, tmp_path), new_url, extend=True)

    assert lookup(new_url, "step") == [(8, "STEP_8", "clicks")]
    with dm.open(new_url) as db:
        assert db.get_one(dm.Session, NEW).step.name == "STEP_8"


def test_a_session_of_a_new_step_may_review_images_of_a_known_one(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    image = next(row for row in tables["image"].to_pylist() if row["step"] == 3)
    tables = appended(tables, "session", step=8)
    tables = appended(tables, "rating", img_id=image["id"], session=NEW)

    loaded = dm.load(write(tables, tmp_path), new_url, extend=True)

    examples = [f.examples for f in loaded.findings if f.code == "session-step"]
    message = (
        f"rating.parquet row {last_row(tables, 'rating')}: image {image['id']} is of "
        f"FMAP_COREGISTRATION, session {NEW} of STEP_8"
    )
    assert examples == [(message,)]
    assert lookup(new_url, "step") == [(8, "STEP_8", "clicks")]


def test_extend_changes_nothing_for_a_release_without_new_numbers(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    loaded = dm.load(write(tables, tmp_path), new_url, extend=True)

    assert loaded.findings == []
    assert [lookup(new_url, table) for table in lookups.ENUMS] == [[], [], []]


# -- check reports what load would do


@pytest.mark.parametrize("extend", [False, True])
def test_check_reports_what_load_would_do(extend: bool, tables: Tables, tmp_path: Path) -> None:
    tables = with_step(tables, 5, reviewed_by="rating")
    tables = appended(tables, "rating", id=NEW + 1, rating=3)
    release = write(tables, tmp_path)
    options = ["--extend"] if extend else []

    checked = CliRunner().invoke(main, ["check", str(release), *options])

    loaded = CliRunner().invoke(
        main, ["load", str(release), "--db", str(tmp_path / "dirt.db"), *options]
    )
    assert checked.exit_code == (0 if extend else 1)
    assert loaded.exit_code == (0 if extend else 2)
    # Without the total at the end.
    lines = checked.stdout.splitlines()[:-1]
    lines = [line for line in lines if extend or line.startswith("error")]
    assert [line for line in lines if line not in loaded.stderr.splitlines()] == []
    assert ("kept-number" in checked.stdout) is extend
    assert ("unknown-enum" in checked.stdout) is not extend


# -- quarantine


def test_quarantine_without_extend_rejects_the_rows_and_what_refers_to_them(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = with_step(tables, 5, reviewed_by="rating")

    dm.load(write(tables, tmp_path), new_url, quarantine=True)

    with dm.open(new_url) as db:
        rows = db.execute(
            sa.select(dm.Quarantine.table, dm.Quarantine.code).order_by(dm.Quarantine.table)
        ).all()
    assert [tuple(row) for row in rows] == [
        ("image", "unknown-enum"),
        ("rating", "missing-image"),
        ("session", "unknown-enum"),
    ]
    assert lookup(new_url, "step") == []


def test_quarantine_with_extend_keeps_new_numbers_and_rejects_damage(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    tables = with_step(tables, 5, reviewed_by="rating")
    tables = appended(tables, "rating", id=NEW + 1, rating=3)
    tables = appended(tables, "rating", id=NEW + 2, rating=100)
    tables = appended(tables, "session", id=NEW + 1, step=-1)

    dm.load(write(tables, tmp_path), new_url, quarantine=True, extend=True)

    with dm.open(new_url) as db:
        rows = db.execute(
            sa.select(dm.Quarantine.table, dm.Quarantine.id, dm.Quarantine.code).order_by(
                dm.Quarantine.table
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        ("rating", NEW + 2, "unknown-enum"),
        ("session", NEW + 1, "unknown-enum"),
    ]
    assert lookup(new_url, "step") == [(5, "STEP_5", "verdict")]
    assert lookup(new_url, "verdict") == [(3, "RATING_3")]


# -- replaced


def test_a_later_release_without_the_numbers_leaves_none_of_them(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    extended = appended(with_step(tables, 5, reviewed_by="rating"), "rating", id=NEW + 1, rating=3)
    dm.load(write(extended, tmp_path, "before"), new_url, extend=True)

    dm.load(write(tables, tmp_path, "after"), new_url, replace=True)

    assert [lookup(new_url, table) for table in lookups.ENUMS] == [[], [], []]


def test_a_later_release_may_judge_a_new_step_in_another_way(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    clicked = with_step(tables, 5, reviewed_by="coordinate")
    rated = with_step(tables, 5, reviewed_by="rating")
    dm.load(write(clicked, tmp_path, "before"), new_url, extend=True)

    dm.load(write(rated, tmp_path, "after"), new_url, replace=True, extend=True)

    assert lookup(new_url, "step") == [(5, "STEP_5", "verdict")]


def test_a_release_may_be_loaded_from_an_extended_database(
    tables: Tables, new_url: sa.URL, tmp_path: Path
) -> None:
    extended = appended(with_step(tables, 5, reviewed_by="rating"), "rating", id=NEW + 1, rating=3)
    dm.load(write(extended, tmp_path), new_url, extend=True)
    copy = database.parse_url(tmp_path / "copy.db")

    dm.load(new_url, copy, extend=True)

    with dm.diff(new_url, copy) as differences:
        assert not differences.are_there()
    assert lookup(copy, "step") == [(5, "STEP_5", "verdict")]


def test_every_step_of_dirt_is_judged_by_something() -> None:
    assert set(JUDGED_BY) == set(Step)
    assert set(JUDGED_BY.values()) == set(JudgedBy)
