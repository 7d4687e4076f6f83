"""One picture with rings where reviewers clicked, caption and legend."""

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
"""What is written to a file, by its suffix."""


class DrawnImage(Drawing):
    """One picture with rings, caption and legend. A notebook shows it."""

    def save(self, path: str | os.PathLike[str], *, replace: bool = False) -> None:
        """Write it to a file: a .png, whose frames stand side by side, a .gif or an .apng.

        Raises
        ------
        OutputError
            The file cannot be written; or is there already, and `replace` is not set.
        PictureError
            The picture is damaged, or has too many colours to be drawn on as a GIF.
        UsageError
            The suffix is another one; or a GIF is asked for of a PNG.
        """
        path = Path(path)
        form = FORMS.get(path.suffix.lower())
        if form is None:
            raise UsageError(
                f"{path} has none of the suffixes {', '.join(FORMS)}; choose one of them"
            )
        outputs.save(self.encode(form), path, replace=replace)


def image(db: Database, img_id: int) -> DrawnImage:
    """Draw a picture as the reviewers saw it, with their clicks and verdicts.

    Parameters
    ----------
    db
        An open session, a path or a URL.
    img_id
        The image's id.

    Raises
    ------
    UsageError
        There is no such image.
    """
    with opening.session_on(db) as session:
        found = fetch.find(session, [img_id])
        for shown in fetch.fetch(session, found):
            pens = fetch.pens_of(session)
            return DrawnImage.of(shown.image, shown.data, shown.reviews, shown.clicks, pens)
    raise PictureError(f"image {img_id} has just been deleted from the database")
