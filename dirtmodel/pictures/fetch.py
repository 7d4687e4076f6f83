"""Fetch images with their pictures and reviews, a few at a time."""

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
"""A function that is called with the number of images done since the last call."""

Wanted = Images | Iterable[Image | FoundImage | int]
"""A query for images, or a list of images: ORM objects, rows of `Images`, or ids."""


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
    """Return the images of a query or a list, in their order.

    Raises
    ------
    UsageError
        If no image matches, or an id of the query or the list does not exist.
    """
    if isinstance(wanted, Images):
        wanted.require(session.connection())
        found = list(wanted.run(session))
        existing = {image.id for image in found}
        _require(_ids(wanted), existing, only_ids=wanted == Images(id=wanted.id))
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
        by_image = histories(session, Reviews([image.id for image in batch]))
        for image, data in blobs(session, batch):
            yield Fetched(image, data, *by_image.get(image.id, History([], [])))


def histories(session: orm.Session, wanted: Reviews) -> dict[int, History]:
    """Return reviews with their clicks, by image; images without such reviews are left out."""
    by_image: dict[int, History] = {}
    for review in wanted.run(session):
        by_image.setdefault(review.img_id, History([], [])).reviews.append(review)
    for click in Clicks(list(by_image)).run(session):
        by_image[click.img_id].clicks.append(click)
    return by_image


def pens_of(session: orm.Session) -> dict[str | None, Pen]:
    """Return the pen of each rater of a database, by user or pseudonym.

    A rater has the same pen in all pictures. Pens of pseudonyms follow the order of the pseudonyms,
    because the original order could reveal who a rater is.
    """
    names = [pseudonyms.rater(session, name) for name in raters(session.connection())]
    return pens(sorted(names, key=str) if pseudonyms.are_used(session) else names)


def _id(image: object) -> int:
    if isinstance(image, numbers.Integral):  # also numpy's integers
        return int(image)
    if isinstance(image, Image | FoundImage):
        return image.id
    raise UsageError(
        f"{type(image).__name__} is not an image; ask for images with dm.Images(…), or list their "
        "ids, such as the image_ids of an exclusion"
    )


def _ids(wanted: Images) -> Collection[int]:
    return () if wanted.id is None else wanted.id  # type: ignore[return-value]  # a tuple since its __post_init__


def _require(ids: Collection[int], existing: Collection[int], *, only_ids: bool = True) -> None:
    missing = [str(img_id) for img_id in ids if img_id not in existing]
    if missing:
        more = f" (nor {len(missing) - 1:,} more)" if missing[1:] else ""
        raise UsageError(
            f"there is no image {missing[0]}{more} in this database"
            f"{'' if only_ids else ' that meets the other conditions'}; "
            "`dirtmodel exclusions` names images in its column image_ids"
        )
