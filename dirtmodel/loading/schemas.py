"""A Postgres schema as the place of a release: which one, what is there, who may, the exchange."""

import re
import string
import time
from typing import Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError

PATIENCE: Final = 300.0
"""Seconds that an exchange waits for those who are reading the old release."""

_VIEWS: Final = ("review", "coordinate_labels", "rating_labels", "image_labels")
_VERSION: Final = "alembic_version"
_FUNCTION: Final = "judgement_follow()"
"""What the triggers of the tables call."""
_MIRRORED: Final = {"session", "image", "rating", "coordinate"}
_ELSEWHERE: Final = "choose another schema with ?options=-csearch_path%3Dname"

_PATH_ENTRY: Final = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s",]+))\s*(?:,|$)')
_FOLD: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_LONGEST: Final = 63
"""Bytes of a name that Postgres keeps."""

# Shorter than the server's deadlock_timeout, after which it would end a reader who already holds
# one of the tables and waits for another.
_ATTEMPT: Final = "500ms"
_PAUSE: Final = 0.5


def chosen(connection: sa.Connection, shown: str) -> str:
    """Give the schema that the search path names first, there or not.

    `$user` counts where there is a schema of that name, as for Postgres itself.
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
        f"the search path of {shown} names no schema to load into; "
        "name one with ?options=-csearch_path%3Dname"
    )


def path_entries(path: str) -> list[str]:
    """Read the names in a search path as Postgres does: folded to lower case unless quoted.

    >>> path_entries('Release_3.0, "My-Schema", "$user"')
    ['release_3.0', 'My-Schema', '$user']
    """
    names = [
        quoted.replace('""', '"') or plain.translate(_FOLD)
        for quoted, plain in _PATH_ENTRY.findall(path)
    ]
    return [name.encode()[:_LONGEST].decode(errors="ignore") for name in names if name]


def exists(connection: sa.Connection, schema: str) -> bool:
    """Tell whether there is a schema of this name."""
    found = sa.text("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = :schema)")
    return bool(connection.scalar(found, {"schema": schema}))


def check(connection: sa.Connection, schema: str, shown: str, *, replace: bool) -> bool:
    """Refuse a place that cannot be loaded into; tell whether a release there gets replaced."""
    encoding = connection.scalar(sa.text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise DatabaseError(
            f"{shown} is encoded in {encoding}, which cannot hold every note; make a database with:"
            " createdb --encoding UTF8 --template template0 NAME"
        )
    there = _ours_in(connection, schema)
    if not there:
        if exists(connection, schema):
            _require(connection, "schema", schema, f"create tables in schema {schema}", shown)
        else:
            _require(connection, "database", schema, "create schemas in the database", shown)
        return False
    _check_release(connection, schema, f"schema {schema} of {shown}", replace=replace)
    _require(connection, "schema", schema, f"create tables in schema {schema}", shown)
    _require(
        connection,
        "database",
        schema,
        "create the schema in which the new release grows",
        shown,
    )
    _require(connection, "tables", schema, f"replace the tables in schema {schema}", shown)
    _check_dependents(connection, schema)
    return True


def execute(connection: sa.Connection, statement: str) -> None:
    """Run SQL as it is, per cent signs included."""
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def quote(name: str) -> str:
    """Write a name so that it is nothing but a name.

    >>> print(quote('my "own" schema'))
    "my ""own"" schema"
    """
    return '"' + name.replace('"', '""') + '"'


def use(connection: sa.Connection, schema: str) -> None:
    """Look for tables in this schema only, until the transaction ends."""
    execute(connection, f"SET LOCAL search_path TO {quote(schema)}")


def exchange(connection: sa.Connection, schema: str, building: str) -> None:
    """Put new tables and views into the place of the old, with their owners and rights."""
    _check_dependents(connection, schema)
    _lock_out_readers(connection, schema)
    kept = [*_owners(connection, schema), *_grants(connection, schema)]
    there = _ours_in(connection, schema)
    place, new = quote(schema), quote(building)
    for kind, names in (("VIEW", _VIEWS), ("TABLE", [*reversed(_tables()), _VERSION])):
        for name in names:
            if name in there:
                execute(connection, f"DROP {kind} {place}.{quote(name)}")
        for name in names:
            execute(connection, f"ALTER {kind} {new}.{quote(name)} SET SCHEMA {place}")
    execute(connection, f"DROP FUNCTION IF EXISTS {place}.{_FUNCTION}")
    execute(connection, f"ALTER FUNCTION {new}.{_FUNCTION} SET SCHEMA {place}")
    execute(connection, f"DROP SCHEMA {new}")
    use(connection, schema)
    for statement in [*_revocations(connection, schema, there), *kept]:
        execute(connection, statement)


def _tables() -> list[str]:
    return [table.name for table in database.tables()]


def _relations() -> list[str]:
    return sorted([*_tables(), *_VIEWS, _VERSION])


def _ours_in(connection: sa.Connection, schema: str) -> set[str]:
    """Names of ours that are taken in a schema, by whatever kind of relation."""
    found = sa.text(
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :schema AND c.relname = ANY(:relations)"
    )
    return set(connection.scalars(found, {"schema": schema, "relations": _relations()}))


def _check_release(connection: sa.Connection, schema: str, where: str, *, replace: bool) -> None:
    """Make sure that what is there is a release of ours, and meant to be replaced."""
    there = _ours_in(connection, schema)
    revision = _revision(connection, schema) if there >= {*_MIRRORED, _VERSION} else None
    if revision is None:
        raise DatabaseError(
            f"{where} has other tables under our names ({', '.join(sorted(there))}); {_ELSEWHERE}"
        )
    if not replace:
        raise DatabaseError(
            f"{where} holds a release; add --replace to load into its place (it stays as it is "
            f"until the new one is complete), or {_ELSEWHERE}"
        )
    if revision not in database.known_revisions():
        raise DatabaseError(
            f"{where} is at revision {revision}, which this dirtmodel does not know; "
            "install a newer dirtmodel with: pip install --upgrade dirtmodel"
        )


def _revision(connection: sa.Connection, schema: str) -> str | None:
    """Give the revision of the tables in a schema, or None where there is none to be read."""
    readable = sa.text(
        "SELECT has_column_privilege(a.attrelid, a.attnum, 'SELECT') FROM pg_attribute AS a "
        "JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE n.nspname = :schema AND c.relname = :version AND c.relkind = 'r' "
        "AND a.attname = 'version_num'"
    )
    if not connection.scalar(readable, {"schema": schema, "version": _VERSION}):
        return None
    version = sa.table(_VERSION, sa.column("version_num", sa.Text), schema=schema)
    found: str | None = connection.scalar(sa.select(version.c.version_num))
    return found


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
    """Make sure of a right before hours are spent."""
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


# What other people hung on our tables: dropping these would need, or silently take along, theirs.
_DEPENDENTS: Final = sa.text(
    "WITH ours AS (SELECT c.oid, c.relname FROM pg_class AS c "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = ANY(:relations)) "
    "SELECT 'view ' || r.ev_class::regclass AS what FROM pg_depend AS d "
    "JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass "
    "JOIN ours ON ours.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass "
    "WHERE r.ev_class NOT IN (SELECT oid FROM ours) "
    "UNION SELECT 'foreign key ' || quote_ident(k.conname) || ' of ' || k.conrelid::regclass "
    "FROM pg_constraint AS k JOIN ours ON ours.oid = k.confrelid "
    "WHERE k.contype = 'f' AND k.conrelid NOT IN (SELECT oid FROM ours) "
    "UNION SELECT 'trigger ' || quote_ident(t.tgname) || ' of ' || t.tgrelid::regclass "
    "FROM pg_trigger AS t JOIN ours ON ours.oid = t.tgrelid WHERE NOT t.tgisinternal "
    "AND NOT starts_with(t.tgname, 'judgement_after_') "
    "UNION SELECT 'policy ' || quote_ident(p.polname) || ' of ' || p.polrelid::regclass "
    "FROM pg_policy AS p JOIN ours ON ours.oid = p.polrelid "
    "UNION SELECT 'child table ' || i.inhrelid::regclass "
    "FROM pg_inherits AS i JOIN ours ON ours.oid = i.inhparent "
    "ORDER BY what"
)


def _check_dependents(connection: sa.Connection, schema: str) -> None:
    dependent = connection.scalars(
        _DEPENDENTS, {"schema": schema, "relations": _relations()}
    ).first()
    if dependent is not None:
        raise DatabaseError(
            f"{dependent} depends on the tables to be replaced; drop it, and make it again after "
            "the load"
        )


def _lock_out_readers(connection: sa.Connection, schema: str) -> None:
    """Lock the old tables in short attempts, letting new readers pass in between.

    One long wait would make every new reader queue up behind us, for as long as the slowest of
    those before us (an open notebook, say) goes on.
    """
    names = ", ".join(
        f"{quote(schema)}.{quote(name)}" for name in sorted(_ours_in(connection, schema))
    )
    execute(connection, f"SET LOCAL lock_timeout TO '{_ATTEMPT}'")
    give_up = time.monotonic() + PATIENCE
    while True:
        attempt = connection.begin_nested()
        try:
            execute(connection, f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        except sa.exc.OperationalError as error:
            attempt.rollback()
            if getattr(error.orig, "sqlstate", None) != "55P03":
                raise
        else:
            break
        if time.monotonic() > give_up:
            raise DatabaseError(
                f"the old release in schema {schema} is being read "
                f"({_readers(connection, schema)}) and cannot be exchanged; it is as it was: "
                "let them finish, and load again"
            )
        time.sleep(_PAUSE)
    execute(connection, "SET LOCAL lock_timeout TO 0")


def _readers(connection: sa.Connection, schema: str) -> str:
    """Say who holds tables in a schema."""
    found = connection.scalars(
        sa.text(
            "SELECT DISTINCT format('%s, process %s', coalesce(a.usename, 'somebody'), l.pid) "
            "FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid "
            "WHERE n.nspname = :schema AND l.pid <> pg_backend_pid() ORDER BY 1"
        ),
        {"schema": schema},
    )
    return "; ".join(found) or "nobody any more"


def _owners(connection: sa.Connection, schema: str) -> list[str]:
    """Statements that give the new relations to the owners of the old."""
    found = connection.execute(
        sa.text(
            "SELECT c.relkind = 'v', quote_ident(c.relname), "
            "quote_ident(pg_get_userbyid(c.relowner)) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = :schema AND c.relname = ANY(:relations) "
            "AND pg_get_userbyid(c.relowner) <> current_user ORDER BY c.relname"
        ),
        {"schema": schema, "relations": _relations()},
    )
    return [
        f"ALTER {'VIEW' if view else 'TABLE'} {quote(schema)}.{name} OWNER TO {owner}"
        for view, name, owner in found
    ]


def _grants(connection: sa.Connection, schema: str) -> list[str]:
    """Statements that grant on the new relations, columns and sequences what the old had."""
    return [
        f"GRANT {row.privilege_type}{row.columns} ON {_what(row, schema)} "
        f"TO {row.grantee}{' WITH GRANT OPTION' if row.is_grantable else ''}"
        for row in _rights(connection, schema)
    ]


def _revocations(connection: sa.Connection, schema: str, replaced: set[str]) -> list[str]:
    """Statements that take back what default privileges gave, and the old may have lost."""
    return sorted(
        {
            f"REVOKE ALL ON {_what(row, schema)} FROM {row.grantee}"
            for row in _rights(connection, schema)
            if row.sequence or row.relname in replaced
        }
    )


def _what(row: Any, schema: str) -> str:
    return f"{'SEQUENCE' if row.sequence else 'TABLE'} {quote(schema)}.{quote(row.relname)}"


def _rights(connection: sa.Connection, schema: str) -> list[Any]:
    """What others than the owner may do with our relations, their columns and sequences."""
    rights = (
        "a.privilege_type, a.is_grantable, CASE WHEN a.grantee = 0 THEN 'PUBLIC' "
        "ELSE quote_ident(pg_get_userbyid(a.grantee)) END AS grantee"
    )
    found = connection.execute(
        sa.text(
            "WITH ours AS (SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl "
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = :schema AND (c.relname = ANY(:relations) OR c.relkind = 'S' AND "
            "EXISTS (SELECT FROM pg_depend AS d JOIN pg_class AS t ON t.oid = d.refobjid "
            "WHERE d.objid = c.oid AND d.deptype = 'a' AND t.relname = ANY(:relations)))) "
            f"SELECT relkind = 'S' AS sequence, relname, '' AS columns, {rights} "
            "FROM ours, aclexplode(relacl) AS a WHERE a.grantee <> relowner "
            f"UNION ALL SELECT false, relname, ' (' || quote_ident(attname) || ')', {rights} "
            "FROM ours JOIN pg_attribute ON attrelid = ours.oid, aclexplode(attacl) AS a "
            "WHERE a.grantee <> relowner"
        ),
        {"schema": schema, "relations": _relations()},
    )
    return list(found)
