"""Small pictures with rings, for pages."""

from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import orm

from dirtmodel.draw.captions import rings_of
from dirtmodel.draw.thumbnails import thumbnail
from dirtmodel.errors import PictureError
from dirtmodel.pictures import fetch
from dirtmodel.pictures.fetch import Wanted
from dirtmodel.queries.images import FoundImage, ImageReview


class Thumbnail(NamedTuple):
    """A small picture as WebP, or why it cannot be drawn, and the reviews of its image."""

    image: FoundImage
    webp: bytes | None
    damage: str | None
    reviews: list[ImageReview]


def thumbnails(
    session: orm.Session, images: Wanted, *, size: tuple[int, int] = (420, 340)
) -> Iterator[Thumbnail]:
    """Draw images small, with rings, in their order.

    Parameters
    ----------
    size
        Largest width and height in pixels.

    Raises
    ------
    UsageError
        If there is no such image.
    """
    chosen = fetch.pens_of(session)
    for image, data, reviews, clicks in fetch.fetch(session, fetch.find(session, images)):
        try:
            rings = rings_of(reviews, clicks)
            webp = thumbnail(data, rings, img_id=image.id, pens=chosen, size=size)
        except PictureError as error:
            yield Thumbnail(image, None, str(error), reviews)
        else:
            yield Thumbnail(image, webp, None, reviews)
