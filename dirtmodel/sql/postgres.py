"""One statement on Postgres, through a cursor of a READ ONLY transaction that is rolled back.

A cursor can be declared for a query only, so that COPY, DO, CALL, SET and everything else that is
not one never gets past the server's own parser; the extended protocol takes one statement only.
What is left are functions, and what they may do depends on the role. A superuser's may read and
write the server's files, so that its statements run with the rights of `pg_read_all_data`.
"""

import contextlib
import re
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError, QueryError
from dirtmodel.sql.catalogue import suggest
from dirtmodel.sql.statement import Answer, Statement, point_at

if TYPE_CHECKING:
    import psycopg

    Cursor = psycopg.RawServerCursor[tuple[Any, ...]]

_CURSOR: Final = "dirtmodel_sql"
_READER: Final = "pg_read_all_data"
_POWERS: Final = ("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program")
_ROWS_AT_A_TIME: Final = 2_000
_PICTURES_AT_A_TIME: Final = 16
_BYTEA: Final = 17
_WAY_BACK: Final = re.compile(
    r"set_config|query_to_xml|ts_stat|ts_rewrite|dblink|\bu&", re.IGNORECASE
)
"""Whoever was allowed to change into `pg_read_all_data` may change back, by a setting; of the
functions that Postgres brings, these set one or run a text as a statement. No statement can call
them without naming them, except in escaped characters."""

_TOO_LATE: Final = "57014"
_GONE: Final = ("08", "57P")


@contextlib.contextmanager
def ask(
    url: sa.URL, statement: Statement, parameters: Mapping[str, str], *, timeout: float | None
) -> Iterator[Answer]:
    """Run the statement and stream its rows."""
    import psycopg

    if not statement.text.strip():
        raise QueryError("the statement is empty; write one that starts with SELECT")
    with database.connect(url, timeout=timeout) as connection:
        raw: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment] # of this driver
        raw.execute("SET TRANSACTION READ ONLY")
        warnings = _give_up_powers(raw, statement.text)
        values = [parameters[name] for name in statement.names]
        try:
            with psycopg.RawServerCursor(raw, _CURSOR) as cursor:
                with _explained(url, statement, timeout):
                    cursor.execute(statement.numbered(), values)
                described = cursor.description or []
                has_bytes = any(column.type_code == _BYTEA for column in described)
                cursor.itersize = _PICTURES_AT_A_TIME if has_bytes else _ROWS_AT_A_TIME
                columns = [column.name for column in described]
                with contextlib.closing(_rows(cursor, url, statement, timeout)) as rows:
                    yield Answer(columns, rows, warnings)
        finally:
            raw.rollback()


def _rows(
    cursor: "Cursor", url: sa.URL, statement: Statement, timeout: float | None
) -> Generator[tuple[Any, ...], None, None]:
    deadline = None if timeout is None else time.monotonic() + timeout
    with _explained(url, statement, timeout):
        for row in cursor:
            yield row
            if deadline is not None and time.monotonic() > deadline:
                raise _late(timeout)


def _give_up_powers(raw: "psycopg.Connection[Any]", text: str) -> list[str]:
    """Change into a role that can only read where the role could do more; give the warning."""
    import psycopg

    row = raw.execute(
        "SELECT session_user, rolsuper, "
        "array(SELECT power FROM unnest(%s::text[]) AS power "
        "WHERE pg_has_role(session_user, power, 'MEMBER')), "
        "(SELECT string_agg(quote_ident(name), ',' ORDER BY place) "
        "FROM unnest(current_schemas(false)) WITH ORDINALITY AS schemas (name, place)) "
        "FROM pg_roles WHERE rolname = session_user",
        [list(_POWERS)],
    ).fetchone()
    user, is_superuser, powers, search_path = row  # type: ignore[misc] # every session has a role
    if not powers:
        return []
    why = "is a superuser" if is_superuser else f"is a member of {', '.join(powers)}"
    advice = "connect as a role that can only read"
    if _WAY_BACK.search(text):
        raise QueryError(
            f"{user} {why}, and for such a role the statement may not name functions that change "
            f"settings or run a text as a statement; {advice}"
        )
    try:
        # "$user" would mean another schema to the other role.
        raw.execute("SELECT set_config('search_path', %s, true)", [search_path])
        raw.execute(f"SET LOCAL ROLE {_READER}")
    except psycopg.Error as error:
        raise DatabaseError(
            f"{user} {why} and could reach the server's files, so that it may not run statements; "
            f"{advice}, or make it a member of {_READER}"
        ) from error
    return [f"{user} {why}; the statement runs as {_READER} instead. Better {advice}."]


@contextlib.contextmanager
def _explained(url: sa.URL, statement: Statement, timeout: float | None) -> Iterator[None]:
    """Turn what Postgres says into our error, with the place in the text."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state == _TOO_LATE:
            raise _late(timeout) from error
        if not state or state.startswith(_GONE):
            raise DatabaseError(
                f"{database.display(url)} failed: {database.first_line(error)}"
            ) from error
        if "multiple commands" in str(error):
            raise QueryError("there is more than one statement; give one at a time") from error
        raise QueryError(_message(error, statement)) from error


def _message(error: "psycopg.Error", statement: Statement) -> str:
    diagnosis = error.diag
    place = None
    if diagnosis.statement_position:
        before = len(f'DECLARE "{_CURSOR}" CURSOR FOR ')
        place = statement.place(int(diagnosis.statement_position) - 1 - before)
    message = point_at(
        suggest(diagnosis.message_primary or database.first_line(error)), statement.text, place
    )
    further = [text for text in (diagnosis.message_detail, diagnosis.message_hint) if text]
    return "\n".join([message, *(f"  {text}" for text in further)])


def _late(timeout: float | None) -> QueryError:
    return QueryError(
        f"the statement took longer than {timeout:g} s; give it more with --timeout"
        if timeout is not None
        else "the statement was cancelled on the server; ask its administrator, or try again"
    )
