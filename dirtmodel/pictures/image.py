"""One picture with its clicks as rings, a caption and a legend."""

import os
from pathlib import Path
from typing import Final

from dirtmodel import opening, outputs
from dirtmodel.draw.annotate import Form
from dirtmodel.draw.drawing import Drawing
from dirtmodel.errors import PictureError, UsageError
from dirtmodel.opening import Database
from dirtmodel.pictures import fetch

FORMS: Final[dict[str, Form]] = {".png": "PNG", ".gif": "GIF", ".apng": "APNG"}
"""The format of a file, by its suffix."""


class DrawnImage(Drawing):
    """One picture with rings, caption and legend. A notebook displays it."""

    def save(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write the picture to a .png (with the frames side by side), .gif or .apng file.

        Raises
        ------
        OutputError
            The file cannot be written, or it exists and `replace` is false.
        PictureError
            The picture is damaged, or has too many colours to be drawn on as a GIF.
        UsageError
            The suffix is another one, or it is .gif and the picture is a PNG.
        """
        path = Path(path)
        form = FORMS.get(path.suffix.lower())
        if form is None:
            raise UsageError(f"{path} must have one of the suffixes {', '.join(FORMS)}")
        outputs.save(self.encode(form), path, replace=replace)


def image(db: Database, img_id: int) -> DrawnImage:
    """Draw a picture as the reviewers saw it, with their clicks and verdicts.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    img_id
        The id of the image.

    Raises
    ------
    UsageError
        The image does not exist.
    """
    with opening.session_on(db) as session:
        found = fetch.find(session, [img_id])
        for shown in fetch.fetch(session, found):
            pens = fetch.pens_of(session)
            return DrawnImage.of(shown.image, shown.data, shown.reviews, shown.clicks, pens)
    raise PictureError(f"image {img_id} has just been deleted from the database")
