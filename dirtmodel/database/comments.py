"""Comments on tables, views and columns in Postgres. SQLite has no comments."""

import sqlalchemy as sa

from dirtmodel.database.fragments import quote
from dirtmodel.models import Base
from dirtmodel.models.views import VIEWS


def set_comments(connection: sa.Connection) -> None:
    """Set the comments of the models on every table, view and column."""
    for relation in (*Base.metadata.sorted_tables, *VIEWS):
        kind = "TABLE" if relation.metadata is Base.metadata else "VIEW"
        _set(connection, f"{kind} {quote(relation.name)}", relation.comment)
        for column in relation.columns:
            name = f"{quote(relation.name)}.{quote(column.name)}"
            _set(connection, f"COLUMN {name}", column.comment)


def _set(connection: sa.Connection, what: str, comment: str | None) -> None:
    text = (comment or "").replace("'", "''").replace("%", "%%")
    connection.exec_driver_sql(f"COMMENT ON {what} IS '{text}'")
