"""Writing a release into a Postgres schema, with binary COPY in one transaction.

An existing release is replaced in its own tables, which are truncated. Therefore their owners,
rights and policies are kept, and so are the views that depend on them. Readers wait during the
load; to avoid this, load into another schema.
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
"""2000-01-01, Postgres's origin of time, in µs since 1970."""

_WORK_MEMORY: Final = "128MB"
"""Memory for sorting a million reviews."""

PATIENCE = 10.0
"""Seconds that a load waits for other sessions which use the release that it replaces."""
_SILENCE: Final = 1.0
"""Seconds after which a load logs that it is waiting."""
_LOCK_TIMEOUT: Final = "500ms"
"""Time that one attempt waits for a lock.

Other readers have to wait behind it. It is shorter than the server's deadlock_timeout, after which
the server would end a reader that holds one of the tables and waits for another.
"""
_PAUSE: Final = 0.2
"""Seconds between attempts, in which other readers can proceed."""
_LOCK_NOT_AVAILABLE: Final = "55P03"

_WIRE_TYPES: Final = {
    # In binary COPY, a timestamptz is a number of µs, and json is text.
    "timestamp with time zone": "int8",
    "json": "text",
}


class PostgresWriter:
    """Copies a release into empty tables, in one transaction."""

    def __init__(self, url: sa.URL, *, replace: bool) -> None:
        self._url = url
        self._shown = database.display(url)
        self._replace = replace
        self._connection: sa.Connection | None = None

    def check_destination(self, n_bytes: int) -> None:  # noqa: ARG002 - the free space of a server is not known
        """Check the server, the role's rights, and the schema."""
        with (
            database.reach(self._url, explain=False) as connection,
            _explained(f"cannot load into {self._shown}: {{reason}}"),
        ):
            self._check(connection, schemas.chosen(connection, self._shown))

    @contextlib.contextmanager
    def transaction(self, extension: Extension) -> Iterator[sa.Connection]:
        """Begin a transaction on empty tables, and commit the release at its end."""
        with database.reach(self._url, read_only=False, explain=False) as connection:
            transaction = connection.begin()
            with (
                _explained(f"the load into {self._shown} failed: {{reason}}; nothing was changed"),
                _noticing_lost_connection(connection),
                self._filled(connection, extension),
            ):
                yield connection
            # If the server's answer to COMMIT is lost, the release may have been committed.
            with (
                _explained(
                    f"{self._shown} did not confirm the end of the load: {{reason}}; the release "
                    "was loaded completely or not at all; find out with: dirtmodel info --db "
                    f"'{self._shown}'"
                ),
                _noticing_lost_connection(connection),
            ):
                transaction.commit()

    @contextlib.contextmanager
    def _filled(self, connection: sa.Connection, extension: Extension) -> Iterator[None]:
        """Prepare the tables; keys and indexes are created after the rows are written."""
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
        suspended = _disable_triggers_and_policies(connection)
        if replacing:
            _truncate(connection)
            extending.drop_leftovers(connection, extension)
        extending.extend(connection, extension)
        postponed = _drop_keys_and_indexes(connection)
        yield
        for statement in postponed:
            schemas.execute(connection, statement)
        # Without statistics, the planner would assume that the tables are small.
        _analyze(connection, (table.name for table in database.tables()))
        schemas.execute(connection, f"SET LOCAL work_mem TO '{_WORK_MEMORY}'")
        add_reviews(connection)
        _advance_sequences(connection)
        _analyze(connection, [Review.__tablename__])
        for statement in suspended:
            schemas.execute(connection, statement)

    def _exclude_other_loads(self, connection: sa.Connection, schema: str) -> None:
        """Prevent other loads into the same schema until this transaction ends."""
        lock = sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended('dirtmodel ' || :s, 0))")
        if not connection.scalar(lock, {"s": schema}):
            raise DatabaseError(
                f"another load into schema {schema} of {self._shown} is running; wait for it to end"
            )

    def _check(self, connection: sa.Connection, schema: str) -> bool:
        """Check the schema, and return True if it contains a release to be replaced."""
        return self._retry_while_locked(
            connection,
            schema,
            lambda: schemas.check(connection, schema, self._shown, replace=self._replace),
        )

    def _lock_tables(self, connection: sa.Connection, schema: str) -> None:
        """Lock the tables of the old release, after waiting for sessions that use them."""
        names = ", ".join(map(quote, sorted(schemas.tables_in(connection, schema))))
        lock = f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE"
        self._retry_while_locked(connection, schema, lambda: schemas.execute(connection, lock))

    def _retry_while_locked(
        self, connection: sa.Connection, schema: str, attempt: Callable[[], _Result]
    ) -> _Result:
        """Repeat an attempt for `PATIENCE` seconds while other sessions' locks prevent it."""
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
        # FREEZE is allowed because this transaction created or truncated the tables. Without it,
        # the server would process gigabytes of rows a second time to freeze them.
        statement = f"COPY {quote(rows.table)} ({columns}) FROM STDIN (FORMAT BINARY, FREEZE)"
        with _driver(self._connection).cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types([_wire_type(type_) for type_ in types])
            for row in rows.rows:
                copy.write_row(row)

    def values(self, array: "pa.Array", type_: SqlType) -> list[Any]:
        """Convert an array to a list; times become µs since 2000, as in binary COPY."""
        if isinstance(type_, UTCDateTime):
            import pyarrow as pa
            import pyarrow.compute as pc

            array = pc.subtract(array.cast(pa.int64()), _EPOCH)
        values: list[Any] = array.to_pylist()
        return values


def _wire_type(name: str) -> str:
    # Drop the digits of a type such as numeric(10, 2).
    return _WIRE_TYPES.get(name, name.partition("(")[0])


# Limits that administrators set for queries. A load takes long, and is idle while it reads files.
_NO_LIMITS: Final = sa.text(
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN ('statement_timeout', "
    "'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)


@contextlib.contextmanager
def _explained(message: str) -> Iterator[None]:
    """Convert exceptions of the driver to `DatabaseError`."""
    try:
        yield
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        raise DatabaseError(message.format(reason=database.first_line(error))) from error


@contextlib.contextmanager
def _noticing_lost_connection(connection: sa.Connection) -> Iterator[None]:
    """Invalidate the connection if it was lost during COPY, which SQLAlchemy does not notice.

    Otherwise SQLAlchemy would try to roll back, and the failure of that would hide the cause.
    """
    try:
        yield
    except BaseException:
        if not connection.invalidated and _driver(connection).closed:
            connection.invalidate()
        raise


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    raw: Any = connection.connection.driver_connection
    return raw  # type: ignore[no-any-return]  # psycopg's connection, see database.engine


def _truncate(connection: sa.Connection) -> None:
    """Empty our tables, except the lookup tables, which the migrations filled."""
    # ONLY, because a user's table may inherit from one of ours.
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


def _disable_triggers_and_policies(connection: sa.Connection) -> list[str]:
    """Disable users' triggers and policies, which could change the loaded rows.

    Returns the statements that enable them again.
    """
    tables = {"tables": [table.name for table in database.tables()]}
    enabling = []
    for table, name, enabled in connection.execute(_TRIGGERS, tables).all():
        schemas.execute(connection, f"ALTER TABLE {table} DISABLE TRIGGER {name}")
        enabling.append(f"ALTER TABLE {table} {_ENABLE[enabled]} TRIGGER {name}")
    for table in connection.scalars(_FORCED, tables).all():
        schemas.execute(connection, f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        enabling.append(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    return enabling


def _drop_keys_and_indexes(connection: sa.Connection) -> list[str]:
    """Drop our foreign keys and indexes, and return the statements that create them again.

    Both take less time after the rows are written. Primary and unique keys are kept, because a
    user's view may depend on them.
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
    added = [f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}" for table, name, text in keys]
    return [*(definition for _, definition in indexes), *added]


def _analyze(connection: sa.Connection, tables: Iterable[str]) -> None:
    schemas.execute(connection, f"ANALYZE {', '.join(map(quote, tables))}")


def _advance_sequences(connection: sa.Connection) -> None:
    """Set sequences past the loaded ids, so that inserting through the ORM uses a free id."""
    for table in database.tables():
        if "id" not in table.c:
            continue
        name = quote(table.name)
        # This does nothing if the column has no sequence.
        schemas.execute(
            connection,
            f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
            f"greatest(max(id), 1), max(id) IS NOT NULL) FROM {name}",
        )
