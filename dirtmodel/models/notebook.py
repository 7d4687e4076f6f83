"""How an image of the ORM is shown, in Python and in notebooks.

`models.Image` inherits this. Pillow is loaded with the first picture.
"""

import html
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import orm
from sqlalchemy.orm.exc import DetachedInstanceError

from dirtmodel.errors import DatabaseError

if TYPE_CHECKING:
    from PIL import Image as PillowImage

    from dirtmodel.draw.drawing import Drawing

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
        return _drawing(self).still()

    def _repr_png_(self) -> bytes | None:
        """Show a PNG in a notebook; None for an animation, and for what cannot be shown."""
        try:
            return _drawing(self)._repr_png_()
        except DatabaseError:
            return None

    def _repr_html_(self) -> str | None:
        """Show an animation in a notebook, or why a picture cannot be shown; None for a PNG."""
        try:
            return _drawing(self)._repr_html_()
        except DatabaseError as error:
            return f"<pre>{html.escape(repr(self))}\n{html.escape(str(error))}</pre>"


def _drawing(image: Any) -> "Drawing":
    from dirtmodel.draw.colours import pens
    from dirtmodel.draw.drawing import Drawing
    from dirtmodel.models.raters import raters

    def draw() -> Drawing:
        session = orm.object_session(image)
        chosen = None if session is None else pens(raters(session.connection()))
        return Drawing.of(image, image.img, image.reviews, image.coordinates, chosen)

    return _attached(image, draw)


def _attached(image: Any, ask: Callable[[], _T]) -> _T:
    """Call a function that may have to read attributes of an image from the database."""
    try:
        return ask()
    except DetachedInstanceError as error:
        raise DatabaseError(
            f"image {image.id} has lost its database, whose session is closed; look at pictures "
            "before you close it"
        ) from error
