"""From a URL to an opened database of the right revision.

This room contains nothing about releases or queries.

- `urls`: reading and displaying database URLs
- `fragments`: parts of SQL statements
- `engines`: engines and connections
- `fetching`: fetching rows in groups of few bytes
- `failures`: error messages for failures of a database
- `times`: finding rows with an invalid time
- `comments`: comments on tables and columns in Postgres
- `revisions`: migrations, and the revision that this version needs
"""

from dirtmodel.database.engines import (
    APPLICATION_ID,
    connect_sqlite,
    engine,
    explained,
    prepare_bulk_writes,
    reach,
    take_snapshot,
)
from dirtmodel.database.failures import (
    SQLITE_MAGIC,
    as_error,
    first_line,
    is_denied,
    unfinished,
)
from dirtmodel.database.revisions import (
    check_foreign_keys,
    check_revision,
    connect,
    current_revision,
    known_revisions,
    migrate,
    migrations_folder,
    own_revision,
    tables,
    upgrade_sql,
)
from dirtmodel.database.urls import (
    DEFAULT,
    display,
    is_sqlite,
    parse_url,
    require_psycopg,
    sqlite_path,
)

__all__ = [
    "APPLICATION_ID",
    "DEFAULT",
    "SQLITE_MAGIC",
    "as_error",
    "check_foreign_keys",
    "check_revision",
    "connect",
    "connect_sqlite",
    "current_revision",
    "display",
    "engine",
    "explained",
    "first_line",
    "is_denied",
    "is_sqlite",
    "known_revisions",
    "migrate",
    "migrations_folder",
    "own_revision",
    "parse_url",
    "prepare_bulk_writes",
    "reach",
    "require_psycopg",
    "sqlite_path",
    "tables",
    "take_snapshot",
    "unfinished",
    "upgrade_sql",
]
