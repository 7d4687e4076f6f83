"""What stands beside pictures: lines of text, and the raters with their rings."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from PIL import Image

from dirtmodel.draw import rings, text
from dirtmodel.draw.colours import Pen

_PADDING: Final = 10
_TEXT_SIZE: Final = 15
_NARROWEST_TEXT: Final = 300
_SWATCH: Final = round(2 * rings.RADIUS) + 10


def draw(
    lines: Sequence[str], entries: Sequence[tuple[str, Pen]], width: int
) -> Image.Image | None:
    """Draw lines, which wrap, and a legend below them; None if there is neither.

    It is `width` pixels wide, or as many as a few words need.
    """
    if not lines and not entries:
        return None
    width = max(width, _NARROWEST_TEXT)
    inner = width - 2 * _PADDING
    wrapped = text.wrap_all(lines, _TEXT_SIZE, inner)
    places = list(_legend_places(entries, inner))
    step = text.line_height(_TEXT_SIZE)
    swatch_row = round(2 * rings.RADIUS) + 8
    n_rows = places[-1][1] + 1 if places else 0
    strip = Image.new(
        "RGB",
        (width, 2 * _PADDING + len(wrapped) * step + n_rows * swatch_row),
        text.PAPER,
    )
    below = text.write(strip, (_PADDING, _PADDING), wrapped, _TEXT_SIZE)
    return _with_legend(strip, entries, places, (_PADDING, below, swatch_row))


def _with_legend(
    strip: Image.Image,
    entries: Sequence[tuple[str, Pen]],
    places: list[tuple[int, int]],
    layout: tuple[int, int, int],
) -> Image.Image:
    left, top, row_height = layout
    dots = []
    swatches: dict[str | None, Pen] = {}
    for number, ((label, pen), (x, row)) in enumerate(zip(entries, places, strict=True)):
        y = top + row * row_height
        centre = (left + x + rings.RADIUS + 2, y + row_height / 2)
        dots.append(rings.Point(*centre, str(number)))
        swatches[str(number)] = pen
        place = (left + x + _SWATCH, round(y + (row_height - _TEXT_SIZE) / 2) - 1)
        text.write(
            strip,
            place,
            [text.clip(label, _TEXT_SIZE, strip.width - place[0] - _PADDING)],
            _TEXT_SIZE,
        )
    pixels = np.array(strip.convert("RGBA"))
    # On the brain's dark, so that light pens show.
    for (x, row), _ in zip(places, entries, strict=True):
        y = top + row * row_height
        pixels[y + 2 : y + row_height - 2, left + x : left + x + _SWATCH - 6, :3] = 0x20
    for stamp in rings.stamps(dots, strip.size, swatches):
        pixels[stamp.where] = rings.blend(pixels[stamp.where], stamp)
    return Image.fromarray(pixels).convert("RGB")


def _legend_places(entries: Sequence[tuple[str, Pen]], width: int) -> Iterator[tuple[int, int]]:
    x = row = 0
    for label, _ in entries:
        needed = _SWATCH + round(text.font(_TEXT_SIZE).getlength(text.printable(label))) + 16
        if x and x + needed > width:
            x, row = 0, row + 1
        yield x, row
        x += needed
