"""Select and draw the pictures of the page: small, with rings, as WebP."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dirtmodel.database.fragments import in_batches
from dirtmodel.differences.comparison import Differences
from dirtmodel.differences.rows import ImageRow, RowDifference, image_key
from dirtmodel.differences.sides import Side
from dirtmodel.differences.verdicts import KINDS
from dirtmodel.draw.colours import Pen
from dirtmodel.pictures.fetch import History, histories, pens_of
from dirtmodel.queries.images import Reviews

Ids = tuple[int | None, int | None]
"""The ids of an image in the old and in the new release."""


@dataclass
class Half:
    """An image on one side, with its reviews."""

    image: ImageRow
    history: History
    pens: Mapping[str | None, Pen]


@dataclass
class Pair:
    """An image whose picture or reviews differ, as it is on both sides."""

    why: list[str]
    old: Half | None
    new: Half | None


class Gallery:
    """Pictures behind changed verdicts, then changed pictures, then those with changed reviews.

    Parameters
    ----------
    most
        The most pairs to keep; further pairs are only counted.
    """

    def __init__(self, found: Differences, most: int) -> None:
        self._found = found
        self._most = most
        self._back = {new: old for old, new in found.moved.items()}
        self._why: dict[Ids, list[str]] = {}
        self._left_out: set[Ids] = set()
        self._collect()

    @property
    def n_shown(self) -> int:
        """The number of pairs that are kept."""
        return len(self._why)

    @property
    def n_left_out(self) -> int:
        """The number of pairs that are not kept."""
        return len(self._left_out)

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs; all their images and reviews are read at the beginning."""
        olds = _halves(self._found.old, [old for old, _ in self._why if old is not None])
        news = _halves(self._found.new, [new for _, new in self._why if new is not None])
        for (old_id, new_id), why in self._why.items():
            old = None if old_id is None else olds.get(old_id)
            new = None if new_id is None else news.get(new_id)
            if old and new and image_key(old.image) != image_key(new.image):
                # The id now belongs to another image.
                old = None
            if old or new:
                yield Pair(why, old, new)

    def _collect(self) -> None:
        changes = sorted(self._found.verdicts(), key=lambda change: KINDS.index(change.kinds[0]))
        for change in changes:
            for row in change.rows:
                if row.table in {"rating", "coordinate"}:
                    self._add(self._reviewed(row), change.kinds[0].replace("_", " "))
        for row in self._found.rows("image"):
            if "img" in row.columns and not row.re_encoded:
                self._add((row.old.id, row.new.id), "picture changed")
        for table, why in (("coordinate", "clicks changed"), ("rating", "verdicts changed")):
            for row in self._found.rows(table):
                self._add(self._reviewed(row), why)

    def _reviewed(self, row: RowDifference) -> Ids:
        if row.new is not None:
            new_id = row.new.img_id
            return self._back.get(new_id, new_id), new_id
        old_id = row.old.img_id
        return old_id, self._found.moved.get(old_id, old_id)

    def _add(self, ids: Ids, why: str) -> None:
        if ids in self._why:
            if why not in self._why[ids]:
                self._why[ids].append(why)
        elif len(self._why) < self._most:
            self._why[ids] = [why]
        else:
            self._left_out.add(ids)


def _halves(side: Side, ids: Sequence[int]) -> dict[int, Half]:
    by_image: dict[int, History] = {}
    for batch in in_batches(ids):
        by_image.update(histories(side.session, Reviews(batch, notes=False)))
    pens = pens_of(side.session)
    return {
        image.id: Half(image, by_image.get(image.id, History([], [])), pens)
        for image in side.rows("image", ids)
    }


def draw_half(side: Side, half: Half) -> bytes:
    """Return a small picture with its clicks as rings; of an animation, a few frames.

    Raises
    ------
    PictureError
        If the picture is damaged.
    """
    from dirtmodel.draw.captions import rings_of
    from dirtmodel.draw.thumbnails import thumbnail

    return thumbnail(
        side.picture(half.image.id),
        rings_of(*half.history),
        img_id=half.image.id,
        pens=half.pens,
    )
