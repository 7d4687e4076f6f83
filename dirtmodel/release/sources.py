"""What a release can be read from: parquet files, or a database that holds DIRT's tables."""

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
    """Four tables, read as Arrow batches under the release's names of tables and columns."""

    @property
    def name(self) -> str:
        """What the release is called unless told otherwise."""

    @property
    def place(self) -> str:
        """Where it is, for people: without passwords."""

    @property
    def n_bytes(self) -> int:
        """What it takes on disk at least: its pictures, or 0 where that cannot be told."""

    def paths(self, table: str) -> list[Path]:
        """Return the files that hold a table, in a fixed order; none of a database."""

    def file(self, table: str) -> str:
        """Name what holds a table, as findings do."""

    def row(self, table: str, number: int, id_: int | None) -> str:
        """Name a row, by its number or by its id, and what holds it."""

    def n_bytes_held(self, table: str) -> int:
        """Return how many bytes reading a table has to hold at once, beyond its rows."""

    def absent(self, table: str) -> str | None:
        """Name what holds a table if it is not there."""

    def schema(self, table: str) -> "pa.Schema":
        """Return the columns of a table and their physical types."""

    def read(self, table: str, names: list[str]) -> "Iterator[pa.RecordBatch]":
        """Read columns, few rows at a time where pictures are among them.

        The order of the rows is the same in every call.
        """


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Source]:
    """Open what a release is to be read from.

    Parameters
    ----------
    place
        A folder in the documented layout; or a database that holds DIRT's own tables, or those of
        any version of dirtmodel: a SQLite file or a URL.

    Raises
    ------
    ReleaseError
        When there is no such folder, or no release in it.
    DatabaseError
        When a database cannot be reached, or holds no such tables.
    """
    files = None if isinstance(place, sa.URL) or "://" in str(place) else _files(Path(place))
    if files is not None:
        yield files
        return
    from dirtmodel.release import dirt

    with dirt.opened(database.parse_url(place)) as found:
        yield found


def _files(path: Path) -> layout.ReleaseFiles | None:
    """Find the files of a release; None where it is a database instead."""
    try:
        found = None if _is_sqlite_file(path) else layout.find(path)
    except OSError as error:
        raise ReleaseError(f"cannot read {path}: {error.strerror}") from error
    if found is not None:
        require_utf8(found.place)
    return found


def require_utf8(path: str) -> None:
    """Require a path that Arrow opens, and that a database records."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ReleaseError(f"the path {path!r} is not UTF-8 text; rename its folders") from None


def _is_sqlite_file(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(database.SQLITE_MAGIC)) == database.SQLITE_MAGIC
