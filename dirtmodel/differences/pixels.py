"""Compare the pixels of two pictures, whatever their bytes."""

import itertools

from dirtmodel.errors import PictureError


def show_the_same(old: bytes, new: bytes, old_id: int, new_id: int) -> bool:
    """Compare pictures pixel by pixel: sizes, frames, and how long each frame stays.

    What lies under full transparency counts, too. A damaged picture is like no other.
    """
    from PIL import ImageChops

    from dirtmodel.draw import decode

    nothing = object()
    try:
        pairs = itertools.zip_longest(
            decode.frames(old, old_id), decode.frames(new, new_id), fillvalue=nothing
        )
        return all(
            isinstance(one, decode.Frame)
            and isinstance(other, decode.Frame)
            and one.duration == other.duration
            and one.image.size == other.image.size
            and ImageChops.difference(one.image, other.image).getbbox(alpha_only=False) is None
            for one, other in pairs
        )
    except PictureError:
        return False
