"""Draw the strip below a picture: its caption, and the legend of its rings."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from dirtmodel.draw import rings, text
from dirtmodel.draw.colours import Pen
from dirtmodel.draw.rings import Point
from dirtmodel.wording import count

_PADDING: Final = 10
_TEXT_SIZE: Final = 15
_MIN_WIDTH: Final = 300
"""The least width of the strip, in pixels."""
_SWATCH: Final = round(2 * rings.RADIUS) + 4
"""Width and height in pixels of the sample of a ring in the legend."""
_ROW: Final = _SWATCH + 4
_SWATCH_GROUND: Final = (0x20, 0x20, 0x20)
"""Dark like a brain, because light rings would not show on white."""
_ANY_RATER: Final = (0xCC, 0xCC, 0xCC)
"""The colour of the triangle that stands for the clicks of all raters."""


class Entry(NamedTuple):
    """One line of a legend: a ring, or a triangle where `outside` is true."""

    label: str
    pen: Pen
    outside: bool = False


def name(rater: str | None) -> str:
    """Return the name of a rater in the legend."""
    return "unknown rater" if rater is None else rater


def outside(n_clicks: int) -> Entry:
    """Return the entry that explains the triangles of clicks outside a picture."""
    return Entry(f"{count(n_clicks, 'click')} at or beyond the edge", Pen(_ANY_RATER), outside=True)


def draw(
    lines: Sequence[str], entries: Sequence[Entry], width: int, *, smooth: bool = True
) -> Image.Image | None:
    """Draw lines of text, which wrap, and a legend below them; None if both are empty.

    The result is `width` pixels wide, but at least 300. Without `smooth` it has few colours, as a
    GIF requires.
    """
    if not lines and not entries:
        return None
    width = max(width, _MIN_WIDTH)
    inner = width - 2 * _PADDING
    wrapped = text.wrap_all(lines, _TEXT_SIZE, inner)
    places = list(_places(entries, inner))
    n_rows = places[-1][1] + 1 if places else 0
    height = 2 * _PADDING + len(wrapped) * text.line_height(_TEXT_SIZE) + n_rows * _ROW
    strip = Image.new("RGB", (width, height), text.PAPER)
    top = text.write(strip, (_PADDING, _PADDING), wrapped, _TEXT_SIZE)
    for entry, (x, row) in zip(entries, places, strict=True):
        left, middle = _PADDING + x + _SWATCH + 6, top + row * _ROW + _ROW // 2
        label = text.clip(entry.label, _TEXT_SIZE, width - left - _PADDING)
        place = (left, middle - text.line_height(_TEXT_SIZE) // 2)
        text.write(strip, place, [label], _TEXT_SIZE)
    if not smooth:
        strip = _with_few_greys(strip)
    for entry, (x, row) in zip(entries, places, strict=True):
        swatch = _swatch(entry, smooth=smooth)
        strip.paste(swatch, (_PADDING + x, top + row * _ROW + 2))
    return strip


def _places(entries: Sequence[Entry], width: int) -> Iterator[tuple[int, int]]:
    """Yield for each entry its distance from the left and its row."""
    x = row = 0
    for entry in entries:
        needed = _SWATCH + round(text.length(text.printable(entry.label), _TEXT_SIZE)) + 22
        if x and x + needed > width:
            x, row = 0, row + 1
        yield x, row
        x += needed


def _swatch(entry: Entry, *, smooth: bool) -> Image.Image:
    swatch = Image.new("RGBA", (_SWATCH, _SWATCH), _SWATCH_GROUND)
    middle = _SWATCH / 2
    # A click on the left edge is drawn as a triangle and the visible half of its ring.
    point = Point(0 if entry.outside else middle, middle, None)
    rings.draw(swatch, [point], {None: entry.pen}, smooth=smooth)
    return swatch.convert("RGB")


def _with_few_greys(strip: Image.Image) -> Image.Image:
    """Reduce the greys at the edges of letters to sixteen levels."""
    levels = np.asarray(strip)
    return Image.fromarray((levels // 17 * 17).astype(np.uint8))
