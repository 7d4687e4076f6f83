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

from dirtmodel.models import (
    CLICK_STEPS,
    Coordinate,
    Judgement,
    Picture,
    Rating,
    Session,
    Step,
    Target,
    TargetRater,
)
from dirtmodel.queries.agreement.tallies import IntArray
from dirtmodel.queries.agreement.weights import FloatArray

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


def _active_users(step: Step) -> sa.Select[str]:
    return (
        sa.select(TargetRater.rater)
        .join(Target, Target.id == TargetRater.target_id)
        .where(Target.step == step)
        .distinct()
    )


def _active_sessions(step: Step) -> sa.Select[int]:
    return (
        sa.select(Judgement.session_id)
        .join(Picture, Picture.img_id == Judgement.img_id)
        .join(Target, Target.id == Picture.target_id)
        .where(Target.step == step)
        .distinct()
    )


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
    verdict = sa.type_coerce(Judgement.verdict, sa.Integer)
    clicked = sa.case((Judgement.n_clicks > 0, 1), else_=0)
    code = clicked if step in CLICK_STEPS else verdict
    packed = sa.cast(Judgement.session_id * _CODES + code, sa.Text)
    statement = (
        sa.select(Picture.target_id, sa.func.count(), sa.func.aggregate_strings(packed, ","))
        .join_from(Target, Picture, Picture.target_id == Target.id)
        .join(Judgement, Judgement.img_id == Picture.img_id)
        .where(Target.step == step, Judgement.superseded.is_(False), Judgement.rater.is_not(None))
        .group_by(Picture.target_id, Picture.img_id)
        .order_by(Picture.target_id, Picture.img_id)
    )
    for rows in _driver_rows(session, statement):
        targets, numbers, texts = zip(*rows, strict=True)
        unit = np.repeat(np.arange(len(rows)), numbers)
        sitting, code_ = np.divmod(np.fromstring(",".join(texts), np.int64, sep=","), _CODES)
        rater = reviewers.rater[np.searchsorted(reviewers.sessions, sitting)]
        yield Standing(unit, np.array(targets, np.int64)[unit], rater, code_)


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
    if step in CLICK_STEPS:
        statement = _rows(
            step, Coordinate, Coordinate.source_data_issue, Coordinate.x, Coordinate.y
        )
        for rows in _whole_images(session, statement, (np.int64, np.float64, np.float64)):
            yield _click_sets(rows, np.searchsorted(sessions, rows[2]))
        return
    verdict = sa.type_coerce(Rating.rating, sa.Integer)
    statement = _rows(step, Rating, verdict, Rating.source_data_issue)
    for rows in _whole_images(session, statement, (np.int64, np.int64)):
        target, image, session_id, row_id, code, flagged = rows
        place = np.searchsorted(sessions, session_id)
        yield Reviews(_numbered(image), image, target, place, row_id, code, flagged, None)


def _rows(step: Step, review: type[Rating] | type[Coordinate], *columns: Any) -> sa.Select[Any]:
    return (
        sa.select(Picture.target_id, Picture.img_id, review.session_id, review.id, *columns)
        .join_from(Target, Picture, Picture.target_id == Target.id)
        .join(review, review.img_id == Picture.img_id)
        .where(Target.step == step)
        .order_by(Picture.target_id, Picture.img_id, review.created, review.id)
    )


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


def _click_sets(rows: list[Any], place: IntArray) -> Reviews:
    """Gather the rows of each image and session into one review, dated by its last row."""
    target, image, _, row_id, flagged, x, y = rows
    unit = _numbered(image)
    key = unit * (int(place.max()) + 1) + place
    _, review = np.unique(key, return_inverse=True)
    last = np.zeros(int(review.max()) + 1, dtype=np.int64)
    last[review] = np.arange(len(review))  # of several values, the last stays
    order = np.argsort(last)
    last = last[order]
    review = np.argsort(order)[review]
    n_reviews = len(last)

    # A half point says nothing; an infinite one is a click, but lies nowhere.
    n_clicks = np.bincount(review[~np.isnan(x) & ~np.isnan(y)], minlength=n_reviews)
    somewhere = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    somewhere = somewhere[np.argsort(review[somewhere], kind="stable")]
    n_finite = np.bincount(review[somewhere], minlength=n_reviews)
    points = np.stack([x[somewhere], y[somewhere]], axis=1)
    return Reviews(
        unit[last],
        image[last],
        target[last],
        place[last],
        row_id[last],
        (n_clicks > 0).astype(np.int64),
        (np.bincount(review, weights=flagged, minlength=n_reviews) > 0).astype(np.int64),
        Clicks(n_clicks, np.cumsum(n_finite) - n_finite, n_finite, points),
    )
