"""Writing a release into a Postgres schema: binary COPY, one transaction for everything.

A release that is there already is truncated and replaced in its own tables, so that their owners,
rights and policies, and the views that depend on them, are kept. Its readers wait meanwhile; those
who cannot wait load into a schema of their own.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.database.fragments import quote
from dirtmodel.errors import DatabaseError
from dirtmodel.loading import extending, schemas
from dirtmodel.loading.refresh import add_reviews
from dirtmodel.loading.writer import Rows, SqlType
from dirtmodel.models import Review, UTCDateTime
from dirtmodel.models.lookups import ENUMS
from dirtmodel.release import Extension

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_EPOCH: Final = 946_684_800_000_000
"""2000-01-01 in µs since 1970: where Postgres starts to count."""

_WORK_MEMORY: Final = "128MB"
"""What a sort of a million reviews takes."""

PATIENCE = 10.0
"""Seconds that a load waits for those who use the release that it replaces."""
_SILENCE: Final = 1.0
"""Seconds after which it reports what it waits for."""
_LOCK_TIMEOUT: Final = "500ms"
"""Of one attempt.

Meanwhile other readers queue up. It is shorter than the server's deadlock_timeout, after which the
server would end a reader who holds one of the tables and waits for another.
"""
_PAUSE: Final = 0.2
"""Seconds between attempts, in which other readers pass."""
_LOCK_NOT_AVAILABLE: Final = "55P03"

_WIRE_TYPES: Final = {
    # A timestamptz travels as a number of µs, json as its text.
    "timestamp with time zone": "int8",
    "json": "text",
}


class PostgresWriter:
    """Copies into empty tables, in one transaction."""

    def __init__(self, url: sa.URL, *, replace: bool) -> None:
        self._url = url
        self._shown = database.display(url)
        self._replace = replace
        self._connection: sa.Connection | None = None

    def check_destination(self, n_bytes: int) -> None:  # noqa: ARG002 - a server does not tell its free space
        """Refuse what cannot work: no server, no rights, another release in the place."""
        with (
            database.reach(self._url, explain=False) as connection,
            _explained(f"cannot load into {self._shown}: {{reason}}"),
        ):
            self._check(connection, schemas.chosen(connection, self._shown))

    @contextlib.contextmanager
    def transaction(self, extension: Extension) -> Iterator[sa.Connection]:
        """Open a transaction on empty tables; leaving it commits everything."""
        with database.reach(self._url, read_only=False, explain=False) as connection:
            transaction = connection.begin()
            with (
                _explained(f"the load into {self._shown} failed: {{reason}}; nothing was changed"),
                _without_the_dead(connection),
                self._filled(connection, extension),
            ):
                yield connection
            # An answer that got lost on its way back does not prove that nothing was committed.
            with (
                _explained(
                    f"{self._shown} did not confirm the end of the load: {{reason}}; it is there "
                    f"in full or not at all, find out with: dirtmodel info --db '{self._shown}'"
                ),
                _without_the_dead(connection),
            ):
                transaction.commit()

    @contextlib.contextmanager
    def _filled(self, connection: sa.Connection, extension: Extension) -> Iterator[None]:
        """Prepare the tables, without what slows a load down until the rows are there."""
        self._connection = connection
        connection.execute(_NO_LIMITS)
        schema = schemas.chosen(connection, self._shown)
        self._exclude_other_loads(connection, schema)
        replacing = self._check(connection, schema)
        if not schemas.exists(connection, schema):
            connection.execute(sa.schema.CreateSchema(schema))
        schemas.use(connection, schema)
        if replacing:
            self._lock_tables(connection, schema)
        database.migrate(connection)
        suspended = _suspend_users_rules(connection)
        if replacing:
            _truncate(connection)
            extending.drop_leftovers(connection, extension)
        extending.extend(connection, extension)
        postponed = _drop_keys_and_indexes(connection)
        yield
        for statement in postponed:
            schemas.execute(connection, statement)
        # The planner takes a table without statistics for a small one.
        _analyze(connection, (table.name for table in database.tables()))
        schemas.execute(connection, f"SET LOCAL work_mem TO '{_WORK_MEMORY}'")
        add_reviews(connection)
        _advance_sequences(connection)
        _analyze(connection, [Review.__tablename__])
        for statement in suspended:
            schemas.execute(connection, statement)

    def _exclude_other_loads(self, connection: sa.Connection, schema: str) -> None:
        """Hold off other loads into the same schema until this transaction ends."""
        lock = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended('dirtmodel ' || :s, 0))")
        if not connection.scalar(lock, {"s": schema}):
            raise DatabaseError(
                f"another load into schema {schema} of {self._shown} is running; wait for it to end"
            )

    def _check(self, connection: sa.Connection, schema: str) -> bool:
        """Refuse a place that cannot be loaded into; return whether a release is replaced."""
        return self._patiently(
            connection,
            schema,
            lambda: schemas.check(connection, schema, self._shown, replace=self._replace),
        )

    def _lock_tables(self, connection: sa.Connection, schema: str) -> None:
        """Wait a while for those who read the old release, and keep others out."""
        names = ", ".join(map(quote, sorted(schemas.tables_in(connection, schema))))
        lock = f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"
        self._patiently(connection, schema, lambda: schemas.execute(connection, lock))

    def _patiently(
        self, connection: sa.Connection, schema: str, attempt: Callable[[], _Result]
    ) -> _Result:
        """Repeat what other sessions' locks prevent, for `PATIENCE` seconds."""
        start = time.monotonic()
        reported = False
        while True:
            schemas.execute(connection, f"SET LOCAL lock_timeout TO '{_LOCK_TIMEOUT}'")
            savepoint = connection.begin_nested()
            try:
                result = attempt()
            except sa.exc.OperationalError as error:
                savepoint.rollback()
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
            else:
                savepoint.commit()
                schemas.execute(connection, f"SET LOCAL lock_timeout TO '{PATIENCE:.0f}s'")
                return result
            waited = time.monotonic() - start
            what = f"the release in schema {schema} of {self._shown}"
            users = schemas.users_of(connection, schema)
            if waited > PATIENCE:
                raise DatabaseError(
                    f"{what} is in use ({users}); nothing was changed; load again "
                    "when they have finished, or load into another schema with "
                    "?options=-csearch_path%3Dname"
                )
            if waited > _SILENCE and not reported:
                _log.warning("Waiting %.0f s for %s, in use by %s ...", PATIENCE, what, users)
                reported = True
            time.sleep(_PAUSE)

    def insert(self, rows: Rows) -> None:
        """Copy rows in binary."""
        assert self._connection is not None  # noqa: S101 - called within the transaction only
        dialect = self._connection.dialect
        types = [type_.compile(dialect).lower() for type_ in rows.columns.values()]
        columns = ", ".join(map(quote, rows.columns))
        # The tables were created or truncated by this transaction: rows written frozen spare the
        # server a second pass over gigabytes.
        statement = f"COPY {quote(rows.table)} ({columns}) FROM STDIN (FORMAT BINARY, FREEZE)"
        with _driver(self._connection).cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types([_wire_type(type_) for type_ in types])
            for row in rows.rows:
                copy.write_row(row)

    def values(self, array: "pa.Array", type_: SqlType) -> list[Any]:
        """Write moments as µs since 2000, as they travel."""
        if isinstance(type_, UTCDateTime):
            import pyarrow as pa
            import pyarrow.compute as pc

            array = pc.subtract(array.cast(pa.int64()), _EPOCH)
        values: list[Any] = array.to_pylist()
        return values


def _wire_type(name: str) -> str:
    # Without the digits of a numeric(10, 2).
    return _WIRE_TYPES.get(name, name.partition("(")[0])


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
    """Tell SQLAlchemy when COPY, which it does not know about, finds the connection lost.

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


def _truncate(connection: sa.Connection) -> None:
    """Empty our tables, all but the lookups, which the migrations filled."""
    # Only ours: a user's table may inherit from one of them.
    tables = (table.name for table in database.tables() if table.name not in ENUMS)
    names = ", ".join(f"ONLY {quote(table)}" for table in tables)
    schemas.execute(connection, f"TRUNCATE {names} RESTART IDENTITY")


_TRIGGERS: Final = sa.text(
    "SELECT quote_ident(c.relname), quote_ident(t.tgname), t.tgenabled::text "
    "FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = current_schema() AND c.relname = ANY(:tables) "
    "AND NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY 1, 2"
)
_FORCED: Final = sa.text(
    "SELECT quote_ident(c.relname) FROM pg_class AS c "
    "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = current_schema() AND c.relname = ANY(:tables) "
    "AND c.relforcerowsecurity ORDER BY 1"
)
_ENABLE: Final = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def _suspend_users_rules(connection: sa.Connection) -> list[str]:
    """Keep users' triggers and policies from changing what is loaded, as on SQLite.

    Returns the statements that bring them into force again.
    """
    tables = {"tables": [table.name for table in database.tables()]}
    later = []
    for table, name, enabled in connection.execute(_TRIGGERS, tables).all():
        schemas.execute(connection, f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        later.append(f"ALTER TABLE {table} {_ENABLE[enabled]} TRIGGER {name}")
    for table in connection.scalars(_FORCED, tables).all():
        schemas.execute(connection, f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        later.append(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    return later


def _drop_keys_and_indexes(connection: sa.Connection) -> list[str]:
    """Drop our foreign keys and indexes, and return the statements that create them again.

    Both cost less when the rows are there. Primary and unique keys stay: a user's view may
    depend on them.
    """
    ours = {
        "keys": [
            str(key.name) for table in database.tables() for key in table.foreign_key_constraints
        ],
        "indexes": [str(index.name) for table in database.tables() for index in table.indexes],
    }
    keys = connection.execute(
        sa.text(
            "SELECT quote_ident(c.relname), quote_ident(k.conname), pg_get_constraintdef(k.oid) "
            "FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = current_schema() AND k.conname = ANY(:keys) "
            "AND k.contype = 'f' ORDER BY k.conname"
        ),
        ours,
    ).all()
    indexes = connection.execute(
        sa.text(
            "SELECT quote_ident(indexname), indexdef FROM pg_indexes "
            "WHERE schemaname = current_schema() AND indexname = ANY(:indexes) ORDER BY indexname"
        ),
        ours,
    ).all()
    for table, name, _ in keys:
        schemas.execute(connection, f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for name, _ in indexes:
        schemas.execute(connection, f"DROP INDEX {name}")
    added = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {what}" for table, name, what in keys]
    return [*(definition for _, definition in indexes), *added]


def _analyze(connection: sa.Connection, tables: Iterable[str]) -> None:
    schemas.execute(connection, f"ANALYZE {', '.join(map(quote, tables))}")


def _advance_sequences(connection: sa.Connection) -> None:
    """Set sequences past the loaded ids, so that an insert through the ORM finds a free one."""
    for table in database.tables():
        if "id" not in table.c:
            continue
        name = quote(table.name)
        # Where the column has no sequence, this does nothing.
        schemas.execute(
            connection,
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
            f"greatest(max(id), 1), max(id) IS NOT NULL) FROM {name}",
        )
