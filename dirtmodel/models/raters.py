"""Who reviewed, in the order in which colours are assigned."""

import sqlalchemy as sa

from dirtmodel.models.dirt import Session


def raters(connection: sa.Connection) -> list[str | None]:
    """Return the raters of a database in the order of their first sessions.

    None stands for those that are unknown, if there are any. In this order, raters keep their
    places when later releases add sessions.
    """
    first = sa.func.min(Session.id)
    return list(connection.scalars(sa.select(Session.user).group_by(Session.user).order_by(first)))
