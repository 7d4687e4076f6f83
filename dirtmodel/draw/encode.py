"""Encode Pillow images: as PNG, animated PNG and GIF without changing a colour, or as WebP."""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import (
    Image,
    _webp,  # noqa: F401 - if memory is short, fail here: Pillow would ignore the failure
)

from dirtmodel.draw.decode import Frame

_MAX_COLOURS: Final = 256
"""Number of colours in the palette of a GIF."""
_OPAQUE: Final = 128
"""The alpha from which a pixel of a GIF is opaque."""
_TRANSPARENT: Final = 1 << 24
"""The code of a transparent pixel; the codes of colours are red + 256 × green + 65536 × blue."""
_CLEAR: Final = 2
"""The GIF disposal method that clears a frame before the next one is drawn."""
_MAX_DURATION: Final = 655_350
"""The longest duration of a GIF frame, in milliseconds."""


class TooManyColoursError(Exception):
    """A frame has more colours than the palette of a GIF holds."""


def png(image: Image.Image) -> bytes:
    """Encode as PNG, with a compression level that balances time and size."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def webp(frames: Sequence[Image.Image], *, quality: int, duration: int = 0) -> bytes:
    """Encode as WebP with loss; several frames become an animation that repeats for ever.

    Parameters
    ----------
    quality
        From 0 to 100.
    duration
        The duration of each frame, in milliseconds.
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
    """Encode as animated PNG, whose frames may have any number of colours.

    The parameters are those of `gif`.
    """
    first, *others = _joined(frames)
    buffer = io.BytesIO()
    first.image.save(
        buffer,
        "PNG",
        save_all=True,
        append_images=[frame.image for frame in others],
        duration=[frame.duration for frame in (first, *others)],
        # An animated PNG stores how often it plays, a GIF how often it repeats after that.
        loop=1 if loop is None else loop and loop + 1,
        compress_level=4,
    )
    return buffer.getvalue()


def gif(frames: Iterable[Frame], *, loop: int | None) -> bytes:
    """Encode as GIF; every frame has its own palette.

    Equal frames that follow each other become one frame with the sum of their durations.

    Parameters
    ----------
    loop
        As stored in a GIF: 0 repeats for ever; None stores nothing, and the GIF plays once.

    Raises
    ------
    TooManyColoursError
        A frame has more than 256 colours, where transparent counts as one.
    """
    indexed = [(_indexed(frame.image), frame.duration) for frame in _joined(frames)]
    has_transparent = any(one.colours[-1] == _TRANSPARENT for one, _ in indexed)
    stand_in = _unused_colour([one for one, _ in indexed]) if has_transparent else None
    first, *others = [_with_palette(one, stand_in) for one, _ in indexed]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "GIF",
        save_all=True,
        append_images=others,
        duration=[duration for _, duration in indexed],
        # If pixels can become transparent again, draw every frame on an empty canvas.
        disposal=_CLEAR if has_transparent else 0,
        optimize=False,
        **({} if loop is None else {"loop": loop}),
    )
    return buffer.getvalue()


def _joined(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Join equal frames that follow each other, up to the longest duration that a GIF can store.

    Pillow joins them too, but without this limit.
    """
    previous: Frame | None = None
    for frame in frames:
        if previous is None:
            previous = frame
        elif previous.image.tobytes() == frame.image.tobytes():
            duration = min(previous.duration + frame.duration, _MAX_DURATION)
            previous = Frame(previous.image, duration)
        else:
            yield previous
            previous = frame
    if previous is not None:
        yield previous


class _Indexed(NamedTuple):
    """The colours of a frame, the last of which may be `_TRANSPARENT`, and each pixel's index."""

    indices: npt.NDArray[np.uint8]
    colours: npt.NDArray[np.uint32]


def _indexed(image: Image.Image) -> _Indexed:
    words = np.frombuffer(image.convert("RGBA").tobytes(), dtype="<u4")
    codes = np.where(words >> 24 >= _OPAQUE, words & 0xFFFFFF, np.uint32(_TRANSPARENT))
    colours = np.unique(codes)
    if len(colours) > _MAX_COLOURS:
        raise TooManyColoursError
    indices = np.searchsorted(colours, codes).astype(np.uint8)
    return _Indexed(indices.reshape(image.height, image.width), colours)


def _unused_colour(frames: Sequence[_Indexed]) -> int:
    """Choose a colour for transparent pixels that no opaque pixel has; Pillow would mix them up."""
    used = {int(colour) for one in frames for colour in one.colours}
    return next(colour for colour in itertools.count() if colour not in used)


def _with_palette(one: _Indexed, stand_in: int | None) -> Image.Image:
    image = Image.fromarray(one.indices)
    colours = [int(colour) for colour in one.colours if colour != _TRANSPARENT]
    if stand_in is not None and len(colours) < _MAX_COLOURS:
        # Also if this frame has no transparent pixel: without it, Pillow (unlike browsers) clears
        # to an opaque colour.
        image.info["transparency"] = len(colours)
        colours.append(stand_in)
    image.putpalette(b"".join(colour.to_bytes(3, "little") for colour in colours))
    return image
