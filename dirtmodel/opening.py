"""Sessions on a database; those that write keep its derived tables up to date."""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import database
from dirtmodel.errors import DatabaseError, UsageError
from dirtmodel.models import Coordinate, Image, Picture, Rating, Review, Session, Target

Database = orm.Session | str | sa.URL | os.PathLike[str]
"""An open session, the path of a SQLite file, or a SQLAlchemy URL."""

_Self = TypeVar("_Self")
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class OpenSession(orm.Session):
    """An `orm.Session` on an open database; closing it closes the database."""

    def __init__(self, connection: sa.Connection) -> None:
        super().__init__(connection, close_resets_only=False)
        self._connection = connection

    def close(self) -> None:
        """End the transaction and close the connection; the session cannot be used again."""
        super().close()
        self._connection.close()


def open(  # noqa: A001 - `dm.open(...)` is how it reads
    db: str | sa.URL | os.PathLike[str] = database.DEFAULT,
    *,
    read_only: bool = True,
    timeout: float | None = None,
) -> OpenSession:
    """Open a database as an `orm.Session`, read-only by default.

    Close it with `close()`, or use it as a context manager, which closes it at the end.

    Parameters
    ----------
    db
        Path of a SQLite file, or a SQLAlchemy URL.
    read_only
        With False the session can write; call its `commit()`. When it flushes a change to DIRT's
        tables, it refreshes the derived rows of the changed images in the same transaction. On
        SQLite, other writers wait from the first statement of a transaction until its end.
    timeout
        Seconds after which Postgres ends a statement; None for no limit.

    Raises
    ------
    DatabaseError
        If the database is missing, unreachable, of another program, or of another revision.

    Examples
    --------
    >>> session = open(demo_db)
    >>> session.scalars(sa.select(dm.Release.label)).all()
    ['demo']
    >>> session.close()
    """
    url = database.parse_url(db)
    session = OpenSession(database.connect(url, read_only=read_only, timeout=timeout))
    if not read_only:
        _refresh_on_flush(session)
        _refresh_after_statements(session)
    return session


@contextlib.contextmanager
def session_on(db: Database) -> Iterator[orm.Session]:
    """Provide a session on a database; a session that is passed in stays open.

    Raises
    ------
    DatabaseError
        If the database cannot be opened.
    UsageError
        If the session is closed, or `db` is not a database.
    """
    if isinstance(db, orm.Session):
        _bind(db)
        yield db
    else:
        with open(db) as session:
            yield session


def url_of(db: Database) -> sa.URL:
    """Return the URL of a database, for functions that need a connection of their own.

    Raises
    ------
    DatabaseError
        If the URL cannot be read or is not supported.
    UsageError
        If the session is closed, or `db` is not a database.
    """
    return _bind(db).engine.url if isinstance(db, orm.Session) else database.parse_url(db)


def _bind(session: orm.Session) -> sa.Engine | sa.Connection:
    """Return the engine or connection of a session, and make sure that the session is open."""
    try:
        bind = session.get_bind(Image)
    except sa.exc.UnboundExecutionError:
        raise UsageError(
            "the session has no database; open one with dirtmodel.open, for example "
            'dirtmodel.open("dirt.db")'
        ) from None
    if isinstance(bind, sa.Connection) and bind.closed:
        raise UsageError("the session is closed; open the database again with dirtmodel.open")
    return bind


def accepts_database(
    method: Callable[Concatenate[_Self, orm.Session, _Parameters], _Result],
) -> Callable[Concatenate[_Self, Database, _Parameters], _Result]:
    """Let a method that requires a session accept a path or a URL as well."""

    @functools.wraps(method)
    def run(
        self: _Self, db: Database, /, *arguments: _Parameters.args, **options: _Parameters.kwargs
    ) -> _Result:
        with session_on(db) as session:
            return method(self, session, *arguments, **options)

    return run


class Refreshed(NamedTuple):
    """The numbers of derived rows in a database."""

    n_targets: int
    n_pictures: int
    n_reviews: int


def refresh(db: Database = database.DEFAULT) -> Refreshed:
    """Compute the derived tables of a database again, after another program wrote to it.

    Parameters
    ----------
    db
        Path of a SQLite file, or a SQLAlchemy URL: the result is committed. Or a session, whose
        `commit()` the caller calls.

    Raises
    ------
    DatabaseError
        If a stored picture is damaged, or the database cannot be opened or written; nothing is
        changed then. If the disk is so full that SQLite cannot undo the change, the message names
        the journal that must be kept.
    """
    if isinstance(db, orm.Session):
        with session_on(db) as session:
            session.flush()
            refreshed = _refresh(session.connection())
            _expire_derived(session)
            return refreshed
    url = database.parse_url(db)
    try:
        with database.connect(url, read_only=False) as connection:
            # Checking the foreign keys of each of a million rows takes longer than writing them.
            database.prepare_bulk_writes(connection)
            with connection.begin():
                return _refresh(connection)
    except DatabaseError as error:
        if state := database.unfinished(url, "refresh"):
            raise DatabaseError(f"{error}; it {state}") from error
        raise


def _refresh(connection: sa.Connection) -> Refreshed:
    from dirtmodel.loading.refresh import refresh_all

    refresh_all(connection)
    database.check_foreign_keys(connection)
    tables = (Target, Picture, Review)
    counts = [sa.select(sa.func.count()).select_from(table) for table in tables]
    return Refreshed(*(connection.scalar(count) or 0 for count in counts))


class _Changed:
    """The ids of the images whose derived rows must be refreshed after a flush."""

    def __init__(self) -> None:
        self.rewritten: set[int] = set()
        """Images that were added, changed or deleted."""
        self.reviewed: set[int] = set()
        """Images whose reviews changed."""

    def note(self, session: orm.Session, instance: object) -> None:
        """Add the images that depend on an instance which is written."""
        if isinstance(instance, Image):
            self.rewritten |= _values(instance, "id")
        elif isinstance(instance, Rating | Coordinate):
            self.reviewed |= _values(instance, "img_id")
            if instance.image is not None and instance.image.id is not None:
                self.reviewed.add(instance.image.id)
        elif isinstance(instance, Session):
            self.reviewed |= _reviewed_in(session, _values(instance, "id"))

    def take(self) -> tuple[set[int], set[int]]:
        """Return the rewritten and the other reviewed images, and clear both sets."""
        taken = self.rewritten, self.reviewed - self.rewritten
        self.rewritten, self.reviewed = set(), set()
        return taken


def _refresh_on_flush(session: orm.Session) -> None:
    """Let a session refresh the derived rows when it flushes instances."""
    changed = _Changed()

    @sa.event.listens_for(session, "before_flush")
    def note_changes(session: orm.Session, _context: object, _instances: object) -> None:
        modified = (i for i in session.dirty if session.is_modified(i, include_collections=False))
        for instance in (*session.new, *modified, *session.deleted):
            changed.note(session, instance)

    @sa.event.listens_for(session, "after_flush")
    def note_new_ids(session: orm.Session, _context: object) -> None:
        for instance in session.new:
            changed.note(session, instance)

    @sa.event.listens_for(session, "after_flush_postexec")
    def refresh(session: orm.Session, _context: object) -> None:
        rewritten, reviewed = changed.take()
        if rewritten or reviewed:
            from dirtmodel.loading.refresh import refresh_images, refresh_reviews

            refresh_images(session.connection(), rewritten)
            refresh_reviews(session.connection(), reviewed)
            _expire_derived(session)

    @sa.event.listens_for(session, "after_rollback")
    def forget(_session: orm.Session) -> None:
        changed.take()


def _refresh_after_statements(session: orm.Session) -> None:
    """Let a session refresh the derived rows after INSERT, UPDATE and DELETE statements."""

    @sa.event.listens_for(session, "do_orm_execute")
    def refresh_after_statement(state: orm.ORMExecuteState) -> Any:
        mapper = state.bind_mapper
        changes = state.is_insert or state.is_update or state.is_delete
        if not changes or mapper is None or mapper.class_ not in _MIRRORED:
            return None
        from dirtmodel.loading.refresh import refresh_all, refresh_reviews

        result = state.invoke_statement()
        # It is not known which rows the statement changed, so that all are refreshed.
        if mapper.class_ is Image:
            refresh_all(session.connection())
        else:
            refresh_reviews(session.connection())
        _expire_derived(session)
        return result


_MIRRORED: Final = frozenset({Session, Image, Rating, Coordinate})


def _reviewed_in(session: orm.Session, session_ids: set[int]) -> set[int]:
    """Return the ids of the images that were reviewed in some of DIRT's sessions."""
    with session.no_autoflush:
        return {
            img_id
            for review in (Rating, Coordinate)
            for img_id in session.scalars(
                sa.select(review.img_id).where(review.session_id.in_(session_ids))
            )
        }


def _values(instance: object, attribute: str) -> set[int]:
    """Return the old and the new value of a column, without None."""
    history = sa.inspect(instance, raiseerr=True).attrs[attribute].history
    values = (*(history.added or ()), *(history.unchanged or ()), *(history.deleted or ()))
    return {value for value in values if value is not None}


def _expire_derived(session: orm.Session) -> None:
    """Expire derived rows and relationships, so that they are read again."""
    for instance in session.identity_map.values():
        if isinstance(instance, Picture | Review | Target):
            session.expire(instance)
        elif isinstance(instance, Image):
            session.expire(instance, ["picture", "reviews", "target"])
        elif isinstance(instance, Session):
            session.expire(instance, ["reviews"])
