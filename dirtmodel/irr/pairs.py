"""Agreement of each pair of raters on the units that both rated."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from dirtmodel.irr.contingency import MEASURES, Events, OverPairs, Tables, over_pairs
from dirtmodel.irr.intervals import Estimate, Sampling
from dirtmodel.irr.ratings import IntArray, Ratings, checked_ratings, distinct

_BLOCK: Final = 1 << 14
"""The most ratings whose pairs are in memory at a time (more only for a unit with more)."""


class Pair(NamedTuple):
    """Two raters, the number `n` of units that both rated, and estimates of `MEASURES` on them."""

    first: int
    second: int
    n: int
    estimates: dict[str, Estimate]


class Pairs(NamedTuple):
    """All pairs of raters with common units, and a summary of each measure over them."""

    pairs: list[Pair]
    over: dict[str, OverPairs]


def pairwise(
    ratings: Ratings,
    *,
    categories: Sequence[object],
    clusters: IntArray | None = None,
    category: int = -1,
    sampling: Sampling | None = None,
) -> Pairs:
    """Compare each pair of raters on the units that both rated.

    Parameters
    ----------
    ratings
        At most one rating of a unit by each rater.
    categories
        All categories.
    clusters
        The cluster of each unit, any whole numbers; None: units are independent.
    category
        The index of the category that Dice is about.
    sampling
        The level of the intervals, and the noun for a cluster.

    Returns
    -------
    Pairs
        Ordered by rater; raters without common units do not form a pair.

    """
    who = checked_ratings(ratings, n_categories=len(categories))
    of_unit = np.arange(who.unit.max(initial=-1) + 1) if clusters is None else np.asarray(clusters)
    n_raters = int(who.rater.max(initial=0)) + 1
    events = _pair_counts(who, of_unit, n_raters, len(categories))
    if not len(events.tables):
        return Pairs([], {name: over_pairs([]) for name in MEASURES})
    keys, numbers = distinct(events.tables)
    tables = Tables(events._replace(tables=numbers), len(keys), categories, category)
    how = (sampling or Sampling("unit" if clusters is None else "cluster")).checked()
    estimates = list(tables.estimates(how))
    first, second = np.divmod(keys, n_raters)
    common = tables.counts.sum(axis=1).astype(np.int64)
    return Pairs(
        [
            Pair(*row)
            for row in zip(first.tolist(), second.tolist(), common.tolist(), estimates, strict=True)
        ],
        tables.over(how),
    )


def _pair_counts(ratings: Ratings, of_unit: IntArray, n_raters: int, q: int) -> Events:
    """Count the pairs of ratings; a table's index is the first rater times n_raters + the second.

    There are many more pairs than ratings, but few different pairs in a cluster. To limit memory,
    pairs are counted block by block, in the order of the clusters.
    """
    labels, of_unit = distinct(of_unit)
    order = np.lexsort((ratings.rater, ratings.unit, of_unit[ratings.unit]))
    unit, rater, code = ratings.take(order)
    ends = np.flatnonzero(np.diff(unit, append=-1)) + 1
    # A block ends at the end of a unit.
    ends = ends[np.flatnonzero(np.diff(ends // _BLOCK, append=-1))].tolist()
    keys, times = [], []
    for start, end in itertools.pairwise([0, *ends]):
        part = slice(start, end)
        # One number encodes the cluster, the two raters and the two categories.
        leading = of_unit[unit[part]] * n_raters + rater[part]
        pairs = [
            ((leading[a] * n_raters + rater[part][b]) * q + code[part][a]) * q + code[part][b]
            for a, b in pairs_within(unit[part])
        ]
        if pairs:
            found, n = np.unique(np.concatenate(pairs), return_counts=True)
            keys.append(found)
            times.append(n)
    empty = np.zeros(0, dtype=np.int64)
    rest, cells = np.divmod(np.concatenate([empty, *keys]), q**2)
    clusters, tables = np.divmod(rest, n_raters**2)
    return Events(tables, labels[clusters], cells, np.concatenate([empty, *times]))


def pairs_within(unit: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the positions of all pairs of entries with the same unit; `unit` is sorted.

    >>> [(a.tolist(), b.tolist()) for a, b in pairs_within(np.array([0, 0, 0, 1, 2, 2]))]
    [([0, 1, 4], [1, 2, 5]), ([0], [2])]
    """
    for apart in range(1, len(unit)):
        first = np.flatnonzero(unit[apart:] == unit[:-apart])
        if not len(first):
            return
        yield first, first + apart
