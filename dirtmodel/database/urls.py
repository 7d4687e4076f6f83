"""Reading the URL of a database from a user's text, and displaying it without passwords."""

import os
import re
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from dirtmodel.errors import DatabaseError, UsageError

DEFAULT: Final = "dirt.db"

_SECRET: Final = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)
"""Names of URL options whose values are hidden. Misspelled names match as well."""

_PATH: Final = re.compile(r"/|\.\.?/|~")
"""The beginning of a text that can only be a path."""

_PARAMETERS: Final = re.compile(
    r"(?:^|[\s;&?])(?:host|hostaddr|port|dbname|database|server|user|username|uid|password|passwd|"
    r"pwd|service|sslmode)\s*=",
    re.IGNORECASE,
)
_MISSPELLED: Final = re.compile(
    r"(?:jdbc:)?\w*(?:postgres|pgsql|sqlite)\w*[+\w]*:|.*:.*@", re.DOTALL
)

_UNREADABLE: Final = (
    "the database URL cannot be read; write it as sqlite:///path/to/dirt.db, a plain path, or "
    "postgresql://user@host/database; a path that looks like a URL needs ./ in front"
)


def parse_url(text: str | sa.URL | os.PathLike[str]) -> sa.URL:
    """Read a SQLAlchemy URL, the path of a SQLite file, or libpq's `host=… dbname=…`.

    `postgres://` and `postgresql://` mean psycopg 3. Path objects, and text that begins like a path
    (`/`, `./`, `../`, `~`), are paths whatever else they contain.

    >>> parse_url("dirt.db")
    sqlite:///dirt.db
    >>> parse_url("postgres://me@host/qc").drivername
    'postgresql+psycopg'
    >>> parse_url("host=db.example.org dbname=qc user=me")
    postgresql+psycopg://me@db.example.org/qc
    """
    if not isinstance(text, str | sa.URL | os.PathLike):
        raise UsageError(f"{text!r} is not a database; pass an open session, a path or a URL")
    if isinstance(text, os.PathLike):
        url = _file(os.fspath(text))
    else:
        url = _read_url(text) if isinstance(text, str) else text
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    if isinstance(secret := url.query.get("password"), str):
        # libpq accepts a password as an option, but SQLAlchemy's `repr` would show it there.
        url = url.set(password=secret).difference_update_query(["password"])
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"}:
            raise DatabaseError(
                "a database in memory is gone when the command ends; name a file, for example "
                "--db dirt.db"
            )
        if url.query:
            raise DatabaseError(
                f"options in a SQLite URL are not supported ({', '.join(url.query)}); use the path "
                "alone"
            )
    elif url.drivername != "postgresql+psycopg":
        raise DatabaseError(
            f"{url.drivername} is not supported; use SQLite (a path) or Postgres "
            "(postgresql://user@host/database)"
        )
    return url


def _read_url(text: str) -> sa.URL:
    """Read a URL, a path or parameters. Error messages do not quote it: it may have a password."""
    if _is_path(text):
        return _file(text)
    if "://" not in text:
        if _PARAMETERS.search(text):
            return _read_parameters(text)
        raise DatabaseError(_UNREADABLE)
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise DatabaseError(_UNREADABLE) from None
    if url.get_backend_name() == "sqlite" and "?" in text and not url.query:
        raise DatabaseError(
            "options in a SQLite URL are not supported; use the path alone, which may contain any "
            "character"
        )
    if "@" in (url.host or ""):
        raise DatabaseError(
            "the database URL cannot be read: it has more than one @; in a user name or a password "
            "write %40 instead"
        )
    return url


def _is_path(text: str) -> bool:
    looks_special = "://" in text or _PARAMETERS.search(text) or _MISSPELLED.match(text)
    return bool(_PATH.match(text)) or not looks_special


def _file(path: str) -> sa.URL:
    return sa.URL.create("sqlite", database=os.path.expanduser(path))  # noqa: PTH111 - as shells do, where they do not


def _read_parameters(text: str) -> sa.URL:
    """Read libpq's connection parameters, which psql accepts as well."""
    require_psycopg()
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        query = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    except psycopg.Error:
        raise DatabaseError(
            "the connection parameters cannot be read; write them as 'host=db.example.org "
            "dbname=qc user=me'; a path that looks like them needs ./ in front"
        ) from None
    host = re.fullmatch(r"[\w.-]+", query.get("host", "")) and query.pop("host")
    return sa.URL.create(
        "postgresql+psycopg",
        username=query.pop("user", None),
        password=query.pop("password", None),
        host=host or None,
        database=query.pop("dbname", None),
        query=query,
    )


def display(url: sa.URL) -> str:
    """Return the text of a URL for messages, without passwords.

    >>> display(parse_url("postgresql://me:secret@host/qc?sslpassword=x"))
    'postgresql://me:***@host/qc?sslpassword=***'
    """
    if is_sqlite(url):
        path = str(url.database)
        return path if _is_path(path) else f"./{path}"
    shown = url.set(
        drivername="postgresql",
        query={k: "***" if _SECRET.search(k) else value for k, value in url.query.items()},
    )
    return shown.render_as_string(hide_password=True).replace("%2A%2A%2A", "***")


def is_sqlite(url: sa.URL) -> bool:
    """Return True if a URL is for SQLite, and False if it is for Postgres."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: sa.URL) -> Path:
    """Return the path of a SQLite URL."""
    return Path(str(url.database))


def require_psycopg() -> None:
    """Make sure that psycopg is installed; the error tells users how to install it."""
    try:
        import psycopg  # noqa: F401 - only to find out whether it is installed
    except ImportError as error:
        raise DatabaseError(
            "Postgres needs psycopg, which is not installed; install dirtmodel with its extra "
            "postgres, or run: pip install 'psycopg[binary]'"
        ) from error
