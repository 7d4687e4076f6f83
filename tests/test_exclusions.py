"""Exclusions by any rule, at any level: SQL agrees with plain Python, on both engines."""

import datetime as dt
import itertools
import math
from collections.abc import Iterator
from typing import Any

import exclusions_oracle
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.loading.extending import extend
from dirtmodel.loading.refresh import refresh_all
from dirtmodel.models import Base, JudgedBy
from dirtmodel.release import Extension

Row = dict[str, Any]
Tables = dict[str, list[Row]]

START = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)
NAMES = {
    0: ["sub-10001_ses-V1_desc-brain_mask.nii.gz", "sub-9_desc-brain_mask.nii.gz", "mask.nii.gz"],
    1: ["sub-10001_ses-V1_space-MNI152NLin2009cAsym_desc-preproc_T1w.nii.gz"],
    2: ["sub-10001_ses-V1/mri/ribbon.mgz", "sub-B_ses-V3/mri/ribbon.mgz"],
    3: [
        "sub-10001_ses-V1_task-rest_run-01_desc-coreg_boldref.nii.gz",
        "sub-10001_ses-V1_task-cuff_run-02_desc-coreg_boldref.nii.gz",
        "sub-10001_ses-V3_task-rest_run-10_desc-coreg_boldref.nii.gz",
        "sub-b_task-nback_desc-coreg_boldref.nii.gz",
        "boldref.nii.gz",
    ],
    4: ["sub-10001_ses-V1_space-T1w_desc-preproc_dwi_FA.nii.gz"],
    5: ["sub-10001_ses-V1_task-rest_run-01_desc-denoised_bold.nii.gz"],
}
TARGETS = {
    "sub": ["10001", "9", "B", "b"],
    "ses": ["V1", "V3"],
    "task": ["rest", "cuff", "nback"],
    "run_number": [1, 2],
    "scan": ["T1w", "dwi", "rest1", "cuff2"],
}
USERS = [None, "ann", "Bob", "çem"]
TINY = sample.make_tables(subjects=1, slices=1, pictures="tiny", hazards=False)["image"]
PICTURE = TINY["img"][0].as_py()
COORDINATES = [None, 0.0, -0.28, 480.2, math.inf]


@st.composite
def releases(draw: st.DrawFn) -> Tables:
    """Draw a few reviews of a few images, with every known irregularity.

    Step 5 and verdict 3 are among them, which DIRT does not define.
    """
    n_sessions = draw(st.integers(1, 5))
    sessions = [
        {
            "id": 10 - n,
            "step": draw(st.integers(0, 5)),
            "user": draw(st.sampled_from(USERS)),
            "created": START,
        }
        for n in range(n_sessions)
    ]
    names = [(step, file1) for step, files in NAMES.items() for file1 in files]
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=6, unique=True))
    pictures = [
        (step, file1, None if step == 4 else n)
        for step, file1 in chosen
        for n in range(draw(st.integers(1, 3)))
    ]
    images = [
        {"id": img_id, "step": step, "file1": file1, "slice": index}
        for img_id, (step, file1, index) in zip(
            draw(st.permutations(range(7, 7 + len(pictures)))), pictures, strict=True
        )
    ]

    def reviews(**columns: st.SearchStrategy[Any]) -> list[Row]:
        found = draw(
            st.lists(
                st.fixed_dictionaries(
                    {
                        "img_id": st.sampled_from([image["id"] for image in images]),
                        "session": st.sampled_from([session["id"] for session in sessions]),
                        # Few different times, so that ids have to decide, too.
                        "created": st.integers(0, 2).map(lambda s: START + dt.timedelta(seconds=s)),
                        "source_data_issue": st.sampled_from([False, False, False, True]),
                        **columns,
                    }
                ),
                max_size=14,
            )
        )
        ids = draw(st.permutations(range(1, len(found) + 1)))
        return [{"id": id_, **row} for id_, row in zip(ids, found, strict=True)]

    xy = st.sampled_from(COORDINATES)
    return {
        "session": sessions,
        "image": images,
        "rating": reviews(rating=st.sampled_from([0, 0, 1, 1, 2, 2, 3])),
        "coordinate": reviews(x=xy, y=xy),
    }


def fill(connection: sa.Connection, tables: Tables) -> None:
    """Put a release into an empty database, derived rows included."""
    same = {"display": 2, "created": START, "img": PICTURE}
    images = [{**image, **same} for image in tables["image"]]
    for table, rows in ({**tables, "image": images}).items():
        if rows:
            connection.execute(sa.insert(Base.metadata.tables[table]), rows)
    refresh_all(connection)


def create_schema(connection: sa.Connection) -> None:
    database.migrate(connection)
    numbers = {"step": {5: JudgedBy.VERDICT}, "verdict": {3: None}}
    extend(connection, Extension(numbers=numbers))


@pytest.fixture(scope="module")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    url = database.parse_url(tmp_path_factory.mktemp("empty") / "dirt.db")
    with database.engine(url).connect() as connection:
        with connection.begin():
            create_schema(connection)
        yield connection


@pytest.fixture(scope="module")
def empty_postgres(postgres_server: str) -> Iterator[sa.Connection]:
    url = database.parse_url(postgres_server)
    # The schema itself is rolled back at the end.
    with database.engine(url).connect() as connection, connection.begin() as transaction:
        connection.execute(sa.text("CREATE SCHEMA exclusions"))
        connection.execute(sa.text("SET LOCAL search_path TO exclusions"))
        create_schema(connection)
        yield connection
        transaction.rollback()


def rows_of(connection: sa.Connection, tables: Tables, options: list[Row]) -> list[list[Row]]:
    """Run the query, and leave out the columns that repeat its options."""
    nested = connection.in_transaction()
    with connection.begin_nested() if nested else connection.begin() as transaction:
        fill(connection, tables)
        with orm.Session(connection, join_transaction_mode="create_savepoint") as session:
            answers = [dm.Exclusions(**one).run(session) for one in options]
        transaction.rollback()
    return [[evidence(row, rows.columns) for row in rows] for rows in answers]


def evidence(row: Any, columns: list[str]) -> Row:
    """Return the columns that the oracle computes, too."""
    return {name: getattr(row, name) for name in columns if name not in {"rule", "release"}}


@st.composite
def questions(draw: st.DrawFn) -> Row:
    """Draw options that go together."""
    steps = draw(st.sets(st.integers(0, 5), min_size=1))
    options: Row = {
        "step": tuple(dm.Step(step) for step in sorted(steps)),
        "latest": draw(st.booleans()),
        "source_data_issue": draw(st.booleans()),
        "level": draw(st.sampled_from(["target", "scan", "session", "participant"])),
        "images": draw(st.integers(1, 2)),
        "status": tuple(
            draw(
                st.sets(st.sampled_from(["excluded", "kept", "unreviewed", "partial"]), min_size=1)
            )
        ),
    }
    if steps & {3, 4, 5}:
        options["rule"] = draw(st.sampled_from(["any-fail", "majority", "unanimous", "min-fails"]))
        options["unsure"] = draw(st.sampled_from(["pass", "fail", "ignore"]))
        if options["rule"] == "min-fails":
            options["min_fails"] = draw(st.integers(1, 3))
    for name, values in TARGETS.items():
        if wanted := draw(st.sets(st.sampled_from(values), max_size=2)):
            options[name] = tuple(wanted)
    # Only the database states how step 5 is judged.
    if steps & {0, 1, 2, 5}:
        options["min_clicks"] = draw(st.integers(1, 3))
        options["min_raters"] = draw(st.integers(1, 3))
    return options


EVERY_STATUS = ("excluded", "kept", "unreviewed", "partial")


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(tables=releases(), options=st.lists(questions(), min_size=1, max_size=6))
def test_sqlite_agrees_with_plain_python(
    empty_sqlite: sa.Connection, tables: Tables, options: list[Row]
) -> None:
    answers = rows_of(empty_sqlite, tables, options)
    assert answers == [exclusions_oracle.exclusions(tables, **one) for one in options]


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(tables=releases(), options=st.lists(questions(), min_size=1, max_size=4))
def test_postgres_agrees_with_plain_python(
    empty_postgres: sa.Connection, tables: Tables, options: list[Row]
) -> None:
    answers = rows_of(empty_postgres, tables, options)
    assert answers == [exclusions_oracle.exclusions(tables, **one) for one in options]


def every_question() -> list[Row]:
    """Return every combination of the rules, at every level."""
    verdicts = [
        {"rule": rule, "unsure": unsure, **({"min_fails": 2} if rule == "min-fails" else {})}
        for rule in ("any-fail", "majority", "unanimous", "min-fails")
        for unsure in ("pass", "fail", "ignore")
    ]
    clicks = [{"min_clicks": n, "min_raters": m} for n in (1, 2) for m in (1, 2)]
    return [
        {**verdict, **click, "latest": latest, "level": level, "status": EVERY_STATUS}
        for verdict, click, latest, level in itertools.product(
            verdicts,
            clicks,
            (False, True),
            ("target", "scan", "session", "participant"),
        )
    ]


def test_every_rule_agrees_with_plain_python_on_a_whole_release(
    db: orm.Session, published: Tables
) -> None:
    options = every_question()[:: 5 if db.get_bind().dialect.name == "sqlite" else 17]
    for one in options:
        rows = dm.Exclusions(**one).run(db)
        assert [evidence(row, rows.columns) for row in rows] == exclusions_oracle.exclusions(
            published, **one
        ), one
