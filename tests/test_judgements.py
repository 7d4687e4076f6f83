"""Judgements, tallies and raters are true to the reviews, however these come and go."""

import concurrent.futures
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import orm

import dirtmodel as dm
from dirtmodel import database, sample
from dirtmodel.models import CLICK_STEPS, Judgement, Tally, TargetRater

Rows = set[tuple[Any, ...]]
START = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample.write_release(
        tmp_path_factory.mktemp("few"), subjects=2, slices=1, pictures="tiny", raters=3
    )


@pytest.fixture
def session(new_url: sa.URL, few: Path) -> Iterator[orm.Session]:
    dm.load(few, new_url)
    with orm.Session(database.engine(new_url)) as opened:
        yield opened


def kept(session: orm.Session) -> tuple[Rows, Rows, Rows]:
    """What the database says."""
    session.flush()
    judgement, tally, raters = (
        {tuple(row) for row in session.execute(sa.select(model.__table__))}
        for model in (Judgement, Tally, TargetRater)
    )
    return judgement, tally, raters


def rows_of(session: orm.Session, model: Any) -> list[Any]:
    return list(session.execute(sa.select(model.__table__)))


def reviews(session: orm.Session, targets: dict[int, int]) -> Iterator[tuple[Any, ...]]:
    """Image, session, (created, id) and what was said, of each review that decides something."""
    steps = {row.id: row.step for row in rows_of(session, dm.Target)}

    def by_clicks(image: int) -> bool | None:
        return steps[targets[image]] in CLICK_STEPS if image in targets else None

    for row in rows_of(session, dm.Rating):
        if by_clicks(row.img_id) is False:
            said = (row.rating, None, row.source_data_issue)
            yield row.img_id, row.session, (row.created, row.id), said
    sets = defaultdict(list)
    for row in rows_of(session, dm.Coordinate):
        if by_clicks(row.img_id):
            sets[row.img_id, row.session].append(row)
    for (image, sitting), clicks in sets.items():
        n_clicks = sum(row.x is not None and row.y is not None for row in clicks)
        said = (None, n_clicks, any(row.source_data_issue for row in clicks))
        yield image, sitting, max((row.created, row.id) for row in clicks), said


def judgements(session: orm.Session, targets: dict[int, int]) -> Rows:
    users = {row.id: row.user for row in rows_of(session, dm.Session)}
    newest: dict[Any, Any] = {}
    found = []
    for image, sitting, when, said in reviews(session, targets):
        user = users[sitting]
        who = (image, user, sitting if user is None else None)
        newest[who] = max(newest.get(who, when), when)
        found.append((who, when, (image, when[1], sitting, user, *said)))
    return {(*row, when != newest[who]) for who, when, row in found}


def tallies(judgement: Rows, *, latest: bool) -> Rows:
    counts: defaultdict[int, Counter[Any]] = defaultdict(Counter)
    for image, _, _, _, verdict, n_clicks, flagged, superseded in judgement:
        if not (latest and superseded):
            said = Counter({"reviews": 1, verdict: 1, "clicks": n_clicks or 0, "flagged": flagged})
            counts[image] += said
    return {
        (image, latest, n["reviews"], *(n[v] for v in dm.Ratings), n["clicks"], n["flagged"])
        for image, n in counts.items()
    }


def expected(session: orm.Session) -> tuple[Rows, Rows, Rows]:
    """What follows from the reviews, row by row."""
    targets = {row.img_id: row.target_id for row in rows_of(session, dm.Picture)}
    judgement = judgements(session, targets)
    raters = Counter((targets[image], rater) for image, _, _, rater, *_ in judgement if rater)
    return (
        judgement,
        tallies(judgement, latest=False) | tallies(judgement, latest=True),
        {(*who, n) for who, n in raters.items()},
    )


def test_a_load_makes_them(session: orm.Session) -> None:
    found = kept(session)

    assert found == expected(session)
    assert all(found)
    assert any(row[-1] for row in found[0]), "nothing is superseded"


def test_an_upgrade_makes_them(session: orm.Session, new_url: sa.URL) -> None:
    session.close()
    dm.upgrade(new_url, "0005")
    with database.engine(new_url).connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
    dm.upgrade(new_url)

    assert not there & {"judgement", "tally", "target_rater"}
    assert kept(session) == expected(session)


def pick(session: orm.Session, model: Any, number: int) -> Any:
    """Give the key of some row, None where there is none."""
    (key,) = model.__table__.primary_key
    ids = session.scalars(sa.select(key).order_by(key)).all()
    return ids[number % len(ids)] if ids else None


def update(session: orm.Session, model: Any, number: int, **columns: Any) -> None:
    (key,) = model.__table__.primary_key
    own = pick(session, model, number)
    if None not in columns.values() or "user" in columns:
        session.execute(sa.update(model).where(key == own).values(**columns))


def review(session: orm.Session, image: int, sitting: int, second: int, said: Any) -> None:
    model = dm.Rating if isinstance(said, dm.Ratings) else dm.Coordinate
    place = {"rating": said} if isinstance(said, dm.Ratings) else {"x": said, "y": said}
    img_id, session_id = pick(session, dm.Image, image), pick(session, dm.Session, sitting)
    if None not in (img_id, session_id):
        when = START + dt.timedelta(seconds=second)
        flagged = second == 1
        session.add(
            model(
                img_id=img_id,
                session_id=session_id,
                created=when,
                source_data_issue=flagged,
                **place,
            )
        )
        session.flush()


def move(session: orm.Session, model: Any, number: int, image: int, sitting: int) -> None:
    to = {
        "img_id": pick(session, dm.Image, image),
        "session_id": pick(session, dm.Session, sitting),
    }
    update(session, model, number, **to)


def date(session: orm.Session, model: Any, number: int, second: int) -> None:
    update(session, model, number, created=START + dt.timedelta(seconds=second))


def judge(session: orm.Session, number: int, verdict: dm.Ratings) -> None:
    update(session, dm.Rating, number, rating=verdict)


def name(session: orm.Session, number: int, user: str | None) -> None:
    update(session, dm.Session, number, user=user)


def delete(session: orm.Session, model: Any, number: int) -> None:
    (key,) = model.__table__.primary_key
    session.execute(sa.delete(model).where(key == pick(session, model, number)))


def move_image(session: orm.Session, image: int, target: int) -> None:
    update(session, dm.Picture, image, target_id=pick(session, dm.Target, target))


def change_step(session: orm.Session, target: int, step: dm.Step) -> None:
    # With another name, for no two targets of a step have the same.
    update(session, dm.Target, target, step=step, file1=f"other {target}")


NUMBER = st.integers(0, 10_000)
SECOND = st.integers(0, 3)
VERDICT = st.sampled_from(dm.Ratings)
REVIEW = st.sampled_from([dm.Rating, dm.Coordinate])
ANY = st.sampled_from([dm.Rating, dm.Coordinate, dm.Session, dm.Image, dm.Picture, dm.Target])
SAID = VERDICT | st.sampled_from([None, 1.5])
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just(review), NUMBER, NUMBER, SECOND, SAID),
        st.tuples(st.just(judge), NUMBER, VERDICT),
        st.tuples(st.just(move), REVIEW, NUMBER, NUMBER, NUMBER),
        st.tuples(st.just(date), REVIEW, NUMBER, SECOND),
        st.tuples(st.just(name), NUMBER, st.sampled_from([None, "ana", "ben"])),
        st.tuples(st.just(delete), ANY, NUMBER),
        st.tuples(st.just(move_image), NUMBER, NUMBER),
        st.tuples(st.just(change_step), NUMBER, st.sampled_from(dm.Step)),
    ),
    min_size=1,
    max_size=6,
)


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=CHANGES)
def test_whatever_is_written_they_follow(session: orm.Session, changes: list[Any]) -> None:
    for change, *values in changes:
        change(session, *values)
    session.flush()

    try:
        assert kept(session) == expected(session)
    finally:
        session.rollback()


def test_many_rows_at_once(session: orm.Session) -> None:
    sitting = session.scalars(sa.select(dm.Session.id)).first()
    images = session.scalars(sa.select(dm.Image.id)).all()
    session.execute(
        sa.insert(dm.Rating),
        [
            {
                "img_id": image,
                "session_id": sitting,
                "rating": dm.Ratings.FAIL,
                "source_data_issue": False,
                "created": START,
            }
            for image in images
        ],
    )

    assert kept(session) == expected(session)

    session.execute(sa.delete(dm.Rating))
    session.execute(sa.delete(dm.Coordinate))

    assert kept(session) == (set(), set(), set())


def test_a_table_emptied_at_a_stroke(session: orm.Session) -> None:
    if session.get_bind().dialect.name != "postgresql":
        session.execute(sa.delete(dm.Rating))
    else:
        session.execute(sa.text("TRUNCATE rating"))

    assert kept(session) == expected(session)


# One writer at a time is all that SQLite has.
@pytest.mark.parametrize("new_url", ["postgres"], indirect=True)
def test_two_who_review_an_image_at_once(session: orm.Session, new_url: sa.URL) -> None:
    def add() -> None:
        with orm.Session(database.engine(new_url)) as other:
            for said in (dm.Ratings.FAIL, 1.5):
                review(other, 0, 0, 2, said)
            other.commit()

    for said in (dm.Ratings.PASS, 2.5):
        review(session, 0, 0, 1, said)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(add)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        session.commit()
        waiting.result(timeout=10)

    assert kept(session) == expected(session)


def test_they_follow_after_a_release_was_replaced(
    session: orm.Session, new_url: sa.URL, few: Path
) -> None:
    session.close()
    dm.load(few, new_url, replace=True)
    with orm.Session(database.engine(new_url)) as again:
        again.execute(sa.update(dm.Session).values(user="one"))

        assert kept(again) == expected(again)


def test_from_another_schema_too(session: orm.Session) -> None:
    """Who names the schema in front of a table need not have it in the search path."""
    if session.get_bind().dialect.name != "postgresql":
        session.execute(sa.text("DELETE FROM main.rating"))
        assert kept(session) == expected(session)
        return
    schema = session.scalar(sa.text("SELECT current_schema()"))
    path = session.scalar(sa.text("SHOW search_path"))
    session.execute(sa.text("SET search_path TO pg_catalog"))
    session.execute(sa.text(f"DELETE FROM {schema}.rating"))
    session.execute(sa.text(f"SET search_path TO {path}"))

    assert kept(session) == expected(session)


def test_a_trigger_of_sqlite_reads_what_is_of_one_image_only(tmp_path: Path, few: Path) -> None:
    url = database.parse_url(tmp_path / "dirt.db")
    dm.load(few, url)
    with database.connect(url) as connection:
        triggers = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%INSERT%'"
        ).all()
        steps = {}
        for name, sql in triggers:
            body = sql[sql.index("BEGIN") + 5 : sql.rindex("END")]
            for place in ("NEW.", "OLD."):
                for column in ("img_id", "target_id", "id"):
                    body = body.replace(place + column, "1")
            for statement in filter(str.strip, body.split(";")):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
                steps[name, statement] = [row[-1] for row in plan]

    scans = {
        step
        for plan in steps.values()
        for step in plan
        # What is made on the way is small: it is of one image.
        if step.startswith("SCAN") and step not in {"SCAN c", "SCAN CONSTANT ROW"}
        if "subquery" not in step
    }
    assert steps
    assert scans == set()
