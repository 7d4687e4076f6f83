"""The worst pictures of excluded scans, as many as fit on the page."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.database.fragments import in_batches
from dirtmodel.models import Tally
from dirtmodel.pages import Chip, Picture, chips
from dirtmodel.pictures.thumbnails import thumbnails
from dirtmodel.queries.rules import Exclusion
from dirtmodel.wording import count

_MOST_EACH: Final = 3
"""The most pictures of one scan."""
_SIZE: Final = (280, 224)
"""Largest width and height of a picture in pixels."""


class Thumb(NamedTuple):
    """A picture and the results of its reviews."""

    picture: Picture
    caption: str
    found: tuple[Chip, ...]


class Excluded(NamedTuple):
    """An excluded target, scan, session or participant, and its worst pictures."""

    name: str
    evidence: str
    thumbs: tuple[Thumb, ...]


class Gallery:
    """Pictures of excluded scans, in their order; they are read once, while the page is written.

    Parameters
    ----------
    session
        An open database.
    rows
        The excluded scans (or targets, sessions, participants).
    most
        The most pictures. Each scan has up to three, or fewer if there are many scans.
    most_bytes
        The most bytes that the pictures may take on the page.
    """

    def __init__(
        self, session: orm.Session, rows: Sequence[Exclusion], *, most: int, most_bytes: int
    ) -> None:
        self._session = session
        self._rows = rows
        self._most_bytes = most_bytes
        each = max(1, min(_MOST_EACH, most // len(rows))) if rows else 0
        self._chosen = [(row, each) for row in rows[: most // each if each else 0]]
        self._n_shown = 0

    @property
    def left_out(self) -> str:
        """The number of scans without pictures as text, after iteration; empty if it is 0."""
        n = len(self._rows) - self._n_shown
        return f"Left out for size: the pictures of {n:,} more." if n else ""

    def __iter__(self) -> Iterator[Excluded]:
        """Draw the pictures, scan after scan, until the limit is reached."""
        n_bytes = 0
        for row, each in self._chosen:
            ids = _worst(self._session, row.image_ids)[:each]
            thumbs = []
            for found in thumbnails(self._session, ids, size=_SIZE) if ids else ():
                image = found.image
                cut = "" if image.slice is None else f" {image.slice}"
                place = f"{image.step.name} · {image.display.name}{cut} · image {image.id}"
                alt = f"{image.file1}, {place}"
                picture = Picture(found.webp, found.damage, alt)
                thumbs.append(Thumb(picture, place, tuple(chips(found.reviews))))
                n_bytes += picture.size
            if n_bytes > self._most_bytes:
                return
            self._n_shown += 1
            yield Excluded(_name(row), _evidence(row), tuple(thumbs))


def _worst(session: orm.Session, ids: Sequence[int]) -> list[int]:
    """Sort images by the numbers of FAILs and clicks, the greatest first."""
    order: dict[int, tuple[int, int]] = {}
    for batch in in_batches(ids):
        statement = sa.select(Tally.img_id, Tally.n_fail, Tally.n_clicks)
        for row in session.execute(statement.where(Tally.img_id.in_(batch))):
            order[row.img_id] = (-row.n_fail, -row.n_clicks)
    return sorted(ids, key=lambda img_id: (order.get(img_id, (0, 0)), img_id))


def _name(row: Exclusion) -> str:
    if row.file1 is not None:
        return row.file1
    parts = (row.sub and f"sub-{row.sub}", row.ses and f"ses-{row.ses}", row.scan)
    return " ".join(filter(None, parts)) or "file names without a participant"


def _evidence(row: Exclusion) -> str:
    parts = [
        f"{row.n_bad_images:,} of {count(row.n_images, 'image')} bad",
        f"{row.n_fail:,} FAIL" if row.n_fail else "",
        count(row.n_clicks, "click") if row.n_clicks else "",
        "raw data flagged" if row.source_data_issue else "",
    ]
    return ", ".join(filter(None, parts))
