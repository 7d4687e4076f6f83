"""Grouping, hashing and checking the pictures of a batch."""

import hashlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dirtmodel.draw.header import probe
from dirtmodel.errors import PictureError
from dirtmodel.release import checks
from dirtmodel.release.conversion import Mask, valid

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PICTURE_BYTES: Final = 256 << 20
"""Bytes of the largest picture that is accepted."""

Img = memoryview | None


class Described(NamedTuple):
    """Format, size and hash of a picture; the fields are columns of the table `picture`."""

    format: str
    width: int
    height: int
    n_bytes: int
    sha256: str


@dataclass(frozen=True)
class Pictures:
    """The pictures of a batch: the bytes and the description of each row."""

    img: list[memoryview]
    described: list[Described]

    @property
    def n_bytes(self) -> int:
        """The total size of the pictures, in bytes."""
        return sum(picture.n_bytes for picture in self.described)


def describe(img: memoryview) -> Described:
    """Measure and hash a picture.

    Raises
    ------
    PictureError
        If it is not a complete PNG or GIF of acceptable size.
    """
    if img.nbytes > MAX_PICTURE_BYTES:
        raise PictureError(f"absurdly large ({img.nbytes:,} bytes)")
    return Described(*probe(img), img.nbytes, hashlib.sha256(img).hexdigest())


def img_size(img: Img) -> int:
    """Return the bytes of a picture."""
    return 0 if img is None else img.nbytes


def check_pictures(
    columns: checks.Columns, imgs: list[Img], sound: Mask
) -> tuple[checks.Problem, Pictures]:
    """Check and hash the pictures of the rows without errors.

    Returns
    -------
    tuple
        The damaged pictures as a problem, and the others.
    """
    bad = np.zeros(len(columns), np.bool_)
    reasons: dict[int, str] = {}
    pictures = Pictures([], [])
    for row in np.flatnonzero(sound).tolist():
        img = imgs[row]
        assert img is not None  # noqa: S101 - for the type checker: a row whose picture is NULL is not sound
        try:
            described = describe(img)
        except PictureError as error:
            bad[row] = True
            reasons[row] = f"image {columns.arrays['id'][row]}: the picture is {error}"
            continue
        pictures.img.append(img)
        pictures.described.append(described)
    return checks.Problem("bad-picture", bad, reasons.__getitem__), pictures


def views(array: "pa.Array") -> list[Img]:
    """Return the values of a large_binary array as slices of its buffer, without copying."""
    _, offsets_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    data = memoryview(data_buffer or b"").cast("B")
    slices: list[Img] = [data[a:b] for a, b in itertools.pairwise(offsets.tolist())]
    if array.null_count:
        for row in np.flatnonzero(~valid(array)):
            slices[row] = None
    return slices
