"""Alembic's environment: the connection and the settings of migrations.

`dirtmodel upgrade` and loads run it with a connection of theirs. With the `alembic` command, which
is for developers, the environment variable `DIRTMODEL_DB` names the database.
"""

import os
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from dirtmodel import database
from dirtmodel.models import Base, IntEnumType, UTCDateTime


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Render our types as the types in the database, because a migration never imports models."""
    if kind == "type" and isinstance(item, IntEnumType):
        return "sa.Integer()"
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Ignore tables of users or other programs in the same schema."""
    return kind != "table" or name in Base.metadata.tables


def migrate(connection: sa.Connection) -> None:
    """Run the migrations in the transaction of the connection."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        include_name=include_name,
        transactional_ddl=True,
    )
    context.run_migrations()


def main() -> None:
    """Run the migrations with dirtmodel's connection, or on the database in `DIRTMODEL_DB`."""
    url = database.parse_url(os.environ.get("DIRTMODEL_DB", database.DEFAULT))
    if context.is_offline_mode():
        dialect = context.config.attributes.get("dialect_name") or url.get_backend_name()
        context.configure(
            dialect_name=dialect,
            target_metadata=Base.metadata,
            literal_binds=True,
            transactional_ddl=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    connection = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    with database.engine(url).begin() as opened:
        migrate(opened)


main()
