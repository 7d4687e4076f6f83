"""The raters of a database, in the order in which they are assigned colours."""

import sqlalchemy as sa

from dirtmodel.models.dirt import Session


def raters(connection: sa.Connection) -> list[str | None]:
    """Return the raters of a database in the order of their first sessions.

    None stands for all unknown raters, if there are any. The order does not change when a later
    release adds sessions.
    """
    first = sa.func.min(Session.id)
    return list(connection.scalars(sa.select(Session.user).group_by(Session.user).order_by(first)))
