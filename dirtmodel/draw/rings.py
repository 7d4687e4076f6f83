"""Clicks as rings, the way DIRT draws them on its canvas.

Coordinates are pixels of the natural image: pixel (i, j) covers [i, i+1) × [j, j+1).
Each ring is a small array of coverages (0 to 1), so that a true-colour picture can have smooth
edges and a palettised one hard edges from the same geometry.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.draw.colours import BLACK, Colour, Pen

RADIUS: Final = 10.0
WIDTH: Final = 2.0
HALO: Final = 1.0
"""Width of the dark line on both sides of a coloured ring; DIRT's golden one has none."""

_MARK_LENGTH: Final = 13.0
_MARK_HALF_WIDTH: Final = 7.0
_GAP: Final = 0.35
"""Which part of each turn is left out where a ring has gaps."""

Coverage = npt.NDArray[np.floating]


class Click(NamedTuple):
    """One row of `coordinate`; both x and y None mean "reviewed, nothing wrong"."""

    x: float | None
    y: float | None
    rater: str | None = None

    @property
    def is_click(self) -> bool:
        """Whether the row holds a position, or at least a part of one."""
        return self.x is not None or self.y is not None


class Point(NamedTuple):
    """A click that can be drawn."""

    x: float
    y: float
    rater: str | None


class Stamp(NamedTuple):
    """A patch of one colour, its top left corner at (left, top), wholly inside the picture."""

    left: int
    top: int
    coverage: Coverage
    colour: Colour

    @property
    def where(self) -> tuple[slice, slice]:
        """Rows and columns of the picture that the patch covers."""
        height, width = self.coverage.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def points(clicks: Iterable[Click]) -> tuple[list[Point], int]:
    """Separate the clicks that can be drawn from those that cannot, which are counted.

    DIRT's server accepts half a point and infinity. Rows without any position are no clicks.

    Examples
    --------
    >>> points([Click(3.0, 4.0, "ann"), Click(3.0, None), Click(None, None)])
    ([Point(x=3.0, y=4.0, rater='ann')], 1)
    """
    drawable = []
    n_incomplete = 0
    for click in clicks:
        x = math.nan if click.x is None else click.x
        y = math.nan if click.y is None else click.y
        if math.isfinite(x) and math.isfinite(y):
            drawable.append(Point(x, y, click.rater))
        elif click.is_click:
            n_incomplete += 1
    return drawable, n_incomplete


def is_inside(point: Point, size: tuple[int, int]) -> bool:
    """Whether the click lies strictly inside the picture, not at or beyond its edge."""
    return 0 < point.x < size[0] and 0 < point.y < size[1]


def stamps(
    drawn: Iterable[Point],
    size: tuple[int, int],
    pens: Mapping[str | None, Pen],
    radius: float = RADIUS,
) -> Iterator[Stamp]:
    """Give the rings of the points, clipped to the picture.

    A click at or beyond the edge gets a filled triangle too, pointing out of the picture at the
    nearest place of its border: a ring that is clipped away would look like no click at all.
    """
    for point in drawn:
        pen = pens[point.rater]
        shapes: list[tuple[_Ring | _Triangle, Colour]] = [
            (_Ring(point.x, point.y, radius, WIDTH, pen.gaps), pen.colour)
        ]
        if pen.halo:
            shapes.insert(0, (_Ring(point.x, point.y, radius, WIDTH + 2 * HALO), BLACK))
        if not is_inside(point, size):
            shapes.append((_border_mark(point, size), pen.colour))
        for shape, colour in shapes:
            stamp = _clipped(shape, size, colour)
            if stamp is not None:
                yield stamp


class _Ring(NamedTuple):
    x: float
    y: float
    radius: float
    width: float
    gaps: int = 0

    @property
    def reach(self) -> float:
        return self.radius + self.width / 2 + 0.5

    def coverage(self, columns: Coverage, rows: Coverage) -> Coverage:
        right, down = columns - self.x, rows - self.y
        from_line = np.abs(np.hypot(right, down) - self.radius)
        cover: Coverage = np.clip(self.width / 2 + 0.5 - from_line, 0, 1)
        if self.gaps:
            turns = np.arctan2(down, right) / (2 * math.pi) * self.gaps
            cover[turns % 1 < _GAP] = 0
        return cover


class _Triangle(NamedTuple):
    """A filled arrow head with its tip at (x, y), pointing along a unit vector."""

    x: float
    y: float
    right: float
    down: float
    reach: float = _MARK_LENGTH + 1

    def coverage(self, columns: Coverage, rows: Coverage) -> Coverage:
        right, down = columns - self.x, rows - self.y
        behind = -(right * self.right + down * self.down)
        aside = np.abs(right * self.down - down * self.right)
        slope = _MARK_HALF_WIDTH / _MARK_LENGTH
        from_side = (behind * slope - aside) / math.hypot(slope, 1)
        cover: Coverage = np.clip(np.minimum(from_side, _MARK_LENGTH - behind) + 0.5, 0, 1)
        return cover


def _border_mark(point: Point, size: tuple[int, int]) -> _Triangle:
    x, y = min(max(point.x, 0), size[0]), min(max(point.y, 0), size[1])
    right = (point.x >= size[0]) - (point.x <= 0)
    down = (point.y >= size[1]) - (point.y <= 0)
    length = math.hypot(right, down)
    return _Triangle(x, y, right / length, down / length)


def _clipped(shape: _Ring | _Triangle, size: tuple[int, int], colour: Colour) -> Stamp | None:
    # Clamping before rounding keeps coordinates like 1e300 out of the integers.
    left, right = (min(max(shape.x + side, 0), size[0]) for side in (-shape.reach, shape.reach))
    top, bottom = (min(max(shape.y + side, 0), size[1]) for side in (-shape.reach, shape.reach))
    columns = np.arange(math.floor(left), math.ceil(right))
    rows = np.arange(math.floor(top), math.ceil(bottom))
    if not columns.size or not rows.size:
        return None
    coverage = shape.coverage(columns + 0.5, rows[:, np.newaxis] + 0.5)
    return Stamp(int(columns[0]), int(rows[0]), coverage, colour)


def blend(patch: npt.NDArray[np.uint8], stamp: Stamp) -> npt.NDArray[np.uint8]:
    """Draw a stamp over RGBA pixels (unassociated alpha, as in PNG)."""
    over = stamp.coverage[..., np.newaxis]
    under = patch[..., 3:] / 255 * (1 - over)
    alpha = over + under
    colour = (np.array(stamp.colour) * over + patch[..., :3] * under) / np.maximum(alpha, 1e-9)
    blended = np.concatenate([colour, alpha * 255], axis=-1).round().astype(np.uint8)
    return np.where(over > 0, blended, patch)
