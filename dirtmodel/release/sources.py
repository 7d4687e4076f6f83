"""Opening a release: parquet files, or a database with DIRT's tables."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from dirtmodel import database
from dirtmodel.errors import ReleaseError
from dirtmodel.release import layout

if TYPE_CHECKING:
    import pyarrow as pa

Place = str | sa.URL | os.PathLike[str]


class Source(Protocol):
    """The four tables of a release, read as Arrow batches with the release's names of columns."""

    @property
    def name(self) -> str:
        """The default label of the release."""

    @property
    def place(self) -> str:
        """The path or URL, for messages; without passwords."""

    @property
    def n_bytes(self) -> int:
        """Bytes that the pictures take on disk at least; 0 if that is unknown."""

    def paths(self, table: str) -> list[Path]:
        """Return the files of a table, in a fixed order; an empty list for a database."""

    def file(self, table: str) -> str:
        """Return the name of a table's file or database table, for findings."""

    def row(self, table: str, number: int, id_: int | None) -> str:
        """Return the file or table of a row, and its number or id, for messages."""

    def n_bytes_held(self, table: str) -> int:
        """Return the bytes that are held in memory while a table is read, beyond its rows."""

    def absent(self, table: str) -> str | None:
        """Describe a missing file or table; None if it exists."""

    def schema(self, table: str) -> "pa.Schema":
        """Return the columns of a table and their physical types."""

    def read(self, table: str, names: list[str]) -> "Iterator[pa.RecordBatch]":
        """Read columns in batches; a batch with pictures has few rows.

        The order of the rows is the same in every call.
        """


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Source]:
    """Open a release for reading.

    Parameters
    ----------
    place
        A folder in the documented layout; or a SQLite file or URL of a database with DIRT's own
        tables, or with those of any version of dirtmodel.

    Raises
    ------
    ReleaseError
        If the folder does not exist or does not contain a release.
    DatabaseError
        If the database cannot be reached or does not have such tables.
    """
    files = None if isinstance(place, sa.URL) or "://" in str(place) else _files(Path(place))
    if files is not None:
        yield files
        return
    from dirtmodel.release import dirt

    with dirt.opened(database.parse_url(place)) as source:
        yield source


def _files(path: Path) -> layout.ReleaseFiles | None:
    """Find the files of a release; None if the path is that of a SQLite database."""
    try:
        files = None if _is_sqlite_file(path) else layout.find(path)
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from error
    if files is not None:
        require_utf8(files.place)
    return files


def require_utf8(path: str) -> None:
    """Make sure that Arrow can open a path, and that a database can store it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ReleaseError(f"the path {path!r} is not UTF-8 text; rename its folders") from None


def _is_sqlite_file(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(database.SQLITE_MAGIC)) == database.SQLITE_MAGIC
