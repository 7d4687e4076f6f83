"""Images, their pictures and their reviews, brought together a few at a time."""

import numbers
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import orm

from dirtmodel import pseudonyms
from dirtmodel.database.fragments import in_batches
from dirtmodel.draw.colours import Pen, pens
from dirtmodel.errors import UsageError
from dirtmodel.models import Image, raters
from dirtmodel.queries.images import (
    Clicks,
    FoundImage,
    ImageClick,
    ImageReview,
    Images,
    Reviews,
    blobs,
)

Progress = Callable[[int], None]
"""Called with the number of images done since it was called last."""

Wanted = Images | Iterable[Image | FoundImage | int]
"""A query for images, or the images themselves: of the ORM, as rows, or by their ids."""


class History(NamedTuple):
    """The reviews of an image, the earliest first, and the clicks of these reviews."""

    reviews: list[ImageReview]
    clicks: list[ImageClick]


class Fetched(NamedTuple):
    """An image, its picture, its reviews and its clicks."""

    image: FoundImage
    data: bytes
    reviews: list[ImageReview]
    clicks: list[ImageClick]


def find(session: orm.Session, wanted: Wanted) -> list[FoundImage]:
    """Return the images that are wanted, in their order.

    Raises
    ------
    UsageError
        If there are none, or if some of those named are missing.
    """
    if isinstance(wanted, Images):
        wanted.require(session.connection())
        found = list(wanted.run(session))
        there = {image.id for image in found}
        _require(_ids(wanted), there, alone=wanted == Images(id=wanted.id))
        if not found:
            raise UsageError(
                f"no image matches {wanted.text or 'in an empty database'}; "
                "`dirtmodel coverage --targets` lists what there is"
            )
        return found
    ids = [_id(image) for image in wanted]
    if not ids:
        raise UsageError("there is no image to look at; the list of images is empty")
    by_id: dict[int, FoundImage] = {}
    for batch in in_batches(ids):
        by_id.update((image.id, image) for image in Images(id=batch).run(session))
    _require(ids, by_id)
    return [by_id[img_id] for img_id in ids]


def fetch(session: orm.Session, images: Iterable[FoundImage]) -> Iterator[Fetched]:
    """Fetch pictures and reviews in order, one batch at a time."""
    for batch in in_batches(images):
        found = histories(session, Reviews([image.id for image in batch]))
        for image, data in blobs(session, batch):
            yield Fetched(image, data, *found.get(image.id, History([], [])))


def histories(session: orm.Session, wanted: Reviews) -> dict[int, History]:
    """Fetch reviews with their clicks, by image; images without such reviews are left out."""
    found: dict[int, History] = {}
    for review in wanted.run(session):
        found.setdefault(review.img_id, History([], [])).reviews.append(review)
    for click in Clicks(list(found)).run(session):
        found[click.img_id].clicks.append(click)
    return found


def pens_of(session: orm.Session) -> dict[str | None, Pen]:
    """Return the pens of all raters of a database, as results name them.

    A rater has the same pen in all pictures. That of a pseudonym follows from its number, because
    the order of the raters could tell who it is.
    """
    known = [pseudonyms.rater(session, name) for name in raters(session.connection())]
    return pens(sorted(known, key=str) if pseudonyms.are_used(session) else known)


def _id(image: object) -> int:
    if isinstance(image, numbers.Integral):  # of numpy, too
        return int(image)
    if isinstance(image, Image | FoundImage):
        return image.id
    raise UsageError(
        f"{type(image).__name__} is not an image; ask for images with dm.Images(…), or list their "
        "ids, such as the image_ids of an exclusion"
    )


def _ids(wanted: Images) -> Collection[int]:
    return () if wanted.id is None else wanted.id  # type: ignore[return-value]  # a tuple since its __post_init__


def _require(ids: Collection[int], there: Collection[int], *, alone: bool = True) -> None:
    missing = [str(img_id) for img_id in ids if img_id not in there]
    if missing:
        more = f" (nor {len(missing) - 1:,} more)" if missing[1:] else ""
        raise UsageError(
            f"there is no image {missing[0]}{more} in this database"
            f"{'' if alone else ' that meets the other conditions'}; "
            "`dirtmodel exclusions` names images in its column image_ids"
        )
