"""From bytes to Pillow images as a browser shows them; whatever fails becomes one PictureError.

Pillow is held to PNG and GIF, and never meets the sizes that it warns of: `probe` refuses smaller
ones, those of later GIF frames included. Nor does it see what accompanies the pixels of a PNG,
such as texts, for which it has limits of its own.
"""

import contextlib
import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from PIL import (
    GifImagePlugin,  # noqa: F401 - Pillow ignores that it cannot be imported, for lack of memory
    Image,
    PngImagePlugin,  # noqa: F401 - as above; then every picture would count as damaged
)

from dirtmodel.draw import header
from dirtmodel.draw.header import GifFrame, PngChunk
from dirtmodel.errors import PictureError

_PILLOW_RAISES: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's PNG and GIF readers raise on broken bytes."""

_PNG_KIND: Final = struct.Struct(">BB")
_PNG_KIND_AT: Final = 24
"""Where a PNG has its bit depth and colour type, 0 of which is grey."""
_NOT_PIXELS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"})
"""Chunks that Pillow reads, although no pixel depends on them."""
_INFLATED_AT_ONCE: Final = 1 << 20
_PACKED_BITS: Final = (1, 2, 4)
_CLEAR, _RESTORE = 2, 3
"""What becomes of a GIF frame before the next one: its box transparent; or what was there."""


class Frame(NamedTuple):
    """One frame as shown: composited, RGBA, and how long it stays (ms)."""

    image: Image.Image
    duration: int


def open_picture(data: bytes | memoryview, img_id: int | None) -> Image.Image:
    """Open a picture with Pillow and decode its first frame.

    Raises
    ------
    PictureError
        The bytes are not a complete PNG or GIF; the message names the image.
    """
    with _reporting(img_id):
        form = header.probe(data).format
        view = memoryview(data)
        if form == "PNG":
            chunks = list(header.png_chunks(view))
            _require_all_pixels(view, chunks)
            view = memoryview(
                b"".join([view[:8], *(c.whole for c in chunks if c.name not in _NOT_PIXELS)])
            )
        image = Image.open(io.BytesIO(view), formats=("PNG", "GIF"))
        image.load()
        if form == "PNG":
            _scale_transparent_level(image, data)
    return image


def frames(data: bytes | memoryview, img_id: int | None) -> Iterator[Frame]:
    """Yield the frames of a picture; a PNG, even an animated one, has its first frame only.

    All frames have the size of the first.
    """
    image = open_picture(data, img_id)
    if image.format == "PNG":
        yield Frame(as_rgba(image), 0)
        return
    with _reporting(img_id):
        yield from _composited(memoryview(data), image.size)


def verify(data: memoryview) -> None:
    """Decode a picture, of an animated PNG the first frame, and forget it.

    Raises
    ------
    PictureError
        It cannot be decoded. As with `header.probe`, the message completes "the picture is …".
    """
    for _ in frames(data, None):
        pass


def telling_frames(n_frames: int, at_most: int) -> list[int]:
    """Choose the frames (numbers from 0) that stand for an animation.

    DTIFIT's movies run up through the brain and down again, so what is worth seeing lies in the
    first half.

    Examples
    --------
    >>> telling_frames(37, 3), telling_frames(37, 1), telling_frames(2, 3)
    ([4, 9, 13], [9], [0, 1])
    """
    if n_frames <= at_most:
        return list(range(n_frames))
    span = n_frames if n_frames < 2 * at_most else n_frames // 2
    return [span * place // (at_most + 1) for place in range(1, at_most + 1)]


def count_frames(image: Image.Image, img_id: int) -> int:
    """Count the frames that `frames` yields."""
    return 1 if image.format == "PNG" else stored_frames(image, img_id)


def stored_frames(image: Image.Image, img_id: int) -> int:
    """Count the frames in the file, those of an animated PNG included."""
    with _reporting(img_id):
        return int(getattr(image, "n_frames", 1))


def frames_at(data: bytes | memoryview, img_id: int, numbers: list[int]) -> list[Image.Image]:
    """Return the frames with these numbers (from 0, ascending) that `frames` yields."""
    chosen = set(numbers)
    last = max(numbers, default=-1)
    decoded = enumerate(itertools.islice(frames(data, img_id), last + 1))
    return [frame.image for number, frame in decoded if number in chosen]


def as_rgba(image: Image.Image) -> Image.Image:
    """Convert to RGBA as a viewer would, 16-bit greys included.

    Pillow would clip a 16-bit grey at 255 instead of scaling it.
    """
    if not image.mode.startswith("I"):
        return image if image.mode == "RGBA" else image.convert("RGBA")
    levels = np.asarray(image)
    alpha = np.where(levels == image.info.get("transparency", -1), 0, 255)
    grey = levels >> 8
    return Image.fromarray(np.stack([grey, grey, grey, alpha], axis=-1).astype(np.uint8))


def _require_all_pixels(view: memoryview, chunks: list[PngChunk]) -> None:
    """Inflate the pixels of a PNG and count them: where they end early, Pillow draws black."""
    n_missing = header.png_bytes_of_pixels(view)
    stream = zlib.decompressobj()
    for chunk in chunks:
        waiting = chunk.body if chunk.name == b"IDAT" else b""
        while waiting and n_missing > 0 and not stream.eof:
            n_missing -= len(stream.decompress(waiting, _INFLATED_AT_ONCE))
            waiting = stream.unconsumed_tail
    if n_missing > 0:
        raise PictureError("damaged (its pixels end early)")


def _scale_transparent_level(image: Image.Image, data: bytes | memoryview) -> None:
    """Pillow scales greys of few bits to 8, but not the level that is transparent."""
    bits, colour_type = _PNG_KIND.unpack_from(data, _PNG_KIND_AT)
    level = image.info.get("transparency")
    if colour_type == 0 and bits in _PACKED_BITS and level is not None:
        top = (1 << bits) - 1
        image.info["transparency"] = min(level, top) * 255 // top  # 255 already for some 1-bit ones


def _composited(view: memoryview, size: tuple[int, int]) -> Iterator[Frame]:
    """Draw each frame over those before it.

    Pillow decodes the pixels, one frame at a time. It would composite them as well, but fills with
    the background colour what browsers make transparent.
    """
    screen = header.gif_screen(view)
    canvas = Image.new("RGBA", size)
    for frame in header.gif_frames(view):
        before = canvas.copy() if frame.disposal == _RESTORE else canvas
        box = (frame.left, frame.top)
        if frame.width and frame.height:
            pixels = _pixels(frame, screen)
            canvas.paste(pixels, box, pixels)
        yield Frame(canvas.copy(), frame.duration)
        canvas = before
        if frame.disposal == _CLEAR:
            canvas.paste((0, 0, 0, 0), (*box, frame.left + frame.width, frame.top + frame.height))


def _pixels(frame: GifFrame, screen: memoryview) -> Image.Image:
    """Decode one frame by itself, as a GIF of its own."""
    size = struct.pack("<HH", frame.width, frame.height)
    flags, transparent = (0, 0) if frame.transparent is None else (1, frame.transparent)
    control = struct.pack("<4sHBB", b"\x21\xf9\x04" + bytes([flags]), 0, transparent, 0)
    alone = b"".join((b"GIF89a", size, screen, control, b",", bytes(4), size, frame.body, b";"))
    return Image.open(io.BytesIO(alone), formats=("GIF",)).convert("RGBA")


@contextlib.contextmanager
def _reporting(img_id: int | None) -> Iterator[None]:
    """Turn whatever is wrong with a picture into a PictureError that names the image, if known."""
    try:
        yield
    except PictureError as error:
        raise PictureError(_message(img_id, str(error))) from error
    except _PILLOW_RAISES as error:
        raise PictureError(_message(img_id, f"damaged ({error})")) from error


def _message(img_id: int | None, what: str) -> str:
    if img_id is None:
        return what
    return (
        f"image {img_id}: the picture is {what}; "
        "`dirtmodel check --decode RELEASE` lists every such picture of a release"
    )
