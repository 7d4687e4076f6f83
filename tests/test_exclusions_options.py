"""Which options go together, what they mean together, and how the statement composes."""

import itertools
import pickle
from collections.abc import Callable
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel.errors import UsageError
from dirtmodel.exporting import Selection
from dirtmodel.models import Base
from dirtmodel.queries.rules import KEYS, Exclusion, Level, Status

LEVELS = ("target", "scan", "session", "participant")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"rule": "min-fails"},
            (
                "min_fails belongs to the rule min-fails; "
                "use both (--rule min-fails --min-fails 2), or neither"
            ),
        ),
        (
            {"min_fails": 2},
            (
                "min_fails belongs to the rule min-fails; "
                "use both (--rule min-fails --min-fails 2), or neither"
            ),
        ),
        (
            {"rule": "min-fails 2", "min_fails": 3},
            "'min-fails 2' is not a rule; choose one of any-fail, majority, unanimous, min-fails",
        ),
        (
            {"step": 3, "min_clicks": 2},
            (
                "min_clicks and min_raters are for steps that are judged by clicks; for "
                "fmap_coregistration use the rule min-fails (--rule min-fails --min-fails 2)"
            ),
        ),
        (
            {"step": [4, 3], "min_raters": 2},
            (
                "min_clicks and min_raters are for steps that are judged by clicks; for "
                "fmap_coregistration, dtifit use the rule min-fails "
                "(--rule min-fails --min-fails 2)"
            ),
        ),
        (
            {"step": 0, "rule": "majority"},
            (
                "rule and unsure are for steps that are judged by verdicts; for mask "
                "use min_clicks and min_raters (--min-clicks 3)"
            ),
        ),
        (
            {"step": "mask", "unsure": "fail"},
            (
                "rule and unsure are for steps that are judged by verdicts; for mask "
                "use min_clicks and min_raters (--min-clicks 3)"
            ),
        ),
        (
            {"level": "run"},
            "'run' is not a level; choose one of target, scan, session, participant",
        ),
        (
            {"rule": "mode"},
            "'mode' is not a rule; choose one of any-fail, majority, unanimous, min-fails",
        ),
        ({"unsure": "maybe"}, "'maybe' is not a unsure; choose one of pass, fail, ignore"),
        (
            {"status": "bad"},
            "'bad' is not a status; choose one of excluded, kept, unreviewed, partial",
        ),
        (
            {"step": "masks"},
            (
                "'masks' is not a step; choose one of mask (0), spatial_normalization (1), "
                "surface_localization (2), fmap_coregistration (3), dtifit (4)"
            ),
        ),
        ({"images": 0}, "images is 0; use 1 or more"),
        ({"min_clicks": 0}, "min_clicks is 0; use 1 or more"),
        ({"min_clicks": 10**30}, f"min_clicks is {10**30}; use at most 2,147,483,647"),
        ({"min_raters": -1}, "min_raters is -1; use 1 or more"),
        ({"rule": "min-fails 0"}, "min_fails is 0; use 1 or more"),
        ({"step": []}, "step needs at least one value; name one, or leave it out"),
        ({"status": []}, "status needs at least one value; name one, or leave it out"),
    ],
)
def test_options_that_do_not_go_together_are_rejected(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        dm.Exclusions(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "spelling", ["MASK", "mask", "0", 0, dm.Step.MASK, [dm.Step.MASK], ("mask", 0)]
)
def test_a_step_is_accepted_in_any_spelling(spelling: Any) -> None:
    assert dm.Exclusions(step=spelling).steps == (dm.Step.MASK,)


def test_several_steps_are_kept_once_each_and_in_order() -> None:
    assert dm.Exclusions(step=["dtifit", 0, "mask", 4]).steps == (dm.Step.MASK, dm.Step.DTIFIT)


def test_without_a_step_all_steps_of_the_database_are_meant() -> None:
    assert dm.Exclusions().steps is None


def test_a_step_that_dirt_does_not_define_takes_the_options_of_both_kinds() -> None:
    asked = dm.Exclusions(step="step_5", rule="majority", min_clicks=2)

    assert asked.steps == (dm.Step(5),)
    assert asked.rule_text == (
        "--step step_5 --rule majority --unsure ignore --min-clicks 2 --min-raters 1 "
        "--level scan --images 1 --status excluded"
    )


def test_the_number_of_fails_can_follow_the_rule() -> None:
    assert dm.Exclusions(rule="min-fails 2") == dm.Exclusions(rule="min-fails", min_fails=2)


def test_the_rule_reads_as_options_of_the_command_line() -> None:
    asked = dm.Exclusions(
        rule="min-fails 2",
        min_clicks=3,
        latest=True,
        source_data_issue=True,
        level="session",
        status=["kept", "partial"],
    )
    assert asked.rule_text == (
        "--step all --rule min-fails --unsure ignore --min-fails 2 --min-clicks 3 --min-raters 1 "
        "--latest --source-data-issue --level session --images 1 --status kept --status partial"
    )


COLUMNS = {
    "target": ["sub", "ses", "task", "run", "scan", "step", "file1"],
    "scan": ["sub", "ses", "task", "run", "scan"],
    "session": ["sub", "ses"],
    "participant": ["sub"],
}
EVIDENCE = [
    *["status", "n_images", "n_reviewed", "n_bad_images", "n_raters", "n_pass", "n_unsure"],
    *["n_fail", "n_clicks", "source_data_issue", "image_ids", "rule", "release"],
]


@pytest.mark.parametrize("level", LEVELS)
def test_the_columns_are_those_of_the_level(db: orm.Session, level: str) -> None:
    rows = dm.Exclusions(level=level).run(db)
    assert rows.columns == [*COLUMNS[level], *EVIDENCE]
    assert list(dm.Exclusions(level=level).select().selected_columns.keys()) == rows.columns


@pytest.mark.parametrize("level", LEVELS)
def test_fields_that_a_level_does_not_distinguish_are_none(db: orm.Session, level: str) -> None:
    rows = dm.Exclusions(level=level, status=None).run(db)

    unused = set(Exclusion._fields) - set(rows.columns)
    assert {getattr(row, name) for row in rows for name in unused} <= {None}
    assert all(isinstance(row, Exclusion) for row in rows)


def test_every_row_names_the_release(db: orm.Session) -> None:
    rows = dm.Exclusions(status=None).run(db)
    assert {row.release for row in rows} == {db.scalar(sa.select(dm.Release.label))}


@pytest.mark.parametrize("level", LEVELS)
def test_the_statement_composes_with_others(db: orm.Session, level: str) -> None:
    asked = dm.Exclusions(level=level, status=None, latest=True, min_raters=2)
    found = asked.select().subquery()
    statement = (
        sa.select(found.c.sub, sa.func.count(dm.Target.id.distinct()))
        .join(dm.Target, dm.Target.sub == found.c.sub)
        .where(found.c.status == "excluded", found.c.n_images > 1)
        .group_by(found.c.sub)
    )
    excluded = {row.sub for row in asked.run(db) if row.status == "excluded" and row.n_images > 1}
    assert dict(db.execute(statement).all()).keys() == excluded - {None} != set()
    assert db.scalar(sa.select(sa.func.count()).select_from(found)) == len(asked.run(db))


def test_two_rules_can_be_compared_in_one_statement(db: orm.Session) -> None:
    strict = dm.Exclusions(step=3).select().subquery("strict")
    lenient = dm.Exclusions(step=3, rule="unanimous").select().subquery("lenient")
    only_strict = sa.select(strict.c.sub, strict.c.scan).except_(
        sa.select(lenient.c.sub, lenient.c.scan)
    )
    scans = [
        {(row.sub, row.scan) for row in dm.Exclusions(step=3, rule=rule).run(db)}
        for rule in ("any-fail", "unanimous")
    ]
    assert {tuple(row) for row in db.execute(only_strict)} == scans[0] - scans[1] != set()


@pytest.mark.parametrize("status", [None, "unreviewed"])
@pytest.mark.parametrize("level", LEVELS)
def test_every_table_library_reads_the_rows(db: orm.Session, level: str, status: Any) -> None:
    step = None if status is None else 3
    rows = dm.Exclusions(step=step, level=level, status=status).run(db)
    expected = [
        {name: getattr(row, name) for name in rows.columns}
        | ({"step": row.step.name} if level == "target" else {})
        for row in rows
    ]
    assert (len(rows) == 0) == (status == "unreviewed")
    assert pa.table(rows).to_pylist() == expected
    assert pl.DataFrame(rows).to_dicts() == expected
    assert duckdb.sql("SELECT * FROM rows").fetchall() == [tuple(e.values()) for e in expected]
    frame = pd.DataFrame.from_arrow(rows)
    assert list(frame.columns) == rows.columns
    assert frame["image_ids"].map(list).tolist() == [row.image_ids for row in rows]


@pytest.mark.parametrize("level", LEVELS)
def test_no_combination_reads_the_pictures_or_the_mirrored_reviews(
    db: orm.Session, level: str
) -> None:
    if db.get_bind().dialect.name != "sqlite":
        pytest.skip("plans are SQLite's")
    read: set[str] = set()
    combinations = itertools.product(
        ("any-fail", "majority", "unanimous", "min-fails 2"),
        ("pass", "fail", "ignore"),
        (False, True),
        (False, True),
        (1, 2),
        (1, 2),
        (None, "excluded"),
    )
    # Every combination is tried at one of the levels; the level changes only the grouping.
    part = itertools.islice(combinations, LEVELS.index(level), None, len(LEVELS))
    for rule, unsure, latest, flagged, min_clicks, min_raters, status in part:
        statement = dm.Exclusions(
            level=level,
            rule=rule,
            unsure=unsure,
            latest=latest,
            source_data_issue=flagged,
            min_clicks=min_clicks,
            min_raters=min_raters,
            status=status,
        ).select()
        compiled = statement.compile(db.connection(), compile_kwargs={"literal_binds": True})
        plan = db.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}").all()
        words = [row.detail.split() for row in plan]
        read |= {of[1] for of in words if of[0] in {"SCAN", "SEARCH"}}
    tables = read & set(Base.metadata.tables)
    assert tables == {"picture", "target", "tally", "review", "release"}


@pytest.mark.parametrize("level", LEVELS)
def test_rows_can_be_sent_to_other_processes(db: orm.Session, level: str) -> None:
    rows = dm.Exclusions(level=level, status=None).run(db)

    assert pickle.loads(pickle.dumps(list(rows))) == list(rows)  # noqa: S301 - our own


@pytest.mark.parametrize(
    "ask",
    [
        lambda step: set(dm.Exclusions(step=step).steps),
        lambda step: set(dm.Coverage(step=step).step),
        lambda step: {dm.Agreement(step=step).step},
        lambda step: set(dm.Images(step=step).step),
        lambda step: set(dm.Crossed(step=[step]).steps),
        lambda step: set(Selection(step=[step]).steps),
    ],
)
@pytest.mark.parametrize("step", [dm.Step.MASK, 0, "0", "mask", "MASK", "Mask"])
def test_every_query_accepts_a_step_in_any_spelling(
    ask: Callable[[Any], set[dm.Step]], step: Any
) -> None:
    assert ask(step) == {dm.Step.MASK}

    with pytest.raises(UsageError, match=r"^'brain' is not a step; choose one of mask \(0\), "):
        ask("brain")


@pytest.mark.parametrize("level", LEVELS)
def test_the_keys_of_a_level_come_first(level: str) -> None:
    assert Exclusion._fields[: len(KEYS[Level.TARGET])] == KEYS[Level.TARGET]
    assert set(KEYS[Level(level)]) <= set(KEYS[Level.TARGET])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("status", [None, "excluded", ["kept", "partial"]])
def test_rows_come_with_the_number_of_each_status(db: orm.Session, level: str, status: Any) -> None:
    query = dm.Exclusions(level=level, status=status)
    every = dm.Exclusions(level=level, status=None).run(db)

    rows, n = query.run_counted(db)

    assert rows == query.run(db)
    assert n == {one: sum(row.status == one for row in every) for one in Status}


def test_statuses_are_counted_when_no_row_has_the_one_that_is_asked_for(db: orm.Session) -> None:
    query = dm.Exclusions(step="fmap_coregistration", rule="min-fails 99")

    rows, n = query.run_counted(db)

    assert list(rows) == []
    assert sum(n.values()) == len(dm.Exclusions(step="fmap_coregistration", status=None).run(db))
