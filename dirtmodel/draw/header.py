"""Read the format and size of a picture and check that it is complete, without decoding it.

The loader runs this over every picture of a release. It walks through the chunks of a PNG or the
blocks of a GIF in place. Decoding would find more damage (a GIF has no checksum), but takes a
thousand times as long.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from dirtmodel.errors import PictureError

MAX_PIXELS: Final = 25_000_000
"""The most pixels of a picture: 80 times as many as in DIRT's largest, 100 MB when decoded."""
MAX_SIDE: Final = 16_383
"""The longest side in pixels; pages show pictures as WebP, which does not allow more."""
MAX_FRAMES: Final = 1_000
MAX_FRAME_PIXELS: Final = 50_000_000
"""The most pixels of all frames together: ten times as many as in DIRT's longest animation."""

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_IHDR: Final = struct.Struct(">IIBBBBB")
_PNG_CHUNK: Final = struct.Struct(">I4s")
_PNG_CRC: Final = struct.Struct(">I")
_PNG_MAX_CHUNK: Final = 2**31 - 1
_PNG_DEPTHS: Final = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    3: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}
"""The bit depths that each colour type may have."""
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""The number of channels of each colour type."""
_PLAIN: Final = ((0, 0, 1, 1),)
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""For each pass of an interlaced PNG: its first column and row, and its steps right and down."""

_GIF_SIGNATURES: Final = (b"GIF87a", b"GIF89a")
_GIF_SCREEN: Final = struct.Struct("<HHB")
_GIF_FRAME: Final = struct.Struct("<HHHHB")
_GIF_SCREEN_END: Final = 13
_GIF_HAS_COLOURS: Final = 0x80
_GIF_CONTROL: Final = 0xF9
_GIF_CONTROL_BODY: Final = struct.Struct("<BHB")
_NO_CONTROL: Final = (0, 0, 0)
_GIF_STRAY, _GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x00, 0x21, 0x2C, 0x3B


class Header(NamedTuple):
    """Format and natural size (in pixels) of a picture that is complete."""

    format: Literal["PNG", "GIF"]
    width: int
    height: int


class GifFrame(NamedTuple):
    """One encoded frame of a GIF: its place on the screen and how it is composited.

    `body` holds the flags, the local colour table if there is one, and the encoded pixels.
    """

    left: int
    top: int
    width: int
    height: int
    disposal: int
    transparent: int | None
    duration: int
    body: memoryview


def probe(data: bytes | bytearray | memoryview) -> Header:
    """Return the format and size of a picture, after checking that it is complete.

    The buffer is read in place, without a copy. Bytes after the end of the picture are ignored, as
    in every viewer. A first GIF frame that reaches beyond the screen enlarges the screen, as in
    browsers and in Pillow.

    Raises
    ------
    PictureError
        The message completes "the picture is …": `empty`, `neither PNG nor GIF`, `truncated (…)`,
        `damaged (…)` or `absurdly large (…)`. The caller adds the id of the image.

    Examples
    --------
    >>> probe(b"%PDF-1.7")
    Traceback (most recent call last):
    dirtmodel.errors.PictureError: neither PNG nor GIF
    """
    view = memoryview(data)
    if view.format != "B":  # Arrow's buffers are signed
        view = view.cast("B")
    start = bytes(view[:8])
    if start == _PNG_SIGNATURE:
        header = _probe_png(view)
    elif start[:6] in _GIF_SIGNATURES:
        header = _probe_gif(view)
    elif not start:
        raise PictureError("empty")
    elif any(known.startswith(start) for known in (_PNG_SIGNATURE, *_GIF_SIGNATURES)):
        raise PictureError(_truncated(len(view)))
    else:
        raise PictureError("neither PNG nor GIF")
    return header


class PngChunk(NamedTuple):
    """One chunk of a PNG; `whole` includes its length, name and checksum."""

    name: bytes
    body: memoryview
    whole: memoryview


def png_chunks(view: memoryview) -> Iterator[PngChunk]:
    """Walk through a PNG and yield its chunks up to the last one, IEND.

    Raises
    ------
    PictureError
        A chunk is damaged, or the end is missing.
    """
    n_bytes = len(view)
    position = len(_PNG_SIGNATURE)
    name = b""
    while name != b"IEND":
        if position + 8 > n_bytes:
            raise PictureError(_truncated(n_bytes))
        length, name = _PNG_CHUNK.unpack_from(view, position)
        if length > _PNG_MAX_CHUNK:
            raise PictureError(f"damaged (impossible chunk length at byte {position})")
        end = position + 8 + length
        if end + 4 > n_bytes:
            raise PictureError(_truncated(n_bytes))
        if zlib.crc32(view[position + 4 : end]) != _PNG_CRC.unpack_from(view, end)[0]:
            raise PictureError(f"damaged (wrong checksum of the chunk at byte {position})")
        yield PngChunk(name, view[position + 8 : end], view[position : end + 4])
        position = end + 4


def _probe_png(view: memoryview) -> Header:
    size: tuple[int, int] | None = None
    has_pixels = False
    for chunk in png_chunks(view):
        if size is None:
            size = _png_size(view, chunk)
        has_pixels = has_pixels or chunk.name == b"IDAT"
    if size is None or not has_pixels:
        raise PictureError("damaged (a PNG without pixels)")
    return Header("PNG", *size)


def png_bytes_of_pixels(view: memoryview) -> int:
    """Return the number of bytes of a PNG's pixels after inflating.

    Each row begins with one byte for its filter. An interlaced picture is stored as seven smaller
    ones.
    """
    width, height, depth, colour, _, _, interlace = _PNG_IHDR.unpack_from(view, 16)
    bits = depth * _PNG_CHANNELS[colour]
    return sum(
        n_rows * (1 + (n_columns * bits + 7) // 8)
        for left, top, right, down in (_ADAM7 if interlace else _PLAIN)
        if (n_columns := -(-(width - left) // right)) > 0
        and (n_rows := -(-(height - top) // down)) > 0
    )


def _png_size(view: memoryview, chunk: PngChunk) -> tuple[int, int]:
    if chunk.name != b"IHDR" or len(chunk.body) != _PNG_IHDR.size:
        raise PictureError("damaged (a PNG that does not begin with IHDR)")
    width, height, depth, colour, compression, filters, interlace = _PNG_IHDR.unpack_from(view, 16)
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filters or interlace > 1:
        raise PictureError("damaged (a PNG of unknown kind)")
    return _plausible(width, height)


def _probe_gif(view: memoryview) -> Header:
    try:
        return _walk_gif(view)
    except (IndexError, struct.error):
        raise PictureError(_truncated(len(view))) from None


def _walk_gif(view: memoryview) -> Header:
    size: tuple[int, int] | None = None
    width, height, _ = _GIF_SCREEN.unpack_from(view, 6)
    for number, frame in enumerate(gif_frames(view), start=1):
        extent = _plausible(
            max(width, frame.left + frame.width), max(height, frame.top + frame.height)
        )
        size = size or extent
        if number > MAX_FRAMES or number * size[0] * size[1] > MAX_FRAME_PIXELS:
            raise PictureError(
                f"absurdly large ({number:,} frames or more of {size[0]}×{size[1]} pixels)"
            )
    if size is None:
        raise PictureError("damaged (a GIF without frames)")
    return Header("GIF", *size)


def gif_frames(view: memoryview) -> Iterator[GifFrame]:
    """Walk through the blocks of a GIF and yield its frames, still encoded.

    Raises
    ------
    PictureError
        A block is of an unknown kind, or a frame has no pixels.
    IndexError, struct.error
        The end is missing; this function reads ahead without checking the length.
    """
    *_, flags = _GIF_SCREEN.unpack_from(view, 6)
    position = _GIF_SCREEN_END + _colour_table_bytes(flags)
    control = _NO_CONTROL
    while (kind := view[position]) != _GIF_TRAILER:
        position += 1
        start = position
        if kind == _GIF_IMAGE:
            *_, flags = _GIF_FRAME.unpack_from(view, position)
            position += _GIF_FRAME.size + _colour_table_bytes(flags) + 1  # 1: the LZW code size
            first_block = position
        elif kind == _GIF_EXTENSION:
            if view[position] == _GIF_CONTROL and view[position + 1] == _GIF_CONTROL_BODY.size:
                control = _GIF_CONTROL_BODY.unpack_from(view, position + 2)
            position += 1  # the label
            first_block = -1
        elif kind == _GIF_STRAY:  # some programs write the end of a chain of blocks twice
            continue
        else:
            raise PictureError(f"damaged (unknown GIF block at byte {position - 1})")
        while block := view[position]:
            position += block + 1
        if position == first_block:
            raise PictureError(f"damaged (a GIF frame without pixels at byte {position})")
        position += 1
        if kind == _GIF_IMAGE:
            packed, hundredths, transparent = control
            left, top, width, height, _ = _GIF_FRAME.unpack_from(view, start)
            yield GifFrame(
                left,
                top,
                width,
                height,
                disposal=packed >> 2 & 7,
                transparent=transparent if packed & 1 else None,
                duration=10 * hundredths,
                body=view[start + _GIF_FRAME.size - 1 : position],
            )
            control = _NO_CONTROL


def gif_screen(view: memoryview) -> memoryview:
    """Return the flags and the global colour table of a GIF; frames without a local one use it."""
    *_, flags = _GIF_SCREEN.unpack_from(view, 6)
    return view[10 : _GIF_SCREEN_END + _colour_table_bytes(flags)]


def _colour_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & _GIF_HAS_COLOURS else 0


def _plausible(width: int, height: int) -> tuple[int, int]:
    if not width or not height:
        raise PictureError(f"damaged (a size of {width}×{height} pixels)")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise PictureError(f"absurdly large ({width}×{height} pixels)")
    return width, height


def _truncated(n_bytes: int) -> str:
    return f"truncated (nothing after {n_bytes} bytes)"
