"""Do two reviewers click on the same places?"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dirtmodel.errors import UsageError

Point = tuple[float, float]


class Match(NamedTuple):
    """How two sets of clicks on one picture match: pairs, their summed distance, set sizes."""

    n_matched: int
    distance: float
    n_first: int
    n_second: int

    @property
    def f1(self) -> float | None:
        """Give 2m / (|A| + |B|), None where nobody clicked."""
        return _f1(self.n_matched, self.n_first + self.n_second)

    @property
    def mean_distance(self) -> float | None:
        """Give the mean distance of matched clicks, in pixels; None without any."""
        return self.distance / self.n_matched if self.n_matched else None


class ClickAgreement(NamedTuple):
    """Matches of many pairs of reviews, together.

    `pooled_f1` counts every click alike, `mean_f1` every pair of reviews where at least one
    reviewer clicked (`n_clicked` of `n_pairs`); `mean_distance` is over matched clicks, in pixels.
    """

    n_pairs: int
    n_clicked: int
    n_matched: int
    pooled_f1: float | None
    mean_f1: float | None
    mean_distance: float | None


def match(first: Sequence[Point], second: Sequence[Point], tolerance: float) -> Match:
    """Match clicks one to one: as many as possible, and of such matchings the closest.

    Parameters
    ----------
    first, second
        Clicks as (x, y) in pixels, both finite: leave out rows without a click, and half or
        infinite points, before.
    tolerance
        Greatest distance of a matched pair in pixels, inclusive.

    Raises
    ------
    UsageError
        For a point that is not finite, or a tolerance below 0.

    Notes
    -----
    Maximum cardinality first, then least total distance, exact to rounding.
    Not the nearest neighbour: a click counts once.

    >>> match([(0, 0), (10, 0)], [(9, 0), (20, 0)], tolerance=10)
    Match(n_matched=2, distance=19.0, n_first=2, n_second=2)

    """
    if not tolerance >= 0:
        raise UsageError(f"tolerance: {tolerance!r} is no distance; give pixels, 0 or more")
    for x, y in (*first, *second):
        if not (math.isfinite(x) and math.isfinite(y)):
            raise UsageError(
                f"click at ({x}, {y}): match needs finite points; leave this one out before"
            )
    near = list(_near(first, second, tolerance))
    rows = {i for i, _, _ in near}
    columns = {j for _, j, _ in near}
    if len(rows) == len(columns) == len(near):
        # Nobody has two candidates: the usual case, and nothing to choose.
        distances = [distance for _, _, distance in near]
    else:
        distances = _assigned(near, rows, columns)
    return Match(len(distances), math.fsum(distances), len(first), len(second))


class ClickPairs:
    """Matches of many pairs of reviews, added up one by one."""

    def __init__(self) -> None:
        self._n_pairs = self._n_clicked = self._n_matched = self._n_clicks = 0
        self._distance = self._scores = 0.0

    def add(self, found: Match) -> None:
        """Add one pair of reviews."""
        self._n_pairs += 1
        self._n_matched += found.n_matched
        self._n_clicks += found.n_first + found.n_second
        self._distance += found.distance
        if found.f1 is not None:
            self._n_clicked += 1
            self._scores += found.f1

    def add_unclicked(self, n: int) -> None:
        """Add n pairs of reviews without any click."""
        self._n_pairs += n

    def summary(self) -> ClickAgreement:
        """Give what they amount to."""
        return ClickAgreement(
            self._n_pairs,
            self._n_clicked,
            self._n_matched,
            _f1(self._n_matched, self._n_clicks),
            self._scores / self._n_clicked if self._n_clicked else None,
            self._distance / self._n_matched if self._n_matched else None,
        )


def summarise(matches: Iterable[Match]) -> ClickAgreement:
    """Pool the matches of many pairs of reviews.

    >>> together = summarise([match([(0, 0)], [(3, 4)], 10), match([], [], 10)])
    >>> together.n_clicked, together.pooled_f1, together.mean_distance
    (1, 1.0, 5.0)
    """
    pairs = ClickPairs()
    for found in matches:
        pairs.add(found)
    return pairs.summary()


def _f1(n_matched: int, n_clicks: int) -> float | None:
    return 2 * n_matched / n_clicks if n_clicks else None


def _near(
    first: Sequence[Point], second: Sequence[Point], tolerance: float
) -> Iterator[tuple[int, int, float]]:
    for i, (x, y) in enumerate(first):
        for j, (u, v) in enumerate(second):
            if abs(x - u) <= tolerance and abs(y - v) <= tolerance:
                distance = math.hypot(x - u, y - v)
                if distance <= tolerance:
                    yield i, j, distance


def _assigned(
    near: Sequence[tuple[int, int, float]], rows: set[int], columns: set[int]
) -> list[float]:
    from scipy.optimize import linear_sum_assignment

    row_of = {point: row for row, point in enumerate(sorted(rows))}
    column_of = {point: column for column, point in enumerate(sorted(columns))}
    distance = np.full((len(rows), len(columns)), np.inf)
    for i, j, d in near:
        distance[row_of[i], column_of[j]] = d
    allowed = np.isfinite(distance)
    # Leaving one more pair unmatched must cost more than all distances together can save.
    penalty = 1 + min(distance.shape) * float(distance[allowed].max())
    chosen = linear_sum_assignment(np.where(allowed, distance, penalty))
    return [float(d) for d in distance[chosen] if math.isfinite(d)]
