"""Agreement of raters with their own earlier ratings of the same units."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dirtmodel.irr.contingency import Events, Tables
from dirtmodel.irr.intervals import Estimate, Sampling
from dirtmodel.irr.ratings import IntArray
from dirtmodel.irr.weights import FloatArray

DOUBLE_SECONDS: Final = 5.0
"""A second rating after a shorter time, in seconds, counts as a double submission."""

TIMES: Final = ("double_submission", "same_session", "later")
"""Kinds of repeats: after less than 5 seconds, in the same session, or in a later session."""


class Repeats(NamedTuple):
    """Earlier and next ratings of the same unit by the same rater.

    `table` is categories × categories: its rows are the earlier ratings, its columns the later
    ones. `estimates` has the measures of `contingency.MEASURES`. `median_gap_seconds` is None
    without repeats.
    """

    n: int
    table: list[list[int]]
    estimates: dict[str, Estimate]
    median_gap_seconds: float | None


def repeats(
    first: IntArray,
    second: IntArray,
    gap_seconds: FloatArray,
    same_session: IntArray,
    *,
    categories: Sequence[object],
    clusters: IntArray,
    category: int = -1,
    sampling: Sampling | None = None,
) -> dict[str, Repeats]:
    """Compare each rating with the next one of the same unit by the same rater.

    Parameters
    ----------
    first, second
        Category indices of the earlier and of the next rating, one entry per repeat.
    gap_seconds, same_session
        The time between the two; 1 if both belong to the same session, else 0.
    categories
        All categories.
    clusters
        The cluster of each repeat, any whole numbers.
    category
        The index of the category that Dice is about.
    sampling
        The level of the intervals, and the noun for a cluster.

    Returns
    -------
    dict
        `all`, and each of `TIMES`. A repeat after less than 5 s is `double_submission` in any
        session; it shows slips of the mouse or delays of the network. `later` is what is usually
        meant by intra-rater agreement, because raters no longer remember their earlier rating.

    """
    time = np.where(gap_seconds < DOUBLE_SECONDS, 0, np.where(same_session > 0, 1, 2))
    q, how = len(categories), sampling or Sampling()
    events = Events(time, clusters, first * q + second, np.ones_like(time))
    kinds = Tables(events, len(TIMES), categories, category)
    whole = Tables(events._replace(tables=np.zeros_like(time)), 1, categories, category)
    results = {}
    for name, tables, place, chosen in (
        ("all", whole, 0, np.ones(len(time), dtype=bool)),
        *((name, kinds, n, time == n) for n, name in enumerate(TIMES)),
    ):
        counts = tables.counts[place]
        results[name] = Repeats(
            int(counts.sum()),
            counts.reshape(q, q).astype(np.int64).tolist(),
            list(tables.estimates(how))[place],
            float(np.median(gap_seconds[chosen])) if chosen.any() else None,
        )
    return results
