"""Do two raters click on the same places?

The measure is F1 = 2m / (|A| + |B|), where m is the number of matched clicks: twice the clicks that
both raters made, divided by all clicks. The number of places without a click cannot be counted; in
the limit of many such places, F1 equals Cohen's kappa. This is the free-response kappa of
Carpentier et al. (2017, BMC Medical Research Methodology 17:62). Dice (1945) and Sørensen (1948)
proposed the same ratio for other purposes. Clicks placed at random also match sometimes; see
`chance_f1`.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.irr.intervals import Estimate, Sampling
from dirtmodel.irr.proportions import mean_over_clusters
from dirtmodel.irr.ratings import Labels
from dirtmodel.irr.weights import FloatArray

Point = tuple[float, float]

NO_CLICKS: Final = "no clicks"
NO_MATCHES: Final = "no clicks match"
_DRAWS: Final = 200
"""Default number of simulations of each combination of two numbers of clicks."""
_MAX_DISTANCES: Final = 1_000_000
"""The most distances between simulated clicks to keep in memory at a time."""


class Match(NamedTuple):
    """The match of two sets of clicks on one image.

    `n_matched` is the number of matched pairs and `distance` the sum of their distances in pixels;
    `n_first` and `n_second` are the sizes of the two sets.
    """

    n_matched: int
    distance: float
    n_first: int
    n_second: int

    @property
    def f1(self) -> float | None:
        """Return 2m / (|A| + |B|); None without any click."""
        n_clicks = self.n_first + self.n_second
        return 2 * self.n_matched / n_clicks if n_clicks else None

    @property
    def mean_distance(self) -> float | None:
        """Return the mean distance of matched clicks in pixels; None if no clicks match."""
        return self.distance / self.n_matched if self.n_matched else None


class ClickAgreement(NamedTuple):
    """The matches of many pairs of reviews, summarised.

    `pooled_f1` gives every click the same weight. `mean_f1` gives the same weight to every pair of
    reviews with at least one click (`n_clicked` of `n_pairs`). `mean_distance` is over matched
    clicks, in pixels.
    """

    n_pairs: int
    n_clicked: int
    n_matched: int
    pooled_f1: Estimate
    mean_f1: Estimate
    mean_distance: Estimate


def match(first: Sequence[Point], second: Sequence[Point], tolerance: float) -> Match:
    """Match clicks one to one: as many as possible, with the smallest total distance.

    Parameters
    ----------
    first, second
        Clicks as (x, y) in pixels, both finite. Leave out rows without x or y and infinite points.
    tolerance
        Greatest distance of a matched pair in pixels, inclusive.

    Raises
    ------
    UsageError
        If a point is not finite, or the tolerance is below 0.

    Notes
    -----
    The number of pairs is maximised first, then the total distance is minimised; the result is
    exact (`scipy.optimize.linear_sum_assignment`). Nearest neighbours would match a click twice.

    >>> match([(0, 0), (10, 0)], [(9, 0), (20, 0)], tolerance=10)
    Match(n_matched=2, distance=19.0, n_first=2, n_second=2)

    """
    if not tolerance >= 0:
        raise UsageError(f"tolerance: {tolerance!r} is not a distance; pass pixels, 0 or more")
    for x, y in (*first, *second):
        if not (math.isfinite(x) and math.isfinite(y)):
            raise UsageError(f"click at ({x}, {y}): match needs finite points; leave this one out")
    near = list(_near(first, second, tolerance))
    rows = {i for i, _, _ in near}
    columns = {j for _, j, _ in near}
    if len(rows) == len(columns) == len(near):
        # In the usual case no click has two candidates, so that there is nothing to choose.
        distances = [distance for _, _, distance in near]
    else:
        distances = _assigned(near, rows, columns)
    return Match(len(distances), math.fsum(distances), len(first), len(second))


def summarise(
    matches: Iterable[Match],
    *,
    clusters: Labels | None = None,
    n_unclicked: int = 0,
    sampling: Sampling | None = None,
) -> ClickAgreement:
    """Pool the matches of many pairs of reviews.

    Parameters
    ----------
    matches
        One per pair of reviews.
    clusters
        The cluster of each pair, such as the subject; None: pairs are independent.
    n_unclicked
        Number of pairs of reviews without any click that are not in `matches`.
    sampling
        The level of the intervals, and the noun for a cluster.

    Examples
    --------
    >>> together = summarise([match([(0, 0)], [(3, 4)], 10), match([], [], 10)])
    >>> together.n_clicked, together.pooled_f1.value, together.mean_distance.value
    (1, 1.0, 5.0)

    """
    table = np.array([tuple(found) for found in matches], dtype=np.float64).reshape(-1, 4)
    n_matched, distance, n_clicks = table[:, 0], table[:, 1], table[:, 2] + table[:, 3]
    clicked = (n_clicks > 0).astype(np.float64)
    f1 = 2 * n_matched / np.maximum(n_clicks, 1)
    sampling = sampling or Sampling("unit" if clusters is None else "cluster")
    return ClickAgreement(
        len(table) + n_unclicked,
        int(clicked.sum()),
        int(n_matched.sum()),
        mean_over_clusters(
            2 * n_matched, n_clicks, clusters=clusters, sampling=sampling, undefined=NO_CLICKS
        ),
        mean_over_clusters(f1, clicked, clusters=clusters, sampling=sampling, undefined=NO_CLICKS),
        mean_over_clusters(
            distance,
            n_matched,
            clusters=clusters,
            sampling=sampling,
            limits=(0.0, np.inf),
            undefined=NO_MATCHES,
        ),
    )


def chance_f1(
    sizes: npt.ArrayLike,
    clicks: npt.ArrayLike,
    tolerances: Sequence[float],
    *,
    draws: int = _DRAWS,
    seed: int = 0,
) -> list[float | None]:
    """Return the expected pooled F1 if the same numbers of clicks were placed at random.

    Parameters
    ----------
    sizes
        Pairs of reviews × 2: the number of clicks of each of the two raters.
    clicks
        Clicks × 2: all clicks of all raters, as (x, y) in pixels. Random clicks are spread evenly
        over their convex hull.
    tolerances
        Greatest distances of matched clicks, in pixels.
    draws
        Number of simulations of each combination of two numbers of clicks.
    seed
        Seed of the simulation, which is deterministic.

    Returns
    -------
    list of float or None
        One per tolerance; None without any click.

    """
    pairs, times = np.unique(
        np.sort(np.asarray(sizes, dtype=np.int64).reshape(-1, 2), axis=1),
        axis=0,
        return_counts=True,
    )
    n_clicks = float(times @ pairs.sum(axis=1)) if len(pairs) else 0.0
    if n_clicks == 0:
        return [None] * len(tolerances)
    random = np.random.default_rng(seed)
    area = _Area(np.asarray(clicks, dtype=np.float64).reshape(-1, 2))
    matched = np.zeros(len(tolerances))
    for (few, many), n in zip(pairs.tolist(), times.tolist(), strict=True):
        if few == 0:
            continue
        block = max(1, _MAX_DISTANCES // (few * many))
        for start in range(0, draws, block):
            size = min(block, draws - start)
            first = area.draw(random, size * few).reshape(size, few, 1, 2)
            second = area.draw(random, size * many).reshape(size, 1, many, 2)
            distance = np.hypot(*np.moveaxis(first - second, -1, 0))
            for place, tolerance in enumerate(tolerances):
                matched[place] += n * _most_matches(distance <= tolerance) / draws
    return [float(2 * m / n_clicks) for m in matched]


def _most_matches(near: npt.NDArray[np.bool_]) -> int:
    """Return the sum of the greatest numbers of pairs; `near` is draws × first × second."""
    from scipy import sparse

    draws, few, many = near.shape
    draw, first, second = np.nonzero(near)
    if not len(draw):
        return 0
    graph = sparse.csr_matrix(
        (np.ones(len(draw)), (draw * few + first, draw * many + second)),
        shape=(draws * few, draws * many),
    )
    partners = sparse.csgraph.maximum_bipartite_matching(graph, perm_type="column")
    return int((partners >= 0).sum())


class _Area:
    """The convex hull of some points, divided into triangles from which points are drawn."""

    def __init__(self, points: FloatArray) -> None:
        from scipy.spatial import ConvexHull, QhullError

        different = np.unique(points, axis=0)
        try:
            corners = different[ConvexHull(different).vertices]
        except (QhullError, ValueError):
            # The points are on one line, or fewer than three: use the line between the extremes.
            corners = different[[0, -1, -1]]
        self._origin = corners[0]
        self._sides = corners[1:-1] - corners[0], corners[2:] - corners[0]
        first, second = self._sides
        areas = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
        self._shares = areas / areas.sum() if areas.sum() > 0 else np.full(len(areas), 1.0)

    def draw(self, random: np.random.Generator, n: int) -> FloatArray:
        """Return n × 2 coordinates of evenly distributed points."""
        triangle = random.choice(len(self._shares), size=n, p=self._shares)
        u, v = random.random((2, n))
        outside = u + v > 1
        u, v = np.where(outside, 1 - u, u), np.where(outside, 1 - v, v)
        first, second = (side[triangle] for side in self._sides)
        return np.asarray(self._origin + u[:, None] * first + v[:, None] * second)


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
    # One unmatched pair must cost more than a smaller total distance can save.
    penalty = 1 + min(distance.shape) * float(distance[allowed].max())
    chosen = linear_sum_assignment(np.where(allowed, distance, penalty))
    return [float(d) for d in distance[chosen] if math.isfinite(d)]
