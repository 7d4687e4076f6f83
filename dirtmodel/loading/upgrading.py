"""Migrating a database to another revision in place."""

import contextlib
import os
from collections.abc import Iterator

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError
from dirtmodel.loading import keep
from dirtmodel.loading.refresh import refresh_all


def upgrade(
    db: str | sa.URL | os.PathLike[str] = database.DEFAULT, revision: str = "head"
) -> tuple[str, str]:
    """Migrate a database in place and compute its derived rows, completely or not at all.

    Parameters
    ----------
    db
        Path of a SQLite file, or a SQLAlchemy URL.
    revision
        The revision to migrate to. Migrating to an earlier one drops what later ones added.

    Returns
    -------
    tuple
        The revision before and the revision after.

    Raises
    ------
    DatabaseError
        If the database is missing, not ours, newer than this version, or could not be migrated; it
        is left unchanged then. If the disk is so full that SQLite cannot undo the change, the
        message names the journal that must be kept.
    """
    url = database.parse_url(db)
    with database.reach(url, read_only=False, explain=False) as connection:
        before = database.own_revision(connection, url)
        if before not in database.known_revisions():
            database.check_revision(connection, url)
        connection.rollback()
        # Dropping a table would delete the rows that refer to it.
        database.prepare_bulk_writes(connection)
        try:
            with connection.begin(), _keep_users_objects(connection, before):
                database.migrate(connection, revision)
                after = database.current_revision(connection) or "base"
                if after == database.known_revisions()[-1] != before:
                    refresh_all(connection)
                database.check_foreign_keys(connection)
        except sa.exc.DBAPIError as error:
            # Closing the connection undoes the change completely.
            connection.close()
            state = database.unfinished(url, "upgrade") or "is left unchanged"
            advice = "; upgrade it as the owner of its tables" if database.is_denied(error) else ""
            raise DatabaseError(
                f"{database.display(url)} could not be upgraded and {state}: "
                f"{database.first_line(error)}{advice}"
            ) from error
    return before, after


@contextlib.contextmanager
def _keep_users_objects(connection: sa.Connection, revision: str) -> Iterator[None]:
    """Make sure that the objects which users added still exist and work."""
    if connection.dialect.name == "sqlite":
        raw = keep.driver(connection)
        kept = keep.users_objects(raw, revision, "upgrade")
        yield
        keep.check_objects(raw, kept)
    else:
        kept = keep.postgres_objects(connection, revision, "upgrade")
        yield
        kept.require(keep.postgres_objects(connection, "base", "upgrade").objects)
