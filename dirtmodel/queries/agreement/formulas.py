"""The coefficients as functions of sums over units, the same for one data set or for many.

Every function takes `Sums` with any leading axes and gives one number per leading index,
NaN where a denominator vanishes. They hold nothing but arithmetic, without absolute values or
comparisons of the numbers themselves, so that a complex step passes through.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.queries.agreement.weights import (
    AGREEMENT_WEIGHTS,
    FloatArray,
    Weights,
    agreement_weights,
)

ALPHA_METRICS: Final = ("nominal", "ordinal", "interval")

_WEIGHTS_OF_METRIC: Final = {"nominal": "identity", "interval": "quadratic"}
_METRIC_OF_WEIGHTS: Final = {"identity": "nominal", "quadratic": "interval"}
# Denominators are proportions; a category used once in a million units still leaves 1e-6.
_VANISHED: Final = 1e-14

# Real sums, or sums with a complex step added.
Array = npt.NDArray[Any]


class Sums(NamedTuple):
    """Sums over units, on any leading axes; see `Tallies` for what each row holds.

    `conger` is no sum: the agreement Conger expects by chance, one per weights matrix.
    `ordinal` is added to the observed ordinal disagreement of `coincidence`: 0, but for
    derivatives.
    """

    pairable: Array
    rated: Array
    shares: Array
    values: Array
    agreement: Array
    disagreement: Array
    conger: Array
    ordinal: Array
    coincidence: Array


class Formula(NamedTuple):
    """A coefficient under one set of weights (or, for alpha, one metric)."""

    name: str
    weights: str
    of: Callable[[Sums], Array]


class Request(NamedTuple):
    """Weights matrices for the kappa-like coefficients, and metrics for alpha, by name.

    A metric is a matrix of disagreements, or None for `ordinal`, which depends on the data.
    """

    matrices: dict[str, FloatArray]
    metrics: dict[str, FloatArray | None]

    def formulas(self) -> Iterator[Formula]:
        """Give all formulas asked for, in the order of the results."""
        for i, (name, w) in enumerate(self.matrices.items()):
            yield Formula("percent_agreement", name, functools.partial(_percent_agreement, i=i))
            chances: dict[str, Callable[[Sums], Array]] = {
                "gwet_ac": functools.partial(_gwet_chance, w=w),
                "fleiss_kappa": functools.partial(_fleiss_chance, w=w),
                "conger_kappa": functools.partial(_conger_chance_given, i=i),
                "brennan_prediger": functools.partial(_uniform_chance, w=w),
            }
            for coefficient, chance in chances.items():
                of = functools.partial(_beyond_chance, i=i, chance=chance)
                yield Formula(coefficient, name, of)
        positions = itertools.count()
        for name, metric in self.metrics.items():
            if metric is None:
                yield Formula("krippendorff_alpha", name, _ordinal_alpha)
            else:
                of = functools.partial(_alpha, i=next(positions), metric=metric)
                yield Formula("krippendorff_alpha", name, of)

    @property
    def fixed_metrics(self) -> list[FloatArray]:
        """The metrics that do not depend on the data, in order."""
        return [metric for metric in self.metrics.values() if metric is not None]

    @property
    def is_ordinal(self) -> bool:
        """Whether ordinal alpha is asked for, which alone needs all coincidences."""
        return any(metric is None for metric in self.metrics.values())


def request(weights: Weights | Sequence[str] | None, categories: Sequence[object]) -> Request:
    """Resolve the `weights` argument of `coefficients`."""
    if weights is not None and not isinstance(weights, str):
        matrix_given = not all(isinstance(entry, str) for entry in weights)
        if matrix_given:
            matrix = agreement_weights(np.asarray(weights, dtype=np.float64), categories)
            return Request({"custom": matrix}, {"custom": 1 - matrix})
    if weights is None:
        kappas: tuple[str, ...] = AGREEMENT_WEIGHTS
        metrics: tuple[str, ...] = ALPHA_METRICS
    else:
        names = [weights] if isinstance(weights, str) else [str(name) for name in weights]
        kappas = tuple(name for name in names if name not in ALPHA_METRICS)
        metrics = tuple(_METRIC_OF_WEIGHTS.get(name, name) for name in names)
    if not metrics:
        raise UsageError("weights: none given; name some, or leave them out for all")
    return Request(
        {name: agreement_weights(name, categories) for name in kappas},
        {name: disagreement(name, categories) for name in metrics},
    )


def disagreement(metric: str, categories: Sequence[object]) -> FloatArray | None:
    """Give a metric's q × q squared differences, at most 1; None for `ordinal`."""
    if metric == "ordinal":
        return None
    return 1 - agreement_weights(_WEIGHTS_OF_METRIC.get(metric, metric), categories)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide, with NaN where the denominator vanishes."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    out = np.full(numerator.shape, np.nan, dtype=np.result_type(numerator, denominator, np.float64))
    return np.divide(numerator, denominator, out=out, where=np.abs(denominator.real) > _VANISHED)


def _percent_agreement(sums: Sums, i: int) -> Array:
    """Mean over pairable units of the weighted proportion of agreeing pairs."""
    return ratio(sums.agreement[..., i], sums.pairable)


def _beyond_chance(sums: Sums, i: int, chance: Callable[[Sums], Array]) -> Array:
    expected = chance(sums)
    return ratio(_percent_agreement(sums, i) - expected, 1 - expected)


def _prevalence(sums: Sums) -> Array:
    return ratio(sums.shares, sums.rated[..., None])


def _gwet_chance(sums: Sums, w: FloatArray) -> Array:
    prevalence = _prevalence(sums)
    q = len(w)
    return np.asarray(w.sum() / (q * (q - 1)) * (prevalence * (1 - prevalence)).sum(-1))


def _fleiss_chance(sums: Sums, w: FloatArray) -> Array:
    prevalence = _prevalence(sums)
    return np.asarray(((prevalence @ w) * prevalence).sum(-1))


def _uniform_chance(sums: Sums, w: FloatArray) -> Array:
    return np.full(sums.pairable.shape, w.mean())


def _conger_chance_given(sums: Sums, i: int) -> Array:
    return sums.conger[..., i]


def conger_chance(margins: Array, w: FloatArray) -> Array:
    """Agreement by chance of two different raters drawn at random, each with own habits.

    Parameters
    ----------
    margins
        … × raters × q: how often each rater used each category.
    w
        q × q weights of agreement.

    Notes
    -----
    Conger (1980): the mean over ordered pairs of raters g ≠ h of Σ w_kl p_gk p_hl.

    """
    habits, active = _habits(margins)
    everyone = habits.sum(-2)
    n_raters = active.sum(-1)
    same_rater = ((habits @ w) * habits).sum((-2, -1))
    pairs = ((everyone @ w) * everyone).sum(-1) - same_rater
    return ratio(pairs, n_raters * (n_raters - 1.0))


def conger_gradient(margins: FloatArray, w: FloatArray) -> FloatArray:
    """Differentiate `conger_chance` by each entry of raters × q margins.

    Written out, unlike the others: with a session as a rater there are thousands of margins.
    """
    habits, active = _habits(margins)
    n_raters = active.sum()
    by_habit = 2 * ratio((habits.sum(0) - habits) @ w, n_raters * (n_raters - 1.0))
    shift = by_habit - (habits * by_habit).sum(-1, keepdims=True)
    totals = margins.sum(-1, keepdims=True)
    return np.where(active[:, None], ratio(shift, totals), 0.0)


def _habits(margins: Array) -> tuple[Array, Array]:
    totals = margins.sum(-1, keepdims=True)
    active = totals.real > 0
    return np.where(active, margins / np.where(active, totals, 1), 0), active[..., 0]


def krippendorff_alpha(values: Array, disagreement: Array, metric: Array) -> Array:
    """Give 1 − observed / expected disagreement of the values within pairable units.

    Parameters
    ----------
    values
        … × q: how often each category was used on pairable units.
    disagreement
        …: the coincidences (`tallies.coincidences`), summed over units and weighted by `metric`.
    metric
        (… ×) q × q squared differences between categories.

    Notes
    -----
    Krippendorff (2011), Computing Krippendorff's alpha-reliability.

    """
    n = values.sum(-1)
    p = ratio(values, n[..., None])
    expected = (p * (metric @ p[..., None])[..., 0]).sum(-1)
    return 1 - ratio((n - 1) * ratio(disagreement, n), n * expected)


def ordinal_metric(values: Array) -> Array:
    """Give Krippendorff's ordinal differences: the squared distance of mid-ranks, per n²."""
    p = ratio(values, values.sum(-1, keepdims=True))
    mid_ranks = p.cumsum(-1) - p / 2
    return np.asarray((mid_ranks[..., :, None] - mid_ranks[..., None, :]) ** 2)


def _alpha(sums: Sums, i: int, metric: FloatArray) -> Array:
    return krippendorff_alpha(sums.values, sums.disagreement[..., i], metric)


def _ordinal_alpha(sums: Sums) -> Array:
    metric = ordinal_metric(sums.values)
    disagreement = (sums.coincidence * metric).sum((-2, -1)) + sums.ordinal
    return krippendorff_alpha(sums.values, disagreement, metric)
