"""Writing a database as a release: four parquet files in the documented layout.

This is the reverse of `loading`. Columns have the published order and types, rows are in the order
of their ids, and there are no empty rows. A part of a database is complete in itself: the image and
the session of every review are included.
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
"""The maximum number of rows in a row group, which is held in memory, without and with pictures."""


@dataclass(frozen=True, kw_only=True)
class Selection(Targets):
    """A part of a database: some images, their reviews, and the sessions of these reviews.

    Parameters
    ----------
    step, sub, ses, task, run_number, scan
        Conditions on the targets of the images, see `Targets`. If there are only steps, all
        sessions of these steps are included, even those without a review.
    users
        With False, `user` is NULL in all rows.
    """

    users: bool = True

    def images(self) -> sa.Select[Any] | None:
        """Select the ids of the images; None for all images."""
        conditions = self.conditions()
        if not conditions:
            return None
        of_target = Target.id == Picture.target_id
        return sa.select(Picture.img_id).join(Target, of_target).where(*conditions)

    def rows(self, table: str, extra: Collection[Column] = ()) -> sa.Select[Any]:
        """Select the published columns of a table, then the `extra` ones, ordered by id."""
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
        An open session, the path of a SQLite file, or a SQLAlchemy URL. Uncommitted changes of a
        session are not written.
    release
        The folder to write to, which must be new or empty. It will have the documented layout.
    users
        With False, `user` is NULL in all rows.
    pseudonyms
        True, or a key: raters are numbered (see `use_pseudonyms`), and columns with free text
        (notes, and text columns that DIRT does not have) are NULL in all rows.
    **targets
        The other conditions of `Selection`: `step`, `sub`, `ses`, `task`, `run_number`, `scan`.

    Returns
    -------
    dict
        The number of rows written, by table.

    Raises
    ------
    OutputError
        If the folder is not empty or cannot be written; it is left unchanged then.
    UsageError
        If a condition names something that does not exist, or there is no key for pseudonyms.
    DatabaseError
        If the database cannot be opened.
    """
    if pseudonyms is not False and not users:
        raise UsageError("pseudonyms replace the users, which are left out; choose only one")
    selection = Selection(**targets, users=users)
    folder = Path(os.path.realpath(release))
    require_utf8(str(folder))
    _check_folder(folder)
    with opening.open(opening.url_of(db)) as session, _complete_or_not(folder) as unfinished:
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            # All four files show the same state, whoever writes meanwhile.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # Reject values that do not exist, because the release would be empty without an error.
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
                None if raters is None else _replacements(table, extra[table], raters),
            )
            for table in TABLES
        }


def _replacements(
    table: str, extra: Collection[Column], raters: Mapping[str, str]
) -> dict[str, Callable[[Any], Any]]:
    """Return functions that replace the values of columns which can contain names of raters."""
    replacements: dict[str, Callable[[Any], Any]] = {
        column.name: lambda _text: None
        for column in (*COLUMNS[table], *extra)
        if column.name == "notes" or (column in extra and column.kind is Kind.TEXT)
    }
    return {**replacements, "user": lambda name: None if name is None else raters[name]}


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose a folder that does not exist yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder} is not empty; choose a folder that does not exist yet")
    if not folder.parent.is_dir():
        raise OutputError(
            f"there is no folder {folder.parent}; make it with: "
            f"mkdir -p {shlex.quote(str(folder.parent))}"
        )


@contextlib.contextmanager
def _complete_or_not(folder: Path) -> Iterator[Path]:
    """Yield a folder to write to; it has a temporary name until it is complete."""
    try:
        with partial.folder(folder.parent) as temporary:
            yield temporary.path
            if folder.exists():
                temporary.path.chmod(folder.stat().st_mode & 0o777)
            # This fails if the folder exists and is not empty.
            temporary.move_to(folder)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; choose another place"
        ) from error


def _write(
    connection: sa.Connection,
    statement: sa.Select[Any],
    columns: Sequence[Column],
    path: Path,
    replacements: Mapping[str, Callable[[Any], Any]] | None,
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
            writer.write_batch(_batch(rows, schema, replacements or {}))
            n_rows += len(rows)
    return n_rows


def _batch(
    rows: Sequence[Any], schema: "pa.Schema", replacements: Mapping[str, Callable[[Any], Any]]
) -> "pa.RecordBatch":
    import pyarrow as pa

    arrays = [
        pa.array(list(map(replacements.get(field.name, _unchanged), column)), field.type)
        for column, field in zip(zip(*rows, strict=True), schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _unchanged(value: Any) -> Any:
    return value


def _published(column: Column) -> "pa.DataType":
    """Return the type that the published pipeline writes for a column."""
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC") if column.kind is Kind.INSTANT else column.arrow_type
