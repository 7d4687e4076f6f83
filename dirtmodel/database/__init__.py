"""From a URL to an opened database of the right revision.

Nothing here knows what a release is, or what people ask of it.

- `urls`: what users type, and what is shown of it
- `fragments`: parts of statements
- `engines`: connections and connect hooks
- `failures`: what is wrong with a database, in plain words
- `times`: rows whose time cannot be read
- `revisions`: migrations, and the revision that this version needs
"""

from dirtmodel.database.engines import (
    APPLICATION_ID,
    connect_sqlite,
    engine,
    explained,
    prepare_bulk_writes,
    reach,
)
from dirtmodel.database.failures import SQLITE_MAGIC, as_error, first_line, unfinished
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
    "unfinished",
    "upgrade_sql",
]
