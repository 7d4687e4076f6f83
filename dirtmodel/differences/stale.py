"""Reviews that judged another picture than the one that is there now."""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from dirtmodel.differences.rows import ImageRow, RowDifference, told
from dirtmodel.differences.sides import Side

_IMAGES_AT_A_TIME: Final = 500

PICTURE_CHANGED: Final = "the picture changed, the review did not"
OLDER: Final = "made before the picture was"


class StaleReview(NamedTuple):
    """A review of the new release whose picture is not the one that was judged."""

    table: str
    ids: list[int]
    img_id: int
    session: int
    rater: str | None
    created: dt.datetime
    step: str
    display: str
    slice: int | None
    file1: str
    reason: str


def stale_reviews(old: Side, new: Side, redrawn: Iterable[RowDifference]) -> Iterator[StaleReview]:
    """Give the stale reviews of redrawn images, in the order of the images.

    Parameters
    ----------
    redrawn
        Images whose pixels differ. Reviews of them are stale where the old release has them too, or
        where they are older than the new picture's `created`.
    """
    remaining = iter(redrawn)
    while images := list(itertools.islice(remaining, _IMAGES_AT_A_TIME)):
        for table in ("rating", "coordinate"):
            yield from _of_table(table, old, new, images)


def _of_table(
    table: str, old: Side, new: Side, images: Sequence[RowDifference]
) -> Iterator[StaleReview]:
    before = {(row.id, row.created) for row in old.rows(table, [i.old.id for i in images])}
    reviews: dict[int, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for row in new.rows(table, [i.new.id for i in images]):
        # A verdict is a review of its own, clicks of one session on one image are one together.
        reviews[row.img_id][row.session if table == "coordinate" else row.id].append(row)
    sessions = {rows[0].session for by in reviews.values() for rows in by.values()}
    raters = {row.id: row.user for row in new.rows("session", sessions)}
    for image in images:
        for rows in reviews[image.new.id].values():
            if any((row.id, row.created) in before for row in rows):
                reason = PICTURE_CHANGED
            elif max(row.created for row in rows) < image.new.created:
                reason = OLDER
            else:
                continue
            yield _stale(table, rows, image.new, raters[rows[0].session], reason)


def _stale(
    table: str, rows: list[Any], image: ImageRow, rater: str | None, reason: str
) -> StaleReview:
    return StaleReview(
        table=table,
        ids=[row.id for row in rows],
        img_id=image.id,
        session=rows[0].session,
        rater=rater,
        created=told("created", max(row.created for row in rows)),
        step=told("step", image.step),
        display=told("display", image.display),
        slice=image.slice,
        file1=image.file1,
        reason=reason,
    )
