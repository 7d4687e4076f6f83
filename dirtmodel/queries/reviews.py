"""Read the deciding reviews of a step into arrays, for agreement and consensus."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import database, irr, pseudonyms
from dirtmodel.errors import UsageError
from dirtmodel.models import (
    STEP,
    VERDICT,
    Coordinate,
    JudgedBy,
    Picture,
    Ratings,
    Review,
    Session,
    Step,
    Target,
)
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Statement

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

MOST_RATERS: Final = 200
"""With more raters, pairs, alpha without each rater, and intervals of error rates are left out."""

_FETCH_ROWS: Final = 10_000
"""The number of rows to fetch at a time."""


class Judging(NamedTuple):
    """How the images of a step are judged: by clicks or by verdict, and the possible categories.

    `numbers` are the stored numbers of the verdicts, in order; on steps judged by clicks, 0 and 1.
    """

    judged_by: JudgedBy
    categories: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def by_clicks(self) -> bool:
        """True if the step is judged by clicks."""
        return self.judged_by == JudgedBy.CLICKS

    def codes(self, values: IntArray) -> IntArray:
        """Return the index of the category of each verdict or number of clicks."""
        if self.by_clicks:
            return np.minimum(values, 1)
        return np.searchsorted(self.numbers, values).astype(np.int64)

    @property
    def problem(self) -> int:
        """The index of the category that marks a bad image: FAIL, or a click."""
        return 1 if self.by_clicks else self.numbers.index(Ratings.FAIL)


def judging(session: orm.Session, step: Step, clicks: tuple[str, str]) -> Judging:
    """Look up how a step is judged in the database.

    Parameters
    ----------
    session
        An open database.
    step
        The step.
    clicks
        The names of the categories of images without and with clicks.

    Raises
    ------
    UsageError
        If the database has no such step; the message lists those that it has.

    """
    steps = dict(session.execute(sa.select(STEP.c.id, STEP.c.judged_by)).all())
    if step not in steps:
        known = ", ".join(f"{Step(number).name.lower()} ({number})" for number in sorted(steps))
        raise UsageError(f"the database has no step {step.name.lower()}; choose one of {known}")
    if steps[step] == JudgedBy.CLICKS:
        return Judging(JudgedBy.CLICKS, clicks, (0, 1))
    rows = session.execute(sa.select(VERDICT.c.id, VERDICT.c.name).order_by(VERDICT.c.id)).all()
    return Judging(
        JudgedBy.VERDICT, tuple(row.name for row in rows), tuple(int(r.id) for r in rows)
    )


@dataclass(frozen=True, eq=False)
class StepReviews:
    """The latest review of each rater on each image of a step, as arrays.

    Parameters
    ----------
    judging
        How the step is judged.
    images, targets, clusters
        For each image of the step, reviewed or not: its id (ascending), the id of its target, and
        the number of its subject. A target without a subject in its name is a cluster of its own.
    raters
        The names of the raters, in order: users, or ids of sessions.
    ratings
        One entry per review: the indices of the image, the rater and the category.
    sessions, values, flags
        For each review: its session, the verdict or number of clicks, and 1 if it reports a source
        data issue, else 0.

    """

    judging: Judging
    images: IntArray
    targets: IntArray
    clusters: IntArray
    raters: Sequence[str | int]
    ratings: irr.Ratings
    sessions: IntArray
    values: IntArray
    flags: IntArray

    @property
    def counts(self) -> IntArray:
        """The number of raters who chose each category: images × categories."""
        return self.ratings.counts(len(self.images), len(self.judging.categories))

    @property
    def n_pairable(self) -> int:
        """The number of images that two raters or more reviewed."""
        return int((np.bincount(self.ratings.unit, minlength=1) > 1).sum())


def select(step: Step, *, rater: str = "user") -> Statement:
    """Return the SELECT of the deciding reviews that count, ordered by image, kind and id.

    These are the latest reviews of known users or, with `rater="session"`, all reviews.
    """
    return _counting(step, rater=rater).order_by(Review.img_id, ascending(Review.kind), Review.id)


def _counting(step: Step, *, rater: str, latest: bool = True) -> Statement:
    """Return the SELECT of the deciding reviews that count, in no particular order."""
    chosen = sa.select(Review).where(Review.step == step, Review.decides)
    if rater == "session":
        return chosen
    chosen = chosen.where(Review.rater.is_not(None))
    return chosen.where(Review.latest) if latest else chosen


def read(
    session: orm.Session, step: Step, how: Judging, *, rater: str = "user", flags: bool = True
) -> StepReviews:
    """Read the reviews of a step.

    Parameters
    ----------
    session
        An open database.
    step, how
        The step, and how it is judged.
    rater
        `user`: each user is a rater, and reviews without a user are left out; `session`: each
        session is a rater.
    flags
        If false, source data issues are not read, and all flags are 0.

    """
    images, targets, clusters = _images(session, step)
    value = Review.n_clicks if how.by_clicks else sa.type_coerce(Review.verdict, sa.Integer)
    columns: list[Any] = [Review.img_id, Review.session_id, value]
    if flags:
        columns.append(sa.cast(Review.source_data_issue, sa.Integer))
    statement = _counting(step, rater=rater).with_only_columns(*columns)
    if rater == "session":
        statement = statement.order_by(Review.img_id, Review.created, Review.id)
    table = integers(session, statement)
    if rater == "session":
        table = table[_last_of_each(table[:, :2])]
    names = rater_names(session, rater)
    number = np.array([names[s] for s in sorted(names)], dtype=object)
    sessions, place = np.unique(table[:, 1], return_inverse=True)
    known = np.searchsorted(np.array(sorted(names), dtype=np.int64), sessions)
    users = number[known] if len(sessions) else number[:0]
    # Sort in Python, because the order of text depends on the engine.
    raters = sorted(set(users.tolist()))
    index = {name: n for n, name in enumerate(raters)}
    of_session = np.array([index[user] for user in users.tolist()], dtype=np.int64)
    values = table[:, 2]
    return StepReviews(
        how,
        images,
        targets,
        clusters,
        raters,
        irr.Ratings(
            np.searchsorted(images, table[:, 0]),
            of_session[place.reshape(-1)],
            how.codes(values),
        ),
        table[:, 1],
        values,
        table[:, 3] if flags else np.zeros(len(table), dtype=np.int64),
    )


def rater_names(session: orm.Session, rater: str) -> dict[int, str | int]:
    """Return the rater of each session: its user or pseudonym (unless it is unknown), or its id."""
    rows = session.connection().execute(sa.select(Session.id, Session.user)).all()
    if rater == "session":
        return {row.id: row.id for row in rows}
    shown = ((row.id, pseudonyms.rater(session, row.user)) for row in rows)
    return {session_id: name for session_id, name in shown if name is not None}


def _images(session: orm.Session, step: Step) -> tuple[IntArray, IntArray, IntArray]:
    rows = session.execute(
        sa.select(Target.id, Target.sub, Target.file1)
        .where(Target.step == step)
        .order_by(Target.id)
    ).all()
    number: dict[tuple[str | None, str | None], int] = {}
    labels = [(row.sub, None if row.sub is not None else row.file1) for row in rows]
    cluster = np.array([number.setdefault(label, len(number)) for label in labels], dtype=np.int64)
    ids = np.array([row.id for row in rows], dtype=np.int64)
    table = integers(
        session,
        sa.select(Picture.img_id, Picture.target_id)
        .join_from(Target, Picture, Picture.target_id == Target.id)
        .where(Target.step == step),
    )
    table = table[np.argsort(table[:, 0], kind="stable")]
    return table[:, 0], table[:, 1], cluster[np.searchsorted(ids, table[:, 1])]


def _last_of_each(keys: IntArray) -> IntArray:
    """Return the positions of the last row of each key, in order."""
    _, first = np.unique(keys[::-1], axis=0, return_index=True)
    return np.sort(len(keys) - 1 - first)


class Repeated(NamedTuple):
    """A rater's earlier and next review of the same image, one entry per repeat in each array."""

    unit: IntArray
    first: IntArray
    second: IntArray
    gap_seconds: FloatArray
    same_session: IntArray


def read_repeats(session: orm.Session, step: Step, reviews: StepReviews, rater: str) -> Repeated:
    """Read pairs of consecutive reviews of the same image by the same rater."""
    who = Review.session_id if rater == "session" else Review.rater
    every = _counting(step, rater=rater, latest=False)
    how = reviews.judging
    value = Review.n_clicks if how.by_clicks else sa.type_coerce(Review.verdict, sa.Integer)
    again = (
        every.with_only_columns(Review.img_id, who.label("who"))
        .group_by(Review.img_id, who)
        .having(sa.func.count() > 1)
        .subquery("again")
    )
    if rater == "user":
        superseded = every.where(~Review.latest)
        again = superseded.with_only_columns(Review.img_id, who.label("who")).distinct().subquery()
    rows = session.execute(
        every.with_only_columns(Review.img_id, who, Review.session_id, value, Review.created)
        .join(again, (again.c.img_id == Review.img_id) & (again.c.who == who))
        .order_by(Review.img_id, who, Review.created, Review.id)
    ).all()
    pairs = [
        (a[0], a[3], b[3], (b[4] - a[4]).total_seconds(), a[2] == b[2])
        for a, b in itertools.pairwise(rows)
        if a[:2] == b[:2]
    ]
    image, first, second, gap, same = zip(*pairs, strict=True) if pairs else ((),) * 5
    return Repeated(
        np.searchsorted(reviews.images, np.array(image, dtype=np.int64)),
        how.codes(np.array(first, dtype=np.int64)),
        how.codes(np.array(second, dtype=np.int64)),
        np.array(gap, dtype=np.float64),
        np.array(same, dtype=np.int64),
    )


class Points(NamedTuple):
    """Finite clicks of reviews: those of review i are `xy[start[i]:start[i + 1]]`, in pixels."""

    start: IntArray
    xy: FloatArray

    def of(self, review: int) -> list[tuple[float, float]]:
        """Return the clicks of one review."""
        rows = self.xy[self.start[review] : self.start[review + 1]].tolist()
        return [(x, y) for x, y in rows]


def read_points(session: orm.Session, step: Step, reviews: StepReviews, rater: str) -> Points:
    """Read the positions of the clicks of a step's reviews, without clicks at infinity."""
    counted = (
        _counting(step, rater=rater)
        .where(Review.n_clicks > 0)
        .with_only_columns(Review.img_id, Review.session_id)
        .subquery()
    )
    table = floats(
        session,
        sa.select(Coordinate.img_id, Coordinate.session_id, Coordinate.x, Coordinate.y)
        .join_from(
            counted,
            Coordinate,
            (Coordinate.img_id == counted.c.img_id)
            & (Coordinate.session_id == counted.c.session_id),
        )
        .where(Coordinate.x.is_not(None), Coordinate.y.is_not(None))
        .order_by(Coordinate.id),
    )
    table = table[np.isfinite(table).all(axis=1)]
    span = int(reviews.sessions.max(initial=0)) + 1
    keys = reviews.ratings.unit * span + reviews.sessions
    order = np.argsort(keys)
    unit = np.searchsorted(reviews.images, table[:, 0].astype(np.int64))
    review = order[np.searchsorted(keys[order], unit * span + table[:, 1].astype(np.int64))]
    in_order = np.argsort(review, kind="stable")
    sizes = np.bincount(review, minlength=len(keys))
    return Points(np.concatenate([[0], np.cumsum(sizes)]), table[in_order, 2:])


def integers(session: orm.Session, statement: Statement) -> IntArray:
    """Return the rows of a statement as rows × columns; all columns are integers without NULL."""
    values = itertools.chain.from_iterable(_driver_rows(session, statement))
    return np.fromiter(values, np.int64).reshape(-1, len(statement.selected_columns))


def floats(session: orm.Session, statement: Statement) -> FloatArray:
    """Return the rows of a statement as rows × columns; all columns are numbers without NULL."""
    values = itertools.chain.from_iterable(_driver_rows(session, statement))
    return np.fromiter(values, np.float64).reshape(-1, len(statement.selected_columns))


def _driver_rows(session: orm.Session, statement: Statement) -> Iterator[Sequence[Any]]:
    """Yield rows as the driver returns them; SQLAlchemy's own rows would double the time."""
    connection = session.connection()
    dialect = connection.dialect
    sql = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    # A cursor without a name would load the whole result into memory.
    named = {"name": "reviews"} if dialect.name == "postgresql" else {}
    with (
        database.explained(connection),
        contextlib.closing(connection.connection.cursor(**named)) as cursor,
    ):
        cursor.execute(sql)
        while rows := cursor.fetchmany(_FETCH_ROWS):
            yield from rows
