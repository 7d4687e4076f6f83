"""Choosing and checking the Postgres schema that a release is loaded into."""

import re
from typing import Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.database.fragments import LONGEST_NAME, fold, quote
from dirtmodel.errors import DatabaseError
from dirtmodel.models import MIRRORED
from dirtmodel.models.lookups import ENUMS
from dirtmodel.models.views import VIEWS

_VERSION: Final = "alembic_version"
_ELSEWHERE: Final = "choose another schema with ?options=-csearch_path%3Dname"

_PATH_ENTRY: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|$)')


def chosen(connection: sa.Connection, shown: str) -> str:
    """Return the first schema of the search path; it need not exist.

    As in Postgres, `$user` is ignored if there is no schema with the name of the role.
    """
    path, role = connection.execute(
        sa.text("SELECT current_setting('search_path'), current_user::text")
    ).one()
    for name in path_entries(path):
        if name != "$user":
            return name
        if exists(connection, role):
            return str(role)
    raise DatabaseError(
        f"the search path of {shown} does not name a schema to load into; "
        "name one with ?options=-csearch_path%3Dname"
    )


def path_entries(path: str) -> list[str]:
    """Read the names in a search path like Postgres: in lower case unless they are quoted.

    >>> path_entries('Release_3.0, "My-Schema", "$user"')
    ['release_3.0', 'My-Schema', '$user']
    """
    names = [
        quoted.replace('""', '"') or fold(plain) for quoted, plain in _PATH_ENTRY.findall(path)
    ]
    return [name.encode()[:LONGEST_NAME].decode(errors="ignore") for name in names if name]


def exists(connection: sa.Connection, schema: str) -> bool:
    """Return True if a schema of this name exists."""
    query = sa.text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")
    return bool(connection.scalar(query, {"schema": schema}))


def check(connection: sa.Connection, schema: str, shown: str, *, replace: bool) -> bool:
    """Make sure that a release can be loaded into a schema.

    Returns
    -------
    bool
        True if the schema contains a release, which is to be replaced.
    """
    encoding = connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise DatabaseError(
            f"{shown} is encoded in {encoding}, which cannot hold every note; make a database with:"
            " createdb --encoding UTF8 --template template0 NAME"
        )
    if not _ours_in(connection, schema):
        if exists(connection, schema):
            _require(connection, "schema", schema, f"create tables in schema {schema}", shown)
        else:
            _require(connection, "database", schema, "create schemas in the database", shown)
        return False
    _check_release(connection, schema, f"schema {schema} of {shown}", replace=replace)
    _require(connection, "schema", schema, f"create tables in schema {schema}", shown)
    _require(connection, "tables", schema, f"replace the tables in schema {schema}", shown)
    _check_referrers(connection, schema)
    return True


def execute(connection: sa.Connection, statement: str) -> None:
    """Execute SQL in which per cent signs have no special meaning."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def use(connection: sa.Connection, schema: str) -> None:
    """Set the search path to this schema alone, until the transaction ends."""
    execute(connection, f"SET LOCAL search_path TO {quote(schema)}")


def _relations() -> list[str]:
    """List the names of our tables and views."""
    relations = (*database.tables(), *VIEWS)
    return sorted([*(relation.name for relation in relations), _VERSION])


def tables_in(connection: sa.Connection, schema: str) -> set[str]:
    """Return the names of our tables that exist in a schema."""
    return _ours_in(connection, schema) & {*(table.name for table in database.tables()), _VERSION}


def _ours_in(connection: sa.Connection, schema: str) -> set[str]:
    """Return those names of our tables and views that a relation of any kind in a schema has."""
    query = sa.text(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :schema AND c.relname = ANY(:relations)"
    )
    return set(connection.scalars(query, {"schema": schema, "relations": _relations()}))


def _check_release(connection: sa.Connection, schema: str, where: str, *, replace: bool) -> None:
    """Make sure that a schema contains a release of ours, which may be replaced."""
    names = _ours_in(connection, schema)
    revision = _revision(connection, schema) if names >= {*MIRRORED, _VERSION} else None
    if revision is None:
        raise DatabaseError(
            f"{where} has other tables with the same names as ours "
            f"({', '.join(sorted(names))}); {_ELSEWHERE}"
        )
    if not replace:
        raise DatabaseError(
            f"{where} contains a release; add --replace to replace it (it is left unchanged until "
            f"the new one is complete), or {_ELSEWHERE}"
        )
    if revision not in database.known_revisions():
        raise DatabaseError(
            f"{where} is at revision {revision}, which this dirtmodel does not know; "
            "install a newer version of dirtmodel"
        )


def _revision(connection: sa.Connection, schema: str) -> str | None:
    """Return the revision of the tables in a schema, or None if it cannot be read."""
    readable = sa.text(
        "SELECT has_column_privilege(a.attrelid, a.attnum, 'SELECT') FROM pg_attribute AS a "
        "JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :schema AND c.relname = :version AND c.relkind = 'r' "
        "AND a.attname = 'version_num'"
    )
    if not connection.scalar(readable, {"schema": schema, "version": _VERSION}):
        return None
    version = sa.table(_VERSION, sa.column("version_num", sa.Text), schema=schema)
    revision: str | None = connection.scalar(sa.select(version.c.version_num))
    return revision


_RIGHTS: Final = {
    "schema": "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace "
    "WHERE nspname = :schema",
    "database": "SELECT has_database_privilege(current_database(), 'CREATE')",
    "tables": "SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class AS c "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = ANY(:relations)",
}
_REMEDIES: Final = {
    "schema": "ask its owner to: GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}",
    "database": "ask its owner to: GRANT CREATE ON DATABASE {database} TO {role}",
    "tables": "only their owner may; ask the owner to load, or to: GRANT {owner} TO {role}",
}


def _require(connection: sa.Connection, right: str, schema: str, purpose: str, shown: str) -> None:
    """Make sure that the role has a right, before the load starts."""
    statement = sa.text(_RIGHTS[right])
    values = {"schema": schema, "relations": _relations()}
    if connection.scalar(statement, values):
        return
    named = connection.execute(
        sa.text(
            "SELECT quote_ident(current_user) AS role, quote_ident(:schema) AS schema, "
            "quote_ident(current_database()) AS database, (SELECT quote_ident(min("
            "pg_get_userbyid(c.relowner)::text)) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = :schema "
            "AND c.relname = ANY(:relations) AND NOT pg_has_role(c.relowner, 'USAGE')) AS owner"
        ),
        values,
    )
    names = named.mappings().one()
    raise DatabaseError(
        f"{names['role']} may not {purpose} at {shown}; " + _REMEDIES[right].format(**names)
    )


_REFERRERS: Final = sa.text(
    "WITH ours AS (SELECT c.oid, c.relname FROM pg_class AS c "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = ANY(:relations)) "
    "SELECT quote_ident(k.conname) || ' of ' || k.conrelid::regclass "
    "FROM pg_constraint AS k JOIN ours ON ours.oid = k.confrelid "
    "WHERE k.contype = 'f' AND k.conrelid NOT IN (SELECT oid FROM ours) "
    "AND ours.relname = ANY(:truncated) ORDER BY 1"
)


def _check_referrers(connection: sa.Connection, schema: str) -> None:
    """Make sure that no user's table refers to ours, which could not be truncated then."""
    truncated = [name for name in _relations() if name not in ENUMS]
    values = {"schema": schema, "relations": _relations(), "truncated": truncated}
    referrer = connection.scalars(_REFERRERS, values).first()
    if referrer is not None:
        raise DatabaseError(
            f"the foreign key {referrer} refers to the release that is to be replaced; nothing was "
            "changed; drop the key, and add it again after the load"
        )


def users_of(connection: sa.Connection, schema: str) -> str:
    """Describe the sessions that hold locks on tables in a schema."""
    users = connection.scalars(
        sa.text(
            "SELECT DISTINCT format('%s, process %s', coalesce(a.usename, 'unknown'), l.pid) "
            "FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid "
            "WHERE n.nspname = :schema AND l.pid <> pg_backend_pid() ORDER BY 1"
        ),
        {"schema": schema},
    )
    return "; ".join(users) or "no session now"
