"""The coefficients as functions of sums, and the exact derivatives of such functions.

Every formula takes an array whose last axis holds sums over units. Leading axes hold several data
sets, such as bootstrap replicates or pairs of raters. A formula returns NaN where a denominator is
0. Formulas contain only arithmetic, no comparisons or absolute values, so that they can be
evaluated at complex numbers. The imaginary part of f(s + ih) / h is the derivative f'(s), without
cancellation because nothing is subtracted (Squire & Trapp 1998, SIAM Review 40:110).
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dirtmodel.irr.weights import FloatArray

Array = npt.NDArray[Any]
"""Real sums, or sums with an added complex step."""
Formula = Callable[[Array], Array]

_STEP: Final = 1e-30
_ZERO: Final = 1e-14
"""A smaller denominator counts as 0. A category used once in a million units still leaves 1e-6."""
_BLOCK: Final = 64
"""The most derivatives to compute at a time, which limits memory if there are many sums."""


def slopes(formula: Formula, sums: FloatArray) -> FloatArray:
    """Return the derivative of a formula by each sum: an array of the shape of `sums`."""
    n = sums.shape[-1]
    parts = []
    for start in range(0, n, _BLOCK):
        steps = np.eye(n)[start : start + _BLOCK]
        parts.append(formula(sums[..., None, :] + 1j * _STEP * steps).imag / _STEP)
    return np.concatenate(parts, axis=-1)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide two arrays; NaN where the denominator is 0."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.full(numerator.shape, np.nan, dtype=np.result_type(numerator, denominator, np.float64))
    return np.divide(numerator, denominator, out=out, where=np.abs(denominator.real) > _ZERO)


def quotient(sums: Array) -> Array:
    """Divide the first sum by the second: a mean, or a proportion."""
    return ratio(sums[..., 0], sums[..., 1])


def beyond_chance(observed: Array, chance: Array) -> Array:
    """Correct an observed agreement for the agreement expected by chance."""
    return ratio(observed - chance, 1 - chance)


def kappa(sums: Array, chance: Callable[[Array, FloatArray], Array], w: FloatArray) -> Array:
    """Return a chance-corrected coefficient.

    Parameters
    ----------
    sums
        … × (3 + q) sums over units: the weighted proportion of agreeing pairs; 1 for each unit with
        two ratings or more; 1 for each rated unit; and the share of each category in the ratings.
    chance
        Computes the agreement expected by chance from the prevalence of the categories and `w`.
    w
        q × q weights of agreement.

    """
    prevalence = ratio(sums[..., 3:], sums[..., 2:3])
    return beyond_chance(quotient(sums), chance(prevalence, w))


def gwet_chance(prevalence: Array, w: FloatArray) -> Array:
    """Gwet (2008, 2014): T / (q (q − 1)) Σ p (1 − p), where T is the sum of all weights."""
    q = len(w)
    return np.asarray(w.sum() / (q * (q - 1)) * (prevalence * (1 - prevalence)).sum(-1))


def fleiss_chance(prevalence: Array, w: FloatArray) -> Array:
    """Fleiss (1971), weighted as in Gwet (2014): Σ w_kl p_k p_l."""
    return np.asarray(((prevalence @ w) * prevalence).sum(-1))


def uniform_chance(prevalence: Array, w: FloatArray) -> Array:
    """Brennan & Prediger (1981): every category has the same probability."""
    return np.full(prevalence.shape[:-1], w.mean())


def conger_kappa(sums: Array) -> Array:
    """Conger's kappa, from the first two sums of `kappa` and the result of `conger_chance`."""
    return beyond_chance(quotient(sums), sums[..., 2])


def conger_chance(margins: Array, w: FloatArray) -> Array:
    """Return the chance agreement of two different random raters, each with their own prevalence.

    Conger (1980): the mean over ordered pairs of raters g ≠ h of Σ w_kl p_gk p_hl.

    Parameters
    ----------
    margins
        … × raters × q: the number of times that each rater used each category.
    w
        q × q weights of agreement.

    """
    habits, active = _habits(margins)
    everyone = habits.sum(-2)
    n_raters = active.sum(-1)
    same_rater = ((habits @ w) * habits).sum((-2, -1))
    pairs = ((everyone @ w) * everyone).sum(-1) - same_rater
    return ratio(pairs, n_raters * (n_raters - 1.0))


def conger_slopes(margins: FloatArray, w: FloatArray) -> FloatArray:
    """Return the derivatives of `conger_chance` by each entry of the raters × q margins.

    They are written out because `slopes` would be slow with thousands of raters (when each session
    counts as a rater).
    """
    habits, active = _habits(margins)
    n_raters = active.sum()
    by_habit = 2 * ratio((habits.sum(0) - habits) @ w, n_raters * (n_raters - 1.0))
    shift = by_habit - (habits * by_habit).sum(-1, keepdims=True)
    return np.where(active[:, None], ratio(shift, margins.sum(-1, keepdims=True)), 0.0)


def _habits(margins: Array) -> tuple[Array, Array]:
    totals = margins.sum(-1, keepdims=True)
    active = totals > 0
    return np.where(active, margins / np.where(active, totals, 1), 0), active[..., 0]


def alpha(values: Array, disagreement: Array, metric: Array) -> Array:
    """Krippendorff's alpha: 1 − observed / expected disagreement.

    Krippendorff (2011), Computing Krippendorff's alpha-reliability.

    Parameters
    ----------
    values
        … × q: the number of uses of each category on units with two ratings or more.
    disagreement
        …: the sum of all coincidences, weighted by `metric`.
    metric
        (… ×) q × q squared differences between categories.

    """
    n = values.sum(-1)
    p = ratio(values, n[..., None])
    expected = (p * (metric @ p[..., None])[..., 0]).sum(-1)
    return 1 - ratio((n - 1) * ratio(disagreement, n), n * expected)


def metric_alpha(sums: Array, metric: FloatArray) -> Array:
    """Alpha with a fixed metric, from … × (1 + q) sums: `disagreement`, then `values`."""
    return alpha(sums[..., 1:], sums[..., 0], metric)


def ordinal_alpha(sums: Array) -> Array:
    """Ordinal alpha from … × q² coincidences; the metric depends on the frequency of categories."""
    q = round(sums.shape[-1] ** 0.5)
    coincidences = sums.reshape(*sums.shape[:-1], q, q)
    values = coincidences.sum(-1)
    metric = _ordinal_metric(values)
    return alpha(values, (coincidences * metric).sum((-2, -1)), metric)


def _ordinal_metric(values: Array) -> Array:
    """Krippendorff's ordinal differences: the squared distance of mid-ranks, over n²."""
    p = ratio(values, values.sum(-1, keepdims=True))
    mid_ranks = p.cumsum(-1) - p / 2
    return np.asarray((mid_ranks[..., :, None] - mid_ranks[..., None, :]) ** 2)


def coincidences(counts: FloatArray) -> FloatArray:
    """Return each unit's ordered pairs of ratings / (ratings − 1), units × q²; 0 for one rating."""
    q = counts.shape[1]
    pairs = counts[:, :, None] * counts[:, None, :]
    pairs[:, np.arange(q), np.arange(q)] -= counts
    others = np.maximum(counts.sum(axis=1) - 1, 1)
    return np.asarray(pairs / others[:, None, None]).reshape(len(counts), q * q)


def weighted_coincidences(counts: FloatArray, matrix: FloatArray) -> FloatArray:
    """Return the sum of each unit's coincidences weighted by a q × q matrix, with less memory."""
    pairs = ((counts @ matrix) * counts).sum(axis=1) - counts @ np.diag(matrix)
    return np.asarray(pairs / np.maximum(counts.sum(axis=1) - 1, 1))
