"""Chance-corrected agreement of any number of raters, with standard errors and intervals."""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.irr import formulas, intervals
from dirtmodel.irr.formulas import Formula
from dirtmodel.irr.intervals import Estimate, Sampling, Spread
from dirtmodel.irr.ratings import (
    IntArray,
    Labels,
    Ratings,
    checked_counts,
    checked_multiplicity,
    checked_ratings,
    collapsed,
    column_sums,
    group,
)
from dirtmodel.irr.weights import FloatArray, Weights, requested

NO_VARIATION: Final = "no variation"
NO_PAIRS: Final = "no unit has two ratings"
NO_RATERS: Final = "the raters are not given (margins)"
CONSTANT: Final = "observed agreement is the same everywhere"
"""Then only the chance agreement varies, and the error would be far too small."""
ONE_SIDED: Final = "raters agree on one category only"
"""Kappa and alpha then have the lowest value that the prevalence allows; their error is not valid.
"""

_CHANCES: Final = {
    "gwet_ac": formulas.gwet_chance,
    "fleiss_kappa": formulas.fleiss_chance,
    "conger_kappa": None,
    "brennan_prediger": formulas.uniform_chance,
}
_BLOCK: Final = 1 << 20
"""The most numbers in one block of bootstrap replicates (8 MB)."""


class Coefficient(NamedTuple):
    """One coefficient; undefined values are None, and `reason` explains why.

    `weights` is `identity`, `linear`, `quadratic` or `custom`; for `krippendorff_alpha` it is the
    metric: `nominal`, `ordinal`, `interval`, `linear` or `custom`. `df` are the effective degrees
    of freedom of the interval (see `Estimate`).
    """

    name: str
    weights: str
    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None
    df: float | None = None


def coefficients(
    counts: npt.ArrayLike,
    *,
    categories: Sequence[object],
    weights: Weights | Sequence[str] | None = None,
    clusters: Labels | None = None,
    multiplicity: npt.ArrayLike | None = None,
    margins: Ratings | None = None,
    prevalence: str = "all",
    confidence: float = 0.95,
    bootstrap: int | None = None,
    seed: int = 0,
) -> list[Coefficient]:
    """Measure how far raters agree beyond chance, from units × categories counts.

    Parameters
    ----------
    counts
        Units × categories: the number of raters who put the unit into the category.
        Units may have different numbers of raters, also none.
    categories
        All q categories that a rater could choose, used or not. The weights and the metric of
        interval alpha place numbers at their values, and other categories at 0, 1, 2, …
    weights
        `identity`, `linear`, `quadratic`, or a q × q matrix of agreement (see
        `agreement_weights`): the five kappa-like coefficients with these weights, and alpha with
        the same disagreements (`identity` → nominal, `quadratic` → interval).
        `nominal`, `ordinal`, `interval`: alpha only. Several names: each in turn.
        None: the five with identity, linear and quadratic, and alpha nominal, ordinal, interval.
    clusters
        The label of each row's cluster, such as the subject. Units of one cluster are not
        independent. None: all units are independent.
    multiplicity
        The number of units that each row stands for; None: one.
    margins
        The rater of each rating, for Conger's kappa (see `tabulate`); its units are the rows of
        `counts`. None: Conger's kappa is undefined.
    prevalence
        The units that chance agreement is computed from. `all`: every rated unit, as published;
        `pairable`: units with two ratings or more. Alpha always uses the latter.
    confidence
        Level of the intervals.
    bootstrap
        Number of replicates of a bootstrap of clusters (without clusters, of units). Their standard
        deviation and percentiles replace the linearised error and interval.
    seed
        Seed of the bootstrap.

    Returns
    -------
    list of Coefficient
        For each of the weights, in the order given: `percent_agreement`, `gwet_ac` (AC1 with
        identity weights, else AC2), `fleiss_kappa` (generalised to incomplete ratings),
        `conger_kappa`, `brennan_prediger`. Then `krippendorff_alpha` for each metric.

    Raises
    ------
    UsageError
        If arguments do not fit together; the message names them and says what to pass instead.

    Notes
    -----
    Values: Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., and Gwet (2008) for AC1;
    Fleiss (1971); Conger (1980); Brennan & Prediger (1981); Krippendorff (2011).
    Errors: linearisation over clusters (see `dirtmodel.irr.intervals`). Every unit with a rating
    counts as observed, for alpha too: with missing ratings Gwet's own variances differ.

    Examples
    --------
    >>> counts = [[2, 0, 0], [2, 0, 0], [1, 1, 0], [0, 0, 2]]
    >>> ac1 = coefficients(counts, categories=["PASS", "UNSURE", "FAIL"], weights="identity")[1]
    >>> ac1.name, round(ac1.value, 3), round(ac1.se, 3)
    ('gwet_ac', 0.66, 0.357)

    """
    sampling = Sampling("unit" if clusters is None else "cluster", confidence).checked()
    intervals.check_bootstrap(bootstrap, seed)
    matrices, metrics = requested(weights, categories)
    data = _Data.of(counts, len(categories), clusters, multiplicity, margins, prevalence)
    statistics = list(_statistics(data, matrices, metrics))
    if data.n_pairable == 0:
        return [
            Coefficient(s.name, s.weights, *Estimate(None, reason=NO_PAIRS)) for s in statistics
        ]
    estimates = [statistic.estimate(data, sampling) for statistic in statistics]
    if bootstrap is not None:
        estimates = [
            intervals.bootstrapped(estimate, replicates, sampling)
            for estimate, replicates in zip(
                estimates, _replicates(statistics, data, bootstrap, seed), strict=True
            )
        ]
    return [
        Coefficient(statistic.name, statistic.weights, *estimate)
        for statistic, estimate in zip(statistics, estimates, strict=True)
    ]


class _Data(NamedTuple):
    """The rated units, and the independent rows (clusters, or the units themselves) of their sums.

    `repeats` is the number of units that a row of `counts` stands for. `weights` is the number of
    independent rows that a row of sums stands for. `n_pairable` is the number of independent rows
    that contain a unit with two ratings or more.
    """

    counts: FloatArray
    repeats: FloatArray
    groups: IntArray | None
    weights: FloatArray
    margins: Any
    n_raters: int
    n_pairable: float

    @classmethod
    def of(
        cls,
        counts: npt.ArrayLike,
        q: int,
        clusters: Labels | None,
        multiplicity: npt.ArrayLike | None,
        margins: Ratings | None,
        prevalence: str,
    ) -> "_Data":
        if prevalence not in {"all", "pairable"}:
            raise UsageError(
                f"prevalence: {prevalence!r} is not known; choose all (every rated unit) or "
                "pairable (units with two ratings or more)"
            )
        table = checked_counts(counts, q)
        repeats = checked_multiplicity(multiplicity, len(table))
        min_ratings = 1 if prevalence == "all" else 2
        used = (table.sum(axis=1) >= min_ratings) & (repeats > 0)
        groups = group(clusters, used)
        n_rows = int(used.sum()) if groups is None else int(groups.max(initial=-1)) + 1
        weights = repeats[used] if groups is None else np.ones(n_rows)
        matrix, n_raters = None, 0
        if margins is not None:
            who = checked_ratings(margins, len(table), q)
            _check_margins(who.counts(len(table), q), table)
            row = np.full(len(table), -1)
            row[used] = np.arange(n_rows) if groups is None else groups
            matrix, n_raters = _margin_matrix(who, row, repeats, n_rows, q, groups is not None)
        pairable = table.sum(axis=1)[used] > 1
        if groups is None:
            n_pairable = float(weights @ pairable)
            return cls(table[used], weights, None, weights, matrix, n_raters, n_pairable)
        n_pairable = float(len(np.unique(groups[pairable])))
        table, groups, repeats = collapsed(table[used], groups, repeats[used])
        return cls(table, repeats, groups, weights, matrix, n_raters, n_pairable)

    @property
    def one_sided(self) -> str | None:
        """The reason for no interval of kappa and alpha, if raters agree on one category only."""
        agreed = (self.counts * (self.counts - 1)).sum(axis=0) > 0
        return ONE_SIDED if agreed.sum() <= 1 else None

    def rows(self, columns: Sequence[npt.NDArray[Any]]) -> FloatArray:
        """Return the sums of the columns over the units of each independent row."""
        table = np.column_stack(columns).astype(np.float64)
        if self.groups is None:
            return table
        return column_sums(table, self.groups, len(self.weights), self.repeats)


def _check_margins(from_margins: IntArray, counts: FloatArray) -> None:
    if not (from_margins == counts).all():
        raise UsageError(
            "margins: the raters' ratings do not add up to counts; count the same ratings in both"
        )


def _margin_matrix(
    who: Ratings, row: IntArray, repeats: FloatArray, n_rows: int, q: int, clustered: bool
) -> tuple[Any, int]:
    """Return independent rows × (raters × q) as a sparse matrix, and the number of raters."""
    from scipy import sparse

    n_raters = int(who.rater.max(initial=-1)) + 1
    kept = row[who.unit] >= 0
    rows, columns = row[who.unit[kept]], who.rater[kept] * q + who.code[kept]
    times = repeats[who.unit[kept]] if clustered else np.ones(len(rows))
    return sparse.csr_matrix((times, (rows, columns)), shape=(n_rows, n_raters * q)), n_raters


@dataclass(frozen=True, eq=False)
class _Statistic:
    """A formula and its arguments, which are sums over independent rows.

    `rows` is independent rows × sums. `chance` is the weights matrix of Conger's kappa, and None
    for other formulas; the last argument of Conger's kappa is not a sum, but the agreement expected
    by chance. `withhold` is as in `intervals.estimate`.
    """

    name: str
    weights: str
    formula: Formula | None
    rows: FloatArray
    limits: tuple[float, float]
    withhold: str | None
    proportion: bool = False
    chance: FloatArray | None = None

    def estimate(self, data: _Data, sampling: Sampling) -> Estimate:
        """Return the value, with its error and interval by linearisation."""
        formula = self.formula
        if formula is None:
            return Estimate(None, reason=NO_RATERS)
        rows, sums = self.rows, data.weights @ self.rows
        if self.chance is not None:
            margins = self._margins(data, data.weights)
            moves = data.margins @ formulas.conger_slopes(margins, self.chance).ravel()
            rows = np.column_stack([rows, moves])
            sums = np.append(sums, formulas.conger_chance(margins, self.chance))
        value = formula(sums)
        # An undefined formula has no slopes; then the error is not used.
        influence = rows @ np.nan_to_num(formulas.slopes(formula, np.nan_to_num(sums)))
        moments = intervals.moments(influence[:, None], data.weights)
        spread = Spread(float(moments.se[0]), float(moments.effective[0]), data.n_pairable)
        return intervals.estimate(
            float(value),
            spread,
            sampling,
            limits=self.limits,
            undefined=NO_VARIATION,
            proportion=self.proportion,
            withhold=self.withhold,
        )

    def replicate(self, data: _Data, weights: FloatArray) -> FloatArray:
        """Return the value for each row of `weights`: replicates × independent rows."""
        if self.formula is None:
            return np.full(len(weights), np.nan)
        sums = weights @ self.rows
        if self.chance is not None:
            chance = formulas.conger_chance(self._margins(data, weights), self.chance)
            sums = np.column_stack([sums, chance])
        return np.asarray(self.formula(sums))

    def _margins(self, data: _Data, weights: FloatArray) -> FloatArray:
        assert self.chance is not None  # noqa: S101 - checked by the caller
        margins = (data.margins.T @ weights.T).T
        return np.asarray(margins).reshape(*weights.shape[:-1], data.n_raters, len(self.chance))


def _replicates(statistics: Sequence[_Statistic], data: _Data, n: int, seed: int) -> FloatArray:
    """Return the values, statistics × replicates, of rows that are drawn with replacement."""
    random = np.random.default_rng(seed)
    total = data.weights.sum()
    block = max(1, _BLOCK // (len(data.weights) + data.n_raters * data.counts.shape[1]))
    values = []
    for start in range(0, n, block):
        size = min(block, n - start)
        drawn = random.multinomial(round(total), data.weights / total, size=size)
        weights = drawn.astype(np.float64)
        values.append([statistic.replicate(data, weights) for statistic in statistics])
    return np.concatenate(values, axis=1)


def _statistics(
    data: _Data, matrices: dict[str, FloatArray], metrics: dict[str, FloatArray | None]
) -> Iterator[_Statistic]:
    """Yield the statistics of all weights and metrics, in the order of the results."""
    total = data.counts.sum(axis=1)
    pairable = total > 1
    values = list((data.counts * pairable[:, None]).T)
    shares = list((data.counts / total[:, None]).T)
    for name, w in matrices.items():
        agreeing = formulas.weighted_coincidences(data.counts, w) / total
        rows = data.rows([agreeing, pairable, total > 0, *shares])
        low, chance = float(w.min()), float(w.mean())
        # The lowest value: no agreement, while the chance agreement is greatest (the mean weight).
        worst = (low - chance) / (1 - chance)
        limits = {"gwet_ac": max(worst, -1.0), "brennan_prediger": worst}
        constant = None if intervals.varies(rows[:, :2]) else CONSTANT
        yield _Statistic(
            "percent_agreement",
            name,
            formulas.quotient,
            rows[:, :2],
            (low, 1.0),
            None,
            proportion=True,
        )
        for coefficient, of in _CHANCES.items():
            bounds = (limits.get(coefficient, -1.0), 1.0)
            withhold = constant if coefficient in limits else constant or data.one_sided
            if of is None:
                formula = None if data.margins is None else formulas.conger_kappa
                yield _Statistic(
                    coefficient, name, formula, rows[:, :2], bounds, withhold, chance=w
                )
                continue
            yield _Statistic(
                coefficient,
                name,
                functools.partial(formulas.kappa, chance=of, w=w),
                rows,
                bounds,
                withhold,
                proportion=coefficient == "brennan_prediger",
            )
    for name, metric in metrics.items():
        yield _alpha(data, name, metric, values)


def _alpha(
    data: _Data, name: str, metric: FloatArray | None, values: list[FloatArray]
) -> _Statistic:
    formula: Callable[[Any], Any] = formulas.ordinal_alpha
    if metric is None:
        rows = data.rows(list(formulas.coincidences(data.counts).T))
        apart = rows[:, np.eye(len(values)).ravel() == 0].sum(axis=1)
        observed = np.column_stack([apart, rows.sum(axis=1)])
    else:
        rows = data.rows([formulas.weighted_coincidences(data.counts, metric), *values])
        observed = np.column_stack([rows[:, 0], rows[:, 1:].sum(axis=1)])
        formula = functools.partial(formulas.metric_alpha, metric=metric)
    withhold = data.one_sided if intervals.varies(observed) else CONSTANT
    return _Statistic("krippendorff_alpha", name, formula, rows, (-1.0, 1.0), withhold)
