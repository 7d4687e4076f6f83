"""Writing a release into a Postgres schema: binary COPY, one transaction for everything.

Where a release is there already, the new one is built in a schema of its own, so that readers keep
seeing the old one; only the last moment of the transaction takes the locks that exchange the two.
"""

import contextlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import psycopg
import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError
from dirtmodel.loading import judgements, schemas

if TYPE_CHECKING:
    import pyarrow as pa

_EPOCH: Final = 946_684_800_000_000
"""2000-01-01 in µs since 1970: where Postgres starts to count."""

_WORK_MEMORY: Final = "128MB"
"""What a sort of a million reviews takes."""

_WIRE_TYPES: Final = {
    # A timestamptz travels as a number of µs, json as its text.
    "timestamp with time zone": "int8",
    "json": "text",
}


class PostgresWriter:
    """Copies into an empty schema, in one transaction."""

    def __init__(self, url: sa.URL, *, replace: bool) -> None:
        self._url = url
        self._shown = database.display(url)
        self._replace = replace
        self._connection: sa.Connection | None = None

    def check_destination(self, n_bytes: int) -> None:  # noqa: ARG002 - a server does not tell its free space
        """Refuse what cannot work: no server, no rights, another release in the place."""
        with (
            database.reach(self._url, read_only=True) as connection,
            _explained(f"cannot load into {self._shown}: {{reason}}"),
        ):
            schema = schemas.chosen(connection, self._shown)
            schemas.check(connection, schema, self._shown, replace=self._replace)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Give a connection to an empty schema; leaving it commits everything."""
        with database.reach(self._url, read_only=False) as connection:
            transaction = connection.begin()
            with (
                _explained(
                    f"the load into {self._shown} failed: {{reason}}; what was there before is as "
                    "it was"
                ),
                _without_the_dead(connection),
                self._built(connection),
            ):
                yield connection
            # An answer that got lost on its way back is no proof that nothing was committed.
            with (
                _explained(
                    f"{self._shown} did not confirm the end of the load: {{reason}}; it is there "
                    f"in full or not at all, find out with: dirtmodel info --db '{self._shown}'"
                ),
                _without_the_dead(connection),
            ):
                transaction.commit()

    @contextlib.contextmanager
    def _built(self, connection: sa.Connection) -> Iterator[None]:
        """Make the schema, without what slows a load down until the rows are there."""
        self._connection = connection
        connection.execute(_NO_LIMITS)
        schema = schemas.chosen(connection, self._shown)
        self._lock(connection, schema)
        replacing = schemas.check(connection, schema, self._shown, replace=self._replace)
        building = f"dirtmodel_{secrets.token_hex(8)}" if replacing else schema
        if replacing or not schemas.exists(connection, schema):
            connection.execute(sa.schema.CreateSchema(building))
        schemas.use(connection, building)
        database.migrate(connection)
        constraints = _drop(connection)
        _let_triggers(connection, "DISABLE")
        yield
        for statement in constraints:
            schemas.execute(connection, statement)
        # The server plans what it has no statistics of as if it were next to nothing.
        _analyze(connection, (table.name for table in database.tables()))
        schemas.execute(connection, f"SET LOCAL work_mem TO '{_WORK_MEMORY}'")
        judgements.fill(connection)
        _let_triggers(connection, "ENABLE")
        _advance_sequences(connection)
        _analyze(connection, (model.__tablename__ for model in judgements.FILLED))
        if replacing:
            schemas.exchange(connection, schema, building)

    def _lock(self, connection: sa.Connection, schema: str) -> None:
        """Hold off other loads into the same schema until this transaction ends."""
        lock = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended('dirtmodel ' || :s, 0))")
        if not connection.scalar(lock, {"s": schema}):
            raise DatabaseError(
                f"another load into schema {schema} of {self._shown} is running; wait for it to end"
            )

    def insert(self, table: sa.FromClause, names: Sequence[str], rows: Iterable[Any]) -> None:
        """Copy rows in binary."""
        assert self._connection is not None  # noqa: S101 - called within the transaction only
        dialect = self._connection.dialect
        types = [table.c[name].type.compile(dialect).lower() for name in names]
        columns = ", ".join(map(schemas.quote, names))
        # Nobody has seen these tables yet: rows written frozen spare the server a second pass over
        # gigabytes, and are there for whoever looked at the old release in the same transaction.
        statement = (
            f"COPY {schemas.quote(table.description)} ({columns}) "
            "FROM STDIN (FORMAT BINARY, FREEZE)"
        )
        with _driver(self._connection).cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types([_WIRE_TYPES.get(name, name) for name in types])
            for row in rows:
                copy.write_row(row)

    def instants(self, array: "pa.Array") -> list[Any]:
        """Give µs since 2000, as they travel."""
        import pyarrow as pa
        import pyarrow.compute as pc

        ticks: list[Any] = pc.subtract(array.cast(pa.int64()), _EPOCH).to_pylist()
        return ticks


# What an administrator sets against runaway queries; a load is long, and idle while it reads.
_NO_LIMITS: Final = sa.text(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', "
    "'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)


@contextlib.contextmanager
def _explained(message: str) -> Iterator[None]:
    """Turn what the driver raises into an error of ours."""
    try:
        yield
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        raise DatabaseError(message.format(reason=database.first_line(error))) from error


@contextlib.contextmanager
def _without_the_dead(connection: sa.Connection) -> Iterator[None]:
    """Tell SQLAlchemy when COPY, of which it knows nothing, finds the connection lost.

    It would try to roll back, and the failure of that would hide the cause.
    """
    try:
        yield
    except BaseException:
        if not connection.invalidated and _driver(connection).closed:
            connection.invalidate()
        raise


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    found: Any = connection.connection.driver_connection
    return found  # type: ignore[no-any-return]  # psycopg it is, see database.engine


def _drop(connection: sa.Connection) -> list[str]:
    """Drop indexes and keys, which cost less at the end, and give the statements that bring them.

    Keys before foreign keys, which need them.
    """
    ours = {"tables": [table.name for table in database.tables()]}
    keys = connection.execute(
        sa.text(
            "SELECT quote_ident(c.relname), quote_ident(k.conname), pg_get_constraintdef(k.oid) "
            "FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = current_schema() AND c.relname = ANY(:tables) "
            "AND k.contype IN ('p', 'u', 'f') ORDER BY k.contype = 'f', k.conname"
        ),
        ours,
    ).all()
    for table, name, _ in reversed(keys):
        schemas.execute(connection, f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = connection.execute(
        sa.text(
            "SELECT quote_ident(indexname), indexdef FROM pg_indexes "
            "WHERE schemaname = current_schema() AND tablename = ANY(:tables) ORDER BY indexname"
        ),
        ours,
    ).all()
    for name, _ in indexes:
        schemas.execute(connection, f"DROP INDEX {name}")
    added = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}" for table, name, what in keys]
    return [*added, *(definition for _, definition in indexes)]


def _let_triggers(connection: sa.Connection, what: str) -> None:
    for table in database.tables():
        schemas.execute(connection, f"ALTER TABLE {schemas.quote(table.name)} {what} TRIGGER USER")


def _analyze(connection: sa.Connection, tables: Iterable[str]) -> None:
    schemas.execute(connection, f"ANALYZE {', '.join(map(schemas.quote, tables))}")


def _advance_sequences(connection: sa.Connection) -> None:
    """Set sequences past the loaded ids, so that an insert through the ORM finds a free one."""
    for table in database.tables():
        if [column.name for column in table.primary_key] != ["id"]:
            continue
        name = schemas.quote(table.name)
        schemas.execute(
            connection,
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
            f"greatest(max(id), 1), max(id) IS NOT NULL) FROM {name}",
        )
