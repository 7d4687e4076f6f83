"""Which images does a database have, and which reviews and clicks do these have?"""

import datetime as dt
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel import pseudonyms
from dirtmodel.database.fragments import one_of
from dirtmodel.groups import groups
from dirtmodel.models import (
    Coordinate,
    DisplayMode,
    Image,
    Picture,
    Ratings,
    Review,
    Step,
    Target,
)
from dirtmodel.opening import accepts_database
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.ordering import ascending
from dirtmodel.queries.results import Rows, Statement
from dirtmodel.queries.rules import Level, Status
from dirtmodel.queries.targets import Targets

_KINDS: Final[dict[str, Any]] = {
    "display": DisplayMode,
    "slice": int,
    "status": Status,
    "id": int,
}
"""The types of the values of the conditions on images."""

_BATCH_IMAGES: Final = 64
"""The most pictures to fetch at a time."""


class FoundImage(NamedTuple):
    """An image and its target, without the picture itself."""

    id: int
    step: Step
    file1: str
    file2: str | None
    sub: str | None
    ses: str | None
    task: str | None
    run: int | None
    scan: str | None
    display: DisplayMode
    slice: int | None
    format: str
    width: int
    height: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Images(Targets):
    """Which images of these targets and cuts does the database have?

    Every condition is a value, a collection of values of which one must match, or None for all.

    Parameters
    ----------
    step, sub, ses, task, run_number, scan
        As in `Targets`.
    display, slice, id
        As in `image`.
    status
        The status of the image's target by the default rule of `Exclusions`: `excluded`, `kept`,
        `unreviewed` or `partial`. Of excluded targets, only bad images are returned.

    Raises
    ------
    UsageError
        If a condition has a wrong value.
    """

    display: DisplayMode | str | int | Collection[DisplayMode | str | int] | None = None
    slice: int | Collection[int] | None = None
    status: Status | str | Collection[Status | str] | None = None
    id: int | Collection[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._read(_KINDS)

    @property
    def text(self) -> str:
        """The conditions as options of the command line.

        >>> Images(step=Step.MASK, sub="sub-10003").text
        '--step mask --sub 10003'
        """
        return " ".join(self.options([*self.targets(), *_KINDS]))

    def select(self) -> Statement:
        """Return the SELECT of `FoundImage`, one row per image, by step, file1, display, slice."""
        image, target, picture = Image.__table__.c, Target.__table__.c, Picture.__table__.c
        statement = (
            sa.select(
                image.id,
                target.step,
                target.file1,
                image.file2,
                target.sub,
                target.ses,
                target.task,
                target.run,
                target.scan,
                image.display,
                image.slice,
                *(picture[name] for name in ("format", "width", "height", "n_bytes", "sha256")),
            )
            # Join by step and file1: the covering index on image then has all columns of the
            # query, and SQLite reads no page that contains a picture.
            .join_from(Target, Image, (image.step == target.step) & (image.file1 == target.file1))
            .join(Picture, picture.img_id == image.id)
            .order_by(
                target.step,
                ascending(target.file1),
                image.display,
                ascending(image.slice),
                image.id,
            )
        )
        statement = statement.where(*self.conditions())
        for name in ("display", "slice"):
            wanted = getattr(self, name)
            if wanted is not None:
                statement = statement.where(image[name].in_(wanted))
        if self.id is not None:
            statement = statement.where(one_of(image.id, self.id))  # type: ignore[arg-type]  # a tuple since __post_init__
        return statement if self.status is None else self._of_status(statement)

    @accepts_database
    def run(self, session: orm.Session) -> Rows[FoundImage]:
        """Return one row per image."""
        return Rows(FoundImage, map(FoundImage._make, session.execute(self.select())))

    def _of_status(self, statement: Statement) -> Statement:
        rule = Exclusions(**self.targets(), level=Level.TARGET, status=self.status)
        target, judged = Target.__table__.c, rule.select().subquery("judged")
        same = (judged.c.step == target.step) & (judged.c.file1 == target.file1)
        bad = Image.id.in_(rule.select_bad_images())
        return statement.join(judged, same).where((judged.c.status != Status.EXCLUDED.value) | bad)


class ImageReview(NamedTuple):
    """One review of an image, as in `review`."""

    img_id: int
    kind: str
    id: int
    session_id: int
    rater: str | None
    created: dt.datetime
    verdict: Ratings | None
    n_clicks: int | None
    source_data_issue: bool
    decides: bool
    latest: bool
    notes: str | None


class ImageClick(NamedTuple):
    """One click on an image, in pixels of the picture from its top left corner."""

    img_id: int
    session_id: int
    x: float
    y: float


@dataclass(frozen=True)
class Reviews:
    """Which reviews do these images have?

    Parameters
    ----------
    images
        Ids of the images.
    rater
        If given, return only the reviews of this rater.
    decides
        If true, return only reviews in the table that judges the image's step.
    latest
        If true, return only each rater's latest deciding review of an image.
    notes
        If false, leave out the notes, which can be large.
    """

    images: Collection[int]
    rater: str | None = None
    decides: bool = False
    latest: bool = False
    notes: bool = True

    def select(self) -> Statement:
        """Return the SELECT of `ImageReview`, one row per review: by image, the earliest first."""
        columns = {name: getattr(Review, name) for name in ImageReview._fields}
        if not self.notes:
            columns["notes"] = sa.cast(sa.null(), sa.Text)
        statement = (
            sa.select(*(column.label(name) for name, column in columns.items()))
            .where(one_of(Review.img_id, self.images))
            .order_by(Review.img_id, Review.created, ascending(Review.kind), Review.id)
        )
        if self.rater is not None:
            statement = statement.where(Review.rater == self.rater)
        if self.decides:
            statement = statement.where(Review.decides)
        return statement.where(Review.latest) if self.latest else statement

    @accepts_database
    def run(self, session: orm.Session) -> Rows[ImageReview]:
        """Return one row per review; with pseudonyms, notes are left out."""
        rows: Iterable[ImageReview] = map(ImageReview._make, session.execute(self.select()))
        if pseudonyms.are_used(session):
            rows = (
                review._replace(rater=pseudonyms.rater(session, review.rater), notes=None)
                for review in rows
            )
        return Rows(ImageReview, rows)


@dataclass(frozen=True)
class Clicks:
    """Where did reviewers click on these images?

    Rows without x or y are not clicks.

    Parameters
    ----------
    images
        Ids of the images.
    """

    images: Collection[int]

    def select(self) -> Statement:
        """Return the SELECT of `ImageClick`, one row per click: by image, the earliest first."""
        return (
            sa.select(*(getattr(Coordinate, name).label(name) for name in ImageClick._fields))
            .where(
                one_of(Coordinate.img_id, self.images),
                Coordinate.x.is_not(None),
                Coordinate.y.is_not(None),
            )
            .order_by(Coordinate.img_id, Coordinate.created, Coordinate.id)
        )

    @accepts_database
    def run(self, session: orm.Session) -> Rows[ImageClick]:
        """Return one row per click."""
        return Rows(ImageClick, map(ImageClick._make, session.execute(self.select())))


def blobs(session: orm.Session, images: Iterable[FoundImage]) -> Iterator[tuple[FoundImage, bytes]]:
    """Fetch the pictures of images in the given order, a few at a time.

    Images that have been deleted in the meantime are left out.
    """
    for batch in groups(images, lambda image: image.n_bytes, _BATCH_IMAGES):
        statement = sa.select(Image.id, Image.img).where(one_of(Image.id, [i.id for i in batch]))
        pictures: dict[int, bytes] = dict(iter(session.execute(statement)))
        for image in batch:
            if image.id in pictures:
                yield image, pictures.pop(image.id)
