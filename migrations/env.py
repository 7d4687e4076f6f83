"""How alembic reaches the database: through the connection that dirtmodel hands over.

Run by `dirtmodel upgrade` and by every load; developers reach it with the `alembic` command, for
which `DIRTMODEL_DB` names the database.
"""

import os
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from dirtmodel import database
from dirtmodel.models import Base, IntEnumType, UTCDateTime


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Render our types as what they are in the database: a migration never imports models."""
    if kind == "type" and isinstance(item, IntEnumType):
        return "sa.Integer()"
    if kind == "type" and isinstance(item, UTCDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    """Leave tables of others in the same schema alone."""
    return kind != "table" or name in Base.metadata.tables


def migrate(connection: sa.Connection) -> None:
    """Run the requested migrations in the connection's own transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=render_item,
        include_name=include_name,
        transactional_ddl=True,
    )
    context.run_migrations()


def main() -> None:
    """Use the connection given, or open the one named in the environment."""
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
