"""Text on pictures, in the font that comes with Pillow, and never wider than its place."""

import functools
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from dirtmodel.draw.colours import Colour

PAPER: Final[Colour] = (0xFF, 0xFF, 0xFF)
INK: Final[Colour] = (0x1A, 0x1A, 0x1A)
FAINT: Final[Colour] = (0x66, 0x66, 0x66)

_LOOKALIKES: Final = str.maketrans(
    {"×": "x", "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "…": "...", "·": "-"}
    | dict.fromkeys("‘’", "'")
    | dict.fromkeys("“”„", '"')
    | {"\t": " ", "ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "ł": "l", "Ł": "L"}
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@functools.cache
def font(size: int) -> Font:
    """Give the built-in font at a size in pixels."""
    return ImageFont.load_default(size)


def printable(text: str) -> str:
    """Write text in the characters that the built-in font has, which is ASCII.

    Accents are dropped, what has no likeness becomes a question mark.

    Examples
    --------
    >>> printable("José: 640×480, 脑")
    'Jose: 640x480, ?'
    """
    plain = unicodedata.normalize("NFKD", text.translate(_LOOKALIKES))
    letters = (letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


def wrap(text: str, size: int, width: int) -> list[str]:
    """Break text into lines of at most `width` pixels, inside words only where one is too long."""
    face = font(size)
    words = printable(text).split()
    if words and face.getlength(" ".join(words)) <= width:
        return [" ".join(words)]
    lines: list[str] = []
    line = ""
    for word in words:
        longer = f"{line} {word}" if line else word
        if face.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while face.getlength(line) > width and len(line) > 1:
            fitting = _n_fitting(line, face, width)
            lines.append(line[:fitting])
            line = line[fitting:]
    return [*lines, line] if line else lines


def _n_fitting(word: str, face: Font, width: int) -> int:
    n_letters = 1
    while face.getlength(word[: n_letters + 1]) <= width:
        n_letters += 1
    return n_letters


def clip(text: str, size: int, width: int) -> str:
    """Shorten text to one line of at most `width` pixels, with dots where something is left out."""
    face = font(size)
    whole = kept = printable(text)
    while kept and face.getlength(kept if kept == whole else f"{kept}...") > width:
        kept = kept[:-1]
    if kept == whole:
        return whole
    return f"{kept}..." if kept else ""


def line_height(size: int) -> int:
    """Give the distance between lines in pixels."""
    return round(size * 1.35)


def write(
    image: Image.Image,
    place: tuple[int, int],
    lines: Sequence[str],
    size: int,
    colour: Colour = INK,
) -> int:
    """Write lines that fit already, and return the y below them."""
    draw = ImageDraw.Draw(image)
    x, y = place
    for line in lines:
        draw.text((x, y), line, fill=colour, font=font(size))
        y += line_height(size)
    return y


def wrap_all(texts: Iterable[str], size: int, width: int) -> list[str]:
    """Wrap every text on its own."""
    return [line for text in texts for line in wrap(text, size, width)]
