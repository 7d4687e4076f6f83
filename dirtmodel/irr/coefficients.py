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
NO_RATERS: Final = "who rated what is not given"
CONSTANT: Final = "observed agreement is the same everywhere"
"""Only the chance agreement has an error then, which is far too small for the coefficient."""
ONE_SIDED: Final = "raters agree on one category only"
"""Kappa and alpha are then at their lowest for the observed prevalence, where their error fails."""

_CHANCES: Final = {
    "gwet_ac": formulas.gwet_chance,
    "fleiss_kappa": formulas.fleiss_chance,
    "conger_kappa": None,
    "brennan_prediger": formulas.uniform_chance,
}
# Numbers that one block of bootstrap replicates may hold: 8 MB.
_BLOCK: Final = 1 << 20


class Coefficient(NamedTuple):
    """One coefficient; what is undefined is None, and `reason` explains why.

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
        Units × categories: how many raters put that unit into that category.
        Units may differ in their number of raters, and have none.
    categories
        All q categories that a rater could choose, used or not. Numbers are placed at their values,
        anything else at 0, 1, 2, … (for the weights, and for the metric of interval alpha).
    weights
        `identity`, `linear`, `quadratic`, or a q × q matrix of agreement (see
        `agreement_weights`), for all five kappa-like coefficients and for alpha with the same
        disagreements (`identity` → nominal, `quadratic` → interval).
        `nominal`, `ordinal`, `interval`: alpha only. Several names: each in turn.
        None: the five with identity, linear and quadratic, and alpha nominal, ordinal, interval.
    clusters
        Label of each row's cluster, within which units are not independent (such as the subject);
        None: units are independent.
    multiplicity
        How many units each row stands for; None: one.
    margins
        Who rated what, for Conger's kappa (see `tabulate`), with rows of `counts` as units;
        None: Conger's kappa is undefined.
    prevalence
        `all`: chance agreement from every rated unit, as published; `pairable`: from units with
        two ratings or more. Alpha always uses the latter.
    confidence
        Level of the intervals.
    bootstrap
        Number of replicates of a cluster bootstrap (of units, without clusters), whose standard
        deviation and percentiles replace the linearised error and its interval.
    seed
        Seed of the bootstrap.

    Returns
    -------
    list of Coefficient
        By weights in the order given: `percent_agreement`, `gwet_ac` (AC1 with identity weights,
        else AC2), `fleiss_kappa` (generalised to incomplete ratings), `conger_kappa`,
        `brennan_prediger`; then `krippendorff_alpha` by metric.

    Raises
    ------
    UsageError
        If arguments do not fit together; the message says which and what to pass instead.

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
    """Rated units, and the independent rows (clusters, or the units themselves) that they form.

    `repeats` is how many units a row of `counts` stands for, `weights` how many independent rows a
    row of sums stands for, and `n_pairable` the number of those with a unit with two ratings.
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
        least = 1 if prevalence == "all" else 2
        used = (table.sum(axis=1) >= least) & (repeats > 0)
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
        """The reason to withhold intervals of kappa and alpha, if raters agree on one category."""
        agreed = (self.counts * (self.counts - 1)).sum(axis=0) > 0
        return ONE_SIDED if agreed.sum() <= 1 else None

    def rows(self, columns: Sequence[npt.NDArray[Any]]) -> FloatArray:
        """Sum columns over the units of each independent row."""
        table = np.column_stack(columns).astype(np.float64)
        if self.groups is None:
            return table
        return column_sums(table, self.groups, len(self.weights), self.repeats)


def _check_margins(found: IntArray, expected: FloatArray) -> None:
    if not (found == expected).all():
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
    """A formula and the sums that it takes.

    `rows` are independent rows × sums; `chance` is the weights matrix of Conger's kappa, whose last
    sum is the agreement expected by chance and not a sum at all. `withhold` is as in
    `intervals.estimate`.
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
        """Return value, error and interval by linearisation."""
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
        # A formula that is undefined has no slopes; its error is not looked at.
        influence = rows @ np.nan_to_num(formulas.slopes(formula, np.nan_to_num(sums)))
        found = intervals.moments(influence[:, None], data.weights)
        spread = Spread(float(found.se[0]), float(found.effective[0]), data.n_pairable)
        return intervals.estimate(
            float(value),
            spread,
            sampling,
            limits=self.limits,
            undefined=NO_VARIATION,
            proportion=self.proportion,
            withhold=self.withhold,
        )

    def of(self, data: _Data, weights: FloatArray) -> FloatArray:
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
    """Return statistics × replicates: independent rows are drawn with replacement."""
    random = np.random.default_rng(seed)
    total = data.weights.sum()
    block = max(1, _BLOCK // (len(data.weights) + data.n_raters * data.counts.shape[1]))
    values = []
    for start in range(0, n, block):
        size = min(block, n - start)
        drawn = random.multinomial(round(total), data.weights / total, size=size)
        values.append([statistic.of(data, drawn.astype(np.float64)) for statistic in statistics])
    return np.concatenate(values, axis=1)


def _statistics(
    data: _Data, matrices: dict[str, FloatArray], metrics: dict[str, FloatArray | None]
) -> Iterator[_Statistic]:
    """Yield everything that was asked for, in the order of the results."""
    total = data.counts.sum(axis=1)
    pairable = total > 1
    values = list((data.counts * pairable[:, None]).T)
    shares = list((data.counts / total[:, None]).T)
    for name, w in matrices.items():
        agreeing = formulas.weighted_coincidences(data.counts, w) / total
        rows = data.rows([agreeing, pairable, total > 0, *shares])
        low, chance = float(w.min()), float(w.mean())
        # Without agreement, and chance agreement at its greatest: the mean weight.
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
