"""Running one statement on Postgres, with a cursor in a READ ONLY transaction that is rolled back.

The server's parser accepts only queries for a cursor, and therefore rejects COPY, DO, CALL, SET and
other statements. The extended protocol accepts only one statement. But a query may call functions,
which may do everything that the role may do. Restrictions of the connection would not help, because
a function can remove them. Therefore a role with power over the server is rejected, unless the
caller trusts the statement.
"""

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError, QueryError
from dirtmodel.groups import row_size
from dirtmodel.sql.catalogue import suggest
from dirtmodel.sql.statement import (
    LARGEST_VALUE,
    Answer,
    Statement,
    out_of_memory,
    point_at,
    too_large,
    too_late,
)

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

_CURSOR: Final = "dirtmodel_sql"
_ROWS_AT_ONCE: Final = 8
"""The number of rows to fetch at a time. More are not faster, and rows may be large."""

_POWERS: Final = (
    "pg_read_server_files",
    "pg_write_server_files",
    "pg_execute_server_program",
    "pg_signal_backend",
)
_TOO_LATE: Final = "57014"


@contextlib.contextmanager
def ask(
    url: sa.URL,
    statement: Statement,
    parameters: Mapping[str, str],
    *,
    timeout: float | None,
    trust: bool,
) -> Iterator[Answer]:
    """Run a statement and stream its rows; see `dirtmodel.sql.ask`."""
    import psycopg

    if not statement.text.strip():
        raise QueryError("the statement is empty; write one that starts with SELECT")
    with database.connect(url, timeout=timeout) as connection:
        raw: Connection = connection.connection.driver_connection  # type: ignore[assignment] # of this driver
        if not trust:
            _refuse_powers(connection)
        cursor = psycopg.RawServerCursor(raw, _CURSOR)
        try:
            with _explained(connection, url, statement, timeout):
                cursor.execute(statement.numbered(), [parameters[name] for name in statement.names])
            columns = [column.name for column in cursor.description or []]
            with contextlib.closing(_rows(connection, url, statement, timeout)) as rows:
                yield Answer(columns, rows)
        finally:
            # This also closes the cursor on the server, even after an error.
            with contextlib.suppress(psycopg.Error):
                raw.rollback()
            cursor.close()


def _rows(
    connection: sa.Connection, url: sa.URL, statement: Statement, timeout: float | None
) -> Generator[tuple[Any, ...], None, None]:
    from psycopg import capabilities

    # Earlier versions of libpq stream single rows only.
    size = _ROWS_AT_ONCE if capabilities.has_stream_chunked() else 1
    with _explained(connection, url, statement, timeout):
        raw: Connection = connection.connection.driver_connection  # type: ignore[assignment] # of this driver
        for row in raw.cursor().stream(f"FETCH ALL FROM {_CURSOR}", size=size):
            # The row is in memory already, but writing it would copy it several times.
            if row_size(row) > LARGEST_VALUE:
                raise too_large()
            yield row


def _refuse_powers(connection: sa.Connection) -> None:
    """Reject a role that may do more on the server than read and write tables."""
    powerful = connection.execute(
        sa.text(
            "SELECT rolname, rolname = session_user, rolsuper FROM pg_roles "
            "WHERE pg_has_role(session_user, oid, 'MEMBER') "
            "AND (rolsuper OR rolcreaterole OR rolname = ANY(:powers)) ORDER BY 2 DESC, 1"
        ),
        {"powers": list(_POWERS)},
    ).all()
    if not powerful:
        return
    user, schema = connection.execute(
        sa.text("SELECT session_user, quote_ident(current_schema())")
    ).one()
    _, is_user, is_superuser = powerful[0]
    if is_user:
        why = "is a superuser" if is_superuser else "may create roles"
    else:
        why = f"is a member of {', '.join(name for name, _, _ in powerful)}"
    raise DatabaseError(
        f"{user} {why}, and a statement can use every power of its role, on files, roles and "
        "sessions of the server; connect as a role that can only read, which you create with:\n"
        "  CREATE ROLE reader LOGIN PASSWORD 'choose one';\n"
        f"  GRANT USAGE ON SCHEMA {schema} TO reader;\n"
        f"  GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader;\n"
        "or, if you trust the statement, add --trust (in Python: trust=True)"
    )


@contextlib.contextmanager
def _explained(
    connection: sa.Connection, url: sa.URL, statement: Statement, timeout: float | None
) -> Iterator[None]:
    """Convert errors of Postgres to `QueryError`, with the position in the text."""
    import psycopg

    try:
        yield
    except MemoryError as error:
        raise out_of_memory() from error
    except psycopg.OperationalError as error:
        if error.sqlstate == _TOO_LATE:
            raise too_late(timeout) from error
        raise database.as_error(url, error, read_only=True) or error from error
    except psycopg.Error as error:
        if error.sqlstate is None and "out of memory" in str(error):
            # Of this process, not of the server.
            raise out_of_memory() from error
        if "multiple commands" in str(error):
            raise QueryError("there is more than one statement; run one at a time") from error
        connection.connection.rollback()
        raise QueryError(_message(connection, error, statement)) from error


def _message(connection: sa.Connection, error: "psycopg.Error", statement: Statement) -> str:
    diagnosis = error.diag
    place = None
    if diagnosis.statement_position:
        before = len(f'DECLARE "{_CURSOR}" CURSOR FOR ')
        place = statement.place(int(diagnosis.statement_position) - 1 - before)
    message = point_at(
        suggest(diagnosis.message_primary or database.first_line(error), connection),
        statement.text,
        place,
    )
    further = [text for text in (diagnosis.message_detail, diagnosis.message_hint) if text]
    return "\n".join([message, *(f"  {text}" for text in further)])
