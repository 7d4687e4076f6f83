"""A summary of the contents of a database."""

from typing import Any, Final

import sqlalchemy as sa

from dirtmodel.models import Coordinate, Finding, Image, Quarantine, Rating, Release, Session

RELEASE_LABEL: Final = sa.select(Release.label).order_by(Release.id).limit(1)
"""The SELECT of the label of the loaded release; no row if no release is recorded."""

_COUNTED = (Session, Image, Rating, Coordinate, Quarantine)


def inventory(connection: sa.Connection) -> dict[str, Any]:
    """Return a database's release, revision, size in bytes, rows by table and findings by code.

    `release` is empty if no release is recorded: in a new schema, or in a database that was
    upgraded from a revision before releases were recorded.
    """
    release = connection.execute(sa.select(Release)).first()
    findings = connection.execute(
        sa.select(Finding.code, sa.func.sum(Finding.n))
        .group_by(Finding.code)
        .order_by(sa.func.min(Finding.id))
    )
    return {
        "release": {
            "label": release.label,
            "source": release.source,
            "loaded_at": release.loaded_at,
            "version": release.dirtmodel_version,
        }
        if release
        else {},
        "revision": connection.scalar(sa.text("SELECT version_num FROM alembic_version")),
        "size": _size(connection),
        "rows": {
            model.__tablename__: connection.scalar(sa.select(sa.func.count()).select_from(model))
            for model in _COUNTED
        },
        "findings": {code: int(n) for code, n in findings},
    }


def _size(connection: sa.Connection) -> int:
    if connection.dialect.name == "sqlite":
        pages = sa.text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        return int(connection.scalar(pages) or 0)
    total = sa.text(
        "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = current_schema() AND c.relkind = 'r'"
    )
    return int(connection.scalar(total) or 0)
