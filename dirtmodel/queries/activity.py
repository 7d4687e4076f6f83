"""When were images reviewed, by whom, and in how many sessions without a user?"""

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import pseudonyms
from dirtmodel.models import Image, Review, Session, Step
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Rows, Statement


class WeekOfReviews(NamedTuple):
    """The number of deciding reviews of a rater in a week; `week` is the date of its Monday."""

    week: str
    rater: str | None
    n_reviews: int


class UnknownSessions(NamedTuple):
    """Numbers of sessions without a user, and of the deciding reviews in them."""

    step: Step
    n_sessions: int
    n_reviews: int


class StaleCount(NamedTuple):
    """The number of deciding reviews of a step that are older than their picture."""

    step: Step
    n_reviews: int


@dataclass(frozen=True)
class Activity:
    """How many deciding reviews did each rater make per week, in UTC?

    Parameters
    ----------
    steps
        The steps of the reviews; None for all.
    """

    steps: tuple[Step, ...] | None = None

    def select(self) -> Statement:
        """One row per day and rater."""
        # On Postgres, the time zone of connections is UTC.
        day = sa.cast(sa.func.date(Review.created), sa.Text).label("day")
        return (
            sa.select(day, Review.rater, sa.func.count().label("n_reviews"))
            .where(Review.decides, _of_steps(self.steps))
            .group_by(day, Review.rater)
            .order_by(ascending(day), ascending(Review.rater))
        )

    def run(self, session: orm.Session) -> Rows[WeekOfReviews]:
        """Return one row per week and rater, by week; unknown raters are last in each week."""
        counts: Counter[tuple[str, str | None]] = Counter()
        for day, name, n in session.execute(self.select()):
            date = dt.date.fromisoformat(day)
            monday = date - dt.timedelta(days=date.weekday())
            counts[monday.isoformat(), pseudonyms.rater(session, name)] += n
        weeks = sorted(counts, key=lambda key: (key[0], key[1] is None, key[1] or ""))
        return Rows(WeekOfReviews, (WeekOfReviews(*key, counts[key]) for key in weeks))

    def unknown(self, session: orm.Session) -> Rows[UnknownSessions]:
        """Return one row for each step that has sessions without a user."""
        reviews = (
            sa.select(Review.session_id, sa.func.count().label("n"))
            .where(Review.decides)
            .group_by(Review.session_id)
            .subquery()
        )
        statement = (
            sa.select(
                Session.step,
                sa.func.count(),
                sa.cast(sa.func.coalesce(sa.func.sum(reviews.c.n), 0), sa.BigInteger),
            )
            .join(reviews, reviews.c.session_id == Session.id, isouter=True)
            .where(Session.user.is_(None))
            .where(sa.true() if self.steps is None else Session.step.in_(self.steps))
            .group_by(Session.step)
            .order_by(Session.step)
        )
        return Rows(UnknownSessions, map(UnknownSessions._make, session.execute(statement)))

    def stale(self, session: orm.Session) -> Rows[StaleCount]:
        """Return one row for each step that has reviews older than their picture."""
        statement = (
            sa.select(Review.step, sa.func.count())
            .join(Image, Image.id == Review.img_id)
            .where(Review.decides, Review.created < Image.created, _of_steps(self.steps))
            .group_by(Review.step)
            .order_by(Review.step)
        )
        return Rows(StaleCount, map(StaleCount._make, session.execute(statement)))


def _of_steps(steps: tuple[Step, ...] | None) -> sa.ColumnElement[bool]:
    return sa.true() if steps is None else Review.step.in_(steps)
