"""A database → the four parquet files of a release, in the documented layout.

The reverse of `loading`: columns in the published order and types, rows in the order of the ids,
no empty rows. A selection is complete: every review comes with its image and its session.
"""

import contextlib
import os
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from dirtmodel import opening, partial
from dirtmodel.database.fetching import fetched
from dirtmodel.errors import OutputError, UsageError
from dirtmodel.models import (
    Base,
    Coordinate,
    Picture,
    Rating,
    Session,
    Target,
)
from dirtmodel.opening import Database
from dirtmodel.pseudonyms import Choice, numbering
from dirtmodel.queries.targets import Targets
from dirtmodel.release.columns import COLUMNS, Column, Kind
from dirtmodel.release.extension import of_database
from dirtmodel.release.layout import QC_FOLDER, TABLES, file_name
from dirtmodel.release.sources import require_utf8

if TYPE_CHECKING:
    import pyarrow as pa

_NARROW_ROWS: Final = 65_536
_PICTURES: Final = 64
"""Rows of a group at most, which has to be held as a whole to be written."""


@dataclass(frozen=True, kw_only=True)
class Selection(Targets):
    """Which part of a database is written: images, their reviews, and the sessions of these.

    Parameters
    ----------
    step, sub, ses, task, run_number, scan
        Only images of these targets, as in `Targets`. Steps without further conditions come with
        all of their sessions, including those without a review.
    users
        False leaves out who the raters were: `user` is NULL throughout.
    """

    users: bool = True

    def images(self) -> sa.Select[Any] | None:
        """Select the ids of the images; None for all."""
        conditions = self.conditions()
        if not conditions:
            return None
        of_target = Target.id == Picture.target_id
        return sa.select(Picture.img_id).join(Target, of_target).where(*conditions)

    def rows(self, table: str, extra: Collection[Column] = ()) -> sa.Select[Any]:
        """Select the rows of a table, in the published columns, `extra` ones last, and by id."""
        columns = Base.metadata.tables[table].c
        chosen: list[Any] = [
            sa.null().label("user")
            if column.name == "user" and not self.users
            else columns[column.name]
            for column in COLUMNS[table]
        ]
        chosen += [sa.column(column.name, column.sql_type) for column in extra]
        statement = sa.select(*chosen).select_from(columns.id.table).order_by(columns.id)
        images = self.images()
        if images is None:
            return statement
        if table == "image":
            return statement.where(columns.id.in_(images))
        if table != "session":
            return statement.where(columns.img_id.in_(images))
        return statement.where(self._sessions(images))

    def _sessions(self, images: sa.Select[Any]) -> sa.ColumnElement[bool]:
        reviewing = [
            Session.id.in_(sa.select(review.session_id).where(review.img_id.in_(images)))
            for review in (Rating, Coordinate)
        ]
        if self.steps is not None and not self.conditions(steps=False):
            reviewing.append(Session.step.in_(self.steps))
        return sa.or_(*reviewing)


def export(
    db: Database,
    release: str | os.PathLike[str],
    *,
    users: bool = True,
    pseudonyms: Choice = False,
    **targets: Any,
) -> dict[str, int]:
    """Write a database, or a part of it, as a release; all four files or none.

    Parameters
    ----------
    db
        An open session, the path of a SQLite file, or a SQLAlchemy URL. What a session has not
        committed is not part of the release.
    release
        Folder to write to, which must be new or empty; it receives the documented layout.
    users
        False leaves out who the raters were: `user` is NULL throughout.
    pseudonyms
        True, or a key: raters are numbered (see `use_pseudonyms`), and columns with free text, of
        notes or of what DIRT does not define, are NULL throughout.
    **targets
        The other conditions of `Selection`: `step`, `sub`, `ses`, `task`, `run_number`, `scan`.

    Returns
    -------
    dict
        Rows written, by table.

    Raises
    ------
    OutputError
        If the folder is not empty or cannot be written; then it is left unchanged.
    UsageError
        If there is nothing that a condition names, or no key of pseudonyms.
    DatabaseError
        If the database cannot be opened.
    """
    if pseudonyms is not False and not users:
        raise UsageError("pseudonyms number the users, which are left out; ask for one of the two")
    selection = Selection(**targets, users=users)
    folder = Path(os.path.realpath(release))
    require_utf8(str(folder))
    _check_folder(folder)
    with opening.open(opening.url_of(db)) as session, _complete_or_not(folder) as unfinished:
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            # All four files show the same state, whoever writes meanwhile.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # An empty release looks like any other.
        selection.require(connection)
        qc = unfinished / QC_FOLDER
        qc.mkdir(parents=True)
        extra = of_database(connection).columns
        raters = None if pseudonyms is False else numbering(connection, pseudonyms)
        return {
            table: _write(
                connection,
                selection.rows(table, extra[table]),
                (*COLUMNS[table], *extra[table]),
                qc / file_name(table),
                None if raters is None else _shown(table, extra[table], raters),
            )
            for table in TABLES
        }


def _shown(
    table: str, extra: Collection[Column], raters: Mapping[str, str]
) -> dict[str, Callable[[Any], Any]]:
    """Return what replaces the values of the columns that can name raters."""
    shown: dict[str, Callable[[Any], Any]] = {
        column.name: lambda _text: None
        for column in (*COLUMNS[table], *extra)
        if column.name == "notes" or (column in extra and column.kind is Kind.TEXT)
    }
    return {**shown, "user": lambda name: None if name is None else raters[name]}


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder that is not there yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty; name a folder that is not there yet")
    if not folder.parent.is_dir():
        raise OutputError(
            f"there is no folder {folder.parent}; make it with: "
            f"mkdir -p {shlex.quote(str(folder.parent))}"
        )


@contextlib.contextmanager
def _complete_or_not(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to, which receives its name only once it is complete."""
    try:
        with partial.folder(folder.parent) as made:
            yield made.path
            if folder.exists():
                made.path.chmod(folder.stat().st_mode & 0o777)
            # Replaces an empty folder only.
            made.move_to(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; choose another place"
        ) from error


def _write(
    connection: sa.Connection,
    statement: sa.Select[Any],
    columns: Sequence[Column],
    path: Path,
    shown: Mapping[str, Callable[[Any], Any]] | None,
) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(column.name, _published(column)) for column in columns])
    wide = "img" in schema.names
    n_rows = 0
    # Statistics of pictures would put whole pictures into the footer.
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[f.name for f in schema if f.type == pa.large_string()],
        write_statistics=[f.name for f in schema if f.name != "img"],
    ) as writer:
        for rows in fetched(connection, statement, _PICTURES if wide else _NARROW_ROWS):
            writer.write_batch(_batch(rows, schema, shown or {}))
            n_rows += len(rows)
    return n_rows


def _batch(
    rows: Sequence[Any], schema: "pa.Schema", shown: Mapping[str, Callable[[Any], Any]]
) -> "pa.RecordBatch":
    import pyarrow as pa

    arrays = [
        pa.array(list(map(shown.get(field.name, _unchanged), column)), field.type)
        for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _unchanged(value: Any) -> Any:
    return value


def _published(column: Column) -> "pa.DataType":
    """Return the type that the published pipeline writes."""
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC") if column.kind is Kind.INSTANT else column.arrow_type
