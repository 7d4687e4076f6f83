"""From what a user types to the URL of a database, and back to text without passwords."""

import os
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from dirtmodel.errors import DatabaseError, UsageError

DEFAULT: Final = "dirt.db"

_SECRETS: Final = frozenset({"password", "passfile", "sslpassword"})


def parse_url(text: str | sa.URL | os.PathLike[str]) -> sa.URL:
    """Read a SQLAlchemy URL or a path of a SQLite file.

    `postgres://` and `postgresql://` mean psycopg 3.

    >>> parse_url("dirt.db")
    sqlite:///dirt.db
    >>> parse_url("postgres://me@host/qc").drivername
    'postgresql+psycopg'
    """
    if not isinstance(text, str | sa.URL | os.PathLike):
        raise UsageError(f"{text!r} is not a database; pass an open session, a path or a URL")
    url = text if isinstance(text, sa.URL) else _read_url(os.fspath(text))
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if isinstance(secret := url.query.get("password"), str):
        # libpq takes it there too, but only this place is hidden by SQLAlchemy in `repr`.
        url = url.set(password=secret).difference_update_query(["password"])
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"}:
            raise DatabaseError(
                "a database in memory is gone when the command ends; name a file, for example "
                "--db dirt.db"
            )
        if url.query:
            raise DatabaseError(
                f"options in a SQLite URL are not supported ({', '.join(url.query)}); give the "
                "path alone"
            )
    elif url.drivername != "postgresql+psycopg":
        raise DatabaseError(
            f"{url.drivername} is not supported; use SQLite (a path) or Postgres "
            "(postgresql://user@host/database)"
        )
    return url


def _read_url(text: str) -> sa.URL:
    """Read what was typed; what is said against it must not quote a password."""
    if "://" not in text:
        return sa.URL.create("sqlite", database=os.path.expanduser(text))  # noqa: PTH111 - as shells do, where they do not
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise DatabaseError(
            "the database URL cannot be read; write it as sqlite:///path/to/dirt.db, a plain "
            "path, or postgresql://user@host/database"
        ) from None
    if url.get_backend_name() == "sqlite" and "?" in text and not url.query:
        raise DatabaseError(
            "options in a SQLite URL are not supported; give the path alone, which may hold any "
            "character"
        )
    if "@" in (url.host or ""):
        raise DatabaseError(
            "the database URL cannot be read: there is an @ too many; in a user's name or a "
            "password write %40 for it"
        )
    return url


def display(url: sa.URL) -> str:
    """Write a URL for people, without any password it may hold.

    >>> display(parse_url("postgresql://me:secret@host/qc?sslpassword=x"))
    'postgresql://me:***@host/qc?sslpassword=***'
    """
    if is_sqlite(url):
        return str(url.database)
    shown = url.set(
        drivername="postgresql",
        query={k: "***" if k.lower() in _SECRETS else value for k, value in url.query.items()},
    )
    return shown.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def is_sqlite(url: sa.URL) -> bool:
    """Return whether a URL is SQLite's; otherwise it is Postgres's."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: sa.URL) -> Path:
    """Return the file of a SQLite URL."""
    return Path(str(url.database))
