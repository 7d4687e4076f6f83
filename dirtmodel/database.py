"""From a URL to an opened database: engines, connect hooks, revisions, migrations.

Nothing here knows what a release is, or what people ask of it.
"""

import contextlib
import math
import os
import shlex
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.errors import DatabaseError
from dirtmodel.models import Base
from dirtmodel.views import comments

DEFAULT: Final = "dirt.db"
APPLICATION_ID: Final = 0x44495254
"""'DIRT' in SQLite's file header: tells our files from those of other programs."""

SQLITE_MAGIC: Final = b"SQLite format 3\0"
_SECRETS: Final = frozenset({"password", "passfile", "sslpassword"})
_FAILURE: Final = sa.exc.DatabaseError
"""What SQLAlchemy makes of a damaged file; its subclasses mostly mean a mistake in a statement."""
_READ_ONLY_TRANSACTION: Final = "25006"
"""Postgres's code for a write in a transaction that only reads."""
_NO_RIGHT: Final = "42501"
"""Postgres's code for what a role may not do."""

_MIRRORED: Final = frozenset({"session", "image", "rating", "coordinate"})


def parse_url(text: str | sa.URL | os.PathLike[str]) -> sa.URL:
    """Read a SQLAlchemy URL or a path to a SQLite file.

    `postgres://` and `postgresql://` mean psycopg 3.

    >>> parse_url("dirt.db")
    sqlite:///dirt.db
    >>> parse_url("postgres://me@host/qc").drivername
    'postgresql+psycopg'
    """
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
    """Tell the two engines apart."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: sa.URL) -> Path:
    """Give the file of a SQLite URL."""
    return Path(str(url.database))


def engine(url: sa.URL, *, read_only: bool = False, timeout: float | None = None) -> sa.Engine:
    """Make an engine with our connect hooks.

    Parameters
    ----------
    url
        As `parse_url` gives it.
    read_only
        SQLite is opened with `mode=ro` and `query_only`; on Postgres every transaction is READ
        ONLY.
    timeout
        Seconds after which Postgres ends a statement; None for no limit.
    """
    if is_sqlite(url):
        return _sqlite_engine(url, read_only=read_only)
    return _postgres_engine(url, read_only=read_only, timeout=timeout)


def _sqlite_engine(url: sa.URL, *, read_only: bool) -> sa.Engine:
    path = sqlite_path(url)

    def connect() -> sqlite3.Connection:
        # Paths go in as URIs so that mode=ro can be asked for, whatever characters they hold.
        mode = "ro" if read_only else "rwc"
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-65536")
        if read_only:
            connection.execute("PRAGMA query_only=ON")
        return connection

    made = sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=sa.NullPool)

    # Python's sqlite3 begins a transaction before INSERT but not before DDL, so that a failed
    # migration could not be rolled back; with isolation_level=None and a BEGIN of our own it can.
    @sa.event.listens_for(made, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return made


def _postgres_engine(url: sa.URL, *, read_only: bool, timeout: float | None) -> sa.Engine:
    require_psycopg()
    # Notes are unicode, whatever the client's locale.
    options: dict[str, Any] = {"client_encoding": "utf8"}
    if "connect_timeout" not in url.query and "PGCONNECT_TIMEOUT" not in os.environ:
        options["connect_timeout"] = 10
    made = sa.create_engine(url, poolclass=sa.NullPool, connect_args=options)

    @sa.event.listens_for(made, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        # psycopg reads timestamps in this style only.
        connection.execute("SELECT set_config('TimeZone', 'UTC', false)")
        connection.execute("SELECT set_config('DateStyle', 'ISO', false)")
        if timeout is not None:
            # Rounded up, because 0 would mean no limit.
            connection.execute(f"SET statement_timeout = {math.ceil(timeout * 1000)}")
        connection.commit()

    if read_only:
        return made.execution_options(postgresql_readonly=True)
    return made


def require_psycopg() -> None:
    """Say which extra is missing rather than which module."""
    try:
        import psycopg  # noqa: F401 - only to find out whether it is there
    except ImportError as error:
        raise DatabaseError(
            "Postgres needs psycopg, which is not installed; run: pip install 'dirtmodel[postgres]'"
        ) from error


@contextlib.contextmanager
def connect(
    url: sa.URL, *, read_only: bool = True, timeout: float | None = None
) -> Iterator[sa.Connection]:
    """Connect to a database of the revision that this version needs.

    Raises
    ------
    DatabaseError
        When it is missing, unreachable, of another program, or of another revision.
    """
    with reach(url, read_only=read_only, timeout=timeout) as connection:
        check_revision(connection, url)
        # A session joins a transaction that is under way and leaves its end to whoever began it:
        # what it commits would be lost.
        connection.rollback()
        yield connection


@contextlib.contextmanager
def reach(
    url: sa.URL, *, read_only: bool = True, timeout: float | None = None
) -> Iterator[sa.Connection]:
    """Connect to a database that exists, whatever its revision."""
    if is_sqlite(url):
        _check_sqlite_file(sqlite_path(url))
    made = engine(url, read_only=read_only, timeout=timeout)
    try:
        connection = made.connect()
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        raise DatabaseError(f"cannot open {display(url)}: {_reason(url, error)}") from error
    # The caller may have other databases open, whose failures pass through here, too.
    own: list[BaseException | None] = []
    sa.event.listen(made, "handle_error", lambda context: own.append(context.sqlalchemy_exception))
    try:
        with connection:
            yield connection
    except sa.exc.DBAPIError as error:
        message = _failure(error)
        if message is None or not any(error is known for known in own):
            raise
        raise DatabaseError(f"{display(url)} {message}") from error


def _failure(error: sa.exc.DBAPIError) -> str | None:
    """Say what is the matter with a database; None where it is with the statement."""
    state = getattr(error.orig, "sqlstate", None)
    # The kind of failure is in the lowest byte.
    code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    if code == sqlite3.SQLITE_ERROR:
        return None
    if code == sqlite3.SQLITE_READONLY or state == _READ_ONLY_TRANSACTION:
        return "is open for reading only; to write, open it with read_only=False"
    if state == _NO_RIGHT:
        return f"refuses: {first_line(error)}; ask its owner for the right to read all its tables"
    if code == sqlite3.SQLITE_BUSY:
        return "is locked, for somebody else writes to it; try again when they have committed"
    if isinstance(error, sa.exc.OperationalError) or type(error) is _FAILURE:
        return f"failed: {first_line(error)}"
    return None


@contextlib.contextmanager
def open(  # noqa: A001 - `dm.open(...)` is how it reads
    db: str | sa.URL | os.PathLike[str] = DEFAULT,
    *,
    read_only: bool = True,
    timeout: float | None = None,
) -> Iterator[orm.Session]:
    """Open a database and give an `orm.Session` on it, read-only unless asked otherwise.

    Parameters
    ----------
    db
        Path of a SQLite file, or a SQLAlchemy URL.
    read_only
        With False the session can write sessions, ratings and clicks; commit yourself. On SQLite it
        keeps other writers waiting from its first statement to its end. Images are written by a
        load, which alone fills `picture` and `target`.
    timeout
        Seconds after which Postgres ends a statement; None for no limit.

    Raises
    ------
    DatabaseError
        When it is missing, unreachable, of another program, or of another revision.
    """
    with (
        connect(parse_url(db), read_only=read_only, timeout=timeout) as connection,
        orm.Session(connection) as session,
    ):
        yield session


def first_line(error: Exception) -> str:
    """Give what the driver said, without SQLAlchemy's wrapping and without the statement."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__


def _reason(url: sa.URL, error: Exception) -> str:
    reason = first_line(error)
    if is_sqlite(url) and "readonly" in reason:
        # Reading needs to write where a journal says that a change is to be undone first.
        undo = f"dirtmodel upgrade --db {shlex.quote(display(url))}"
        return f"a change to it was cut off; undo that with: {undo}"
    return reason


def _check_sqlite_file(path: Path) -> None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise DatabaseError(f"{path} is not a file; check the path given to --db")
        with path.open("rb") as file:
            start = file.read(len(SQLITE_MAGIC))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatabaseError(
            f"there is no database at {path}; make one with: "
            f"dirtmodel load RELEASE --db {shlex.quote(str(path))}"
        ) from error
    except OSError as error:
        raise DatabaseError(f"cannot read {path}: {error.strerror}") from error
    if not start:
        raise DatabaseError(
            f"{path} is empty; remove it and load a release with: "
            f"dirtmodel load RELEASE --db {shlex.quote(str(path))}"
        )
    if start != SQLITE_MAGIC:
        raise DatabaseError(f"{path} is not a SQLite database; check the path given to --db")


def migrations_folder() -> Path:
    """Find the migrations: inside the package of a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise DatabaseError(
        f"the migrations are missing beside {package}; install dirtmodel again with: "
        "pip install --force-reinstall dirtmodel"
    )


def revisions() -> tuple[str, ...]:
    """List the revisions known to this version, oldest first.

    Read off the file names, because alembic takes longer to import than most queries take.
    """
    versions = migrations_folder() / "versions"
    return tuple(sorted(file.name.partition("_")[0] for file in versions.glob("[0-9]*.py")))


def current_revision(connection: sa.Connection) -> str | None:
    """Give the revision that a database is at, or None where it has none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def check_revision(connection: sa.Connection, url: sa.URL) -> None:
    """Make sure that a database is ours and at the revision this version needs."""
    found = _own_revision(connection, url)
    known = revisions()
    if found == known[-1]:
        return
    where = display(url)
    if found in known:
        raise DatabaseError(
            f"{where} is at revision {found} and this dirtmodel needs {known[-1]}; "
            f"run: dirtmodel upgrade --db {shlex.quote(where)}"
        )
    raise DatabaseError(
        f"{where} is at revision {found}, which this dirtmodel does not know; "
        "install a newer dirtmodel with: pip install --upgrade dirtmodel"
    )


def _own_revision(connection: sa.Connection, url: sa.URL) -> str:
    try:
        found = current_revision(connection)
        tables = set(sa.inspect(connection).get_table_names())
    except sa.exc.DBAPIError as error:
        raise DatabaseError(f"cannot read {display(url)}: {first_line(error)}") from error
    if found is None or not tables >= _MIRRORED:
        raise DatabaseError(
            f"{display(url)} is not a database of dirtmodel (it has no tables of ours); "
            f"load a release with: dirtmodel load RELEASE --db {shlex.quote(display(url))}"
        )
    return found


def migrate(connection: sa.Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, in the connection's own transaction."""
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    path = ("base", *revisions())
    target = path[-1] if revision == "head" else revision
    if target not in path:
        raise DatabaseError(
            f"there is no revision {target}; choose head or one of {', '.join(path)}"
        )
    current = current_revision(connection) or "base"
    if path.index(target) < path.index(current):
        command.downgrade(config, target)
    else:
        command.upgrade(config, target)
    if target == path[-1] and connection.dialect.name == "postgresql":
        for statement in comments():
            connection.exec_driver_sql(statement.replace("%", "%%"))


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def upgrade(
    db: str | sa.URL | os.PathLike[str] = DEFAULT, revision: str = "head"
) -> tuple[str, str]:
    """Migrate a database in place, all or nothing.

    Parameters
    ----------
    db
        Path of a SQLite file, or a SQLAlchemy URL.
    revision
        Where to; an earlier one gives up what later ones added.

    Returns
    -------
    tuple
        The revision before and the revision after.

    Raises
    ------
    DatabaseError
        When it is missing, not ours, newer than this version, or could not be migrated; then it
        is as it was.
    """
    url = parse_url(db)
    with reach(url, read_only=False) as connection:
        before = _own_revision(connection, url)
        known = revisions()
        if before not in known:
            check_revision(connection, url)
        connection.rollback()
        if is_sqlite(url):
            # Dropping a table would cascade into those that point to it; the check below makes
            # sure that nothing dangles. The pragma does nothing inside a transaction.
            _raw(connection).execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                migrate(connection, revision)
                check_foreign_keys(connection)
        except sa.exc.DBAPIError as error:
            raise DatabaseError(
                f"{display(url)} could not be upgraded and is as it was: {first_line(error)}"
            ) from error
        with connection.begin():
            after = current_revision(connection) or "base"
    return before, after


def upgrade_sql(db: str | sa.URL | os.PathLike[str] = DEFAULT) -> str:
    """Write the SQL that `upgrade` would run on this database, and run none of it.

    What an upgrade reads off names and pictures that are there is a comment in it.

    Raises
    ------
    DatabaseError
        When it is missing, not ours, or newer than this version.
    """
    import io

    from alembic import command

    url = parse_url(db)
    with reach(url) as connection:
        before = _own_revision(connection, url)
        if before not in revisions():
            check_revision(connection, url)
    config = _alembic_config()
    config.output_buffer = script = io.StringIO()
    config.attributes["dialect_name"] = url.get_backend_name()
    if before != revisions()[-1]:
        command.upgrade(config, f"{before}:{revisions()[-1]}", sql=True)
    return script.getvalue()


def check_foreign_keys(connection: sa.Connection) -> None:
    """Make sure that no row points to one that is not there (Postgres checks by itself)."""
    if connection.dialect.name != "sqlite":
        return
    inspector = sa.inspect(connection)
    for name in inspector.get_table_names():
        if name in Base.metadata.tables:
            _check_own_keys(connection, name, inspector.get_foreign_keys(name))
            continue
        # Tables of others may refer by several columns, or without naming any.
        quoted = connection.dialect.identifier_preparer.quote(name)
        dangling = connection.exec_driver_sql(f"PRAGMA foreign_key_check({quoted})").first()
        if dangling is not None:
            raise DatabaseError(
                f"row {dangling[1]} of table {dangling[0]} points to a missing row of "
                f"{dangling[2]}; nothing was changed"
            )


def _check_own_keys(connection: sa.Connection, name: str, keys: Sequence[Any]) -> None:
    """Look up each value that occurs once; the pragma takes ten times as long, row by row."""
    for key in keys:
        (column,), (referred,) = key["constrained_columns"], key["referred_columns"]
        child = sa.table(name, sa.column(column)).c[column]
        parent = sa.table(key["referred_table"], sa.column(referred)).c[referred]
        dangling = sa.select(child).distinct().where(child.not_in(sa.select(parent))).limit(1)
        found = connection.scalar(dangling)
        if found is not None:
            raise DatabaseError(
                f"{name}.{column} holds {found}, but there is no {key['referred_table']} of "
                f"that {referred}; nothing was changed"
            )


def _raw(connection: sa.Connection) -> Any:
    """Give the driver's own connection."""
    return connection.connection.driver_connection


def tables() -> list[sa.Table]:
    """List our tables, referenced ones first."""
    return Base.metadata.sorted_tables
