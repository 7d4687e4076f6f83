"""How an image of the ORM shows itself, in Python and in notebooks.

`models.Image` inherits this. It stands upstream of the models, and asks an image only for its own
attributes, so that the models need neither queries nor Pillow: that is loaded by the first picture.
"""

import base64
import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy.orm.exc import DetachedInstanceError

from dirtmodel.errors import DatabaseError, PictureError

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    from dirtmodel.draw.annotate import Notes
    from dirtmodel.draw.captions import Review, Subject

_GIF: Final = b"GIF8"

_T = TypeVar("_T")


class Shown:
    """What an image can show; mixed into `models.Image`."""

    def open(self: Any) -> "PillowImage.Image":
        """Decode the picture as a Pillow image; of an animation, with all its frames.

        Raises
        ------
        PictureError
            The picture is damaged.
        DatabaseError
            The session that the image came from is closed.
        """
        from dirtmodel.draw import decode

        return decode.open_picture(_attached(self, lambda: self.img), self.id)

    def annotated(self: Any) -> "PillowImage.Image":
        """Draw the picture with its clicks as rings, a caption, and a legend for several raters.

        The picture lies at the top left, pixel for pixel. The frames of an animation stand side by
        side.

        Raises
        ------
        PictureError
            The picture is damaged.
        DatabaseError
            The session that the image came from is closed.
        """
        from dirtmodel.draw import annotate

        return _attached(self, lambda: annotate.annotated(self.img, _notes(self), img_id=self.id))

    def _repr_png_(self: Any) -> bytes | None:
        """Show a PNG in a notebook; None for an animation, and for what cannot be shown."""
        from dirtmodel.draw import annotate

        try:
            if _attached(self, lambda: self.img)[:4] == _GIF:
                return None
            return annotate.annotate(self.img, _notes(self), img_id=self.id)
        except (PictureError, DatabaseError):
            return None

    def _repr_html_(self: Any) -> str | None:
        """Show an animation in a notebook, or say why a picture cannot be shown; None for a PNG.

        Notebooks prefer HTML to PNG, so that only one of the two may give something.
        """
        from dirtmodel.draw import annotate

        try:
            data, notes = _attached(self, lambda: (self.img, _notes(self)))
            if data[:4] != _GIF:
                annotate.annotated(data, notes, img_id=self.id)
                return None
            shown = annotate.annotate(data, notes, img_id=self.id, form="APNG")
        except (PictureError, DatabaseError) as error:
            return f"<pre>{html.escape(repr(self))}\n{html.escape(str(error))}</pre>"
        source = f"data:image/png;base64,{base64.b64encode(shown).decode('ascii')}"
        return f'<img src="{source}" alt="{html.escape(" | ".join(notes.caption))}">'


def _attached(image: Any, ask: Callable[[], _T]) -> _T:
    """Ask an image for what the database may have to be asked for."""
    try:
        return ask()
    except DetachedInstanceError as error:
        raise DatabaseError(
            f"image {image.id} has lost its database, whose session is closed; look at pictures "
            "inside `with dirtmodel.open(...) as db:`"
        ) from error


def _notes(image: Any) -> "Notes":
    from dirtmodel.draw import captions
    from dirtmodel.draw.annotate import Notes

    reviews = _reviews(image)
    clicks = [click for review in reviews for click in review.clicks]
    return Notes(clicks, captions.caption(_subject(image), reviews))


def _subject(image: Any) -> "Subject":
    from dirtmodel.draw.captions import Subject

    target = image.picture.target if image.picture else None
    return Subject(
        img_id=image.id,
        step=image.step.name,
        file1=image.file1,
        display=image.display.name,
        slice=image.slice,
        sub=target and target.sub,
        ses=target and target.ses,
        task=target and target.task,
        run=target and target.run,
    )


def _reviews(image: Any) -> "list[Review]":
    from dirtmodel.draw.captions import Row, reviews_of
    from dirtmodel.draw.rings import Click

    rows = []
    for said in sorted([*image.ratings, *image.coordinates], key=lambda said: said.id or 0):
        rater = said.session.user
        row = Row(said.session_id, rater, said.created, said.source_data_issue, said.notes)
        if hasattr(said, "rating"):
            rows.append(row._replace(verdict=said.rating.name))
        else:
            rows.append(row._replace(click=Click(said.x, said.y, rater)))
    return reviews_of(rows)
