"""One pass over the reviews of a step, image by image, in bounded memory.

`standing` hands over what the coefficients need, one text per image instead of ten rows; `scan` has
all the rest, every review as a row of its own. What a row holds is integers: raters and clusters
are looked up here, where they are few, instead of being joined to a million rows.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import JUDGED_BY, Coordinate, JudgedBy, Review, Session, Step, Target
from dirtmodel.queries.agreement.tallies import IntArray
from dirtmodel.queries.agreement.weights import FloatArray

CLICK_STEPS: Final = frozenset(s for s, how in JUDGED_BY.items() if how is JudgedBy.CLICKS)

_ROWS_AT_ONCE: Final = 4096
_CODES: Final = 4
"""More than there are categories."""


class Reviewers(NamedTuple):
    """Who sat in which session: sorted session ids, and each one's rater (-1: none, or unknown).

    `names` are the labels of those who judged the step, in order: users or session ids. `known`
    tells which sessions have a user.
    """

    sessions: IntArray
    rater: IntArray
    known: Any
    names: Sequence[str | int]


class Clusters(NamedTuple):
    """Which target belongs to which cluster: sorted target ids, and each one's cluster."""

    targets: IntArray
    cluster: IntArray


class Reviews(NamedTuple):
    """Reviews of some images, of each image all, one entry per review in every array.

    Ordered by image, and by time within it. `unit` numbers the images of this batch, `session` is
    a position in `Reviewers.sessions`, `id` is that of the review's (last) row, and `code` the
    category: the verdict, or whether there are clicks. `clicks` is None for verdicts.
    """

    unit: IntArray
    image: IntArray
    target: IntArray
    session: IntArray
    id: IntArray
    code: IntArray
    flagged: IntArray
    clicks: "Clicks | None"

    def take(self, chosen: Any) -> "Reviews":
        """Give some of the reviews."""
        return Reviews(
            self.unit[chosen],
            self.image[chosen],
            self.target[chosen],
            self.session[chosen],
            self.id[chosen],
            self.code[chosen],
            self.flagged[chosen],
            None if self.clicks is None else self.clicks.take(chosen),
        )


class Clicks(NamedTuple):
    """Clicks of reviews: their number, and where the finite ones lie.

    Points of review i are `points[start[i]:start[i] + n_finite[i]]`, as (x, y) in pixels.
    """

    n: IntArray
    start: IntArray
    n_finite: IntArray
    points: FloatArray

    def take(self, chosen: Any) -> "Clicks":
        """Give those of some reviews."""
        return Clicks(self.n[chosen], self.start[chosen], self.n_finite[chosen], self.points)

    def of(self, review: int) -> list[tuple[float, float]]:
        """Give the finite points of one review."""
        first = int(self.start[review])
        rows = self.points[first : first + int(self.n_finite[review])].tolist()
        return [(x, y) for x, y in rows]


def reviewers(session: orm.Session, step: Step, *, rater: str) -> Reviewers:
    """Number those who judged a step: users in the order of their names, or each session as one."""
    sittings = sa.select(Session.id, Session.user).order_by(Session.id)
    rows = session.connection().execute(sittings).all()
    ids = np.array([number for number, _ in rows], dtype=np.int64)
    users = [user for _, user in rows]
    known = np.array([user is not None for user in users], dtype=bool)
    who: list[Any] = ids.tolist() if rater == "session" else users
    active: sa.Select[Any] = _active_sessions(step) if rater == "session" else _active_users(step)
    # Sorted here, for text order depends on the engine.
    names = sorted(session.scalars(active))
    number = {name: n for n, name in enumerate(names)}
    raters = np.array([number.get(name, -1) for name in who], dtype=np.int64)
    return Reviewers(ids, raters, known, names)


def _active_users(step: Step) -> sa.Select[Any]:
    return (
        sa.select(Review.rater)
        .where(Review.step == step, Review.decides, Review.rater.is_not(None))
        .distinct()
    )


def _active_sessions(step: Step) -> sa.Select[int]:
    return sa.select(Review.session_id).where(Review.step == step, Review.decides).distinct()


def clusters(session: orm.Session, step: Step) -> Clusters:
    """Number the subjects of a step; a target whose name tells none is one by itself."""
    rows = session.execute(
        sa.select(Target.id, Target.sub, Target.file1)
        .where(Target.step == step)
        .order_by(Target.id)
    ).all()
    number: dict[tuple[str | None, str | None], int] = {}
    labels = [(row.sub, None if row.sub is not None else row.file1) for row in rows]
    cluster = [number.setdefault(label, len(number)) for label in labels]
    return Clusters(
        np.array([row.id for row in rows], dtype=np.int64), np.array(cluster, dtype=np.int64)
    )


class Standing(NamedTuple):
    """Each known rater's latest review of some images, one entry per review in every array.

    `unit` numbers the images of this batch, `rater` is as in `Reviewers`, and `code` the category:
    the verdict, or whether there are clicks.
    """

    unit: IntArray
    target: IntArray
    rater: IntArray
    code: IntArray


def standing(session: orm.Session, step: Step, reviewers: Reviewers) -> Iterator[Standing]:
    """Give the latest reviews of a step's images by known users, in batches of whole images."""
    packed = sa.cast(Review.session_id * _CODES + _code(step), sa.Text)
    statement = (
        sa.select(Review.target_id, sa.func.count(), sa.func.aggregate_strings(packed, ","))
        .where(Review.step == step, Review.latest, Review.rater.is_not(None))
        .group_by(Review.target_id, Review.img_id)
        .order_by(Review.target_id, Review.img_id)
    )
    for rows in _driver_rows(session, statement):
        targets, numbers, texts = zip(*rows, strict=True)
        unit = np.repeat(np.arange(len(rows)), numbers)
        sitting, code_ = np.divmod(np.fromstring(",".join(texts), np.int64, sep=","), _CODES)
        rater = reviewers.rater[np.searchsorted(reviewers.sessions, sitting)]
        yield Standing(unit, np.array(targets, np.int64)[unit], rater, code_)


def _code(step: Step) -> sa.ColumnElement[int]:
    """The category of a review: the verdict, or whether there are clicks."""
    if step in CLICK_STEPS:
        return sa.case((Review.n_clicks > 0, 1), else_=0)
    return sa.type_coerce(Review.verdict, sa.Integer)


def scan(session: orm.Session, step: Step, sessions: IntArray) -> Iterator[Reviews]:
    """Give the reviews of a step's images in batches, each with whole images.

    Parameters
    ----------
    session
        An open database.
    step
        Whose images; verdicts on those of a click step, and clicks on the others, decide nothing.
    sessions
        `Reviewers.sessions`.
    """
    columns = (_code(step), Review.source_data_issue, sa.func.coalesce(Review.n_clicks, 0))
    statement: Any = (
        sa.select(Review.target_id, Review.img_id, Review.session_id, Review.id, *columns)
        .where(Review.step == step, Review.decides)
        .order_by(Review.target_id, Review.img_id, Review.created, Review.id)
    )
    for rows in _whole_images(session, statement, (np.int64,) * 3):
        target, image, session_id, row_id, code, flagged, n_clicks = rows
        place = np.searchsorted(sessions, session_id)
        clicks = _clicks(session, image, session_id, n_clicks) if step in CLICK_STEPS else None
        yield Reviews(_numbered(image), image, target, place, row_id, code, flagged, clicks)


def _clicks(
    session: orm.Session, image: IntArray, session_id: IntArray, n_clicks: IntArray
) -> Clicks:
    """Fetch where the clicks of reviews lie."""
    places: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for img_id, sitting, x, y in session.execute(
        sa.select(Coordinate.img_id, Coordinate.session_id, Coordinate.x, Coordinate.y)
        .where(Coordinate.img_id.between(int(image.min()), int(image.max())))
        .where(Coordinate.x.is_not(None), Coordinate.y.is_not(None))
        .order_by(Coordinate.created, Coordinate.id)
    ):
        if x is not None and y is not None and np.isfinite(x) and np.isfinite(y):
            places.setdefault((img_id, sitting), []).append((x, y))
    found = [places.get(key, []) for key in zip(image.tolist(), session_id.tolist(), strict=True)]
    n_finite = np.array([len(points) for points in found], dtype=np.int64)
    points = np.array([xy for points in found for xy in points], dtype=np.float64).reshape(-1, 2)
    return Clicks(n_clicks, np.cumsum(n_finite) - n_finite, n_finite, points)


def _whole_images(
    session: orm.Session, statement: sa.Select[Any], last_types: Sequence[type]
) -> Iterator[list[Any]]:
    """Give rows as columns, never cutting an image (the second column) in two."""
    types = (np.int64,) * 4 + tuple(last_types)
    kept: list[Any] = []
    for rows in _driver_rows(session, statement):
        # As double, None (a coordinate that was not given) becomes NaN.
        columns: list[Any] = [
            np.array(column, dtype=type_)
            for column, type_ in zip(zip(*rows, strict=True), types, strict=True)
        ]
        if kept:
            columns = [np.concatenate(both) for both in zip(kept, columns, strict=True)]
        starts = np.flatnonzero(np.diff(columns[1])) + 1
        cut = int(starts[-1]) if len(starts) else 0
        if cut:
            yield [column[:cut] for column in columns]
        kept = [column[cut:] for column in columns]
    if kept:
        yield kept


def _driver_rows(
    session: orm.Session, statement: sa.Select[*tuple[Any, ...]]
) -> Iterator[Sequence[Any]]:
    """Stream rows as the driver makes them: wrapping a million takes as long as fetching them."""
    connection = session.connection()
    dialect = connection.dialect
    sql = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    # Without a name, psycopg's cursor would hold the whole answer.
    streaming = {"name": "reviews"} if dialect.name == "postgresql" else {}
    with contextlib.closing(connection.connection.cursor(**streaming)) as cursor:
        cursor.execute(sql)
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield list(rows)


def _numbered(image: IntArray) -> IntArray:
    return np.cumsum(np.diff(image, prepend=image[0]) != 0)
