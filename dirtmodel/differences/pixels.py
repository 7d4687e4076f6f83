"""Compare the pixels of two pictures."""

import itertools

from dirtmodel.errors import PictureError


def show_the_same(old: bytes, new: bytes, old_id: int, new_id: int) -> bool:
    """Return true if two pictures have equal sizes, frames, durations and pixels.

    The colours of fully transparent pixels count, too. A damaged picture equals no other.
    """
    from PIL import ImageChops

    from dirtmodel.draw import decode

    missing = object()
    try:
        pairs = itertools.zip_longest(
            decode.frames(old, old_id), decode.frames(new, new_id), fillvalue=missing
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
