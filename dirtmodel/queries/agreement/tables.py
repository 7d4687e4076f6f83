"""Two sets of ratings of the same units: a pair of raters, or one rater twice.

Everything is read from the k × k table of counts, first set down, second across.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.queries.agreement.coefficients import NO_VARIATION
from dirtmodel.queries.agreement.formulas import ratio
from dirtmodel.queries.agreement.tallies import checked_counts
from dirtmodel.queries.agreement.weights import FloatArray, Weights, agreement_weights

NO_COMMON_UNITS: Final = "no common units"


class TwoWay(NamedTuple):
    """Agreement of two sets of ratings; what is undefined is None, and `reason` says why.

    `dice` has one entry per category: twice the units that both put there, over the units that
    each put there, added up; None where neither used it.
    """

    n: int
    percent_agreement: float | None
    cohen_kappa: float | None
    cohen_kappa_linear: float | None
    gwet_ac: float | None
    dice: tuple[float | None, ...]
    reason: str | None


class OverPairs(NamedTuple):
    """Mean, least and greatest of the values that are defined, and how many these are."""

    mean: float | None
    least: float | None
    greatest: float | None
    n: int


def two_way(table: npt.ArrayLike, *, categories: Sequence[object]) -> TwoWay:
    """Describe a k × k table: n, percent agreement, Cohen's kappas, AC1, Dice per category.

    >>> two_way([[118, 5], [2, 0]], categories=["PASS", "FAIL"]).dice
    (0.9711934156378601, 0.0)
    """
    counts = _checked(table, len(categories))
    n = counts.sum()
    used = counts.sum(axis=0) + counts.sum(axis=1)
    reason = None
    if n == 0:
        reason = NO_COMMON_UNITS
    elif np.count_nonzero(used) == 1:
        reason = NO_VARIATION
    prevalence = ratio(used, 2 * n)
    chance = (prevalence * (1 - prevalence)).sum() / (len(counts) - 1)
    agreement = ratio(np.trace(counts), n)
    return TwoWay(
        int(n),
        _defined(agreement),
        cohen_kappa(counts, categories=categories),
        cohen_kappa(counts, weights="linear", categories=categories),
        _defined(ratio(agreement - chance, 1 - chance)),
        tuple(_defined(dice) for dice in ratio(2 * np.diag(counts), used)),
        reason,
    )


def cohen_kappa(
    table: npt.ArrayLike, *, categories: Sequence[object], weights: Weights = "identity"
) -> float | None:
    """Give Cohen's (weighted) kappa of a k × k table, None where nothing varies.

    Cohen (1960, 1968). `weights` as in `agreement_weights`.

    >>> round(cohen_kappa([[88, 14, 18], [10, 40, 10], [2, 6, 12]], categories=[1, 2, 3]), 3)
    0.492
    """
    w = agreement_weights(weights, categories)
    counts = _checked(table, len(categories))
    n = counts.sum()
    chance = ratio(counts.sum(axis=1) @ w @ counts.sum(axis=0), n * n)
    return _defined(ratio(ratio((counts * w).sum(), n) - chance, 1 - chance))


def over_pairs(values: Iterable[float | None]) -> OverPairs:
    """Summarise a coefficient over pairs of raters, leaving out where it is undefined.

    The mean of Cohen's kappas is Light's kappa (Light 1971).

    >>> over_pairs([0.5, None, 1.0])
    OverPairs(mean=0.75, least=0.5, greatest=1.0, n=2)
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return OverPairs(None, None, None, 0)
    return OverPairs(float(np.mean(defined)), min(defined), max(defined), len(defined))


def _checked(table: npt.ArrayLike, n_categories: int) -> FloatArray:
    counts, _ = checked_counts(table, n_categories, None)
    if len(counts) != n_categories:
        raise UsageError(
            f"table: {len(counts)} rows for {n_categories} categories; give "
            f"{n_categories} × {n_categories}, the first set of ratings down, the second across"
        )
    return counts


def _defined(value: npt.NDArray[np.float64]) -> float | None:
    return None if np.isnan(value) else float(value)
