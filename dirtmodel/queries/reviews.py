"""Reviews as the other queries need them: one row per verdict, one row per set of clicks.

The rows of these subqueries are not filtered by step: whoever joins them to targets leaves the
crossed ones (verdicts on click steps, clicks on verdict steps) out.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import Coordinate, Rating, Session

Review = type[Rating] | type[Coordinate]


def verdicts(*, latest: bool) -> sa.Subquery:
    """One row per rating: `img_id, session, rater, rating, source_data_issue, created, id`.

    Parameters
    ----------
    latest
        Only each rater's last one on an image, (created, id) deciding. Ratings of a session
        without a user stand for that session alone.
    """
    rows = _with_rater(Rating, Rating.rating).subquery("rated")
    return _latest(rows) if latest else rows


def click_sets(*, latest: bool, named: bool = True) -> sa.Subquery:
    """One row per image and session: `img_id, session, rater, n_clicks, source_data_issue`.

    `n_clicks` counts the rows that have both x and y; a review without any found nothing wrong.

    Parameters
    ----------
    latest
        Only each rater's last session on an image, the (created, id) of its last click deciding.
    named
        Without it there is no `rater`, and who does not need it is spared looking it up.
    """
    click = sa.case((Coordinate.x.is_not(None) & Coordinate.y.is_not(None), 1), else_=0)
    sets = (
        sa.select(
            Coordinate.img_id,
            Coordinate.session_id.label("session"),
            sa.cast(sa.func.sum(click), sa.Integer).label("n_clicks"),
            any_of(Coordinate.source_data_issue).label("source_data_issue"),
        )
        .group_by(Coordinate.img_id, Coordinate.session_id)
        .subquery("click_sets")
    )
    statement = sa.select(*sets.c)
    if latest:
        last = _latest(_with_rater(Coordinate).subquery("clicked"), "last_click")
        same = (last.c.img_id == sets.c.img_id) & (last.c.session == sets.c.session)
        statement = statement.join(last, same)
    if named:
        statement = statement.add_columns(Session.user.label("rater")).outerjoin(
            Session, Session.id == sets.c.session
        )
    return statement.subquery("last_click_sets" if latest else "named_click_sets")


def raters(review: Review) -> sa.Subquery:
    """One row per row of the table: `img_id, rater`."""
    return (
        sa.select(review.img_id, Session.user.label("rater"))
        .join_from(review, Session, Session.id == review.session_id, isouter=True)
        .subquery("raters_of_" + review.__tablename__)
    )


def any_of(
    condition: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool],
) -> sa.ColumnElement[int]:
    """Aggregate: 1 when the condition holds in any row, else 0 (NULL counts as no)."""
    return sa.func.max(sa.case((condition, 1), else_=0))


def _with_rater(review: Review, *columns: sa.ColumnElement[Any] | Any) -> sa.Select[Any]:
    # An outer join, though every session exists: it makes SQLite walk the reviews by image along
    # the covering index, instead of going through the sessions first.
    return sa.select(
        review.img_id,
        review.session_id.label("session"),
        Session.user.label("rater"),
        *columns,
        review.source_data_issue,
        review.created,
        review.id,
    ).join_from(review, Session, Session.id == review.session_id, isouter=True)


def _latest(rows: sa.Subquery, name: str = "latest") -> sa.Subquery:
    unknown = sa.case((rows.c.rater.is_(None), rows.c.session))
    place = sa.func.row_number().over(
        partition_by=[rows.c.img_id, rows.c.rater, unknown],
        order_by=[rows.c.created.desc(), rows.c.id.desc()],
    )
    numbered = sa.select(*rows.c, place.label("place")).subquery(f"{name}_numbered")
    return (
        sa.select(*(column for column in numbered.c if column.key != "place"))
        .where(numbered.c.place == 1)
        .subquery(name)
    )
