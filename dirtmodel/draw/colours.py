"""Colours of raters that colour-blind readers can distinguish too."""

from collections.abc import Iterable
from typing import Final, NamedTuple

Colour = tuple[int, int, int]

GOLD: Final[Colour] = (0xFF, 0xD7, 0x00)
"""The colour of DIRT's rings."""

BLACK: Final[Colour] = (0x00, 0x00, 0x00)

UNKNOWN: Final[Colour] = (0xFF, 0xFF, 0xFF)
"""The colour of unknown raters where there are known ones too; no known rater has it."""

OKABE_ITO: Final[tuple[Colour, ...]] = (
    (0xE6, 0x9F, 0x00),
    (0x56, 0xB4, 0xE9),
    (0xCC, 0x79, 0xA7),
    (0xF0, 0xE4, 0x42),
    (0x00, 0x9E, 0x73),
    (0xD5, 0x5E, 0x00),
    (0x00, 0x72, 0xB2),
)
"""Okabe and Ito's palette (Color Universal Design, 2008) without black, hard to see on brains.

In this order, the colours that look most alike on dark grey are far from each other.
"""


class Pen(NamedTuple):
    """How the rings of one rater are drawn: colour, number of gaps, and with a dark edge or not."""

    colour: Colour
    gaps: int = 0
    halo: bool = False


def pens(raters: Iterable[str | None]) -> dict[str | None, Pen]:
    """Assign a pen to every rater of a database, in the order given.

    A single rater gets gold, as in DIRT. Several raters get one colour each. After seven raters
    the colours repeat, with gaps in the rings. Raters that are added at the end do not change the
    pens of the earlier ones, unless there was only one. None stands for all unknown raters.

    Examples
    --------
    >>> pens(["ann"])
    {'ann': Pen(colour=(255, 215, 0), gaps=0, halo=False)}
    >>> {rater: pen.colour for rater, pen in pens(["bob", None, "ann"]).items()}
    {'bob': (230, 159, 0), 'ann': (86, 180, 233), None: (255, 255, 255)}
    """
    distinct = list(dict.fromkeys(raters))
    if len(distinct) == 1:
        return {distinct[0]: Pen(GOLD)}
    assigned: dict[str | None, Pen] = {}
    for number, rater in enumerate(rater for rater in distinct if rater is not None):
        rounds, place = divmod(number, len(OKABE_ITO))
        assigned[rater] = Pen(OKABE_ITO[place], 4 * rounds, halo=True)
    if None in distinct:
        assigned[None] = Pen(UNKNOWN, halo=True)
    return assigned
