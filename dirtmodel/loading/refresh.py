"""Computing the derived tables `target`, `picture`, `review` and `tally` from DIRT's tables.

This module is their only definition. A load, an upgrade, `dirtmodel refresh` and writable sessions
use it.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.database.fetching import n_bytes
from dirtmodel.database.fragments import in_batches, one_of
from dirtmodel.entities import parse, scan
from dirtmodel.errors import DatabaseError, PictureError
from dirtmodel.groups import groups
from dirtmodel.models import (
    STEP,
    Base,
    Coordinate,
    Image,
    JudgedBy,
    Picture,
    Rating,
    Review,
    Session,
    Tally,
    Target,
)
from dirtmodel.models.derived import tally
from dirtmodel.release.blobs import describe

_PICTURES_AT_ONCE: Final = 64
"""The largest number of pictures to read at a time."""

_SIZES_AT_ONCE: Final = 1_024

Statement = sa.Select[*tuple[Any, ...]]


def refresh_all(connection: sa.Connection) -> None:
    """Update all derived rows, in the transaction of the connection.

    Rows that are correct already do not change; in particular, targets keep their ids.

    Raises
    ------
    DatabaseError
        If a stored picture is damaged; the message names the image.
    """
    _delete_reviews(connection)
    add_targets(connection)
    _refresh_pictures(connection, _stored(connection))
    _delete_stale(connection)
    add_reviews(connection)


def refresh_images(connection: sa.Connection, ids: Collection[int]) -> None:
    """Update the derived rows of some images; the ids of deleted images are allowed.

    Raises
    ------
    DatabaseError
        If a stored picture is damaged; the message names the image.
    """
    for some in in_batches(sorted(set(ids))):
        _delete_reviews(connection, some)
        add_targets(connection, some)
        _refresh_pictures(connection, _stored(connection, some))
        _delete_stale(connection, some)
        add_reviews(connection, some)


def refresh_reviews(connection: sa.Connection, ids: Collection[int] | None = None) -> None:
    """Update `review` and `tally` for some or all images, if only reviews have changed."""
    for some in [None] if ids is None else in_batches(sorted(set(ids))):
        _delete_reviews(connection, some)
        add_reviews(connection, some)


# -- targets


def target_row(step: int, file1: str) -> dict[str, Any]:
    """Return the columns of a target, without its id."""
    entities = parse(file1)
    return {"step": step, "file1": file1, "scan": scan(step, entities), **entities._asdict()}


def add_targets(connection: sa.Connection, ids: Sequence[int] | None = None) -> None:
    """Add the missing targets of images, in the order of (step, file1)."""
    same = (Target.step == Image.step) & (Target.file1 == Image.file1)
    missing = (
        sa.select(Image.step, Image.file1)
        .distinct()
        .join_from(Image, Target, same, isouter=True)
        .where(Target.id.is_(None))
    )
    if ids is not None:
        missing = missing.where(one_of(Image.id, ids))
    keys = sorted((int(step), file1) for step, file1 in connection.execute(missing))
    if keys:
        first = (connection.scalar(sa.select(sa.func.max(Target.id))) or 0) + 1
        rows = [{"id": id_, **target_row(*key)} for id_, key in enumerate(keys, first)]
        connection.execute(sa.insert(Target), rows)


# -- pictures


class _Stored(NamedTuple):
    """An image with its target and its current row of `picture`, None if it has none."""

    img_id: int
    target_id: int
    img: bytes
    described: tuple[Any, ...]


_DESCRIBED: Final = ("target_id", "format", "width", "height", "n_bytes", "sha256")


def _stored(connection: sa.Connection, ids: Sequence[int] | None = None) -> Iterator[list[_Stored]]:
    """Yield images in the order of their ids, in groups of few bytes."""
    same = (Target.step == Image.step) & (Target.file1 == Image.file1)
    columns = [Picture.__table__.c[name] for name in _DESCRIBED]
    statement = (
        sa.select(Image.id, Target.id, Image.img, *columns)
        .join_from(Image, Target, same)
        .join(Picture, Picture.img_id == Image.id, isouter=True)
        .order_by(Image.id)
    )
    for group in groups(_sizes(connection, ids), lambda image: image[1], _PICTURES_AT_ONCE):
        own = one_of(Image.id, [img_id for img_id, _ in group])
        yield [
            _Stored(img_id, target_id, bytes(img), tuple(described))
            for img_id, target_id, img, *described in connection.execute(statement.where(own))
        ]


def _sizes(connection: sa.Connection, ids: Sequence[int] | None) -> Iterator[tuple[int, int]]:
    """Yield the id of each image and the bytes of its picture, with no cursor left open."""
    statement = sa.select(Image.id, n_bytes(Image.__table__.c.img)).order_by(Image.id)
    if ids is not None:
        statement = statement.where(one_of(Image.id, ids))
    following = statement = statement.limit(_SIZES_AT_ONCE)
    while rows := connection.execute(following).all():
        yield from ((img_id, size) for img_id, size in rows)
        following = statement.where(Image.id > rows[-1][0])


def _refresh_pictures(connection: sa.Connection, images: Iterator[list[_Stored]]) -> None:
    """Describe the pictures of images, and write the descriptions that changed."""
    for some in images:
        changed = []
        for image in some:
            try:
                described = (image.target_id, *describe(memoryview(image.img)))
            except PictureError as error:
                raise DatabaseError(
                    f"image {image.img_id}: the stored picture is {error}; nothing was changed; "
                    "replace the picture or delete the image, and try again"
                ) from error
            if described != image.described:
                names = zip(_DESCRIBED, described, strict=True)
                changed.append({"img_id": image.img_id, **dict(names)})
        known = {image.img_id for image in some if image.described[0] is not None}
        added = [row for row in changed if row["img_id"] not in known]
        if added:
            connection.execute(sa.insert(Picture), added)
        for row in changed:
            if row["img_id"] in known:
                own = Picture.img_id == row["img_id"]
                connection.execute(sa.update(Picture).where(own).values(row))


def _delete_stale(connection: sa.Connection, ids: Sequence[int] | None = None) -> None:
    """Delete pictures without an image, and targets without a picture."""
    # Deleting an image deletes its picture, unless another program has disabled foreign keys.
    gone = sa.delete(Picture).where(Picture.img_id.not_in(sa.select(Image.id)))
    if ids is not None:
        gone = gone.where(one_of(Picture.img_id, ids))
    connection.execute(gone)
    connection.execute(sa.delete(Target).where(Target.id.not_in(sa.select(Picture.target_id))))


# -- reviews


def _delete_reviews(connection: sa.Connection, ids: Sequence[int] | None = None) -> None:
    for table in (Tally, Review):
        deletion = sa.delete(table)
        connection.execute(deletion if ids is None else deletion.where(one_of(table.img_id, ids)))


def add_reviews(connection: sa.Connection, ids: Sequence[int] | None = None) -> None:
    """Add the rows of `review` and `tally` for images that have none in these tables."""
    for kind, judged_by, rows, notes in (
        ("rating", JudgedBy.VERDICT, _ratings(ids), _note_of_rating),
        ("coordinate", JudgedBy.CLICKS, _click_sets(ids), _last_note_of_clicks),
    ):
        _insert(connection, Review, _reviews(kind, judged_by, rows.subquery("submitted"), notes))
    counted = tally() if ids is None else tally().where(one_of(Picture.img_id, ids))
    _insert(connection, Tally, counted)


def _insert(connection: sa.Connection, model: type[Base], rows: Statement) -> None:
    names = [column.name for column in rows.selected_columns]
    connection.execute(
        sa.insert(Base.metadata.tables[model.__tablename__]).from_select(names, rows)
    )


def _ratings(ids: Sequence[int] | None) -> Statement:
    statement = sa.select(
        Rating.img_id,
        Rating.id,
        Rating.session_id.label("session"),
        Rating.created,
        Rating.rating.label("verdict"),
        sa.cast(sa.null(), sa.Integer).label("n_clicks"),
        Rating.source_data_issue,
        Rating.notes.is_not(None).label("has_notes"),
    )
    return statement if ids is None else statement.where(one_of(Rating.img_id, ids))


def _note_of_rating(review: sa.FromClause) -> Statement:
    return sa.select(Rating.notes).where(Rating.id == review.c.id)


def _click_sets(ids: Sequence[int] | None) -> Statement:
    """Select one row per image and session, with the id and time of its last row."""
    row = orm.aliased(Coordinate)
    last = _last_row(row, Coordinate.img_id, Coordinate.session_id).with_only_columns(row.id)
    is_click = Coordinate.x.is_not(None) & Coordinate.y.is_not(None)
    blamed = sa.func.max(sa.case((Coordinate.source_data_issue, 1), else_=0))
    statement = sa.select(
        Coordinate.img_id,
        last.scalar_subquery().label("id"),
        Coordinate.session_id.label("session"),
        sa.func.max(Coordinate.created).label("created"),
        sa.cast(sa.null(), sa.Integer).label("verdict"),
        sa.cast(sa.func.count(sa.case((is_click, 1))), sa.Integer).label("n_clicks"),
        (blamed == 1).label("source_data_issue"),
        (sa.func.count(Coordinate.notes) > 0).label("has_notes"),
    ).group_by(Coordinate.img_id, Coordinate.session_id)
    return statement if ids is None else statement.where(one_of(Coordinate.img_id, ids))


def _last_note_of_clicks(review: sa.FromClause) -> Statement:
    row = orm.aliased(Coordinate)
    last = _last_row(row, review.c.img_id, review.c.session)
    return last.with_only_columns(row.notes).where(row.notes.is_not(None))


def _last_row(row: Any, img_id: Any, session: Any) -> Statement:
    """Select the last row of a session on an image."""
    return (
        sa.select(row)
        .where(row.img_id == img_id, row.session_id == session)
        .order_by(row.created.desc(), row.id.desc())
        .limit(1)
    )


def _reviews(
    kind: str,
    judged_by: JudgedBy,
    submitted: sa.Subquery,
    notes: Callable[[sa.FromClause], Statement],
) -> Statement:
    """Select the rows of `review` of one kind.

    Notes are looked up last, because they can be large, and rows are held in memory to be sorted.
    """
    ranked = _ranked(submitted).subquery("ranked")
    decides = STEP.c.judged_by == str(judged_by)
    return (
        sa.select(
            ranked.c.img_id,
            sa.literal(kind).label("kind"),
            ranked.c.id,
            Picture.target_id,
            ranked.c.session,
            ranked.c.rater,
            Target.step,
            ranked.c.created,
            ranked.c.verdict,
            ranked.c.n_clicks,
            ranked.c.source_data_issue,
            decides.label("decides"),
            (decides & (ranked.c.rank == 1)).label("latest"),
            sa.case((ranked.c.has_notes, notes(ranked).scalar_subquery())).label("notes"),
        )
        .join_from(ranked, Picture, Picture.img_id == ranked.c.img_id)
        .join(Target, Target.id == Picture.target_id)
        .join(STEP, STEP.c.id == Target.step)
    )


def _ranked(submitted: sa.Subquery) -> Statement:
    """Number the submissions of each rater on each image, from the last to the first."""
    columns = submitted.c
    # Each session without a user counts as a rater of its own.
    rater = (Session.user, sa.case((Session.user.is_(None), columns.session)))
    rank = sa.func.row_number().over(
        partition_by=[columns.img_id, *rater], order_by=[columns.created.desc(), columns.id.desc()]
    )
    # Every session exists, but with an outer join (and no further join) SQLite reads the
    # submissions in the order of the covering index, and sorts about ten at a time, not a million.
    return sa.select(*columns, Session.user.label("rater"), rank.label("rank")).join_from(
        submitted, Session, Session.id == columns.session, isouter=True
    )
