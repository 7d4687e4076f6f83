"""Writing animated GIFs without touching a single colour.

Pillow's own writer merges equal frames, shares palettes and quantises; a picture under review
must come out as it went in. So each frame is written as the difference to the one before, with a
palette of its own, and Pillow only does the LZW coding.

Pixels travel as int32 codes: red + 256 × green + 65536 × blue, TRANSPARENT, or INK + k for the
k-th of the colours drawn on top, which give way where a frame needs all 256 entries itself.
"""

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Codes = npt.NDArray[np.int32]
_Mask = npt.NDArray[np.bool_]
_Box = tuple[int, int, int, int]
"""Left, top, right, bottom; right and bottom excluded."""

TRANSPARENT: Final = 1 << 24
INK: Final = TRANSPARENT + 1
_N_COLOURS: Final = 256
_OPAQUE: Final = 128
_KEEP, _CLEAR = 1, 2
"""What to do with a frame before the next one is drawn: leave it, or make its box transparent."""

_END_OF_GREYS: Final = 13 + 3 * _N_COLOURS
"""Where the blocks begin of a GIF that Pillow has written from a grey image."""


class TooManyColoursError(Exception):
    """A frame that no palette of 256 colours can hold."""


def pack(rgba: Image.Image) -> Codes:
    """Turn an RGBA image into codes; GIF knows only opaque and transparent."""
    words = np.frombuffer(rgba.tobytes(), dtype="<u4").reshape(rgba.height, rgba.width)
    colours = (words & 0xFFFFFF).astype(np.int32)
    colours[(words >> 24) < _OPAQUE] = TRANSPARENT
    return colours


def pack_colour(colour: tuple[int, int, int]) -> int:
    """Give the code of one colour."""
    red, green, blue = colour
    return red | green << 8 | blue << 16


def encode(
    frames: Iterable[tuple[Codes, int]],
    *,
    loop: int | None,
    inks: Sequence[int] = (),
) -> bytes:
    """Write frames, each with its duration (ms), as one GIF of as many frames.

    Parameters
    ----------
    loop
        As in the file: 0 for ever, None for a GIF that says nothing and plays once.
    inks
        Codes of the colours drawn on top, most important first. They are exact as long as a
        frame leaves room in its palette; the others become the nearest colour the frame has.

    Raises
    ------
    TooManyColoursError
        A frame changes pixels to all of 256 colours and must be cleared to transparent as well,
        or changes them to more. Frames read from GIF files hardly ever do.
    """
    out = io.BytesIO()
    palettes = _Palettes(inks)
    canvas: Codes | None = None
    for codes, duration, following in _with_next(frames):
        if canvas is None:
            out.write(_start(codes, loop))
            canvas = np.full_like(codes, TRANSPARENT)
            box = (0, 0, codes.shape[1], codes.shape[0])
        else:
            box = _bounds(codes != canvas) or (0, 0, 1, 1)
        vanishing = None if following is None else _bounds(_vanishing(codes, following))
        if vanishing:
            box = _around(box, vanishing)
        left, top, right, bottom = box
        region = codes[top:bottom, left:right]
        changed = region != canvas[top:bottom, left:right]
        painted = palettes.paint(region, changed, clears=vanishing is not None)
        out.write(_control(duration, _CLEAR if vanishing else _KEEP, painted.keep))
        out.write(_image(painted, left, top))
        canvas = codes
        if vanishing:
            canvas = codes.copy()
            canvas[top:bottom, left:right] = TRANSPARENT
    out.write(b";")
    return out.getvalue()


class _Painted(NamedTuple):
    """A frame ready for coding: palette indices, the palette, and the index that is transparent."""

    indices: npt.NDArray[np.uint8]
    colours: Codes
    keep: int | None


class _Palettes:
    """Gives every frame a palette of its own."""

    def __init__(self, inks: Sequence[int]) -> None:
        self._inks = np.array(inks, dtype=np.int32)
        # Never filled: only the entries of colours in use are touched, and so take memory.
        self._table = np.empty(INK + len(inks), dtype=np.int32)

    def paint(self, region: Codes, changed: _Mask, *, clears: bool) -> _Painted:
        """Index the changed pixels; the others keep what was there before."""
        codes = region[changed]
        used = self._distinct(codes)
        keeps = clears or codes.size < region.size
        if keeps and not clears and np.count_nonzero(used < TRANSPARENT) == _N_COLOURS:
            # No entry is left to say "keep", so the whole box is painted again.
            keeps, changed, codes = False, np.ones_like(changed), region.ravel()
            used = self._distinct(codes)
        own, inks = used[used < TRANSPARENT], np.sort(used[used > TRANSPARENT])
        room = _N_COLOURS - len(own) - keeps
        if room < 0 or TRANSPARENT in used:
            raise TooManyColoursError
        exact, others = inks[:room], inks[room:]
        colours = np.concatenate([own, self._inks[exact - INK]])
        self._table[own] = np.arange(len(own))
        self._table[exact] = np.arange(len(own), len(colours))
        self._table[others] = _nearest(self._inks[others - INK], colours)
        index = np.full(region.shape, len(colours) if keeps else 0, dtype=np.uint8)
        index[changed] = self._table[codes]
        return _Painted(index, colours, len(colours) if keeps else None)

    def _distinct(self, codes: Codes) -> Codes:
        # Of equal codes the last one written stays: np.unique without its sorting.
        places = np.arange(len(codes), dtype=np.int32)
        self._table[codes] = places
        distinct: Codes = codes[self._table[codes] == places]
        return distinct


def _nearest(wanted: Codes, colours: Codes) -> npt.NDArray[np.intp]:
    if not wanted.size:
        return np.empty(0, dtype=np.intp)
    difference = _channels(wanted)[:, np.newaxis] - _channels(colours)
    # The eye's weights, roughly: green counts most, blue least.
    distance = (difference**2 * np.array([3, 6, 1])).sum(axis=-1)
    nearest: npt.NDArray[np.intp] = distance.argmin(axis=1)
    return nearest


def _channels(codes: Codes) -> Codes:
    return np.stack([codes & 255, codes >> 8 & 255, codes >> 16 & 255], axis=-1)


def _with_next(
    frames: Iterable[tuple[Codes, int]],
) -> Iterator[tuple[Codes, int, Codes | None]]:
    waiting: tuple[Codes, int] | None = None
    for frame in frames:
        if waiting is not None:
            yield *waiting, frame[0]
        waiting = frame
    if waiting is not None:
        yield *waiting, None


def _vanishing(codes: Codes, following: Codes) -> _Mask:
    vanishing: _Mask = (following == TRANSPARENT) & (codes != TRANSPARENT)
    return vanishing


def _bounds(mask: _Mask) -> _Box | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _around(one: _Box, other: _Box) -> _Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _start(codes: Codes, loop: int | None) -> bytes:
    height, width = codes.shape
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0)
    if loop is None:
        return screen
    return screen + b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", loop, 0)


def _control(duration: int, disposal: int, keep: int | None) -> bytes:
    flags = disposal << 2 | (keep is not None)
    centiseconds = min(round(duration / 10), 0xFFFF)
    return b"\x21\xf9\x04" + struct.pack("<BHBB", flags, centiseconds, keep or 0, 0)


def _image(painted: _Painted, left: int, top: int) -> bytes:
    height, width = painted.indices.shape
    n_entries = len(painted.colours) + (painted.keep is not None)
    bits = max(n_entries - 1, 1).bit_length()
    table = _channels(painted.colours).astype(np.uint8).tobytes().ljust(3 << bits, b"\0")
    descriptor = struct.pack("<HHHHB", left, top, width, height, 0x80 | bits - 1)
    return b"," + descriptor + table + _lzw(painted.indices)


def _lzw(index: npt.NDArray[np.uint8]) -> bytes:
    """Code indices, with Pillow's coder: in a grey image the index is the grey."""
    buffer = io.BytesIO()
    Image.fromarray(index).save(buffer, "GIF", optimize=False, interlace=False)
    written = buffer.getvalue()
    start = written.index(b",", _END_OF_GREYS)
    return written[start + 10 : -1]
