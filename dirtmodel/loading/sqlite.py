"""Writing a release into a SQLite file.

The new database grows in a file beside its destination, without journal or fsync, and takes the
destination's place by a rename when it is complete: whatever happens before, the old one is there.
"""

import concurrent.futures
import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import DatabaseError
from dirtmodel.loading import judgements

if TYPE_CHECKING:
    import pyarrow as pa


_WRITING: Final = (
    "synchronous=OFF",
    "foreign_keys=OFF",
    # The reader has found every value known to its enum; SQLite would take longer to ask than to
    # write.
    "ignore_check_constraints=ON",
    # Pictures pass through; more would only add to the memory that a load needs.
    "cache_size=-16384",
)
# What is sorted for an index comes on top of it, and what does not fit goes through files.
_SORTING: Final = "cache_size=-32768"
_FLUSH_SECONDS: Final = 0.2
_PARTIAL: Final = ".dirtmodel-partial"
"""A name that nobody else gives: what is found under it is cleared away."""


class SqliteWriter:
    """Builds a new file beside the destination and renames it into its place."""

    def __init__(self, url: sa.URL, *, replace: bool) -> None:
        # The database may be reached through a link: the file it points to is what is replaced.
        self._path = Path(os.path.realpath(database.sqlite_path(url)))
        self._shown = database.sqlite_path(url)
        self._replace = replace
        self._partial = self._path.with_name(f"{self._path.name}{_PARTIAL}")
        self._connection: sqlite3.Connection | None = None

    def check_destination(self, n_bytes: int) -> None:
        """Refuse what cannot work: folder, rights, space, or something else at the destination."""
        folder = self._path.parent
        if not folder.is_dir():
            raise DatabaseError(f"there is no folder {folder}; make it with: mkdir -p {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise DatabaseError(f"no right to write in {folder}; choose another place with --db")
        self._check_existing()
        free = shutil.disk_usage(folder).free
        if free < n_bytes:
            raise DatabaseError(
                f"{folder} has {free / 1e9:.1f} GB free and the release needs at least "
                f"{n_bytes / 1e9:.1f} GB; free some space or choose another place with --db"
            )

    def _check_existing(self) -> None:
        there = self._path.exists()
        for suffix in ("-journal", "-wal"):
            leftover = self._path.with_name(self._path.name + suffix)
            if not leftover.exists():
                continue
            if not there:
                raise DatabaseError(
                    f"{leftover} is left over from another database and would damage a new one; "
                    "remove it, or choose another place with --db"
                )
            raise DatabaseError(
                f"{leftover} shows that another program writes to {self._shown} or died doing "
                f"so; close it, or repair with: sqlite3 {self._shown} 'pragma quick_check'"
            )
        if not there:
            return
        if not _is_ours(self._path):
            raise DatabaseError(
                f"{self._shown} is not a database of dirtmodel and will not be replaced; choose "
                "another place with --db"
            )
        if not self._replace:
            raise DatabaseError(
                f"{self._shown} exists; add --replace to load into its place (it stays as it is "
                "until the new one is complete)"
            )

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Build the new file; on success it takes the destination's place."""
        try:
            self._clear_stale()
            with self._claim() as (connection, handle):
                with _written_back(handle), connection.begin():
                    indexes, triggers = _empty_schema(connection)
                    yield connection
                    connection.exec_driver_sql(f"PRAGMA {_SORTING}")
                    for sql in indexes:
                        connection.exec_driver_sql(sql)
                    judgements.fill(connection)
                    for sql in triggers:
                        connection.exec_driver_sql(sql)
                    database.check_foreign_keys(connection)
                    connection.exec_driver_sql("ANALYZE")
                self._put_in_place(handle)
        except (sqlite3.Error, sa.exc.DBAPIError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            raise DatabaseError(
                f"could not write {self._partial}: {reason or database.first_line(error)}; "
                + (f"{self._shown} is as it was" if self._path.exists() else "nothing was loaded")
            ) from error

    @contextlib.contextmanager
    def _claim(self) -> Iterator[tuple[sa.Connection, int]]:
        """Make the partial file, and hold its lock until it is renamed or removed.

        Only who holds the lock may do either, so that two loads never take each other's file. The
        handle given beside the connection stays open as long: closing any handle of a file gives
        up the process's locks on it.
        """
        try:
            handle = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError as error:
            raise self._busy() from error
        if self._path.exists():
            # Who may read the old file, and nobody else, may read what takes its place.
            os.fchmod(handle, self._path.stat().st_mode & 0o777)
        own: int | None = os.fstat(handle).st_ino
        engine = database.engine(sa.URL.create("sqlite", database=str(self._partial)))
        try:
            with engine.connect() as connection:
                raw = connection.connection.driver_connection
                assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - for the type checker
                self._connection = raw
                try:
                    if not _lock(raw) or _inode(self._partial) != own:
                        own = None
                        raise self._busy()
                    for pragma in (*_WRITING, f"application_id={database.APPLICATION_ID}"):
                        raw.execute(f"PRAGMA {pragma}")
                    yield connection, handle
                finally:
                    if own is not None and _inode(self._partial) == own:
                        self._partial.unlink()
        finally:
            self._connection = None
            os.close(handle)

    def _clear_stale(self) -> None:
        """Remove what a killed load left behind, unless a living one holds it."""
        found = _inode(self._partial)
        if found is None:
            return
        with contextlib.closing(sqlite3.connect(self._partial)) as stale:
            # A second load may have cleared it since, and begun one of its own.
            if not _lock(stale) or _inode(self._partial) != found:
                raise self._busy()
            self._partial.unlink()

    def _busy(self) -> DatabaseError:
        return DatabaseError(f"another load into {self._shown} is running; wait for it to end")

    def _put_in_place(self, handle: int) -> None:
        os.fsync(handle)
        self._check_existing()
        self._partial.replace(self._path)
        _sync(self._path.parent)

    def insert(self, table: sa.FromClause, names: Sequence[str], rows: Iterable[Any]) -> None:
        """Insert through the driver, which takes slices of Arrow's buffers as they are."""
        assert self._connection is not None  # noqa: S101 - called within the transaction only
        columns = ", ".join(f'"{name}"' for name in names)
        places = ", ".join("?" * len(names))
        self._connection.executemany(
            f'INSERT INTO "{table.description}" ({columns}) VALUES ({places})', rows
        )

    def instants(self, array: "pa.Array") -> list[Any]:
        """Give UTC text with microseconds, as SQLAlchemy writes it."""
        import pyarrow as pa

        texts: list[Any] = array.cast(pa.string()).to_pylist()
        return texts


@contextlib.contextmanager
def _written_back(handle: int) -> Iterator[None]:
    """Have the system bring a growing file to its disk all the while, not only at the end."""
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


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as found:
            (application_id,) = found.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error:
        return False
    return bool(application_id == database.APPLICATION_ID)


def _lock(connection: sqlite3.Connection) -> bool:
    """Lock a file until the connection is closed; False if another connection holds it.

    What is no database (a load died before the first page was whole) nobody holds.
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


def _empty_schema(connection: sa.Connection) -> tuple[list[str], list[str]]:
    """Make tables and views, and give the statements that make the indexes and the triggers."""
    database.migrate(connection)
    return _taken(connection, "index"), _taken(connection, "trigger")


def _taken(connection: sa.Connection, kind: str) -> list[str]:
    """Drop what costs less at the end, and give the statements that bring it back."""
    found = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE type = ? AND sql IS NOT NULL", (kind,)
    ).all()
    for name, _ in found:
        connection.exec_driver_sql(f"DROP {kind} {name}")
    return [sql for _, sql in found]


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
