"""Writing a release into a Postgres schema: binary COPY, one transaction for everything.

Where a release is there already, the new one is built in a schema of its own, so that readers keep
seeing the old one; only the last moment of the transaction takes the locks that exchange the two.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg
import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = 946_684_800_000_000
"""2000-01-01 in µs since 1970: where Postgres starts to count."""

_WIRE_TYPES: Final = {
    # A timestamptz travels as a number of µs, json as its text.
    "timestamp with time zone": "int8",
    "json": "text",
}


class PostgresWriter:
    """Copies into an empty schema, in one transaction."""

    def __init__(self, url: sa.URL, *, replace: bool) -> None:
        self._url = url
        self._replace = replace
        self._connection: sa.Connection | None = None

    def check_destination(self, n_bytes: int) -> None:  # noqa: ARG002 - a server does not tell its free space
        """Refuse what cannot work: no server, no rights, another release in the place."""
        with database.reach(self._url, read_only=True) as connection:
            schema = _schema(connection)
            if not self._check_existing(connection, schema):
                right = "CREATE" if _exists(connection, schema) else None
                self._check_right(connection, schema, right)
                return
            self._check_right(connection, schema, None)
            dependent = connection.scalars(
                _DEPENDENTS,
                {"schema": schema, "relations": sorted(_our_relations()), "views": list(_VIEWS)},
            ).first()
        if dependent is not None:
            raise DatabaseError(
                f"{dependent} depends on the tables to be replaced; drop it and make it again "
                "after the load"
            )

    def _check_existing(self, connection: sa.Connection, schema: str) -> bool:
        """Tell whether the schema holds a release of ours that may be replaced."""
        there = set(connection.scalars(_RELATIONS, {"schema": schema}))
        ours = there & _our_relations()
        if not ours:
            return False
        shown = f"schema {schema} of {database.display(self._url)}"
        if "alembic_version" not in ours or "image" not in ours:
            raise DatabaseError(
                f"{shown} has other tables under our names ({', '.join(sorted(ours))}); choose "
                "another schema with ?options=-csearch_path%3Dname"
            )
        if not self._replace:
            raise DatabaseError(
                f"{shown} holds a release; add --replace to load into its place (it stays as it is "
                "until the new one is complete), or choose another schema with "
                "?options=-csearch_path%3Dname"
            )
        return True

    def _check_right(self, connection: sa.Connection, schema: str, right: str | None) -> None:
        """Make sure that we may create tables in the schema or, with None, a schema."""
        if right is None:
            allowed = "SELECT has_database_privilege(current_database(), 'CREATE')"
            needed = "create schemas in the database"
        else:
            allowed = "SELECT has_schema_privilege(:schema, 'CREATE')"
            needed = f"create tables in schema {schema}"
        if not connection.scalar(sa.text(allowed), {"schema": schema}):
            raise DatabaseError(
                f"{self._url.username or 'this role'} may not {needed} at "
                f"{database.display(self._url)}; ask its owner to GRANT CREATE"
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection to an empty schema; leaving it commits everything."""
        try:
            with database.reach(self._url, read_only=False) as connection, connection.begin():
                self._connection = connection
                schema = _schema(connection)
                self._lock(connection, schema)
                replacing = self._check_existing(connection, schema)
                building = f"dirtmodel_{_backend(connection)}" if replacing else schema
                if not _exists(connection, building):
                    connection.execute(sa.schema.CreateSchema(building))
                _use(connection, building)
                database.migrate(connection)
                constraints = _drop(connection)
                yield connection
                for statement in constraints:
                    connection.exec_driver_sql(statement)
                _advance_sequences(connection)
                if replacing:
                    _swap(connection, schema, building)
                    _use(connection, schema)
                connection.exec_driver_sql("ANALYZE " + ", ".join(map(_quote, _our_tables())))
        except (sa.exc.DBAPIError, psycopg.Error) as error:
            raise DatabaseError(
                f"the load into {database.display(self._url)} failed: "
                f"{database.first_line(error)}; what was there before is as it was"
            ) from error

    def _lock(self, connection: sa.Connection, schema: str) -> None:
        """Hold off other loads into the same schema until this transaction ends."""
        lock = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended('dirtmodel ' || :s, 0))")
        if not connection.scalar(lock, {"s": schema}):
            raise DatabaseError(
                f"another load into schema {schema} of {database.display(self._url)} is running; "
                "wait for it to end"
            )

    def insert(self, table: sa.FromClause, names: Sequence[str], rows: Iterable[Any]) -> None:
        """Copy rows in binary."""
        assert self._connection is not None  # noqa: S101 - called within the transaction only
        dialect = self._connection.dialect
        types = [table.c[name].type.compile(dialect).lower() for name in names]
        columns = ", ".join(map(_quote, names))
        statement = f"COPY {_quote(table.description)} ({columns}) FROM STDIN (FORMAT BINARY)"
        driver: psycopg.Connection[Any] = self._connection.connection.driver_connection  # type: ignore[assignment]  # psycopg it is, see database.engine
        with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types([_WIRE_TYPES.get(name, name) for name in types])
            for row in rows:
                copy.write_row(row)

    def instants(self, array: "pa.Array") -> list[Any]:
        """Give µs since 2000, as they travel."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ticks: list[Any] = pc.subtract(array.cast(pa.int64()), _EPOCH).to_pylist()
        return ticks


_RELATIONS: Final = sa.text(
    "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(:schema)) "
    "AND relkind IN ('r', 'p', 'v')"
)
_VIEWS: Final = ("review", "coordinate_labels", "rating_labels", "image_labels")

# Views of other people on our tables and views: dropping ours would take theirs along.
_DEPENDENTS: Final = sa.text(
    "SELECT DISTINCT other.oid::regclass::text FROM pg_depend AS d "
    "JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass "
    "JOIN pg_class AS other ON other.oid = r.ev_class "
    "JOIN pg_class AS ours ON ours.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass "
    "WHERE ours.relnamespace = to_regnamespace(quote_ident(:schema)) "
    "AND ours.relname = ANY(:relations) "
    "AND NOT (other.relnamespace = ours.relnamespace AND other.relname = ANY(:views)) ORDER BY 1"
)


def _our_tables() -> list[str]:
    return [table.name for table in database.tables()]


def _our_relations() -> set[str]:
    return {*_our_tables(), *_VIEWS, "alembic_version"}


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _schema(connection: sa.Connection) -> str:
    """The schema that the search path names first, there or not."""
    path = str(connection.scalar(sa.text("SHOW search_path")))
    first = path.split(",", maxsplit=1)[0].strip().strip('"')
    if first in {"$user", ""}:
        first = str(connection.scalar(sa.text("SELECT coalesce(current_schema(), 'public')")))
    return first


def _exists(connection: sa.Connection, schema: str) -> bool:
    found = sa.text("SELECT to_regnamespace(quote_ident(:schema)) IS NOT NULL")
    return bool(connection.scalar(found, {"schema": schema}))


def _backend(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)


def _use(connection: sa.Connection, schema: str) -> None:
    connection.exec_driver_sql(f"SET LOCAL search_path TO {_quote(schema)}")


def _drop(connection: sa.Connection) -> list[str]:
    """Drop indexes and keys, which cost less at the end, and give the statements that bring them.

    Keys before foreign keys, which need them.
    """
    keys = connection.execute(
        sa.text(
            "SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) "
            "FROM pg_constraint WHERE connamespace = current_schema()::regnamespace "
            "AND contype IN ('p', 'u', 'f') AND conrelid::regclass::text = ANY(:tables) "
            "ORDER BY contype = 'f', conname"
        ),
        {"tables": [_quote(name) for name in _our_tables()] + _our_tables()},
    ).all()
    for table, name, _ in reversed(keys):
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = connection.execute(
        sa.text(
            "SELECT quote_ident(indexname), indexdef FROM pg_indexes "
            "WHERE schemaname = current_schema() AND tablename = ANY(:tables) ORDER BY indexname"
        ),
        {"tables": _our_tables()},
    ).all()
    for name, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    added = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}" for table, name, what in keys]
    return [*added, *(definition for _, definition in indexes)]


def _advance_sequences(connection: sa.Connection) -> None:
    """Set sequences past the loaded ids, so that an insert through the ORM finds a free one."""
    for table in database.tables():
        if "id" not in table.c or not table.c.id.primary_key:
            continue
        name = _quote(table.name)
        connection.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
            f"greatest(max(id), 1), max(id) IS NOT NULL) FROM {name}"
        )


def _swap(connection: sa.Connection, schema: str, building: str) -> None:
    """Put the new tables and views into the place of the old, with the rights granted on them."""
    grants = connection.execute(
        sa.text(
            "SELECT c.relname, a.privilege_type, a.is_grantable, "
            "CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END"
            " FROM pg_class AS c, aclexplode(c.relacl) AS a "
            "WHERE c.relnamespace = to_regnamespace(quote_ident(:schema)) "
            "AND c.relname = ANY(:relations) AND a.grantee <> c.relowner"
        ),
        {"schema": schema, "relations": sorted(_our_relations())},
    ).all()
    place, new = _quote(schema), _quote(building)
    there = set(connection.scalars(_RELATIONS, {"schema": schema}))
    tables = [*reversed(_our_tables()), "alembic_version"]
    for kind, names in (("VIEW", _VIEWS), ("TABLE", tables)):
        for name in names:
            if name in there:
                connection.exec_driver_sql(f"DROP {kind} {place}.{_quote(name)}")
        for name in names:
            connection.exec_driver_sql(f"ALTER {kind} {new}.{_quote(name)} SET SCHEMA {place}")
    connection.exec_driver_sql(f"DROP SCHEMA {new}")
    for name, privilege, grantable, grantee in grants:
        option = " WITH GRANT OPTION" if grantable else ""
        connection.exec_driver_sql(
            f"GRANT {privilege} ON {place}.{_quote(name)} TO {grantee}{option}"
        )
