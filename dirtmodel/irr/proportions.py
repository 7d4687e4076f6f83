"""Proportions that help to interpret coefficients: prevalence, specific agreement, unanimity."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.irr import formulas, intervals
from dirtmodel.irr.intervals import Estimate, Sampling, Spread
from dirtmodel.irr.ratings import Labels, checked_counts, checked_multiplicity, column_sums, group
from dirtmodel.irr.weights import FloatArray

NO_RATINGS = "no ratings"
NOT_USED = "not used on a unit with two ratings"
TOO_FEW = "no unit has enough ratings"


def prevalence(
    counts: npt.ArrayLike,
    *,
    n_categories: int,
    clusters: Labels | None = None,
    multiplicity: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> list[Estimate]:
    """Estimate each category's proportion of all ratings.

    Parameters
    ----------
    counts, clusters, multiplicity, confidence
        As in `coefficients`.
    n_categories
        Number of columns of `counts`.

    Returns
    -------
    list of Estimate
        One per category.

    Examples
    --------
    >>> [p.value for p in prevalence([[3, 0, 1], [4, 0, 0]], n_categories=3)]
    [0.875, 0.0, 0.125]

    """
    table, repeats = _checked(counts, n_categories, multiplicity)
    total = table.sum(axis=1)
    return [
        _proportion(column, total, repeats, clusters, confidence, NO_RATINGS) for column in table.T
    ]


def specific_agreement(
    counts: npt.ArrayLike,
    *,
    n_categories: int,
    clusters: Labels | None = None,
    multiplicity: npt.ArrayLike | None = None,
    confidence: float = 0.95,
) -> list[Estimate]:
    """Estimate, for each category that a rater chose, how often another rater chose it as well.

    Σ n_k (n_k − 1) / Σ n_k (r − 1) over units: the proportion of specific agreement of Cicchetti &
    Feinstein (1990, J Clin Epidemiol 43:551), over all pairs of raters. Undefined for a category
    that is not used on a unit with two ratings or more. The parameters are those of `prevalence`.

    >>> [s.value for s in specific_agreement([[2, 0, 0], [1, 0, 1]], n_categories=3)]
    [0.6666666666666666, None, 0.0]
    """
    table, repeats = _checked(counts, n_categories, multiplicity)
    others = table.sum(axis=1) - 1
    return [
        _proportion(column * (column - 1), column * others, repeats, clusters, confidence, NOT_USED)
        for column in table.T
    ]


def unanimity(
    counts: npt.ArrayLike,
    *,
    n_categories: int,
    clusters: Labels | None = None,
    multiplicity: npt.ArrayLike | None = None,
    confidence: float = 0.95,
    at_least: int = 2,
) -> Estimate:
    """Estimate the proportion of units whose ratings are all the same.

    Parameters
    ----------
    counts, n_categories, clusters, multiplicity, confidence
        As in `prevalence`.
    at_least
        Leave out units with fewer ratings than this. Pass the number of raters to use only units
        that all raters rated.

    Raises
    ------
    UsageError
        If `at_least` is below 2, because a single rating cannot disagree.

    """
    if at_least < 2:  # noqa: PLR2004 - one rating agrees with itself
        raise UsageError(f"at_least: {at_least} ratings cannot disagree; pass 2 or more")
    table, repeats = _checked(counts, n_categories, multiplicity)
    total = table.sum(axis=1)
    enough = (total >= at_least).astype(np.float64)
    same = enough * (table.max(axis=1, initial=0) == total)
    return _proportion(same, enough, repeats, clusters, confidence, TOO_FEW)


def one_against_rest(counts: npt.ArrayLike, category: int) -> npt.NDArray[np.int64]:
    """Merge all categories except one: … × q counts become … × 2, with the merged ones first.

    >>> one_against_rest([[2, 1, 0], [0, 0, 3]], 2).tolist()
    [[3, 0], [0, 3]]
    """
    table = np.asarray(counts, dtype=np.int64)
    chosen = table[..., category]
    return np.stack([table.sum(axis=-1) - chosen, chosen], axis=-1)


def mean_over_clusters(
    numerator: FloatArray,
    denominator: FloatArray,
    *,
    repeats: FloatArray | None = None,
    clusters: Labels | None = None,
    sampling: Sampling,
    limits: tuple[float, float] = (0.0, 1.0),
    undefined: str,
) -> Estimate:
    """Estimate Σ numerator / Σ denominator, with an error that takes account of clusters.

    Parameters
    ----------
    numerator, denominator
        One entry per row; rows with a denominator of 0 are left out.
    repeats
        The number of units that each row stands for; None: one.
    clusters
        The cluster of each row; None: rows are independent.
    sampling, limits, undefined
        As in `intervals.estimate`.

    """
    used = denominator > 0
    rows = np.column_stack([numerator, denominator])[used]
    times = np.ones(len(rows)) if repeats is None else repeats[used]
    groups = group(clusters, used)
    if groups is not None:
        n_groups = int(groups.max(initial=-1)) + 1
        rows, times = column_sums(rows, groups, n_groups, times), np.ones(n_groups)
    sums = times @ rows
    value = float(formulas.quotient(sums))
    influence = rows @ np.nan_to_num(formulas.slopes(formulas.quotient, sums))
    moments = intervals.moments(influence[:, None], times)
    spread = Spread(float(moments.se[0]), float(moments.effective[0]), float(times.sum()))
    return intervals.estimate(
        value, spread, sampling, limits=limits, undefined=undefined, proportion=True
    )


def _proportion(
    numerator: FloatArray,
    denominator: FloatArray,
    repeats: FloatArray,
    clusters: Labels | None,
    confidence: float,
    undefined: str,
) -> Estimate:
    sampling = Sampling("unit" if clusters is None else "cluster", confidence).checked()
    return mean_over_clusters(
        numerator,
        denominator,
        repeats=repeats,
        clusters=clusters,
        sampling=sampling,
        undefined=undefined,
    )


def _checked(
    counts: npt.ArrayLike, n_categories: int, multiplicity: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    table = checked_counts(counts, n_categories)
    return table, checked_multiplicity(multiplicity, len(table))


def values(estimates: Sequence[Estimate]) -> list[float | None]:
    """Return the values of estimates."""
    return [estimate.value for estimate in estimates]
