"""HTML pages, which share one base template and one style sheet.

A page is a single file without links to other files and without scripts. Every value is escaped,
and a missing value is an error.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from dirtmodel.queries.images import ImageReview
from dirtmodel.wording import outcome

if TYPE_CHECKING:
    import jinja2


class Chip(NamedTuple):
    """A status or a verdict in a coloured frame; `word` selects the colour."""

    word: str
    text: str


class Change(NamedTuple):
    """The old and the new value of something: a chip, an arrow and another chip."""

    old: Chip
    new: Chip


Cell = str | int | None | Chip | Change
"""Integers are written with thousands separators; None is an empty cell."""


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Parameters
    ----------
    label
        What the table contains, for screen readers.
    columns
        The headings.
    rows
        The cells of each row; they are read once, while the page is written.
    numbers
        The positions of the columns of numbers, which are aligned on the right.
    more
        A sentence about rows that were left out, or an empty text.
    """

    label: str
    columns: Sequence[str]
    rows: Iterable[Sequence[Cell]]
    numbers: frozenset[int] = frozenset()
    more: str = ""


class Section(NamedTuple):
    """A heading and the table below it."""

    heading: str
    table: Table


class Picture(NamedTuple):
    """A picture of a page: its bytes as WebP, or the reason for their absence; the alt text."""

    webp: bytes | None
    damage: str | None
    alt: str

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        return "data:image/webp;base64," + base64.b64encode(self.webp or b"").decode("ascii")

    @property
    def size(self) -> int:
        """The number of bytes that the picture takes on the page."""
        return len(self.webp or b"") * 4 // 3


def chips(reviews: Iterable[ImageReview]) -> Iterator[Chip]:
    """Yield the results of the deciding reviews of an image, the earliest first."""
    for review in reviews:
        by = f"by {review.rater or 'unknown'}"
        if not review.decides:
            continue
        found = outcome(review.verdict, review.n_clicks)
        kind = review.verdict.name if review.verdict else "FAIL" if review.n_clicks else "PASS"
        yield Chip(kind, f"{found} {by}")


def write(template: str, file: IO[bytes], **values: Any) -> None:
    """Fill a template and write the page piece by piece, so that it is never complete in memory."""
    for part in _environment().get_template(template).generate(**values):
        file.write(part.encode())


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("dirtmodel.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
