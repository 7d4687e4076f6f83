"""Small pictures with rings, for HTML pages."""

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
    """A small picture as WebP, or the error if it is damaged, and the reviews of its image."""

    image: FoundImage
    webp: bytes | None
    damage: str | None
    reviews: list[ImageReview]


def thumbnails(
    session: orm.Session, images: Wanted, *, size: tuple[int, int] = (420, 340)
) -> Iterator[Thumbnail]:
    """Yield small pictures of images with rings, in the order of the images.

    Parameters
    ----------
    size
        Largest width and height in pixels.

    Raises
    ------
    UsageError
        If an image does not exist, or no image matches.
    """
    pens = fetch.pens_of(session)
    for image, data, reviews, clicks in fetch.fetch(session, fetch.find(session, images)):
        try:
            rings = rings_of(reviews, clicks)
            webp = thumbnail(data, rings, img_id=image.id, pens=pens, size=size)
        except PictureError as error:
            yield Thumbnail(image, None, str(error), reviews)
        else:
            yield Thumbnail(image, webp, None, reviews)
