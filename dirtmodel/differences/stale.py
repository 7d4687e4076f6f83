"""Find reviews that judged an earlier picture than the present one."""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from dirtmodel.differences.rows import RowDifference, readable
from dirtmodel.differences.sides import Side
from dirtmodel.queries.images import Reviews

_IMAGES_AT_A_TIME: Final = 500

PICTURE_CHANGED: Final = "the picture changed, the review did not"
OLDER: Final = "made before the picture"


class StaleReview(NamedTuple):
    """A review of the new release that judged an earlier picture of its image."""

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
    """Yield the stale reviews of redrawn images, in the order of the images.

    Parameters
    ----------
    redrawn
        Images whose pixels differ. A review of such an image is stale if the old release has it
        too, or if it is older than `created` of the new image.
    """
    remaining = iter(redrawn)
    while images := list(itertools.islice(remaining, _IMAGES_AT_A_TIME)):
        for kind in ("rating", "coordinate"):
            yield from _of_kind(kind, old, new, images)


def _of_kind(
    kind: str, old: Side, new: Side, images: Sequence[RowDifference]
) -> Iterator[StaleReview]:
    before = {(row.id, row.created) for row in old.rows(kind, [i.old.id for i in images])}
    rows: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for row in new.rows(kind, [i.new.id for i in images]):
        rows[row.img_id, row.session].append(row)
    by_id = {image.new.id: image.new for image in images}
    place = {img_id: n for n, img_id in enumerate(by_id)}
    found = Reviews(by_id, notes=False).run(new.session)
    reviews = [review for review in found if review.kind == kind]
    # Sort in the order of the images, not of their ids.
    for review in sorted(reviews, key=lambda review: place[review.img_id]):
        image = by_id[review.img_id]
        own = rows[review.img_id, review.session_id]
        if kind == "rating":
            own = [row for row in own if row.id == review.id]
        if any((row.id, row.created) in before for row in own):
            reason = PICTURE_CHANGED
        elif review.created < readable("created", image.created):
            reason = OLDER
        else:
            continue
        yield StaleReview(
            table=kind,
            ids=[row.id for row in own],
            img_id=image.id,
            session=review.session_id,
            rater=review.rater,
            created=review.created,
            step=readable("step", image.step),
            display=readable("display", image.display),
            slice=image.slice,
            file1=image.file1,
            reason=reason,
        )
