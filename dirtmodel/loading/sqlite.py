"""Writing a release into a SQLite file.

The new database is written to a temporary file beside its destination, without journal or fsync. It
is renamed when it is complete; until then, an existing database is left unchanged.
"""

import concurrent.futures
import contextlib
import itertools
import os
import shlex
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel import database, partial
from dirtmodel.database.fragments import quote
from dirtmodel.errors import DatabaseError
from dirtmodel.loading import extending, keep
from dirtmodel.loading.refresh import add_reviews
from dirtmodel.loading.writer import Rows, SqlType
from dirtmodel.models import UTCDateTime
from dirtmodel.release import Extension

if TYPE_CHECKING:
    import pyarrow as pa

_WRITING: Final = (
    "synchronous=OFF",
    "foreign_keys=OFF",
    # Pictures are not read again, so that a larger cache would not help.
    "cache_size=-16384",
)
# For creating indexes. Sorting takes further memory; rows that do not fit are sorted in files.
_SORTING: Final = "cache_size=-98304"
_REVIEWS: Final = frozenset({"review", "tally"})
"""Tables that are computed from the other tables after these are written."""
_FLUSH_SECONDS: Final = 0.2
"""Seconds between two calls of fsync during a load."""
_APPLICATION_ID: Final = slice(68, 72)
"""Position of the application id in a SQLite file."""


class SqliteWriter:
    """Writes a new file beside the destination, and renames it when it is complete."""

    def __init__(self, url: sa.URL, *, replace: bool) -> None:
        # If the path is a link, the file that it points to is replaced.
        self._path = Path(os.path.realpath(database.sqlite_path(url)))
        self._shown = database.sqlite_path(url)
        self._replace = replace
        self._partial = self._path.with_name(f"{self._path.name}{partial.SUFFIX}")
        self._connection: sqlite3.Connection | None = None

    def check_destination(self, n_bytes: int) -> None:
        """Check the folder, the right to write, the free space, and any existing file."""
        folder = self._path.parent
        if not folder.is_dir():
            make = f"mkdir -p {shlex.quote(str(folder))}"
            raise DatabaseError(f"there is no folder {folder}; make it with: {make}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DatabaseError(f"no right to write in {folder}; choose another place with --db")
        self._check_existing()
        if self._path.exists():
            # Only locks matter here. Other errors are reported when users' objects are copied.
            with contextlib.suppress(sqlite3.Error), self._locked_old():
                pass
        free = shutil.disk_usage(folder).free
        if free < n_bytes:
            raise DatabaseError(
                f"{folder} has {_size(free)} free and the release needs at least "
                f"{_size(n_bytes)}; free some space or choose another place with --db"
            )

    def _check_existing(self) -> None:
        exists = self._path.exists()
        for suffix in ("-journal", "-wal"):
            leftover = self._path.with_name(self._path.name + suffix)
            if not leftover.exists():
                continue
            if not exists:
                raise DatabaseError(
                    f"{leftover} is left over from another database and would damage a new one; "
                    "remove it, or choose another place with --db"
                )
            upgrade = f"dirtmodel upgrade --db {shlex.quote(str(self._shown))}"
            raise DatabaseError(
                f"{leftover} shows that another program uses {self._shown}, or died while it wrote "
                "to it; close that program; if none is left, complete or undo its last change "
                f"with: {upgrade}"
            )
        if not exists:
            return
        if not _is_ours(self._path):
            raise DatabaseError(
                f"{self._shown} is not a database of dirtmodel and will not be replaced; choose "
                "another place with --db"
            )
        if not self._replace:
            raise DatabaseError(
                f"{self._shown} exists; add --replace to replace it (it is left unchanged until "
                "the new one is complete)"
            )
        self._check_old_revision()

    def _check_old_revision(self) -> None:
        """Reject a revision of a newer version, whose own objects are not known."""
        with contextlib.closing(_unlocked(self._path)) as old:
            try:
                revision = _revision(old)
            except sqlite3.Error:
                # Another program may be writing to it. Other errors are reported later.
                return
        if revision not in (None, *database.known_revisions()):
            raise DatabaseError(
                f"{self._shown} is at revision {revision}, which this dirtmodel does not know; "
                "install a newer version of dirtmodel"
            )

    @contextlib.contextmanager
    def transaction(self, extension: Extension) -> Iterator[sa.Connection]:
        """Begin to write the new file, and rename it at the end of the transaction."""
        try:
            self._remove_leftover()
            if self._path.exists():
                self._try_users_objects(extension)
            with self._claim() as (connection, handle), contextlib.ExitStack() as stack:
                with _flushed_regularly(handle), connection.begin():
                    before_reviews, after_reviews = _empty_schema(connection, extension)
                    yield connection
                    connection.exec_driver_sql(f"PRAGMA {_SORTING}")
                    for sql in before_reviews:
                        connection.exec_driver_sql(sql)
                    add_reviews(connection)
                    for sql in after_reviews:
                        connection.exec_driver_sql(sql)
                    if self._path.exists():
                        self._keep_users_objects(stack)
                    database.check_foreign_keys(connection)
                    connection.exec_driver_sql("ANALYZE")
                self._put_in_place(handle)
        except (sqlite3.Error, sa.exc.DBAPIError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise DatabaseError(
                f"could not write {self._partial}: {reason or database.first_line(error)}; "
                + (f"{self._shown} is unchanged" if self._path.exists() else "nothing was loaded")
            ) from error

    def _try_users_objects(self, extension: Extension) -> None:
        """Copy users' objects to an empty database, to find errors before rows are written."""
        with contextlib.ExitStack() as stack:
            old, kept, _ = self._users_objects(stack)
            if not kept.objects:
                return
            engine = sa.create_engine("sqlite://")
            stack.callback(engine.dispose)
            with engine.begin() as empty:
                for sql in itertools.chain(*_empty_schema(empty, extension)):
                    empty.exec_driver_sql(sql)
                keep.copy_objects(old, keep.driver(empty), kept, rows=False)

    def _keep_users_objects(self, stack: contextlib.ExitStack) -> None:
        """Copy users' objects from the old database, which stays locked until the stack closes."""
        # Check again: the file may have been created while the release was loaded.
        self._check_existing()
        old, kept, in_wal_mode = self._users_objects(stack)
        keep.copy_objects(old, self._raw, kept)
        if in_wal_mode:
            # Closing the old database removes its log, which would be beside the new database.
            stack.close()

    def _users_objects(
        self, stack: contextlib.ExitStack
    ) -> tuple[sqlite3.Connection, keep.Kept, bool]:
        """Open the old database as `_locked_old` does, and list what users added to it."""
        try:
            old, in_wal_mode = stack.enter_context(self._locked_old())
            return old, keep.users_objects(old, _revision(old), "load"), in_wal_mode
        except sqlite3.Error as error:
            raise DatabaseError(
                f"{self._shown} cannot be read ({error}), so that tables and views added to it "
                "would be lost; nothing was changed; move it to another place, and load again"
            ) from error

    @contextlib.contextmanager
    def _locked_old(self) -> Iterator[tuple[sqlite3.Connection, bool]]:
        """Open the database that is to be replaced, and lock it against writing.

        Yields the connection, and True if the database is in WAL mode, in which it is not locked.
        """
        writable = os.access(self._path, os.W_OK)
        uri = f"{self._path.as_uri()}?mode={'rw' if writable else 'ro'}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as old:
            try:
                (mode,) = old.execute("PRAGMA journal_mode").fetchone()
                in_wal_mode = mode == "wal"
                old.execute("BEGIN IMMEDIATE" if writable and not in_wal_mode else "BEGIN")
            except sqlite3.OperationalError as error:
                raise DatabaseError(
                    f"{self._shown} cannot be replaced: {error}; nothing was changed; try again "
                    "when no other program writes to it"
                ) from error
            yield old, in_wal_mode

    @contextlib.contextmanager
    def _claim(self) -> Iterator[tuple[sa.Connection, int]]:
        """Create the temporary file, and hold a lock on it until it is renamed or removed.

        Only the process that holds the lock may rename or remove it. Yields the connection, and a
        handle that stays open: closing any handle of a file releases the process's locks on it.
        """
        try:
            handle = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError as error:
            raise self._busy() from error
        if self._path.exists():
            # The new file gets the permissions of the old one.
            os.fchmod(handle, self._path.stat().st_mode & 0o777)
        own = True
        engine = database.engine(sa.URL.create("sqlite", database=str(self._partial)))
        try:
            with engine.connect() as connection:
                self._connection = raw = keep.driver(connection)
                try:
                    if not _lock(raw) or not partial.is_at(handle, self._partial):
                        own = False
                        raise self._busy()
                    for pragma in (*_WRITING, f"application_id={database.APPLICATION_ID}"):
                        raw.execute(f"PRAGMA {pragma}")
                    yield connection, handle
                finally:
                    if own and partial.is_at(handle, self._partial):
                        self._partial.unlink()
        finally:
            self._connection = None
            os.close(handle)

    def _remove_leftover(self) -> None:
        """Remove the temporary file of a load that was killed; raise an error if it is in use."""
        inode = _inode(self._partial)
        if inode is None:
            return
        with contextlib.closing(sqlite3.connect(self._partial)) as leftover:
            # Another load may have removed it meanwhile, and created its own.
            if not _lock(leftover) or _inode(self._partial) != inode:
                raise self._busy()
            self._partial.unlink()

    def _busy(self) -> DatabaseError:
        return DatabaseError(f"another load into {self._shown} is running; wait for it to end")

    def _put_in_place(self, handle: int) -> None:
        os.fsync(handle)
        self._check_existing()
        partial.move(handle, self._partial, self._path)
        _sync(self._path.parent)

    @property
    def _raw(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - called within the transaction only
        return self._connection

    def insert(self, rows: Rows) -> None:
        """Insert with the driver, which accepts slices of Arrow's buffers without a copy."""
        columns = ", ".join(map(quote, rows.columns))
        places = ", ".join("?" * len(rows.columns))
        self._raw.executemany(
            f"INSERT INTO {quote(rows.table)} ({columns}) VALUES ({places})", rows.rows
        )

    def values(self, array: "pa.Array", type_: SqlType) -> list[Any]:
        """Convert an array to a list; times, dates and decimal numbers become text."""
        import pyarrow as pa

        if isinstance(type_, UTCDateTime | sa.Date):
            array = array.cast(pa.string())
        values: list[Any] = array.to_pylist()
        if isinstance(type_, sa.Numeric) and not isinstance(type_, sa.Float):
            return [None if value is None else str(value) for value in values]
        return values


@contextlib.contextmanager
def _flushed_regularly(handle: int) -> Iterator[None]:
    """Call fsync regularly while a file is written, so that the last call takes little time."""
    done = threading.Event()

    def flush() -> None:
        while not done.wait(_FLUSH_SECONDS):
            os.fsync(handle)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        flushing = pool.submit(flush)
        try:
            yield
        finally:
            done.set()
    flushing.result()


def _size(n_bytes: int) -> str:
    """Return a size with enough digits to compare it with another one.

    >>> _size(3_456_000_000), _size(45_678_900), _size(12_345)
    ('3.46 GB', '45.68 MB', '12,345 bytes')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.2f} {name}"
    return f"{n_bytes:,} bytes"


def _unlocked(path: Path) -> sqlite3.Connection:
    """Open a file without locking it, and without creating a log if it is in WAL mode."""
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)


def _is_ours(path: Path) -> bool:
    """Return True if the header of a file is that of one of our databases."""
    # Locks of SQLite do not prevent reading the header directly.
    try:
        with path.open("rb") as file:
            header = file.read(_APPLICATION_ID.stop)
    except IsADirectoryError:
        return False
    except OSError as error:
        raise DatabaseError(f"cannot read {path}: {error.strerror}; nothing was changed") from error
    application_id = int.from_bytes(header[_APPLICATION_ID], "big")
    return header.startswith(database.SQLITE_MAGIC) and application_id == database.APPLICATION_ID


def _revision(connection: sqlite3.Connection) -> str | None:
    """Return the revision of a database, or None if it has none."""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _lock(connection: sqlite3.Connection) -> bool:
    """Lock a file until the connection is closed; return False if another connection holds a lock.

    A file that is not a database is not locked; a load that was killed early leaves such a file.
    """
    try:
        for pragma in ("busy_timeout=0", "locking_mode=EXCLUSIVE", "journal_mode=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise
    except sqlite3.DatabaseError:
        pass
    return True


def _empty_schema(connection: sa.Connection, extension: Extension) -> tuple[list[str], list[str]]:
    """Create the tables without indexes, views and triggers.

    Returns
    -------
    tuple
        Statements that create these: before and after the reviews are computed.
    """
    database.migrate(connection)
    # Creating indexes takes less time at the end. A view would prevent changing columns of tables.
    postponed = connection.exec_driver_sql(
        "SELECT type, name, tbl_name, sql FROM sqlite_master "
        "WHERE type IN ('index', 'view', 'trigger') AND sql IS NOT NULL "
        # Triggers before views: dropping a view drops its triggers.
        "ORDER BY type = 'view', type = 'index', rowid"
    ).all()
    for kind, name, _, _ in postponed:
        connection.exec_driver_sql(f"DROP {kind} {name}")
    extending.extend(connection, extension)
    early: list[str] = []
    late: list[str] = []
    for kind, _, table, sql in reversed(postponed):
        (early if kind == "index" and table not in _REVIEWS else late).append(sql)
    return early, late


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
