"""A picture as the reviewer saw it, with the clicks as rings and a caption below.

The picture stays at the top left, pixel for pixel; captions and legends stand in a margin added
below it. Outside the rings no pixel differs from the original, in any frame.
"""

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from PIL import Image

from dirtmodel.draw import decode, gif, margins, rings, text
from dirtmodel.draw.colours import Pen, pens
from dirtmodel.draw.rings import Click
from dirtmodel.errors import PictureError, UsageError

_FRAME_GAP: Final = 6
_SMALLEST_RING: Final = 0.7
_FRAME_LABEL: Final = 13
_PAGE_ASPECT: Final = 1.6
_MOST_IN_A_ROW: Final = 3


@dataclass(frozen=True)
class Notes:
    """What is drawn on and below a picture.

    Parameters
    ----------
    clicks
        Rows of `coordinate`, in the order to draw them.
    caption
        Lines below the picture; they wrap. None of them: no caption.
    pens
        The pen of every rater; by default those of the raters of these clicks.
        A sheet shares one mapping among its pictures.
    legend
        Whether raters are named below the picture when there are several.
    radius
        Radius of the rings in pixels.
    """

    clicks: Sequence[Click] = ()
    caption: Sequence[str] = ()
    pens: Mapping[str | None, Pen] | None = None
    legend: bool = True
    radius: float = rings.RADIUS

    def scaled(self, scale: float) -> "Notes":
        """Move the clicks to a picture of another scale; rings do not shrink below legibility."""
        return replace(
            self,
            clicks=[Click(x * scale, y * scale, rater) for x, y, rater in self.points()],
            radius=rings.RADIUS * max(scale, _SMALLEST_RING),
        )

    def points(self) -> list[rings.Point]:
        """Give the clicks that can be drawn."""
        return rings.points(self.clicks)[0]

    def chosen_pens(self) -> Mapping[str | None, Pen]:
        """Give a pen for every rater who clicked."""
        return pens(point.rater for point in self.points()) if self.pens is None else self.pens

    def lines(self) -> list[str]:
        """Give the caption, and how many clicks could not be drawn."""
        n_incomplete = rings.points(self.clicks)[1]
        if not self.caption or not n_incomplete:
            return list(self.caption)
        clicks = "click" if n_incomplete == 1 else "clicks"
        return [*self.caption, f"{n_incomplete} {clicks} without a complete position, not drawn"]

    def legend_entries(self) -> list[tuple[str, Pen]]:
        """Give the raters to name, with the number of their clicks."""
        counts: dict[str | None, int] = {}
        for point in self.points():
            counts[point.rater] = counts.get(point.rater, 0) + 1
        if not self.legend or len(counts) < 2:  # noqa: PLR2004 - one rater needs no legend
            return []
        return [
            (f"{'unknown rater' if rater is None else rater} ({counts[rater]})", pen)
            for rater, pen in self.chosen_pens().items()
            if rater in counts
        ]


def annotate(
    data: bytes | memoryview,
    notes: Notes,
    *,
    img_id: int,
    form: Literal["PNG", "GIF"] | None = None,
) -> bytes:
    """Encode a picture with its rings, caption and legend.

    A GIF stays a GIF with all its frames, durations and loop, unless a PNG is asked for, which
    shows the frames side by side. With nothing to add, the original bytes come back.

    Raises
    ------
    PictureError
        The picture is damaged; or its frames use too many colours to be drawn on as a GIF.
    UsageError
        A GIF is asked for of a PNG.
    """
    image = decode.open_picture(data, img_id)
    form = form or ("GIF" if image.format == "GIF" else "PNG")
    if form == "GIF" and image.format != "GIF":
        raise UsageError(f"image {img_id} is a PNG and cannot become a GIF; write a .png file")
    if form == image.format and not notes.points() and not notes.lines():
        return bytes(data)
    if form == "PNG":
        return png_bytes(annotated(data, notes, img_id=img_id))
    try:
        return _annotated_gif(data, notes, img_id, image.info.get("loop"))
    except gif.TooManyColoursError as error:
        raise PictureError(
            f"image {img_id}: its frames use too many colours to be drawn on as a GIF; "
            "write a .png file instead"
        ) from error


def annotated(data: bytes | memoryview, notes: Notes, *, img_id: int) -> Image.Image:
    """Give a picture with its rings, caption and legend as a still Pillow image.

    The frames of a GIF stand side by side, or in a grid if there are many.

    Raises
    ------
    PictureError
        The picture is damaged.
    """
    drawn = [ringed(frame.image, notes) for frame in decode.frames(data, img_id)]
    still = drawn[0] if len(drawn) == 1 else _side_by_side(drawn)
    return _with_margin(still, margin(notes, still.width))


def ringed(image: Image.Image, notes: Notes) -> Image.Image:
    """Draw the rings on an RGBA image, with smooth edges; the image itself stays as it is."""
    if not notes.points():
        return image
    pixels = np.array(image)
    for stamp in rings.stamps(notes.points(), image.size, notes.chosen_pens(), notes.radius):
        patch = pixels[stamp.where]
        pixels[stamp.where] = rings.blend(patch, stamp)
    return Image.fromarray(pixels)


def png_bytes(image: Image.Image) -> bytes:
    """Encode as PNG, at a compression where time and size are in proportion."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def grid(n_frames: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Give the top left corner of every frame where frames stand side by side.

    Up to three stand in one row; more form a grid about as wide as a screen.
    """
    width, height = size[0] + _FRAME_GAP, size[1] + text.line_height(_FRAME_LABEL) + _FRAME_GAP
    n_columns = n_frames
    if n_frames > _MOST_IN_A_ROW:
        n_rows = math.ceil(math.sqrt(n_frames * width / height / _PAGE_ASPECT))
        n_columns = math.ceil(n_frames / n_rows)
    return [
        (number % n_columns * width, number // n_columns * height) for number in range(n_frames)
    ]


def margin(notes: Notes, width: int) -> Image.Image | None:
    """Draw caption and legend, at least `width` wide; None if there is nothing to say."""
    return margins.draw(notes.lines(), notes.legend_entries(), width)


def _with_margin(image: Image.Image, strip: Image.Image | None) -> Image.Image:
    if image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    if strip is None:
        return image
    size = (max(image.width, strip.width), image.height + strip.height)
    whole = Image.new(image.mode, size, text.PAPER)
    whole.paste(image, (0, 0))
    whole.paste(strip, (0, image.height))
    return whole


def _side_by_side(drawn: list[Image.Image]) -> Image.Image:
    size = drawn[0].size
    corners = grid(len(drawn), size)
    label_height = text.line_height(_FRAME_LABEL)
    width = max(x for x, _ in corners) + size[0]
    height = max(y for _, y in corners) + size[1] + label_height
    whole = Image.new("RGBA", (width, height), text.PAPER)
    for number, (image, (x, y)) in enumerate(zip(drawn, corners, strict=True), start=1):
        whole.paste(image, (x, y))
        label = text.clip(f"frame {number} of {len(drawn)}", _FRAME_LABEL, size[0] - 2)
        text.write(whole, (x + 2, y + size[1] + 2), [label], _FRAME_LABEL, text.FAINT)
    return whole


def _annotated_gif(
    data: bytes | memoryview,
    notes: Notes,
    img_id: int,
    loop: int | None,
) -> bytes:
    shown = decode.frames(data, img_id)
    first = next(shown)
    overlay, inks = _overlay(first.image.size, notes)
    drawn = (
        (_under(overlay, gif.pack(frame.image)), frame.duration)
        for frame in itertools.chain([first], shown)
    )
    return gif.encode(drawn, loop=loop, inks=inks)


def _under(overlay: gif.Codes, picture: gif.Codes) -> gif.Codes:
    height, width = picture.shape
    codes = overlay.copy()
    area = codes[:height, :width]
    np.copyto(area, picture, where=area == gif.TRANSPARENT)
    return codes


def _overlay(size: tuple[int, int], notes: Notes) -> tuple[gif.Codes, list[int]]:
    """Draw rings (hard-edged) and margin as inks, transparent where the picture shows."""
    strip = margin(notes, size[0])
    codes = np.full((size[1], size[0]), gif.TRANSPARENT, dtype=np.int32)
    for stamp in rings.stamps(notes.points(), size, notes.chosen_pens(), notes.radius):
        codes[stamp.where][stamp.coverage >= 0.5] = gif.pack_colour(stamp.colour)  # noqa: PLR2004 - half a pixel
    if strip is not None:
        below = gif.pack(strip.convert("RGBA"))
        codes = np.pad(
            codes,
            ((0, 0), (0, below.shape[1] - size[0])),
            constant_values=gif.pack_colour(text.PAPER),
        )
        codes = np.concatenate([codes, below])
    return _as_inks(codes, n_ring_rows=size[1])


def _as_inks(codes: gif.Codes, n_ring_rows: int) -> tuple[gif.Codes, list[int]]:
    """Turn colours into numbered inks: first those of rings, then by frequency."""
    n_pixels: dict[int, int] = {}
    for rows, weight in ((codes[:n_ring_rows], codes.size), (codes[n_ring_rows:], 1)):
        for colour, count in zip(*np.unique(rows, return_counts=True), strict=True):
            n_pixels[int(colour)] = n_pixels.get(int(colour), 0) + int(count) * weight
    n_pixels.pop(gif.TRANSPARENT, None)
    inks = sorted(n_pixels, key=lambda colour: (-n_pixels[colour], colour))
    numbered = codes.copy()
    for number, colour in enumerate(inks):
        numbered[codes == colour] = gif.INK + number
    return numbered, inks
