"""On which images do raters disagree?"""

from typing import NamedTuple

import numpy as np
from sqlalchemy import orm

from dirtmodel.models import DisplayMode
from dirtmodel.queries.described import describe
from dirtmodel.queries.results import Rows
from dirtmodel.queries.reviews import StepReviews


class Disagreement(NamedTuple):
    """An image on which raters disagree.

    `disagreement` is the mean over pairs of its raters of the squared distance of their verdicts,
    1 for PASS against FAIL (on steps judged by clicks, for clicks against none). `verdicts` has
    each rater's, as rater=FAIL; on steps judged by clicks rater=number of clicks.
    """

    img_id: int
    file1: str
    file2: str | None
    display: DisplayMode
    slice: int | None
    sub: str | None
    ses: str | None
    scan: str | None
    n_raters: int
    disagreement: float
    verdicts: list[str]


def disagreements(session: orm.Session, reviews: StepReviews) -> Rows[Disagreement]:
    """Return the images on which raters disagree, worst first."""
    how, counts = reviews.judging, reviews.counts.astype(np.float64)
    numbers = np.array(how.numbers, dtype=np.float64)
    # PASS against FAIL is 1 apart, and so is any verdict that DIRT does not define.
    distance = np.minimum((numbers[:, None] - numbers) ** 2 / numbers[how.problem] ** 2, 1)
    total = counts.sum(axis=1)
    scores = ((counts @ distance) * counts).sum(axis=1) / np.maximum(total * (total - 1), 1)
    worst = np.flatnonzero(scores > 0)
    worst = worst[np.lexsort((reviews.images[worst], -total[worst], -scores[worst]))]
    verdicts = _verdicts(reviews, set(worst.tolist()))
    described = describe(session, reviews.images[worst].tolist())
    return Rows(
        Disagreement,
        [
            Disagreement(*image, len(verdicts[unit]), float(scores[unit]), verdicts[unit])
            for image, unit in zip(described, worst.tolist(), strict=True)
        ],
    )


def _verdicts(reviews: StepReviews, units: set[int]) -> dict[int, list[str]]:
    """Return what each rater said of some images, as rater=FAIL or rater=number of clicks."""
    how, ratings = reviews.judging, reviews.ratings
    found: dict[int, list[str]] = {unit: [] for unit in units}
    order = np.lexsort((ratings.rater, ratings.unit))
    said = reviews.values if how.by_clicks else ratings.code
    for unit, rater, choice in zip(
        ratings.unit[order].tolist(),
        ratings.rater[order].tolist(),
        said[order].tolist(),
        strict=True,
    ):
        if unit in found:
            word = choice if how.by_clicks else how.categories[choice]
            found[unit].append(f"{reviews.raters[rater]}={word}")
    return found
