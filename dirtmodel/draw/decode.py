"""Decode bytes into Pillow images as a browser shows them; every failure is a PictureError.

Pillow decodes PNG and GIF only. Its warnings about large images cannot appear, because `probe`
refuses smaller sizes, also of later GIF frames. Texts and other metadata of a PNG are removed
before Pillow reads it, because Pillow limits their size.
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
    GifImagePlugin,  # noqa: F401 - if memory is short, fail here: Pillow would ignore the failure
    Image,
    PngImagePlugin,  # noqa: F401 - as above; every picture would then count as damaged
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
"""The byte at which a PNG has its bit depth and then its colour type (0 is grey)."""
_METADATA_CHUNKS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"})
"""Chunks that Pillow reads, although no pixel depends on them."""
_INFLATE_BYTES: Final = 1 << 20
"""The most bytes of pixels to inflate at a time."""
_PACKED_BITS: Final = (1, 2, 4)
"""Bit depths at which one byte holds several pixels."""
_CLEAR, _RESTORE = 2, 3
"""GIF disposal methods: before the next frame, clear the box of this one, or restore the canvas."""


class Frame(NamedTuple):
    """One frame as it is shown (composited, RGBA), and its duration in milliseconds."""

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
                b"".join([view[:8], *(c.whole for c in chunks if c.name not in _METADATA_CHUNKS)])
            )
        image = Image.open(io.BytesIO(view), formats=("PNG", "GIF"))
        image.load()
        if form == "PNG":
            _scale_transparent_level(image, data)
    return image


def frames(data: bytes | memoryview, img_id: int | None) -> Iterator[Frame]:
    """Yield the frames of a picture; of a PNG, even an animated one, only the first frame.

    All frames have the size of the first.
    """
    image = open_picture(data, img_id)
    if image.format == "PNG":
        yield Frame(as_rgba(image), 0)
        return
    with _reporting(img_id):
        yield from _composited(memoryview(data), image.size)


def verify(data: memoryview) -> None:
    """Check that a picture can be decoded (of an animated PNG, the first frame).

    Raises
    ------
    PictureError
        The picture cannot be decoded. As in `header.probe`, the message completes "the picture
        is …".
    """
    for _ in frames(data, None):
        pass


def representative_frames(n_frames: int, at_most: int) -> list[int]:
    """Choose the frames (numbers from 0) that represent an animation.

    DTIFIT's animations run up through the brain and down again, so the first half shows everything.

    Examples
    --------
    >>> representative_frames(37, 3), representative_frames(37, 1), representative_frames(2, 3)
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
    """Convert an image to RGBA and scale 16-bit greys, which Pillow would clip at 255."""
    if not image.mode.startswith("I"):
        return image if image.mode == "RGBA" else image.convert("RGBA")
    levels = np.asarray(image)
    alpha = np.where(levels == image.info.get("transparency", -1), 0, 255)
    grey = levels >> 8
    return Image.fromarray(np.stack([grey, grey, grey, alpha], axis=-1).astype(np.uint8))


def _require_all_pixels(view: memoryview, chunks: list[PngChunk]) -> None:
    """Raise PictureError if the pixels of a PNG end early; Pillow would draw the rest black."""
    n_missing = header.png_bytes_of_pixels(view)
    stream = zlib.decompressobj()
    for chunk in chunks:
        compressed = chunk.body if chunk.name == b"IDAT" else b""
        while compressed and n_missing > 0 and not stream.eof:
            n_missing -= len(stream.decompress(compressed, _INFLATE_BYTES))
            compressed = stream.unconsumed_tail
    if n_missing > 0:
        raise PictureError("damaged (its pixels end early)")


def _scale_transparent_level(image: Image.Image, data: bytes | memoryview) -> None:
    """Scale the transparent grey level of a PNG to 8 bits, as Pillow does with the pixels only."""
    bits, colour_type = _PNG_KIND.unpack_from(data, _PNG_KIND_AT)
    level = image.info.get("transparency")
    if colour_type == 0 and bits in _PACKED_BITS and level is not None:
        top = (1 << bits) - 1
        # Pillow has scaled the level of some 1-bit pictures already.
        image.info["transparency"] = min(level, top) * 255 // top


def _composited(view: memoryview, size: tuple[int, int]) -> Iterator[Frame]:
    """Draw each frame over those before it.

    Pillow only decodes the pixels of each frame. Its own compositing fills areas with the
    background colour that browsers make transparent.
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
    """Decode one frame by making a GIF of it alone."""
    size = struct.pack("<HH", frame.width, frame.height)
    flags, transparent = (0, 0) if frame.transparent is None else (1, frame.transparent)
    control = struct.pack("<4sHBB", b"\x21\xf9\x04" + bytes([flags]), 0, transparent, 0)
    alone = b"".join((b"GIF89a", size, screen, control, b",", bytes(4), size, frame.body, b";"))
    return Image.open(io.BytesIO(alone), formats=("GIF",)).convert("RGBA")


@contextlib.contextmanager
def _reporting(img_id: int | None) -> Iterator[None]:
    """Turn every error of a picture into a PictureError, which names the image if it is known."""
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
