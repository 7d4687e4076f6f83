"""How sure are the error rates of raters? Intervals of sensitivity and specificity.

By linearisation, with the true categories estimated, not known. The rates of a fitted model of
Dawid and Skene are a fixed point of EM. A cluster that is added once more adds its own ratings e to
the expected ones; these move the rates, hence the probabilities of the true categories everywhere,
hence the expected ratings again, and so on. In the end the expected ratings have moved by
(I - AK)⁻¹ e: K has the derivatives of the logarithms of the rates by the expected ratings, A those
of the expected ratings by these logarithms (Louis 1982, J R Stat Soc B 44:226).
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
# A rate nearer to 0 or 1 has no interval: without a prior, EM approaches these and never arrives.
_LIMIT: Final = 1e-6


class ErrorRates(NamedTuple):
    """The error rates of a rater; what is undefined is None, and `reason` explains why."""

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
        What sensitivity and specificity are about.
    clusters
        The cluster of each unit, any whole numbers; None: units are independent.
    sampling
        The level of the intervals, and what a cluster is called.

    Returns
    -------
    list of ErrorRates
        One per rater. Intervals are symmetric in log odds; the error is that of the rate, and at
        least the one that it had if the true categories were known and units independent.

    """
    how = (sampling or Sampling("unit" if clusters is None else "cluster")).checked()
    if not len(fit.n_ratings):
        return []
    of_unit = np.arange(len(fit.probabilities)) if clusters is None else distinct(clusters)[1]
    system = _System.of(fit, ratings, of_unit)
    wanted = np.arange(len(system.n_true)) == category
    found = []
    for values, slopes, true in (
        (fit.sensitivity(category), _sensitivity_slopes(fit, category), wanted),
        (fit.specificity(category), _specificity_slopes(fit, category, system.n_true), ~wanted),
    ):
        least = _error_of_known(fit, category, system.n_true * true)
        each = zip(values.tolist(), system.influences(slopes).T, least.tolist(), strict=True)
        found.append([_estimate(*rate, how) for rate in each])
    return [ErrorRates(*both) for both in zip(*found, strict=True)]


def _estimate(value: float, moves: FloatArray, least: float, sampling: Sampling) -> Estimate:
    if np.isnan(value):
        return Estimate(None, reason=UNLIKELY)
    if not np.isfinite(moves).all():
        return Estimate(value, reason=NOT_DETERMINED)
    if not _LIMIT < value < 1 - _LIMIT:
        return Estimate(value, reason=AT_LIMIT)
    slope = 1 / (value * (1 - value))
    sums = intervals.moments(moves[:, None])
    se = max(float(sums.se[0]), least)
    spread = Spread(se * slope, float(sums.effective[0]), len(moves))
    odds = intervals.estimate(float(np.log(value / (1 - value))), spread, sampling)
    return odds._replace(
        value=value,
        se=se,
        ci_low=_probability(odds.ci_low),
        ci_high=_probability(odds.ci_high),
    )


def _error_of_known(fit: Fit, category: int, n_true: FloatArray) -> FloatArray:
    """Return each rater's error where they choose a category, if the true ones were known.

    The posterior deviation, over the true categories by how often each occurs.
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
    """What follows from one more cluster.

    Columns are the raters × chosen category, and last one that counts the units; `own` is true
    category × clusters × columns, sparse: the expected ratings of each cluster. `matrix` is
    I - KA, (true × columns) in both directions.
    """

    own: list[Any]
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
        """Return how much each cluster moves each of some functions: clusters × functions.

        `slopes`, true × columns × functions, has their derivatives by the expected ratings. NaN
        where the ratings do not determine the rates.
        """
        q, width, n = slopes.shape
        try:
            solved = np.linalg.solve(self.matrix, slopes.reshape(q * width, n))
        except np.linalg.LinAlgError:
            return np.full((self.own[0].shape[0], n), np.nan)
        by_true = zip(self.own, solved.reshape(q, width, n), strict=True)
        return np.asarray(sum(own @ part for own, part in by_true))


def _logarithms(fit: Fit, moves: FloatArray, n_true: FloatArray) -> FloatArray:
    """Return how the logarithms of rates and prevalence move with the expected ratings.

    `moves` and what is returned are true × columns × anything.
    """
    n_raters, q, _ = fit.expected.shape
    found = np.empty_like(moves)
    # True × raters × chosen.
    cells = (fit.expected + fit.prior).transpose(1, 0, 2)
    parts = moves[:, :-1].reshape(q, n_raters, q, -1)
    totals = cells.sum(axis=2, keepdims=True)
    logs = _ratio(parts, cells[..., None]) - _ratio(parts.sum(2, keepdims=True), totals[..., None])
    found[:, :-1] = logs.reshape(q, n_raters * q, *moves.shape[2:])
    units = moves[:, -1].reshape(q, -1)
    share = _ratio(units, n_true[:, None]) - _ratio(units.sum(axis=0), n_true.sum())
    found[:, -1] = share.reshape(q, *moves.shape[2:])
    return found


def _ratio(numerator: FloatArray, denominator: Any) -> FloatArray:
    """Divide; 0 where nothing is expected, which nothing can move."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.zeros(numerator.shape)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out


def _chosen_slopes(fit: Fit, true: int, chosen: int) -> FloatArray:
    """Differentiate each rater's rate of a choice: columns of that true category × raters."""
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
    """Differentiate 1 - Σ w · rate of choosing the category, w the shares of the other ones."""
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
