"""Which pictures illustrate the differences, and how they are drawn: small, ringed, as WebP."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from dirtmodel.database.fragments import in_batches
from dirtmodel.differences.comparison import Differences
from dirtmodel.differences.rows import ImageRow, RowDifference, image_key
from dirtmodel.differences.sides import Side
from dirtmodel.differences.verdicts import KINDS
from dirtmodel.draw.captions import Review
from dirtmodel.errors import PictureError
from dirtmodel.queries.images import Reviews
from dirtmodel.viewing.material import reviews_of

_WIDTH: Final = 420
_HEIGHT: Final = 340
_MOST_FRAMES: Final = 8
_QUALITY: Final = 80
_FRAME_MS: Final = 500

Ids = tuple[int | None, int | None]
"""Of an image in the old and in the new release."""


@dataclass
class Half:
    """An image on one side, with its reviews."""

    image: ImageRow
    reviews: list[Review] = field(default_factory=list)

    @property
    def verdicts(self) -> list[str]:
        """The deciding verdicts and who gave them, the earliest first."""
        return [
            f"{review.verdict} by {review.rater or 'unknown'}"
            for review in self.reviews
            if review.decides and review.verdict is not None
        ]

    @property
    def n_clicks(self) -> int | None:
        """The number of clicks that decide; None without a review by clicks."""
        found = [r.n_clicks for r in self.reviews if r.decides and r.n_clicks is not None]
        return sum(found) if found else None


@dataclass
class Pair:
    """An image whose picture or reviews differ, on both sides."""

    why: list[str]
    old: Half | None
    new: Half | None


class Gallery:
    """Pictures behind changed verdicts, then redrawn ones, then those with other reviews.

    Parameters
    ----------
    most
        Largest number of pairs that are kept; the others are only counted.
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
        """How many pairs are kept."""
        return len(self._why)

    @property
    def n_left_out(self) -> int:
        """How many pairs are not kept."""
        return len(self._left_out)

    def __iter__(self) -> Iterator[Pair]:
        """Yield the pairs; their images and reviews are read at once."""
        olds = _halves(self._found.old, [old for old, _ in self._why if old is not None])
        news = _halves(self._found.new, [new for _, new in self._why if new is not None])
        for (old_id, new_id), why in self._why.items():
            old = None if old_id is None else olds.get(old_id)
            new = None if new_id is None else news.get(new_id)
            if old and new and image_key(old.image) != image_key(new.image):
                # The id belongs to another image now.
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
    reviews: dict[int, list[Review]] = {}
    for some in in_batches(ids):
        reviews.update(reviews_of(side.session, Reviews(some)))
    return {image.id: Half(image, reviews.get(image.id, [])) for image in side.rows("image", ids)}


def thumbnail(side: Side, half: Half) -> bytes:
    """Draw a picture small, with its clicks as rings; of an animation, a few frames.

    Raises
    ------
    PictureError
        If it is damaged.
    """
    from dirtmodel.draw import decode
    from dirtmodel.draw.annotate import Notes, ringed
    from dirtmodel.draw.captions import rings_of

    img_id = half.image.id
    data = side.picture(img_id)
    n_frames = decode.count_frames(decode.open_picture(data, img_id), img_id)
    frames = decode.frames_at(data, img_id, decode.telling_frames(n_frames, _MOST_FRAMES))
    if not frames:
        raise PictureError(f"image {img_id}: the picture has no frames")
    scale = min(_WIDTH / frames[0].width, _HEIGHT / frames[0].height, 1)
    size = (max(1, round(frames[0].width * scale)), max(1, round(frames[0].height * scale)))
    notes = Notes(clicks=rings_of(half.reviews)).scaled(scale)
    small = [ringed(frame.resize(size), notes) for frame in frames]
    out = io.BytesIO()
    small[0].save(
        out,
        "WEBP",
        quality=_QUALITY,
        save_all=True,
        append_images=small[1:],
        duration=_FRAME_MS,
        loop=0,
    )
    return out.getvalue()
