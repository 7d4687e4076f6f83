"""Intervals of the sensitivity and specificity of raters.

They are linearised and take account of the uncertainty of the true categories. The rates of a
fitted model of Dawid and Skene are a fixed point of EM. If a cluster is added once more, its
ratings e are added to the expected ratings. This changes the rates, hence the probabilities of the
true categories of all units, hence the expected ratings again, and so on. In the limit the expected
ratings change by (I - AK)⁻¹ e. K has the derivatives of the logarithms of the rates by the expected
ratings, and A those of the expected ratings by these logarithms (Louis 1982, J R Stat Soc B
44:226).
"""

from typing import Any, Final, NamedTuple

import numpy as np

from dirtmodel.irr import intervals
from dirtmodel.irr.consensus import Fit
from dirtmodel.irr.intervals import Estimate, Sampling, Spread
from dirtmodel.irr.ratings import IntArray, Ratings, distinct
from dirtmodel.irr.weights import FloatArray

UNLIKELY: Final = "no rated unit is likely to be one"
AT_LIMIT: Final = "the rate is 0 or 1"
NOT_DETERMINED: Final = "the ratings do not determine the rates"
_LIMIT: Final = 1e-6
"""A rate nearer to 0 or 1 counts as 0 or 1; without a prior, EM only approaches these values."""


class ErrorRates(NamedTuple):
    """The error rates of a rater; undefined values are None, and `reason` explains why."""

    sensitivity: Estimate
    specificity: Estimate


def error_rates(
    fit: Fit,
    ratings: Ratings,
    category: int,
    *,
    clusters: IntArray | None = None,
    sampling: Sampling | None = None,
) -> list[ErrorRates]:
    """Return sensitivity and specificity of each rater, with intervals.

    Parameters
    ----------
    fit, ratings
        The model, and the ratings that it was fitted to.
    category
        The index of the category of which to return sensitivity and specificity.
    clusters
        The cluster of each unit, any whole numbers; None: units are independent.
    sampling
        The level of the intervals, and the noun for a cluster.

    Returns
    -------
    list of ErrorRates
        One per rater. Intervals are symmetric in log odds. The error is that of the rate; it is at
        least as large as if the true categories were known and units independent.

    """
    how = (sampling or Sampling("unit" if clusters is None else "cluster")).checked()
    if not len(fit.n_ratings):
        return []
    of_unit = np.arange(len(fit.probabilities)) if clusters is None else distinct(clusters)[1]
    system = _System.of(fit, ratings, of_unit)
    is_category = np.arange(len(system.n_true)) == category
    estimates = []
    for values, slopes, of_true in (
        (fit.sensitivity(category), _sensitivity_slopes(fit, category), is_category),
        (
            fit.specificity(category),
            _specificity_slopes(fit, category, system.n_true),
            ~is_category,
        ),
    ):
        min_se = _error_of_known(fit, category, system.n_true * of_true)
        each = zip(values.tolist(), system.influences(slopes).T, min_se.tolist(), strict=True)
        estimates.append([_estimate(*rate, how) for rate in each])
    return [ErrorRates(*both) for both in zip(*estimates, strict=True)]


def _estimate(value: float, moves: FloatArray, min_se: float, sampling: Sampling) -> Estimate:
    if np.isnan(value):
        return Estimate(None, reason=UNLIKELY)
    if not np.isfinite(moves).all():
        return Estimate(value, reason=NOT_DETERMINED)
    if not _LIMIT < value < 1 - _LIMIT:
        return Estimate(value, reason=AT_LIMIT)
    slope = 1 / (value * (1 - value))
    sums = intervals.moments(moves[:, None])
    se = max(float(sums.se[0]), min_se)
    spread = Spread(se * slope, float(sums.effective[0]), len(moves))
    odds = intervals.estimate(float(np.log(value / (1 - value))), spread, sampling)
    return odds._replace(
        value=value,
        se=se,
        ci_low=_probability(odds.ci_low),
        ci_high=_probability(odds.ci_high),
    )


def _error_of_known(fit: Fit, category: int, n_true: FloatArray) -> FloatArray:
    """Return the error of each rater's rate of choosing a category, if true ones were known.

    It is the standard deviation of the posterior; true categories are weighted by `n_true`.
    """
    cells = fit.expected + fit.prior
    totals = cells.sum(axis=2)
    chosen = _ratio(cells[:, :, category], totals)
    weights = n_true / (n_true.sum() or 1)
    return np.asarray(np.sqrt(chosen * (1 - chosen) / (totals + 1) @ weights**2))


def _probability(log_odds: float | None) -> float | None:
    from scipy.special import expit

    return None if log_odds is None else float(expit(log_odds))


class _System(NamedTuple):
    """The linear system that describes the effect of one more cluster.

    Columns are raters × chosen category, and a last column that counts the units. `by_true` has
    the expected ratings of each cluster: one sparse matrix, clusters × columns, per true category.
    `matrix` is I - KA, (true × columns) in both directions.
    """

    by_true: list[Any]
    matrix: FloatArray
    n_true: FloatArray

    @classmethod
    def of(cls, fit: Fit, ratings: Ratings, of_unit: IntArray) -> "_System":
        from scipy import sparse

        n_units, q = fit.probabilities.shape
        width = len(fit.confusion) * q + 1
        rated = np.unique(ratings.unit)
        rows = np.append(ratings.unit, rated)
        columns = np.append(ratings.rater * q + ratings.code, np.full(len(rated), width - 1))
        votes = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n_units, width))
        grouping = sparse.csr_matrix((np.ones(n_units), (of_unit, np.arange(n_units))))
        likely = [sparse.diags(column) @ votes for column in fit.probabilities.T]
        follow = np.empty((q, width, q, width))
        for a in range(q):
            for b in range(a, q):
                weights = (a == b) - fit.probabilities[:, b]
                block = (likely[a].T @ (sparse.diags(weights) @ votes)).toarray()
                follow[a, :, b] = block
                follow[b, :, a] = block.T
        n_true = fit.probabilities[rated].sum(axis=0)
        logs = _logarithms(fit, follow, n_true)
        return cls(
            [grouping @ part for part in likely],
            np.eye(q * width) - logs.reshape(q * width, q * width),
            n_true,
        )

    def influences(self, slopes: FloatArray) -> FloatArray:
        """Return the influence of each cluster on some functions: clusters × functions.

        `slopes`, true × columns × functions, has their derivatives by the expected ratings. NaN if
        the ratings do not determine the rates.
        """
        q, width, n = slopes.shape
        try:
            solved = np.linalg.solve(self.matrix, slopes.reshape(q * width, n))
        except np.linalg.LinAlgError:
            return np.full((self.by_true[0].shape[0], n), np.nan)
        both = zip(self.by_true, solved.reshape(q, width, n), strict=True)
        return np.asarray(sum(expected @ part for expected, part in both))


def _logarithms(fit: Fit, moves: FloatArray, n_true: FloatArray) -> FloatArray:
    """Return the changes of the logarithms of rates and prevalence.

    `moves` are the changes of the expected ratings. Both arrays are true × columns × any shape.
    """
    n_raters, q, _ = fit.expected.shape
    changes = np.empty_like(moves)
    # True × raters × chosen.
    cells = (fit.expected + fit.prior).transpose(1, 0, 2)
    parts = moves[:, :-1].reshape(q, n_raters, q, -1)
    totals = cells.sum(axis=2, keepdims=True)
    logs = _ratio(parts, cells[..., None]) - _ratio(parts.sum(2, keepdims=True), totals[..., None])
    changes[:, :-1] = logs.reshape(q, n_raters * q, *moves.shape[2:])
    units = moves[:, -1].reshape(q, -1)
    share = _ratio(units, n_true[:, None]) - _ratio(units.sum(axis=0), n_true.sum())
    changes[:, -1] = share.reshape(q, *moves.shape[2:])
    return changes


def _ratio(numerator: FloatArray, denominator: Any) -> FloatArray:
    """Divide two arrays; 0 where the denominator is 0, because such a cell cannot change."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.zeros(numerator.shape)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _chosen_slopes(fit: Fit, true: int, chosen: int) -> FloatArray:
    """Return the derivatives of each rater's rate of a choice: columns (of `true`) × raters."""
    n_raters, q, _ = fit.expected.shape
    cells = fit.expected[:, true] + fit.prior
    totals = cells.sum(axis=1)
    slopes = np.zeros((n_raters, q, n_raters))
    every = np.arange(n_raters)
    slopes[every, :, every] = -_ratio(cells[:, chosen], totals**2)[:, None]
    slopes[every, chosen, every] += _ratio(np.ones(n_raters), totals)
    return np.append(slopes.reshape(n_raters * q, -1), np.zeros((1, n_raters)), axis=0)


def _sensitivity_slopes(fit: Fit, category: int) -> FloatArray:
    n_raters, q, _ = fit.expected.shape
    slopes = np.zeros((q, n_raters * q + 1, n_raters))
    slopes[category] = _chosen_slopes(fit, category, category)
    return slopes


def _specificity_slopes(fit: Fit, category: int, n_true: FloatArray) -> FloatArray:
    """Return the derivatives of 1 - Σ w · rate of choosing the category.

    The weights w are the shares of the other true categories.
    """
    n_raters, q, _ = fit.expected.shape
    slopes = np.zeros((q, n_raters * q + 1, n_raters))
    others = np.delete(n_true, category).sum()
    specificity = fit.specificity(category)
    for true in range(q):
        if true != category and n_true[true] > 0:
            slopes[true] = -_chosen_slopes(fit, true, category) * n_true[true] / others
            mistaken = fit.confusion[:, true, category]
            slopes[true, -1] = (1 - specificity - mistaken) / others
    return slopes
