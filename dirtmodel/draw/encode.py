"""From Pillow images to bytes: PNG, animated PNG and GIF, without changing a colour."""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import (
    Image,
    _webp,  # noqa: F401 - Pillow ignores that it cannot be loaded, for lack of memory for example
)

from dirtmodel.draw.decode import Frame

_MOST_COLOURS: Final = 256
_OPAQUE: Final = 128
_HOLE: Final = 1 << 24
"""Stands for transparent among colours, which are red + 256 × green + 65536 × blue."""
_CLEAR: Final = 2
_LONGEST: Final = 655_350
"""Milliseconds that a frame of a GIF can stay."""


class TooManyColoursError(Exception):
    """A frame has more colours than the palette of a GIF holds."""


def png(image: Image.Image) -> bytes:
    """Encode at a compression where time and size are in proportion."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def webp(frames: Sequence[Image.Image], *, quality: int, duration: int = 0) -> bytes:
    """Encode with loss; several frames become an animation that is repeated for ever.

    Parameters
    ----------
    quality
        From 0 to 100.
    duration
        Of each frame, in milliseconds.
    """
    first, *others = frames
    buffer = io.BytesIO()
    first.save(
        buffer,
        "WEBP",
        quality=quality,
        save_all=True,
        append_images=others,
        duration=duration,
        loop=0,
    )
    return buffer.getvalue()


def apng(frames: Iterable[Frame], *, loop: int | None) -> bytes:
    """Encode an animated PNG, whose frames may have any number of colours.

    Parameters are those of `gif`.
    """
    first, *others = _joined(frames)
    buffer = io.BytesIO()
    first.image.save(
        buffer,
        "PNG",
        save_all=True,
        append_images=[frame.image for frame in others],
        duration=[frame.duration for frame in (first, *others)],
        # An animated PNG says how often it plays, a GIF how often it is repeated.
        loop=1 if loop is None else loop and loop + 1,
        compress_level=4,
    )
    return buffer.getvalue()


def gif(frames: Iterable[Frame], *, loop: int | None) -> bytes:
    """Encode a GIF, every frame with a palette of its own.

    A frame that equals the one before is not repeated: that one stays for as long as both.

    Parameters
    ----------
    loop
        As in the file: 0 for ever, None for a GIF that does not say and plays once.

    Raises
    ------
    TooManyColoursError
        A frame has more than 256 colours, counting transparent as one.
    """
    indexed = [(_indexed(frame.image), frame.duration) for frame in _joined(frames)]
    may_vanish = any(one.colours[-1] == _HOLE for one, _ in indexed)
    hole = _unused_colour([one for one, _ in indexed]) if may_vanish else None
    first, *others = [_with_palette(one, hole) for one, _ in indexed]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "GIF",
        save_all=True,
        append_images=others,
        duration=[duration for _, duration in indexed],
        # Where pixels may become transparent again, every frame is drawn on an empty canvas.
        disposal=_CLEAR if may_vanish else 0,
        optimize=False,
        **({} if loop is None else {"loop": loop}),
    )
    return buffer.getvalue()


def _joined(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Join equal frames that follow each other, as Pillow would, but within what a GIF can hold."""
    waiting: Frame | None = None
    for frame in frames:
        if waiting is None:
            waiting = frame
        elif waiting.image.tobytes() == frame.image.tobytes():
            waiting = Frame(waiting.image, min(waiting.duration + frame.duration, _LONGEST))
        else:
            yield waiting
            waiting = frame
    if waiting is not None:
        yield waiting


class _Indexed(NamedTuple):
    """For every pixel the place of its colour among `colours`, the last of which may be `_HOLE`."""

    places: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint32]


def _indexed(image: Image.Image) -> _Indexed:
    words = np.frombuffer(image.convert("RGBA").tobytes(), dtype="<u4")
    codes = np.where(words >> 24 >= _OPAQUE, words & 0xFFFFFF, np.uint32(_HOLE))
    colours = np.unique(codes)
    if len(colours) > _MOST_COLOURS:
        raise TooManyColoursError
    places = np.searchsorted(colours, codes).astype(np.uint8)
    return _Indexed(places.reshape(image.height, image.width), colours)


def _unused_colour(frames: Sequence[_Indexed]) -> int:
    """Choose a colour for transparent pixels that no other pixel has; Pillow would confuse them."""
    used = {int(colour) for one in frames for colour in one.colours}
    return next(colour for colour in itertools.count() if colour not in used)


def _with_palette(one: _Indexed, hole: int | None) -> Image.Image:
    image = Image.fromarray(one.places)
    colours = [int(colour) for colour in one.colours if colour != _HOLE]
    if hole is not None and len(colours) < _MOST_COLOURS:
        # Even where no pixel is transparent: without it Pillow, unlike browsers, clears to opaque.
        image.info["transparency"] = len(colours)
        colours.append(hole)
    image.putpalette(b"".join(colour.to_bytes(3, "little") for colour in colours))
    return image
