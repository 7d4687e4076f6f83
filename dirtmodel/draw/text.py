"""Write text in any script on pictures, and wrap or clip it to a width.

The fonts are installed with the package, so that pictures look alike on every computer. A character
that no font has is written as its code point: `<U+10A00>`.
"""

import functools
import importlib.resources
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from dirtmodel.draw.colours import Colour

PAPER: Final[Colour] = (0xFF, 0xFF, 0xFF)
INK: Final[Colour] = (0x1A, 0x1A, 0x1A)
FAINT: Final[Colour] = (0x66, 0x66, 0x66)

_JOINERS: Final = "\u200c\u200d"
"""Invisible, but they change the shape of their neighbours in Arabic and Indian scripts."""

_SCALE: Final = 4
"""Letters are drawn this many times larger and then reduced."""
_ASCENT: Final = 1.07
"""Distance from the top of a line to its baseline, in font sizes."""
_LINE_HEIGHT: Final = 1.35
"""Distance between lines, in font sizes."""


def printable(text: str) -> str:
    r"""Replace control characters, and characters that no font has, by their code points.

    Examples
    --------
    >>> printable("José: 640×480, 脑 \u202e")
    'José: 640×480, 脑 <U+202E>'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_shown, unicodedata.normalize("NFC", text)))


def _shown(letter: str) -> str:
    if letter.isspace():
        return " "
    is_control = unicodedata.category(letter).startswith("C")
    if letter in _JOINERS or (not is_control and _font_of(letter) is not None):
        return letter
    if unicodedata.name(letter, "").startswith("VARIATION SELECTOR"):
        return ""
    return f"<U+{ord(letter):04X}>"


def length(text: str, size: int) -> float:
    """Measure the width of printable text in pixels."""
    return sum(_font(path, size).getlength(part) for path, part in _parts(text)) / _SCALE


def wrap(text: str, size: int, width: int) -> list[str]:
    """Break text into lines of at most `width` pixels; only words that are too long are broken."""
    lines: list[str] = []
    line = ""
    for word in printable(text).split():
        longer = f"{line} {word}" if line else word
        if length(longer, size) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while length(line, size) > width and len(line) > 1:
            n_letters = _n_fitting(line, size, width)
            lines.append(line[:n_letters])
            line = line[n_letters:]
    return [*lines, line] if line else lines


def wrap_all(texts: Iterable[str], size: int, width: int) -> list[str]:
    """Wrap every text separately and return all lines."""
    return [line for text in texts for line in wrap(text, size, width)]


def clip(text: str, size: int, width: int) -> str:
    """Shorten text to one line of at most `width` pixels; "..." marks that the end is left out."""
    whole = kept = printable(text)
    while kept and length(kept if kept == whole else f"{kept}...", size) > width:
        kept = kept[:-1]
    if kept == whole:
        return whole
    return f"{kept}..." if kept else ""


def line_height(size: int) -> int:
    """Return the distance between lines in pixels."""
    return round(size * _LINE_HEIGHT)


def write(
    image: Image.Image,
    place: tuple[int, int],
    lines: Sequence[str],
    size: int,
    colour: Colour = INK,
) -> int:
    """Write lines that `wrap` or `clip` returned, and return the y below them."""
    left, top = place
    for line in lines:
        mask = _mask(line, size)
        image.paste(colour, (left, top, left + mask.width, top + mask.height), mask)
        top += line_height(size)
    return top


def _mask(line: str, size: int) -> Image.Image:
    """Draw a line enlarged and reduce it; small letters would only be placed at whole pixels."""
    box = (math.ceil(length(line, size)) + 1, line_height(size))
    large = Image.new("L", (box[0] * _SCALE, box[1] * _SCALE))
    pencil = ImageDraw.Draw(large)
    x = 0.0
    for path, part in _parts(line):
        font = _font(path, size)
        # Align at the baseline ("ls"), because fonts differ in height.
        pencil.text((x, size * _SCALE * _ASCENT), part, 255, font, anchor="ls")
        x += font.getlength(part)
    return large.reduce(_SCALE)


def _n_fitting(word: str, size: int, width: int) -> int:
    n_letters = 1
    while length(word[: n_letters + 1], size) <= width:
        n_letters += 1
    return n_letters


def _parts(text: str) -> Iterator[tuple[Path, str]]:
    """Divide text into parts that are written in one font each.

    Spaces, marks and punctuation stay with the letters before them if the font has them.
    Otherwise text that runs from right to left would be torn apart.
    """
    if text.isascii():
        yield _base(), text
        return
    font = start = None
    for place, letter in enumerate(text):
        if font is not None and not letter.isalnum() and _has(font, letter):
            continue
        own = _font_of(letter) or font or _base()
        if own != font:
            if font is not None:
                yield font, text[start:place]
            font, start = own, place
    if font is not None:
        yield font, text[start:]


@functools.lru_cache(maxsize=4096)
def _font_of(letter: str) -> Path | None:
    """Return the first font that has a letter."""
    return _base() if letter.isascii() else next((p for p in _fonts() if _has(p, letter)), None)


def _has(path: Path, letter: str) -> bool:
    return letter in _JOINERS or ord(letter) in _letters(path)


@functools.cache
def _base() -> Path:
    return _folder("manimgx_fonts") / "NotoSans[wght].ttf"


@functools.cache
def _fonts() -> list[Path]:
    """Return the fonts in the order in which they are searched for a letter."""
    # Only text beyond ASCII gets here, which is rare; the import takes a tenth of a second.
    import matplotlib as mpl

    others = sorted(_folder("manimgx_fonts").glob("NotoSans[A-Z]*[[]wght].ttf"))
    asian = sorted(_folder("noto_cjk_sans_jp_regular").glob("*.otf"))
    symbols = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    emoji = _folder("manimgx_fonts") / "NotoEmoji[wght].ttf"
    return [_base(), *others, *asian, symbols, emoji]


def _folder(package: str) -> Path:
    # Both packages are plain folders; FreeType opens fonts by their paths.
    return Path(str(importlib.resources.files(package)))


@functools.cache
def _letters(path: Path) -> frozenset[int]:
    from matplotlib import ft2font

    return frozenset(ft2font.FT2Font(str(path)).get_charmap())


@functools.cache
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size * _SCALE)
