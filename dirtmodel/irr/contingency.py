"""Contingency tables of two sets of ratings of the same units, and measures of their agreement.

A table is k × k: its rows are the first set's categories, its columns the second set's.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.irr import formulas, intervals
from dirtmodel.irr.coefficients import NO_VARIATION, ONE_SIDED
from dirtmodel.irr.formulas import Array, Formula, ratio
from dirtmodel.irr.intervals import Estimate, Moments, Sampling, Spread, defined
from dirtmodel.irr.ratings import IntArray, checked_counts, distinct
from dirtmodel.irr.weights import FloatArray, Weights, agreement_weights

NO_COMMON_UNITS: Final = "no common units"
NOT_USED: Final = "neither used the category"

MEASURES: Final = (
    "percent_agreement",
    "cohen_kappa",
    "cohen_kappa_linear",
    "gwet_ac",
    "dice",
)
"""The measures that are computed from each table."""


class TwoWay(NamedTuple):
    """Agreement of two sets of ratings; undefined values are None, and `reason` explains why.

    `dice` has one entry per category (Dice 1945): twice the number of units that both sets put into
    it, divided by the sum of the numbers that each set put into it. None if neither set used it.
    """

    n: int
    percent_agreement: float | None
    cohen_kappa: float | None
    cohen_kappa_linear: float | None
    gwet_ac: float | None
    dice: tuple[float | None, ...]
    reason: str | None


class OverPairs(NamedTuple):
    """Mean, minimum and maximum of the defined values, and their number.

    The error and the interval are those of the mean.
    """

    mean: float | None
    least: float | None
    greatest: float | None
    n: int
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None
    df: float | None = None


class Events(NamedTuple):
    """Numbers of units in the cells of tables, by cluster; one entry per number.

    Parameters
    ----------
    tables
        Index of the table, from 0.
    clusters
        Label of the units' cluster, any whole number.
    cells
        Index of the cell: the first set's category times k, plus the second set's category.
    times
        Number of units. The same table, cluster and cell may occur in several entries.

    """

    tables: IntArray
    clusters: IntArray
    cells: IntArray
    times: IntArray


def two_way(table: npt.ArrayLike, *, categories: Sequence[object]) -> TwoWay:
    """Compute n, percent agreement, Cohen's kappas, AC1 and Dice per category of a k × k table.

    Raises
    ------
    UsageError
        If the table does not have one row and one column per category.

    Examples
    --------
    >>> two_way([[118, 5], [2, 0]], categories=["PASS", "FAIL"]).dice
    (0.9711934156378601, 0.0)

    """
    counts = _checked(table, len(categories))
    sums = counts.ravel()
    n = counts.sum()
    used = counts.sum(axis=0) + counts.sum(axis=1)
    reason = None
    if n == 0:
        reason = NO_COMMON_UNITS
    elif np.count_nonzero(used) == 1:
        reason = NO_VARIATION
    measures = _measures(categories, -1)
    return TwoWay(
        int(n),
        defined(measures["percent_agreement"](sums)),
        defined(measures["cohen_kappa"](sums)),
        defined(measures["cohen_kappa_linear"](sums)),
        defined(measures["gwet_ac"](sums)),
        tuple(defined(_dice(sums, c, len(categories))) for c in range(len(categories))),
        reason,
    )


def cohen_kappa(
    table: npt.ArrayLike, *, categories: Sequence[object], weights: Weights = "identity"
) -> float | None:
    """Return Cohen's (weighted) kappa of a k × k table; None if nothing varies.

    Cohen (1960, 1968). `weights` as in `agreement_weights`.

    >>> round(cohen_kappa([[88, 14, 18], [10, 40, 10], [2, 6, 12]], categories=[1, 2, 3]), 3)
    0.492
    """
    w = agreement_weights(weights, categories)
    return defined(_cohen(_checked(table, len(categories)).ravel(), w))


def over_pairs(values: Iterable[float | None]) -> OverPairs:
    """Summarise a coefficient over pairs of raters, without those where it is undefined.

    The mean of Cohen's kappas is Light's kappa (Light 1971).

    >>> over_pairs([0.5, None, 1.0])[:4]
    (0.75, 0.5, 1.0, 2)
    """
    defined = [value for value in values if value is not None]
    if not defined:
        return OverPairs(None, None, None, 0)
    return OverPairs(float(np.mean(defined)), min(defined), max(defined), len(defined))


class Tables:
    """Many k × k tables, and the measures computed from them with their errors.

    Parameters
    ----------
    events
        The numbers of units in the cells of the tables.
    n_tables
        Number of tables.
    categories
        All k categories.
    category
        The index of the category that Dice is about.

    """

    def __init__(
        self,
        events: Events,
        n_tables: int,
        categories: Sequence[object],
        category: int = -1,
    ) -> None:
        size = len(categories) ** 2
        positive = category % len(categories)
        groups, clusters, cells, times = events
        self._groups, self._cells, self._times = groups, cells, times
        self._formulas = _measures(categories, positive)
        flat = np.bincount(groups * size + cells, weights=times, minlength=n_tables * size)
        self.counts: FloatArray = flat.reshape(n_tables, size).astype(np.float64)
        labels, self._clusters = distinct(clusters)
        n_clusters = max(len(labels), 1)
        keys, self._rows = distinct(groups * n_clusters + self._clusters)
        self._group_of_row = keys // n_clusters
        self._uses = (cells // len(categories) == positive) | (cells % len(categories) == positive)

    def estimates(self, sampling: Sampling) -> Iterator[dict[str, Estimate]]:
        """Yield an estimate for each of `MEASURES`, table by table."""
        columns = {name: list(self._column(name, sampling)) for name in MEASURES}
        for place in range(len(self.counts)):
            yield {name: column[place] for name, column in columns.items()}

    def over(self, sampling: Sampling) -> dict[str, OverPairs]:
        """Summarise each measure over the tables, with the error of the mean."""
        summaries = {}
        for name in MEASURES:
            values = self._formulas[name](self.counts)
            known = ~np.isnan(values)
            summary = over_pairs(values[known].tolist())
            if summary.mean is not None:
                slope = self._slopes(name) * known[:, None] / summary.n
                moves = np.bincount(self._clusters, weights=self._moves(slope))
                sums = intervals.moments(moves[:, None])
                spread = Spread(float(sums.se[0]), float(sums.effective[0]), len(moves))
                mean = intervals.estimate(
                    summary.mean, spread, sampling, limits=_limits(name, self.counts.shape[1])
                )
                summary = summary._replace(
                    se=mean.se,
                    ci_low=mean.ci_low,
                    ci_high=mean.ci_high,
                    reason=mean.reason,
                    df=mean.df,
                )
            summaries[name] = summary
        return summaries

    def _slopes(self, name: str) -> FloatArray:
        return np.nan_to_num(formulas.slopes(self._formulas[name], self.counts))

    def _moves(self, slopes: FloatArray) -> FloatArray:
        return np.asarray(slopes[self._groups, self._cells] * self._times)

    def _column(self, name: str, sampling: Sampling) -> Iterator[Estimate]:
        n = len(self.counts)
        values = self._formulas[name](self.counts)
        moves = np.bincount(self._rows, weights=self._moves(self._slopes(name)))
        found: Moments = intervals.grouped_moments(moves, self._group_of_row, n)
        informative = found.n
        if name == "dice":
            using = np.bincount(self._rows, weights=self._uses) > 0
            informative = np.bincount(self._group_of_row[using], minlength=n).astype(np.float64)
        undefined = NOT_USED if name == "dice" else NO_VARIATION
        limits = _limits(name, self.counts.shape[1])
        k = round(self.counts.shape[1] ** 0.5)
        # The number of categories in which both sets put the same unit.
        agreed = (self.counts[:, :: k + 1] > 0).sum(axis=1)
        one_sided = (agreed <= 1) & name.startswith("cohen_kappa")
        for row in zip(
            values.tolist(),
            found.se.tolist(),
            found.effective.tolist(),
            informative.tolist(),
            self.counts.sum(axis=1).tolist(),
            one_sided.tolist(),
            strict=True,
        ):
            yield intervals.estimate(
                row[0],
                Spread(*row[1:4]),
                sampling,
                limits=limits,
                undefined=undefined if row[4] else NO_COMMON_UNITS,
                proportion=name in {"percent_agreement", "dice"},
                withhold=ONE_SIDED if row[5] else None,
            )


def _measures(categories: Sequence[object], positive: int) -> dict[str, Formula]:
    identity = agreement_weights("identity", categories)
    linear = agreement_weights("linear", categories)
    of = {
        "percent_agreement": functools.partial(_agreement, w=identity),
        "cohen_kappa": functools.partial(_cohen, w=identity),
        "cohen_kappa_linear": functools.partial(_cohen, w=linear),
        "gwet_ac": functools.partial(_gwet, w=identity),
        "dice": functools.partial(_dice, category=positive, k=len(categories)),
    }
    return {name: of[name] for name in MEASURES}


def _limits(name: str, size: int) -> tuple[float, float]:
    if name in {"percent_agreement", "dice"}:
        return 0.0, 1.0
    return (-1 / (size**0.5 - 1), 1.0) if name == "gwet_ac" else (-1.0, 1.0)


def _agreement(sums: Array, w: FloatArray) -> Array:
    return ratio(sums @ w.ravel(), sums.sum(-1))


def _cohen(sums: Array, w: FloatArray) -> Array:
    n = sums.sum(-1)
    table = sums.reshape(*sums.shape[:-1], *w.shape)
    chance = ratio(((table.sum(-1) @ w) * table.sum(-2)).sum(-1), n * n)
    return formulas.beyond_chance(_agreement(sums, w), chance)


def _gwet(sums: Array, w: FloatArray) -> Array:
    table = sums.reshape(*sums.shape[:-1], *w.shape)
    prevalence = ratio(table.sum(-1) + table.sum(-2), 2 * sums.sum(-1)[..., None])
    return formulas.beyond_chance(_agreement(sums, w), formulas.gwet_chance(prevalence, w))


def _dice(sums: Array, category: int, k: int) -> Array:
    table = sums.reshape(*sums.shape[:-1], k, k)
    used = table[..., category, :].sum(-1) + table[..., :, category].sum(-1)
    return ratio(2 * table[..., category, category], used)


def _checked(table: npt.ArrayLike, n_categories: int) -> FloatArray:
    counts = checked_counts(table, n_categories)
    if len(counts) != n_categories:
        raise UsageError(
            f"table: {len(counts)} rows for {n_categories} categories; pass "
            f"{n_categories} × {n_categories}, the first set of ratings down, the second across"
        )
    return counts
