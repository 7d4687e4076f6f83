"""A picture that has been put together with its reviews, ready to be drawn."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from PIL import Image

from dirtmodel.draw import annotate, captions, decode
from dirtmodel.draw.annotate import Form, Notes
from dirtmodel.draw.colours import Pen
from dirtmodel.draw.info import ClickInfo, ImageInfo, ReviewInfo
from dirtmodel.errors import PictureError

_GIF: Final = b"GIF8"


@dataclass(frozen=True)
class Drawing:
    """A picture with its rings and caption. A notebook displays it."""

    img_id: int
    data: bytes
    notes: Notes

    @classmethod
    def of(
        cls,
        image: ImageInfo,
        data: bytes,
        reviews: Sequence[ReviewInfo],
        clicks: Iterable[ClickInfo],
        pens: Mapping[str | None, Pen] | None = None,
    ) -> Self:
        """Make a drawing from an image, its bytes, its reviews (the earliest first) and clicks.

        Parameters
        ----------
        pens
            The pen of every rater in the database, so that a rater has the same colour in all
            pictures.
        """
        notes = Notes(
            captions.rings_of(reviews, clicks),
            captions.caption(image, reviews),
            pens,
        )
        return cls(image.id, data, notes)

    def encode(self, form: Form | None = None) -> bytes:
        """Return the encoded picture; see `annotate.annotate`."""
        return annotate.annotate(self.data, self.notes, img_id=self.img_id, form=form)

    def still(self) -> Image.Image:
        """Return the picture as a still Pillow image; see `annotate.annotated`."""
        return annotate.annotated(self.data, self.notes, img_id=self.img_id)

    def _repr_png_(self) -> bytes | None:
        """Return a PNG for a notebook; None for an animation or a damaged picture."""
        try:
            return None if self.data[:4] == _GIF else self.encode()
        except PictureError:
            return None

    def _repr_html_(self) -> str | None:
        """Return the HTML of an animation, or of the error of a damaged picture; None for a PNG.

        Notebooks prefer HTML to PNG, so only one of the two methods may return something.
        """
        try:
            if self.data[:4] != _GIF:
                decode.open_picture(self.data, self.img_id)
                return None
            shown = base64.b64encode(self.encode("APNG")).decode("ascii")
        except PictureError as error:
            lines = [*self.notes.caption, str(error)]
            return f"<pre>{html.escape(chr(10).join(lines))}</pre>"
        text = html.escape(" | ".join(self.notes.caption))
        return f'<img src="data:image/png;base64,{shown}" alt="{text}">'
