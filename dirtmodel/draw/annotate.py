"""A picture as the reviewer saw it, with the clicks as rings and a caption below.

The picture stays at the top left. The caption and the legend are in a margin that is added below
it. In every frame, only the pixels under the rings differ from the original.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from PIL import Image

from dirtmodel.draw import decode, encode, legend, rings, text
from dirtmodel.draw.colours import Pen, pens
from dirtmodel.draw.decode import Frame
from dirtmodel.draw.legend import Entry
from dirtmodel.draw.rings import Click
from dirtmodel.errors import PictureError, UsageError
from dirtmodel.wording import count

Form = Literal["PNG", "GIF", "APNG"]

_FRAME_GAP: Final = 6
"""Pixels between frames that are shown side by side."""
_MIN_RING_SCALE: Final = 0.7
"""The smallest scale at which rings are still legible."""
_FRAME_LABEL: Final = 13
"""Size in pixels of the text below each frame."""
_PAGE_ASPECT: Final = 1.6
"""Width / height of the grid in which many frames are shown."""
_MAX_FRAMES_IN_ONE_ROW: Final = 3


@dataclass(frozen=True)
class Notes:
    """What is drawn on and below a picture.

    Parameters
    ----------
    clicks
        Rows of `coordinate`, in the order in which they are drawn.
    caption
        Lines of text below the picture; long lines wrap. An empty caption is not drawn.
    pens
        The pen of every rater in the database, so that a rater has the same colour in all
        pictures. By default, pens are assigned to the raters of these clicks.
    legend
        If true, explain below the picture the rings of several raters and the clicks outside it.
    radius
        Radius of the rings in pixels.
    """

    clicks: Sequence[Click] = ()
    caption: Sequence[str] = ()
    pens: Mapping[str | None, Pen] | None = None
    legend: bool = True
    radius: float = rings.RADIUS

    def scaled(self, scale: float) -> "Notes":
        """Return notes for a picture of another size; rings do not become too small to see."""
        return replace(
            self,
            clicks=[Click(x * scale, y * scale, rater) for x, y, rater in self.points()],
            radius=rings.RADIUS * max(scale, _MIN_RING_SCALE),
        )

    def points(self) -> list[rings.Point]:
        """Return the clicks that can be drawn."""
        return rings.points(self.clicks)[0]

    def chosen_pens(self) -> Mapping[str | None, Pen]:
        """Return a pen for every rater who clicked."""
        if self.pens is not None:
            return self.pens
        return pens(sorted({point.rater for point in self.points()}, key=str))

    def lines(self) -> list[str]:
        """Return the caption, followed by the number of clicks that cannot be drawn."""
        n_incomplete = rings.points(self.clicks)[1]
        if not self.caption or not n_incomplete:
            return list(self.caption)
        clicks = count(n_incomplete, "click")
        return [*self.caption, f"{clicks} without a complete position, not drawn"]

    def entries(self, size: tuple[int, int]) -> list[Entry]:
        """Return the legend: each rater's number of clicks, and the clicks outside the picture.

        Raters are not named if there is a pen for one rater only.
        """
        if not self.legend:
            return []
        points, chosen = self.points(), self.chosen_pens()
        counts = {rater: sum(point.rater == rater for point in points) for rater in chosen}
        entries = [
            Entry(f"{legend.name(rater)} ({counts[rater]})", pen)
            for rater, pen in chosen.items()
            if counts[rater] and len(chosen) > 1
        ]
        n_outside = sum(not rings.is_inside(point, size) for point in points)
        return [*entries, legend.outside(n_outside)] if n_outside else entries


def annotate(
    data: bytes | memoryview, notes: Notes, *, img_id: int, form: Form | None = None
) -> bytes:
    """Encode a picture with its rings, caption and legend.

    Parameters
    ----------
    form
        "PNG" shows the frames of an animation side by side. "GIF" and "APNG" (an animated PNG)
        keep all its frames, durations and loop. By default the format does not change, except
        that a GIF becomes an animated PNG if its frames have too many colours for a GIF. If there
        is nothing to draw and the format does not change, the original bytes are returned.

    Raises
    ------
    PictureError
        The picture is damaged, or `form` is "GIF" and a frame has too many colours.
    UsageError
        `form` is "GIF" and the picture is a PNG.
    """
    image = decode.open_picture(data, img_id)
    if form == "GIF" and image.format != "GIF":
        raise UsageError(f"image {img_id} is a PNG and cannot become a GIF; write a .png file")
    if form in {None, image.format} and not notes.points() and not notes.lines():
        return bytes(data)
    if form == "PNG" or image.format == "PNG":
        return encode.png(annotated(data, notes, img_id=img_id))
    loop = image.info.get("loop")
    if form != "APNG":
        try:
            return encode.gif(_moving(data, notes, img_id, smooth=False), loop=loop)
        except encode.TooManyColoursError as error:
            if form == "GIF":
                raise PictureError(
                    f"image {img_id}: its frames use too many colours to be drawn on as a GIF; "
                    "write a .apng or a .png file instead"
                ) from error
    return encode.apng(_moving(data, notes, img_id, smooth=True), loop=loop)


def annotated(data: bytes | memoryview, notes: Notes, *, img_id: int) -> Image.Image:
    """Return a picture with its rings, caption and legend as a still Pillow image.

    The frames of a GIF are shown side by side, or in a grid if there are many. Of an animated PNG,
    only the first frame is shown, with the number of its frames.

    Raises
    ------
    PictureError
        The picture is damaged.
    """
    image = decode.open_picture(data, img_id)
    n_frames = decode.stored_frames(image, img_id)
    drawn = (ringed(frame.image, notes) for frame in decode.frames(data, img_id))
    if n_frames == 1:
        still = next(drawn)
    else:
        corners = grid(decode.count_frames(image, img_id), image.size)
        still = _side_by_side(drawn, corners, image.size, n_frames)
    return _opaque(_with_margin(still, _margin(notes, image.size, still.width)))


def ringed(image: Image.Image, notes: Notes, *, smooth: bool = True) -> Image.Image:
    """Return a copy of an RGBA image with the rings; the image itself is left unchanged."""
    if not notes.points():
        return image
    drawn = image.copy()
    rings.draw(drawn, notes.points(), notes.chosen_pens(), notes.radius, smooth=smooth)
    return drawn


def grid(n_frames: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the position of the top left corner of every frame.

    Up to three frames form one row; more form a grid of about the shape of a screen.
    """
    width, height = size[0] + _FRAME_GAP, size[1] + text.line_height(_FRAME_LABEL) + _FRAME_GAP
    n_columns = n_frames
    if n_frames > _MAX_FRAMES_IN_ONE_ROW:
        n_rows = math.ceil(math.sqrt(n_frames * width / height / _PAGE_ASPECT))
        n_columns = math.ceil(n_frames / n_rows)
    return [
        (number % n_columns * width, number // n_columns * height) for number in range(n_frames)
    ]


def _moving(
    data: bytes | memoryview, notes: Notes, img_id: int, *, smooth: bool
) -> Iterator[Frame]:
    strip: Image.Image | None = None
    for number, (image, duration) in enumerate(decode.frames(data, img_id)):
        if number == 0:
            strip = _margin(notes, image.size, image.width, smooth=smooth)
        yield Frame(_with_margin(ringed(image, notes, smooth=smooth), strip), duration)


def _margin(
    notes: Notes, size: tuple[int, int], width: int, *, smooth: bool = True
) -> Image.Image | None:
    return legend.draw(notes.lines(), notes.entries(size), width, smooth=smooth)


def _with_margin(image: Image.Image, strip: Image.Image | None) -> Image.Image:
    if strip is None:
        return image
    size = (max(image.width, strip.width), image.height + strip.height)
    whole = Image.new("RGBA", size, text.PAPER)
    whole.paste(image, (0, 0))
    whole.paste(strip, (0, image.height))
    return whole


def _opaque(image: Image.Image) -> Image.Image:
    """Drop the alpha channel if no pixel is transparent."""
    return image.convert("RGB") if image.getchannel("A").getextrema() == (255, 255) else image


def _side_by_side(
    drawn: Iterable[Image.Image],
    corners: list[tuple[int, int]],
    size: tuple[int, int],
    n_frames: int,
) -> Image.Image:
    width = max(x for x, _ in corners) + size[0]
    height = max(y for _, y in corners) + size[1] + text.line_height(_FRAME_LABEL)
    whole = Image.new("RGBA", (width, height), text.PAPER)
    for number, (image, (x, y)) in enumerate(zip(drawn, corners, strict=True), start=1):
        whole.paste(image, (x, y))
        label = text.clip(f"frame {number} of {n_frames}", _FRAME_LABEL, size[0] - 2)
        text.write(whole, (x + 2, y + size[1] + 2), [label], _FRAME_LABEL, text.FAINT)
    return whole
