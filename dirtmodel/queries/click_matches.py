"""Match the clicks of each pair of reviews of an image, and simulate random clicks."""

from collections.abc import Sequence

import numpy as np

from dirtmodel import irr
from dirtmodel.irr import ClickAgreement, Sampling
from dirtmodel.irr.pairs import pairs_within
from dirtmodel.queries.reviews import IntArray, Points, StepReviews


def click_matches(
    reviews: StepReviews,
    points: Points,
    clusters: IntArray,
    *,
    tolerances: Sequence[float],
    sampling: Sampling,
    seed: int,
) -> tuple[dict[float, ClickAgreement], dict[float, float | None]]:
    """Return the observed agreement and the F1 expected by chance, for each tolerance in pixels.

    Parameters
    ----------
    reviews, points
        The reviews and their finite clicks.
    clusters
        The cluster of each image.
    tolerances, sampling, seed
        The greatest distances of matched clicks, the level of the intervals, and the seed of the
        simulation of chance.

    """
    first, second = _pairs(reviews)
    sizes = np.diff(points.start)
    clicked = sizes[first] + sizes[second] > 0
    n_unclicked = int((~clicked).sum())
    first, second = first[clicked], second[clicked]
    of_pair = clusters[reviews.ratings.unit[first]]
    clicks = [
        (points.of(a), points.of(b)) for a, b in zip(first.tolist(), second.tolist(), strict=True)
    ]
    matched = {
        tolerance: irr.summarise(
            (irr.match(a, b, tolerance) for a, b in clicks),
            clusters=of_pair,
            n_unclicked=n_unclicked,
            sampling=sampling,
        )
        for tolerance in tolerances
    }
    both = np.stack([sizes[first], sizes[second]], axis=1)
    chance = irr.chance_f1(both, points.xy, tolerances, seed=seed)
    return matched, dict(zip(tolerances, chance, strict=True))


def _pairs(reviews: StepReviews) -> tuple[IntArray, IntArray]:
    """Return the positions of the first and of the second review of each pair of one image."""
    order = np.lexsort((reviews.ratings.rater, reviews.ratings.unit))
    pairs = list(pairs_within(reviews.ratings.unit[order]))
    if not pairs:
        return order[:0], order[:0]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    return order[first], order[second]
