"""Draw clicks as rings, as DIRT does.

Coordinates are pixels of the image at its natural size: pixel (i, j) covers [i, i+1) × [j, j+1).
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from PIL import Image, ImageDraw

from dirtmodel.draw.colours import BLACK, Colour, Pen

RADIUS: Final = 10.0
"""Radius of a ring in pixels, as in DIRT."""
WIDTH: Final = 2.0
"""Width of the line of a ring in pixels, as in DIRT."""
HALO: Final = 1.0
"""Width in pixels of the dark line on both sides of a coloured ring; golden rings have none."""

_MARK_LENGTH: Final = 13.0
_MARK_HALF_WIDTH: Final = 7.0
_GAP: Final = 0.35
"""The length of a gap in a ring, as a part of the distance from one gap to the next."""

_SCALE: Final = 4
"""Shapes are drawn this many times larger and then reduced, so that their edges are smooth."""
_STEEPER: Final = [min(max(2 * level - 127, 0), 255) for level in range(256)]
"""A steeper blending, so that most pixels of a ring have exactly its colour."""
_HARD: Final = [255 * (level > 127) for level in range(256)]  # noqa: PLR2004 - half a pixel
"""No blending: a pixel is coloured if more than half of it is covered."""


class Click(NamedTuple):
    """One row of `coordinate`; both x and y None mean "reviewed, nothing wrong"."""

    x: float | None
    y: float | None
    rater: str | None = None

    @property
    def is_click(self) -> bool:
        """Return true if the row has x, y or both."""
        return self.x is not None or self.y is not None


class Point(NamedTuple):
    """A click that can be drawn."""

    x: float
    y: float
    rater: str | None


def points(clicks: Iterable[Click]) -> tuple[list[Point], int]:
    """Return the clicks that can be drawn, and the number of clicks that cannot.

    DIRT's server accepts clicks without x or y, and infinite ones; these cannot be drawn. A row
    without both is not a click.

    Examples
    --------
    >>> points([Click(3.0, 4.0, "ann"), Click(3.0, None), Click(None, None)])
    ([Point(x=3.0, y=4.0, rater='ann')], 1)
    """
    drawable = []
    n_incomplete = 0
    for click in clicks:
        x = math.nan if click.x is None else click.x
        y = math.nan if click.y is None else click.y
        if math.isfinite(x) and math.isfinite(y):
            drawable.append(Point(x, y, click.rater))
        elif click.is_click:
            n_incomplete += 1
    return drawable, n_incomplete


def is_inside(point: Point, size: tuple[int, int]) -> bool:
    """Return true if the click lies inside the picture and not at its edge."""
    return 0 < point.x < size[0] and 0 < point.y < size[1]


def draw(
    image: Image.Image,
    clicks: Iterable[Point],
    pens: Mapping[str | None, Pen],
    radius: float = RADIUS,
    *,
    smooth: bool = True,
) -> None:
    """Draw rings on an RGBA image, in place.

    A click at or beyond the edge also gets a filled triangle at the nearest place of the border,
    which points out of the picture. Otherwise such a click could be invisible.

    Parameters
    ----------
    smooth
        Blend the edges of rings with the picture. A GIF has too few colours for that.
    """
    for point in clicks:
        pen = pens[point.rater]
        if _touches(point, radius + WIDTH, image.size):
            if pen.halo:
                _stamp(image, _ring(point, radius, WIDTH + 2 * HALO), BLACK, smooth=smooth)
            _stamp(image, _ring(point, radius, WIDTH, pen.gaps), pen.colour, smooth=smooth)
        if not is_inside(point, image.size):
            _stamp(image, _triangle(point, image.size), pen.colour, smooth=smooth)


def _touches(point: Point, reach: float, size: tuple[int, int]) -> bool:
    """Return true if a part of the ring may be visible; clicks can be as far away as 1e300."""
    return -reach < point.x < size[0] + reach and -reach < point.y < size[1] + reach


class _Mask(NamedTuple):
    """An enlarged shape (255 inside), and its top left corner in pixels of the picture."""

    left: int
    top: int
    shape: Image.Image


def _stamp(image: Image.Image, mask: _Mask, colour: Colour, *, smooth: bool) -> None:
    coverage = mask.shape.reduce(_SCALE).point(_STEEPER if smooth else _HARD)
    coloured = Image.new("RGBA", coverage.size, colour)
    coloured.putalpha(coverage)
    left, top = max(mask.left, 0), max(mask.top, 0)
    right = min(mask.left + coverage.width, image.width)
    bottom = min(mask.top + coverage.height, image.height)
    if left < right and top < bottom:
        source = (left - mask.left, top - mask.top, right - mask.left, bottom - mask.top)
        image.alpha_composite(coloured, (left, top), source)


def _ring(point: Point, radius: float, width: float, gaps: int = 0) -> _Mask:
    outer = radius + width / 2
    mask, x, y = _blank(point.x, point.y, outer)
    reach = round(outer * _SCALE)
    box = (x - reach, y - reach, x + reach - 1, y + reach - 1)
    pencil = ImageDraw.Draw(mask.shape)
    thickness = round(width * _SCALE)
    if not gaps:
        pencil.ellipse(box, outline=255, width=thickness)
    for number in range(gaps):
        turn = 360 / gaps
        start, end = turn * (number + _GAP), turn * (number + 1)
        pencil.arc(box, start, end, fill=255, width=thickness)
    return mask


def _triangle(point: Point, size: tuple[int, int]) -> _Mask:
    """Draw an arrow head whose tip touches the border."""
    tip = min(max(point.x, 0), size[0]), min(max(point.y, 0), size[1])
    right = (point.x >= size[0]) - (point.x <= 0)
    down = (point.y >= size[1]) - (point.y <= 0)
    length = math.hypot(right, down)
    mask, x, y = _blank(*tip, _MARK_LENGTH)
    along = (right * _SCALE / length, down * _SCALE / length)
    base = (x - along[0] * _MARK_LENGTH, y - along[1] * _MARK_LENGTH)
    aside = (along[1] * _MARK_HALF_WIDTH, along[0] * _MARK_HALF_WIDTH)
    ImageDraw.Draw(mask.shape).polygon(
        [
            (x, y),
            (base[0] - aside[0], base[1] + aside[1]),
            (base[0] + aside[0], base[1] - aside[1]),
        ],
        fill=255,
    )
    return mask


def _blank(x: float, y: float, reach: float) -> tuple[_Mask, int, int]:
    """Return an empty mask around a place, and the x and y of that place on the mask."""
    left, top = math.floor(x - reach) - 1, math.floor(y - reach) - 1
    side = _SCALE * (math.ceil(2 * reach) + 3)
    mask = _Mask(left, top, Image.new("L", (side, side)))
    return mask, round((x - left) * _SCALE), round((y - top) * _SCALE)
