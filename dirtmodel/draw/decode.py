"""From bytes to Pillow images, with every way of failing told as one line.

Pillow is held to PNG and GIF. Its decompression-bomb limit is an error here, because `probe`
refuses such sizes, those of later GIF frames included, before Pillow sees the bytes.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageSequence

from dirtmodel.draw.header import probe
from dirtmodel.errors import PictureError

_PILLOW_GIVES_UP = (
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


class Frame(NamedTuple):
    """One frame as shown: composited, RGBA, and how long it stays (ms)."""

    image: Image.Image
    duration: int


def open_picture(data: bytes | memoryview, img_id: int) -> Image.Image:
    """Open a picture with Pillow and decode its first frame.

    Raises
    ------
    PictureError
        The bytes are no whole PNG or GIF; the message names the image.
    """
    with telling(img_id):
        probe(data)
        image = Image.open(io.BytesIO(data), formats=("PNG", "GIF"))
        image.load()
    return image


def frames(data: bytes | memoryview, img_id: int) -> Iterator[Frame]:
    """Give the frames of a picture one by one; a PNG has one.

    Every frame is composited onto those before it as a browser would, whatever the file's
    disposal methods, and all have the size of the first.
    """
    image = open_picture(data, img_id)
    size = image.size
    if image.format == "PNG":
        yield Frame(as_rgba(image), 0)
        return
    with telling(img_id):
        for frame in ImageSequence.Iterator(image):
            shown = frame.convert("RGBA")
            # A later frame that reaches beyond the screen enlarges Pillow's image.
            shown = shown if shown.size == size else shown.crop((0, 0, *size))
            yield Frame(shown, int(frame.info.get("duration", 0)))


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
    """Count the frames that `frames` would give."""
    if image.format == "PNG":
        return 1
    with telling(img_id):
        return int(getattr(image, "n_frames", 1))


def frames_at(data: bytes | memoryview, img_id: int, numbers: list[int]) -> list[Image.Image]:
    """Give the frames with these numbers (from 0, ascending) and forget the others."""
    chosen = set(numbers)
    found = []
    for number, frame in enumerate(frames(data, img_id)):
        if number in chosen:
            found.append(frame.image)
        if len(found) == len(chosen):
            break
    return found


def as_rgba(image: Image.Image) -> Image.Image:
    """Convert to RGBA as a viewer would, 16-bit greys included.

    Pillow would clip a 16-bit grey at 255 instead of scaling it.
    """
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image if image.mode == "RGBA" else image.convert("RGBA")


@contextlib.contextmanager
def telling(img_id: int) -> Iterator[None]:
    """Turn whatever is wrong with a picture into a PictureError that names the image."""
    try:
        yield
    except PictureError as error:
        raise PictureError(_message(img_id, str(error))) from error
    except _PILLOW_GIVES_UP as error:
        raise PictureError(_message(img_id, f"damaged ({error})")) from error


def _message(img_id: int, what: str) -> str:
    return (
        f"image {img_id}: the picture is {what}; "
        "`dirtmodel check RELEASE` lists every such picture of a release"
    )
