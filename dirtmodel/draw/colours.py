"""Colours of raters and of densities, told apart by colour-blind readers too."""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

GOLD: Final[Colour] = (0xFF, 0xD7, 0x00)
"""What DIRT draws its rings in."""

BLACK: Final[Colour] = (0x00, 0x00, 0x00)

UNKNOWN: Final[Colour] = (0xFF, 0xFF, 0xFF)
"""Clicks of unknown raters beside those of known ones: no rater's colour."""

OKABE_ITO: Final[tuple[Colour, ...]] = (
    (0xE6, 0x9F, 0x00),
    (0x56, 0xB4, 0xE9),
    (0xCC, 0x79, 0xA7),
    (0xF0, 0xE4, 0x42),
    (0x00, 0x9E, 0x73),
    (0xD5, 0x5E, 0x00),
    (0x00, 0x72, 0xB2),
)
"""Okabe and Ito's palette (Color Universal Design, 2008) without black, which brains hide.

The order puts apart those that look most alike on dark grey.
"""

_HEAT_ANCHORS: Final = (
    (0x07, 0x06, 0x12),
    (0x2F, 0x0C, 0x5E),
    (0x65, 0x10, 0x7B),
    (0x9E, 0x21, 0x75),
    (0xCD, 0x3F, 0x67),
    (0xF0, 0x68, 0x47),
    (0xFE, 0x99, 0x43),
    (0xFE, 0xCB, 0x54),
    (0xFE, 0xF6, 0x9E),
)
"""From black over purple and orange to pale yellow, at equal steps of CIE lightness."""


class Pen(NamedTuple):
    """How one rater's rings are drawn: colour, number of gaps, and whether with a dark edge."""

    colour: Colour
    gaps: int = 0
    halo: bool = False


def pens(raters: Iterable[str | None]) -> dict[str | None, Pen]:
    """Give every rater a pen: gold for a single one, as in DIRT, else one colour each.

    The same raters get the same pens whatever their order. After seven raters the colours begin
    again with gaps in the rings. None stands for all unknown raters.

    Examples
    --------
    >>> pens(["ann"])
    {'ann': Pen(colour=(255, 215, 0), gaps=0, halo=False)}
    >>> [pen.colour for pen in pens(["bob", None, "ann"]).values()]
    [(230, 159, 0), (86, 180, 233), (255, 255, 255)]
    """
    distinct = set(raters)
    if len(distinct) == 1:
        return {distinct.pop(): Pen(GOLD)}
    known = sorted(rater for rater in distinct if rater is not None)
    given: dict[str | None, Pen] = {}
    for number, rater in enumerate(known):
        rounds, place = divmod(number, len(OKABE_ITO))
        given[rater] = Pen(OKABE_ITO[place], 4 * rounds, halo=True)
    if None in distinct:
        given[None] = Pen(UNKNOWN, halo=True)
    return given


def heat(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map values from 0 to 1 to RGB from 0 to 255; one axis of length 3 is added."""
    places = np.linspace(0, 1, len(_HEAT_ANCHORS))
    channels = np.array(_HEAT_ANCHORS, dtype=np.float64).T
    return np.stack([np.interp(values, places, channel) for channel in channels], axis=-1)
