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

    `disagreement` is the mean, over pairs of raters, of the squared distance of their verdicts. The
    distance of PASS and FAIL is 1; on steps judged by clicks, that of no click and any click is 1.
    `verdicts` has an entry per rater: rater=FAIL or, on steps judged by clicks, rater=number of
    clicks.
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
    """Return the images on which raters disagree, the greatest disagreement first."""
    how, counts = reviews.judging, reviews.counts.astype(np.float64)
    numbers = np.array(how.numbers, dtype=np.float64)
    # The distance is 1 for PASS and FAIL, and for verdicts that DIRT does not define.
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
    """Return the verdicts on these images, as rater=FAIL or rater=number of clicks."""
    how, ratings = reviews.judging, reviews.ratings
    verdicts: dict[int, list[str]] = {unit: [] for unit in units}
    order = np.lexsort((ratings.rater, ratings.unit))
    choices = reviews.values if how.by_clicks else ratings.code
    for unit, rater, choice in zip(
        ratings.unit[order].tolist(),
        ratings.rater[order].tolist(),
        choices[order].tolist(),
        strict=True,
    ):
        if unit in verdicts:
            word = choice if how.by_clicks else how.categories[choice]
            verdicts[unit].append(f"{reviews.raters[rater]}={word}")
    return verdicts
