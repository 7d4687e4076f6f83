"""Krippendorff's alpha without each rater in turn, to find raters who lower the agreement."""

import functools
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from dirtmodel.irr import formulas, intervals
from dirtmodel.irr.coefficients import ONE_SIDED
from dirtmodel.irr.formulas import Array, Formula
from dirtmodel.irr.intervals import Estimate, Sampling, Spread
from dirtmodel.irr.ratings import IntArray, Ratings, checked_ratings, column_sums, distinct
from dirtmodel.irr.weights import FloatArray, disagreement

UNDEFINED: Final = "the others do not overlap, or do not vary"
_ROUNDING: Final = 1e-12


class LeftOut(NamedTuple):
    """Alpha of all other raters, and the difference to the alpha of all raters."""

    rater: int
    alpha: Estimate
    change: Estimate


def leave_one_out(
    ratings: Ratings,
    *,
    categories: Sequence[object],
    clusters: IntArray | None = None,
    metric: str = "ordinal",
    sampling: Sampling | None = None,
) -> list[LeftOut]:
    """Compute Krippendorff's alpha without each rater, and the change with its error.

    Parameters
    ----------
    ratings
        At most one rating of a unit by each rater.
    categories
        All categories, as in `coefficients`.
    clusters
        The cluster of each unit, any whole numbers; None: units are independent.
    metric
        `nominal`, `ordinal`, `interval` or `linear`.
    sampling
        The level of the intervals, and the noun for a cluster.

    Returns
    -------
    list of LeftOut
        One per rater with a rating, in order.

    Notes
    -----
    Both alphas use the same units, and the error of the change takes account of that. A rise does
    not prove that a rater is wrong: alpha also rises without a rater who rates difficult units, and
    hardly changes without a rater who is too lenient where FAIL is rare (see `dawid_skene`).

    """
    who = checked_ratings(ratings, n_categories=len(categories))
    n_units, q = int(who.unit.max(initial=-1)) + 1, len(categories)
    how = (sampling or Sampling("unit" if clusters is None else "cluster")).checked()
    counts = who.counts(n_units, q).astype(np.float64)
    labels = np.arange(n_units) if clusters is None else np.asarray(clusters)[:n_units]
    rated = counts.sum(axis=1) > 0
    # Units without ratings have no coincidences, so their group (0) does not matter.
    groups = np.zeros(n_units, dtype=np.int64)
    groups[rated] = distinct(labels[rated].astype(np.int64))[1]
    n_groups = int(groups.max(initial=-1)) + 1
    metric_matrix = disagreement(metric, categories)
    formula: Formula = formulas.ordinal_alpha
    if metric_matrix is not None:
        formula = functools.partial(_alpha, metric=metric_matrix)

    whole = formulas.coincidences(counts)
    whole_rows = column_sums(whole, groups, n_groups)
    whole_sums = whole_rows.sum(axis=0)
    whole_alpha = float(formula(whole_sums))
    whole_moves = whole_rows @ np.nan_to_num(formulas.slopes(formula, whole_sums))
    order = np.argsort(who.rater, kind="stable")
    raters, starts = np.unique(who.rater[order], return_index=True)
    results = []
    for rater, chosen in zip(raters.tolist(), np.split(order, starts[1:]), strict=False):
        unit = who.unit[chosen]
        own = np.eye(q)[who.code[chosen]]
        change = formulas.coincidences(counts[unit] - own) - whole[unit]
        rows = whole_rows + column_sums(change, groups[unit], n_groups)
        # Remove rounding errors of differences that should be 0, or unused categories seem used.
        rows[np.abs(rows) < _ROUNDING * max(whole_sums.max(initial=0), 1)] = 0
        sums = rows.sum(axis=0)
        alpha = float(formula(sums))
        moves = rows @ np.nan_to_num(formulas.slopes(formula, sums))
        informative = float((rows.sum(axis=1) > 0).sum())
        # The number of categories that two of the other raters chose on the same unit.
        agreed = (sums[:: q + 1] > 0).sum()
        withhold = ONE_SIDED if agreed <= 1 else None
        results.append(
            LeftOut(
                rater,
                _estimate(alpha, moves, informative, how, (-1.0, 1.0), withhold),
                _estimate(
                    alpha - whole_alpha,
                    moves - whole_moves,
                    informative,
                    how,
                    (-2.0, 2.0),
                    withhold,
                ),
            )
        )
    return results


def _alpha(sums: Array, metric: FloatArray) -> Array:
    coincidences = sums.reshape(*sums.shape[:-1], *metric.shape)
    return formulas.alpha(coincidences.sum(-1), (coincidences * metric).sum((-2, -1)), metric)


def _estimate(
    value: float,
    moves: FloatArray,
    informative: float,
    sampling: Sampling,
    limits: tuple[float, float],
    withhold: str | None,
) -> Estimate:
    sums = intervals.moments(moves[:, None])
    spread = Spread(float(sums.se[0]), float(sums.effective[0]), informative)
    return intervals.estimate(
        value, spread, sampling, limits=limits, undefined=UNDEFINED, withhold=withhold
    )
