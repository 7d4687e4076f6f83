"""Small pictures with rings, for HTML pages."""

from collections.abc import Mapping, Sequence
from typing import Final

from dirtmodel.draw import decode, encode
from dirtmodel.draw.annotate import Notes, ringed
from dirtmodel.draw.colours import Pen
from dirtmodel.draw.rings import Click
from dirtmodel.draw.shrink import shrink
from dirtmodel.errors import PictureError

_MAX_FRAMES: Final = 8
"""The most frames of an animation in a thumbnail."""
_QUALITY: Final = 80
"""WebP quality, from 0 to 100."""
_FRAME_MS: Final = 500
"""Duration of each frame in milliseconds."""


def thumbnail(
    data: bytes | memoryview,
    clicks: Sequence[Click] = (),
    *,
    img_id: int,
    pens: Mapping[str | None, Pen] | None = None,
    size: tuple[int, int] = (420, 340),
) -> bytes:
    """Draw a picture small, with its clicks as rings, and encode it as WebP.

    An animation becomes an animation of a few representative frames.

    Parameters
    ----------
    img_id
        The id that the error message of a damaged picture names.
    pens
        The pen of every rater in the database. By default, pens are assigned to the raters of
        these clicks.
    size
        Largest width and height in pixels. A picture keeps its aspect and is never enlarged.

    Raises
    ------
    PictureError
        The picture is damaged.
    """
    n_frames = decode.count_frames(decode.open_picture(data, img_id), img_id)
    frames = decode.frames_at(data, img_id, decode.representative_frames(n_frames, _MAX_FRAMES))
    if not frames:
        raise PictureError(f"image {img_id}: the picture has no frames")
    scale = min(size[0] / frames[0].width, size[1] / frames[0].height, 1)
    shrunk = (max(1, round(frames[0].width * scale)), max(1, round(frames[0].height * scale)))
    notes = Notes(clicks, pens=pens).scaled(scale)
    drawn = [ringed(shrink(frame, shrunk).convert("RGBA"), notes) for frame in frames]
    return encode.webp(drawn, quality=_QUALITY, duration=_FRAME_MS)
