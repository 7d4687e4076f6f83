"""How an image of the ORM is shown, in Python and in notebooks.

`models.Image` inherits this. It uses only the attributes of an image, so that the models import
neither queries nor Pillow, which is loaded with the first picture.
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
    """Methods that show an image; mixed into `models.Image`."""

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
        """Show an animation in a notebook, or why a picture cannot be shown; None for a PNG.

        Notebooks prefer HTML to PNG, so only one of the two methods may return something.
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
    """Call a function that may have to read attributes of an image from the database."""
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

    reviews = reviews_of(image)
    return Notes(captions.rings_of(reviews), captions.caption(_subject(image), reviews))


def _subject(image: Any) -> "Subject":
    from dirtmodel.draw.captions import Subject

    target = image.target
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


def reviews_of(image: Any) -> "list[Review]":
    """Return the reviews of an image with their clicks, the earliest first."""
    from dirtmodel.draw.captions import Review
    from dirtmodel.draw.rings import Click

    return [
        Review(
            review.rater,
            None if review.verdict is None else review.verdict.name,
            review.n_clicks,
            [
                Click(click.x, click.y, review.rater)
                for click in image.coordinates
                if review.verdict is None
                and click.session_id == review.session_id
                and click.x is not None
                and click.y is not None
            ],
            review.source_data_issue,
            review.notes,
            review.decides,
        )
        for review in image.reviews
    ]
