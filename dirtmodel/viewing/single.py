"""One picture with rings where reviewers clicked, caption and legend."""

from typing import Literal

from sqlalchemy import orm

from dirtmodel.draw import annotate
from dirtmodel.draw.annotate import Notes
from dirtmodel.draw.captions import caption
from dirtmodel.errors import PictureError
from dirtmodel.viewing import material


def annotated(db: orm.Session, img_id: int, *, form: Literal["PNG", "GIF"] | None = None) -> bytes:
    """Encode a picture as the reviewers saw it, with their clicks and verdicts.

    Parameters
    ----------
    form
        By default that of the picture. A PNG shows the frames of a GIF side by side.

    Raises
    ------
    UsageError
        There is no such image; or a GIF is asked for of a PNG.
    PictureError
        The picture is damaged, or has too many colours to be drawn on as a GIF.
    """
    db, found = material.find([img_id], db)
    for shown in material.gather(db, found):
        notes = Notes(shown.clicks, caption(shown.subject, shown.reviews))
        return annotate.annotate(shown.data, notes, img_id=img_id, form=form)
    raise PictureError(f"image {img_id} has just been deleted from the database")
