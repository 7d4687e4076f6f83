"""The revision of a database, and the migrations to other revisions."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dirtmodel.database.comments import set_comments
from dirtmodel.database.engines import reach
from dirtmodel.database.failures import as_error, first_line
from dirtmodel.database.urls import DEFAULT, display, is_sqlite, parse_url
from dirtmodel.errors import DatabaseError
from dirtmodel.models import MIRRORED, Base


def connect(url: sa.URL, *, read_only: bool = True, timeout: float | None = None) -> sa.Connection:
    """Connect to a database that has the revision which this version needs.

    Raises
    ------
    DatabaseError
        If the database is missing, unreachable, of another program, or of another revision.
    """
    connection = reach(url, read_only=read_only, timeout=timeout)
    try:
        check_revision(connection, url)
    except BaseException:
        connection.close()
        raise
    # Reading the revision began a transaction. A session would join it, and not commit it.
    connection.rollback()
    return connection


def migrations_folder() -> Path:
    """Return the folder of the migrations: in the package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise DatabaseError(f"the migrations are missing beside {package}; install dirtmodel again")


def known_revisions() -> tuple[str, ...]:
    """List the revisions known to this version, oldest first.

    They are taken from the names of the files, because importing alembic takes longer than most
    queries.
    """
    versions = migrations_folder() / "versions"
    return tuple(sorted(file.name.partition("_")[0] for file in versions.glob("[0-9]*.py")))


def current_revision(connection: sa.Connection) -> str | None:
    """Return the revision of a database, or None if it has none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def check_revision(connection: sa.Connection, url: sa.URL) -> None:
    """Make sure that a database is ours and at the revision that this version needs."""
    revision = own_revision(connection, url)
    known = known_revisions()
    if revision == known[-1]:
        return
    where = display(url)
    if revision in known:
        raise DatabaseError(
            f"{where} is at revision {revision} and this dirtmodel needs {known[-1]}; "
            f"run: dirtmodel upgrade --db {shlex.quote(where)}"
        )
    raise DatabaseError(
        f"{where} is at revision {revision}, which this dirtmodel does not know; "
        "install a newer version of dirtmodel"
    )


def own_revision(connection: sa.Connection, url: sa.URL) -> str:
    """Return the revision of a database, and make sure that it is ours."""
    try:
        revision = current_revision(connection)
        tables = set(sa.inspect(connection).get_table_names())
    except sa.exc.DBAPIError as error:
        unknown = DatabaseError(f"cannot read {display(url)}: {first_line(error)}")
        raise as_error(url, error, read_only=True) or unknown from error
    if revision is None or not tables >= set(MIRRORED):
        raise DatabaseError(_not_ours(connection, url))
    return revision


def _not_ours(connection: sa.Connection, url: sa.URL) -> str:
    if not is_sqlite(url) and (closed := _closed_schema(connection)):
        role, schema = closed
        return (
            f"{display(url)} denied access: {role} may not use schema {schema}; ask its owner to: "
            f"GRANT USAGE ON SCHEMA {schema} TO {role}; "
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
        )
    schemas = [] if is_sqlite(url) else _schemas_of_releases(connection)
    if not schemas:
        return (
            f"{display(url)} is not a database of dirtmodel (it does not have its tables); "
            f"load a release with: dirtmodel load RELEASE --db {shlex.quote(display(url))}"
        )
    others = re.sub(r"\s*-c\s*search_path=\S*", "", str(url.query.get("options", "")))
    options = f"{others} -csearch_path={schemas[0]}".strip()
    chosen = display(url.update_query_dict({"options": options}))
    return (
        f"{display(url)} does not name a schema that holds a release; these do: "
        f"{', '.join(schemas)}; choose one in the URL: --db {shlex.quote(chosen)}"
    )


def _closed_schema(connection: sa.Connection) -> tuple[str, str] | None:
    """Return the role, and a schema with a release that is named but that the role may not use."""
    found = connection.execute(
        sa.text(
            "SELECT quote_ident(current_user), quote_ident(n.nspname) "
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.relname = 'alembic_version' AND NOT has_schema_privilege(n.oid, 'USAGE') "
            "AND quote_ident(n.nspname) = "
            "ANY(regexp_split_to_array(current_setting('search_path'), ' *, *'))"
        )
    ).first()
    return None if found is None else (found[0], found[1])


def _schemas_of_releases(connection: sa.Connection) -> list[str]:
    """List the schemas that contain our tables and that the role may use."""
    schemas = connection.scalars(
        sa.text(
            "SELECT quote_ident(n.nspname) "
            "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.relname = ANY(:tables) AND has_schema_privilege(n.oid, 'USAGE') "
            "GROUP BY n.nspname HAVING count(*) = :n ORDER BY n.nspname"
        ),
        {"tables": ["alembic_version", *MIRRORED], "n": len(MIRRORED) + 1},
    )
    return list(schemas)


def migrate(connection: sa.Connection, revision: str = "head") -> None:
    """Migrate the schema to a revision, in the transaction of the connection."""
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    path = ("base", *known_revisions())
    target = path[-1] if revision == "head" else revision
    if target not in path:
        raise DatabaseError(
            f"there is no revision {target}; choose head or one of {', '.join(path)}"
        )
    current = current_revision(connection) or "base"
    if path.index(target) < path.index(current):
        command.downgrade(config, target)
    else:
        command.upgrade(config, target)
    # Only after a migration: users may have changed the comments since the last one.
    if current != target == path[-1] and connection.dialect.name == "postgresql":
        set_comments(connection)


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def upgrade_sql(db: str | sa.URL | os.PathLike[str] = DEFAULT) -> str:
    """Return the SQL that `upgrade` would run on this database, without running it.

    It does not include the derived rows, which `upgrade` computes afterwards.

    Raises
    ------
    DatabaseError
        If the database is missing, not ours, or newer than this version.
    """
    import io

    from alembic import command

    url = parse_url(db)
    with reach(url) as connection:
        before = own_revision(connection, url)
        if before not in known_revisions():
            check_revision(connection, url)
    config = _alembic_config()
    config.output_buffer = script = io.StringIO()
    config.attributes["dialect_name"] = url.get_backend_name()
    if before != known_revisions()[-1]:
        command.upgrade(config, f"{before}:{known_revisions()[-1]}", sql=True)
    return script.getvalue()


def check_foreign_keys(connection: sa.Connection) -> None:
    """Make sure that no row of a SQLite database refers to a missing row.

    Postgres checks this itself.
    """
    if connection.dialect.name != "sqlite":
        return
    inspector = sa.inspect(connection)
    for name in inspector.get_table_names():
        if name in Base.metadata.tables:
            _check_own_keys(connection, name, inspector.get_foreign_keys(name))
            continue
        # A foreign key of a user's table may have several columns, or not name the other table's.
        quoted = connection.dialect.identifier_preparer.quote(name)
        dangling = connection.exec_driver_sql(f"PRAGMA foreign_key_check({quoted})").first()
        if dangling is not None:
            which = "a row" if dangling[1] is None else f"row {dangling[1]}"
            raise DatabaseError(
                f"{which} of table {dangling[0]} refers to a missing row of {dangling[2]}; "
                "nothing was changed"
            )


def _check_own_keys(connection: sa.Connection, name: str, keys: Sequence[Any]) -> None:
    """Check each distinct value. The pragma checks each row, which takes ten times as long."""
    for key in keys:
        (column,), (referred,) = key["constrained_columns"], key["referred_columns"]
        child = sa.table(name, sa.column(column)).c[column]
        parent = sa.table(key["referred_table"], sa.column(referred)).c[referred]
        dangling = sa.select(child).distinct().where(child.not_in(sa.select(parent))).limit(1)
        value = connection.scalar(dangling)
        if value is not None:
            raise DatabaseError(
                f"{name}.{column} holds {value}, but there is no {key['referred_table']} with "
                f"that {referred}; nothing was changed"
            )


def tables() -> list[sa.Table]:
    """List our tables; a table comes after those that it refers to."""
    return Base.metadata.sorted_tables
