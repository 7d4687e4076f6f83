"""Running one statement that only reads, on either engine.

The engine decides what a statement may do while it prepares and runs it; the text is not examined.
SQLite calls an authorizer for each table, column and function that the statement uses. Postgres
opens a cursor in a READ ONLY transaction; only a query can have a cursor.

- `statement`: named parameters, and positions in the text
- `declared`: types of columns on SQLite
- `catalogue`: tables, views and columns, and their descriptions
- `sqlite`, `postgres`: running the statement on each engine
"""

import contextlib
from collections.abc import Mapping
from typing import Final

from dirtmodel import database, opening
from dirtmodel.errors import QueryError
from dirtmodel.sql.statement import Answer, Statement

__all__ = ["TIMEOUT", "Answer", "ask"]

TIMEOUT: Final = 300.0
"""The default limit of the time that a statement may take, in seconds."""


def ask(
    db: opening.Database,
    text: str,
    parameters: Mapping[str, str] | None = None,
    *,
    timeout: float | None = TIMEOUT,
    trust: bool = False,
) -> contextlib.AbstractContextManager[Answer]:
    """Run one statement that only reads, and stream its rows.

    Parameters
    ----------
    db
        An open session, the path of a SQLite file, or a SQLAlchemy URL. The statement runs on a
        separate connection, and does not see uncommitted changes of a session.
    text
        One statement; `:name` is a parameter.
    parameters
        The value of each parameter as text. Postgres converts it to the type that the statement
        requires. On SQLite, a value that looks like a number becomes a number.
    timeout
        Seconds after which the statement is cancelled; None for no limit. On SQLite, a single
        call of a function that takes longer continues in a thread, which ends with the process.
    trust
        Run the statement even if the role has power over a Postgres server: if it is a superuser,
        may create roles, or is a member of a role that may use the server's files, programs or
        other sessions. The statement can use this power.

    Raises
    ------
    QueryError
        If the database rejects the statement, the statement takes too long, or a value or row has
        more than 64 MB.
    DatabaseError
        If the database cannot be opened, or the role has power over the server and `trust` is
        False.

    Examples
    --------
    >>> with ask(demo_db, "SELECT step, count(*) AS n FROM target GROUP BY step") as answer:
    ...     answer.columns, next(answer.rows)
    (['step', 'n'], (0, 4))
    """
    url = opening.url_of(db)
    values = parameters or {}
    statement = Statement.parse(text, postgres=not database.is_sqlite(url))
    _check_parameters(statement, values)
    if database.is_sqlite(url):
        from dirtmodel.sql import sqlite

        return sqlite.ask(url, statement, values, timeout=timeout)
    database.require_psycopg()
    from dirtmodel.sql import postgres

    return postgres.ask(url, statement, values, timeout=timeout, trust=trust)


def _check_parameters(statement: Statement, values: Mapping[str, str]) -> None:
    for name in statement.names:
        if name not in values:
            raise QueryError(f"the statement needs a value for :{name}; add: -p {name} VALUE")
    for name in values:
        if name not in statement.names:
            raise QueryError(
                f"the statement has no parameter :{name}; write :{name} where its value belongs"
            )
