"""One side of a comparison: a database of this version, or a temporary one.

Release folders, databases of an earlier revision and DIRT's own databases are loaded into a
temporary file, which is removed afterwards. The originals are left unchanged.
"""

import contextlib
import itertools
import os
import shlex
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from dirtmodel import database, opening
from dirtmodel.database.fetching import fetched
from dirtmodel.database.fragments import in_batches
from dirtmodel.differences.rows import ROW_TYPES, ImageRow, image_key
from dirtmodel.differences.texts import shortened
from dirtmodel.errors import DatabaseError
from dirtmodel.models import (
    Coordinate,
    Finding,
    Image,
    IntEnumType,
    Picture,
    Rating,
    Session,
    Target,
    UTCDateTime,
)
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.inventory import RELEASE_LABEL
from dirtmodel.queries.ordering import ascending
from dirtmodel.release import Column, Extension
from dirtmodel.release.extension import of_database

Place = opening.Database
"""A database, or the folder of a release."""

_FETCHED: Final = 2_000
"""Rows fetched at a time, at most."""

_MODELS: Final[dict[str, Any]] = {
    "session": Session,
    "image": Image,
    "rating": Rating,
    "coordinate": Coordinate,
}


class FindingRow(NamedTuple):
    """A finding of the check of a release, as it is stored in the database."""

    code: str
    file: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Side:
    """One of the two releases, opened.

    Parameters
    ----------
    place
        The path or URL to print, without a password.
    revision
        The revision of the database before any conversion; None for a release folder.
    session
        A session on a database of this version's revision.
    extension
        The columns and numbers that the database has beyond the schema of this version.
    """

    place: str
    revision: str | None
    session: orm.Session
    extension: Extension

    @property
    def label(self) -> str | None:
        """The label of the release; None if it is not recorded."""
        return self.session.scalar(RELEASE_LABEL)

    def as_json(self) -> dict[str, Any]:
        """Return the place, label and revision."""
        return {"place": self.place, "label": self.label, "revision": self.revision}

    def rows(
        self, table: str, of: Collection[int] | None = None, *, extra: Sequence[Column] = ()
    ) -> Iterator[Any]:
        """Stream a table in the order of its key: images by `image_key`, others by id.

        Parameters
        ----------
        of
            Ids of images (for `session`, of sessions). If given, return only rows with these ids or
            reviews of these images. As all of them are held in memory, long texts of reviews and
            sessions are shortened.
        extra
            Columns that DIRT does not have, to be read into `extra` of the rows.
        """
        if table == "image":
            yield from self._images(of, extra)
            return
        model, row_type = _MODELS[table], ROW_TYPES[table]
        columns = model.__table__.c
        names = row_type._fields[:-1]
        selected = [
            *(_raw(columns[name]) for name in names),
            *(_extra_column(model, column) for column in extra),
        ]
        statement = sa.select(*selected).select_from(model)
        filtered = columns.id if table == "session" else columns.img_id

        def row_of(values: Any) -> Any:
            return row_type(*values[: len(names)], tuple(values[len(names) :]))

        if of is None:
            yield from map(row_of, self._stream(statement.order_by(columns.id)))
            return
        found = (
            row_of(list(map(shortened, values)))
            for ids in in_batches(sorted(set(of)))
            for values in self._stream(statement.where(filtered.in_(ids)))
        )
        yield from sorted(found, key=lambda row: int(row.id))

    def _images(self, of: Collection[int] | None, extra: Sequence[Column]) -> Iterator[ImageRow]:
        columns = Image.__table__.c
        names = ImageRow._fields[:-2]
        described = [*(_raw(columns[name]) for name in names), Picture.sha256]
        statement = (
            sa.select(*described, *(_extra_column(Image, column) for column in extra))
            .join_from(Image, Picture, Picture.img_id == columns.id)
            .order_by(
                columns.step, ascending(columns.file1), columns.display, ascending(columns.slice)
            )
            .order_by(columns.id)
        )

        def row_of(values: Any) -> ImageRow:
            return ImageRow._make((*values[: len(described)], tuple(values[len(described) :])))

        if of is None:
            yield from map(row_of, self._stream(statement))
            return
        parts = (statement.where(columns.id.in_(ids)) for ids in in_batches(sorted(set(of))))
        yield from sorted(
            (row_of(values) for part in parts for values in self._stream(part)),
            key=lambda row: (image_key(row), row.id),
        )

    def picture(self, img_id: int) -> bytes:
        """Read one picture."""
        return bytes(self.session.scalars(sa.select(Image.img).where(Image.id == img_id)).one())

    def images_by_unit(self, rule: Exclusions, columns: tuple[str, ...]) -> Iterator[Any]:
        """Stream (image id, key columns of the rule's level) of the images that a rule covers."""
        target = Target.__table__.c
        return self._stream(
            sa.select(Picture.img_id, *(target[name] for name in columns))
            .join_from(Picture, Target, Target.id == Picture.target_id)
            .where(*rule.conditions())
        )

    def findings(self) -> list[FindingRow]:
        """Return the findings of the load."""
        rows = self.session.execute(
            sa.select(Finding.code, Finding.file, Finding.examples).order_by(Finding.id)
        )
        return [FindingRow(code, file, tuple(examples)) for code, file, examples in rows]

    def _stream(self, statement: Any) -> Iterator[Any]:
        return itertools.chain.from_iterable(
            fetched(self.session.connection(), statement, _FETCHED)
        )


class _UtcText(sa.ColumnElement[str]):
    """A time as UTC text with microseconds, which SQLite stores and Postgres must format."""

    inherit_cache = True
    _traverse_internals = [("column", sa.sql.visitors.InternalTraversal.dp_clauseelement)]  # noqa: RUF012 - SQLAlchemy reads a plain class attribute

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        self.column = column
        self.type = sa.Text()


@compiles(_UtcText)
def _kept(element: _UtcText, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    # Other programs may store a time without microseconds.
    return f"(CASE length({column}) WHEN 19 THEN {column} || '.000000' ELSE {column} END)"


@compiles(_UtcText, "postgresql")
def _written(element: _UtcText, compiler: SQLCompiler, **options: Any) -> str:
    column = compiler.process(element.column, **options)
    return f"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"


def _raw(column: Any) -> Any:
    """Return an expression for a stored value that is equal on both engines."""
    if isinstance(column.type, UTCDateTime):
        return _UtcText(column).label(column.name)
    if isinstance(column.type, IntEnumType | sa.Boolean):
        return sa.type_coerce(column, sa.types.NullType()).label(column.name)
    return column


def _extra_column(model: Any, column: Column) -> Any:
    """Return a column that the model does not have, qualified with the name of the table."""
    return sa.column(column.name, column.sql_type, _selectable=model.__table__)


@contextlib.contextmanager
def opened(place: Place) -> Iterator[Side]:
    """Open a database of this version; load anything else into a temporary one first.

    Raises
    ------
    DatabaseError
        If the database is missing, unreachable, not one of dirtmodel or DIRT, or newer than this
        version, or if another program added images to it.
    ReleaseError
        If a release has errors.
    """
    if isinstance(place, str | os.PathLike) and Path(place).is_dir():
        with _loaded(place) as session:
            yield Side(str(place), None, session, of_database(session.connection()))
        return
    url = opening.url_of(place)
    revision, is_source = _look(url)
    with _loaded(url) if is_source else _snapshot(url) as session:
        _require_pictures(session, database.display(url))
        extension = of_database(session.connection())
        yield Side(database.display(url), revision, session, extension)


def _require_pictures(session: orm.Session, place: str) -> None:
    """Raise DatabaseError if an image has no row in `picture`, which has its SHA-256."""
    n_images, n_pictures = (
        session.scalar(sa.select(sa.func.count()).select_from(model)) or 0
        for model in (Image, Picture)
    )
    if n_images != n_pictures:
        raise DatabaseError(
            f"{place} has {n_images:,} images, but its table picture describes {n_pictures:,}; "
            f"another program wrote to it; run: dirtmodel refresh --db {shlex.quote(place)}"
        )


def _look(url: sa.URL) -> tuple[str | None, bool]:
    """Return the revision of a database, and true if it must be loaded into a temporary one.

    Databases of earlier revisions and DIRT's own lack tables or columns that the queries need.
    """
    with database.reach(url) as connection:
        revision = database.current_revision(connection)
        if revision is None:
            return None, sa.inspect(connection).has_table("ratings_session")
        return revision, revision in database.known_revisions()[:-1]


@contextlib.contextmanager
def _loaded(place: str | sa.URL | os.PathLike[str]) -> Iterator[orm.Session]:
    from dirtmodel.loading import load

    with tempfile.TemporaryDirectory(prefix="dirtmodel-diff-") as folder:
        url = load(place, Path(folder, "release.db"), extend=True).url
        with _snapshot(url) as session:
            yield session


@contextlib.contextmanager
def _snapshot(url: sa.URL) -> Iterator[orm.Session]:
    """Open a database so that all statements see the same state, even if other programs write."""
    with opening.open(url) as session:
        database.take_snapshot(session.connection())
        yield session
