"""From rows to judgements: a million at once, as the migrations' triggers do it one by one.

`tests/test_judgements.py` holds the two against each other.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models import (
    CLICK_STEPS,
    Coordinate,
    Judgement,
    Picture,
    Rating,
    Ratings,
    Session,
    Tally,
    Target,
    TargetRater,
)

Statement = sa.Select[*tuple[Any, ...]]

FILLED: Final = (Judgement, Tally, TargetRater)
"""In the order in which each is made from those before it."""


def fill(connection: sa.Connection) -> None:
    """Fill `judgement`, `tally` and `target_rater`, which are empty, from the reviews."""
    tallies = [_tallies(latest=False), _tallies(latest=True)]
    made = ([_verdicts(), _click_sets()], tallies, [_raters()])
    for model, statements in zip(FILLED, made, strict=True):
        names = [column.name for column in model.__table__.columns]
        for statement in statements:
            connection.execute(sa.insert(model).from_select(names, statement))


def _verdicts() -> Statement:
    verdicts = sa.select(
        Rating.img_id,
        Rating.id,
        Rating.session_id.label("session"),
        Rating.created,
        Rating.rating.label("verdict"),
        sa.null().label("n_clicks"),
        Rating.source_data_issue,
    ).subquery("verdicts")
    return _judged(verdicts, Target.step.not_in(CLICK_STEPS))


def _click_sets() -> Statement:
    clicked = Coordinate.x.is_not(None) & Coordinate.y.is_not(None)
    row = orm.aliased(Coordinate)
    last = (
        sa.select(row.id)
        .where(row.img_id == Coordinate.img_id, row.session_id == Coordinate.session_id)
        .order_by(row.created.desc(), row.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    sets = (
        sa.select(
            Coordinate.img_id,
            last.label("id"),
            Coordinate.session_id.label("session"),
            sa.func.max(Coordinate.created).label("created"),
            sa.null().label("verdict"),
            sa.cast(sa.func.count(sa.case((clicked, 1))), sa.Integer).label("n_clicks"),
            (sa.func.max(sa.case((Coordinate.source_data_issue, 1), else_=0)) == 1).label(
                "source_data_issue"
            ),
        )
        .group_by(Coordinate.img_id, Coordinate.session_id)
        .subquery("click_sets")
    )
    return _judged(sets, Target.step.in_(CLICK_STEPS))


def _judged(reviews: sa.Subquery, of_step: sa.ColumnElement[bool]) -> Statement:
    """Judge reviews of images of some steps; an unknown rater's session stands for itself."""
    unknown = sa.case((Session.user.is_(None), reviews.c.session))
    place = sa.func.row_number().over(
        partition_by=[reviews.c.img_id, Session.user, unknown],
        order_by=[reviews.c.created.desc(), reviews.c.id.desc()],
    )
    images = (
        sa.select(Picture.img_id)
        .join_from(Picture, Target, Target.id == Picture.target_id)
        .where(of_step)
    )
    return (
        sa.select(
            reviews.c.img_id,
            reviews.c.id,
            reviews.c.session,
            Session.user,
            sa.cast(reviews.c.verdict, sa.Integer),
            sa.cast(reviews.c.n_clicks, sa.Integer),
            reviews.c.source_data_issue,
            (place > 1).label("superseded"),
        )
        # An outer join, though every session exists: it makes SQLite walk the reviews by image
        # along the covering index, and sort ten at a time instead of a million.
        .join_from(reviews, Session, Session.id == reviews.c.session, isouter=True)
        .where(reviews.c.img_id.in_(images))
    )


def _tallies(*, latest: bool) -> Statement:
    statement = sa.select(
        Judgement.img_id,
        sa.literal(latest).label("latest"),
        sa.func.count(),
        # Those that the table has columns for: there may be more one day.
        *(
            sa.func.count(sa.case((Judgement.verdict == verdict, 1)))
            for verdict in (Ratings.PASS, Ratings.UNSURE, Ratings.FAIL)
        ),
        sa.func.coalesce(sa.func.sum(Judgement.n_clicks), 0),
        sa.func.count(sa.case((Judgement.source_data_issue, 1))),
    ).group_by(Judgement.img_id)
    return statement.where(Judgement.superseded.is_(False)) if latest else statement


def _raters() -> Statement:
    return (
        sa.select(Picture.target_id, Judgement.rater, sa.func.count())
        .join_from(Picture, Judgement, Judgement.img_id == Picture.img_id)
        .where(Judgement.rater.is_not(None))
        .group_by(Picture.target_id, Judgement.rater)
    )
