"""Any one statement that only reads, on either engine.

What a statement may do is decided by the engine as it prepares and runs it, never by how the text
looks: SQLite asks an authorizer about each thing it is to touch; Postgres opens a cursor, which
only a query can have, in a READ ONLY transaction.

- `statement`: named parameters, and places in the text
- `sqlite`, `postgres`: one way to ask per engine
"""

import contextlib
from collections.abc import Mapping
from typing import Final

from dirtmodel import database, opening
from dirtmodel.errors import QueryError
from dirtmodel.sql.statement import Answer, Statement

__all__ = ["TIMEOUT", "Answer", "ask"]

TIMEOUT: Final = 300.0
"""Seconds that a statement may take unless told otherwise."""


def ask(
    db: opening.Database,
    text: str,
    parameters: Mapping[str, str] | None = None,
    *,
    timeout: float | None = TIMEOUT,
    trust: bool = False,
) -> contextlib.AbstractContextManager[Answer]:
    """Run one statement that only reads, and stream what it gives.

    Parameters
    ----------
    db
        An open session, the path of a SQLite file, or a SQLAlchemy URL. The statement runs on a
        connection of its own, and does not see what a session has not committed.
    text
        One statement; `:name` stands for a parameter.
    parameters
        The value of each parameter as it was typed. Postgres gives it the type that its place in
        the statement asks for; SQLite has no such types, and takes what looks like a number for
        one.
    timeout
        Seconds after which it is given up; None for no limit. On SQLite, a single call of a
        function that takes longer runs on in a thread, which ends with the process.
    trust
        Run the statement even if the role has powers over a Postgres server: superusers, those who
        may create roles, and members of roles that may reach the server's files, programs or the
        sessions of others. The statement can use all of them.

    Raises
    ------
    QueryError
        When the database refuses the statement, it takes too long, or a value or row has more than
        64 MB.
    DatabaseError
        When the database cannot be opened, or its role must be trusted.

    Examples
    --------
    >>> with ask(demo_db, "SELECT step, count(*) AS n FROM target GROUP BY step") as answer:
    ...     answer.columns, next(answer.rows)
    (['step', 'n'], (0, 4))
    """
    url = opening.url_of(db)
    given = parameters or {}
    statement = Statement.parse(text, postgres=not database.is_sqlite(url))
    _check_parameters(statement, given)
    if database.is_sqlite(url):
        from dirtmodel.sql import sqlite

        return sqlite.ask(url, statement, given, timeout=timeout)
    database.require_psycopg()
    from dirtmodel.sql import postgres

    return postgres.ask(url, statement, given, timeout=timeout, trust=trust)


def _check_parameters(statement: Statement, given: Mapping[str, str]) -> None:
    for name in statement.names:
        if name not in given:
            raise QueryError(f"the statement needs a value for :{name}; add: -p {name} VALUE")
    for name in given:
        if name not in statement.names:
            raise QueryError(
                f"the statement has no parameter :{name}; write :{name} where its value belongs"
            )
