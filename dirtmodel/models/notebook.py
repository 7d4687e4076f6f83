"""Methods of `models.Image` that open and draw its picture, in Python and in notebooks.

Pillow is imported when they are first called.
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
        """Decode the picture as a Pillow image; an animation has all its frames.

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

        The picture is at the top left, in its original size. The frames of an animation are drawn
        side by side.

        Raises
        ------
        PictureError
            The picture is damaged.
        DatabaseError
            The session that the image came from is closed.
        """
        return _drawing(self).still()

    def _repr_png_(self) -> bytes | None:
        """Show a PNG in a notebook; None for an animation or a picture that cannot be shown."""
        try:
            return _drawing(self)._repr_png_()
        except DatabaseError:
            return None

    def _repr_html_(self) -> str | None:
        """Show an animation, or the reason why a picture cannot be shown; None for a PNG."""
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
        colours = None if session is None else pens(raters(session.connection()))
        return Drawing.of(image, image.img, image.reviews, image.coordinates, colours)

    return _attached(image, draw)


def _attached(image: Any, read: Callable[[], _T]) -> _T:
    """Call a function that reads attributes of an image, which may need an open session."""
    try:
        return read()
    except DetachedInstanceError as error:
        raise DatabaseError(
            f"image {image.id} has lost its database, whose session is closed; look at pictures "
            "before you close it"
        ) from error
