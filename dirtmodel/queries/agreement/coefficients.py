"""Chance-corrected agreement of any number of raters, with standard errors: the public call."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.queries.agreement.estimates import Estimator, Spread
from dirtmodel.queries.agreement.formulas import Formula, request
from dirtmodel.queries.agreement.tallies import Labels, Margins, Tallies, tally
from dirtmodel.queries.agreement.weights import Weights

NO_VARIATION: Final = "no variation"
NO_PAIRS: Final = "no unit has two ratings"
NO_RATERS: Final = "who rated what is not given"
NO_RATERS_PER_CLUSTER: Final = "who rated what is not given per cluster"
ONE_CLUSTER: Final = "one cluster"
ONE_UNIT: Final = "one unit"
ONE_PAIRABLE_CLUSTER: Final = "one cluster has all units with two ratings"
ONE_PAIRABLE_UNIT: Final = "one unit has two ratings"


class Coefficient(NamedTuple):
    """One coefficient; what is undefined is None, and `reason` says why.

    `weights` is `identity`, `linear`, `quadratic` or `custom`; for `krippendorff_alpha` it is the
    metric: `nominal`, `ordinal`, `interval`, `linear` or `custom`.
    """

    name: str
    weights: str
    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    reason: str | None


def coefficients(
    counts: npt.ArrayLike,
    *,
    categories: Sequence[object],
    weights: Weights | Sequence[str] | None = None,
    clusters: Labels | None = None,
    multiplicity: npt.ArrayLike | None = None,
    margins: Margins | None = None,
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
        All q categories a rater could choose, used or not. Numbers are placed at their values,
        anything else at 0, 1, 2, … (for the weights, and the metric of interval alpha).
    weights
        `identity`, `linear`, `quadratic`, or a q × q matrix of agreement (see
        `agreement_weights`), for all five kappa-like coefficients and for alpha with the same
        disagreements (`identity` → nominal, `quadratic` → interval).
        `nominal`, `ordinal`, `interval`: alpha alone. Several names: each in turn.
        None: the five with identity, linear and quadratic, and alpha nominal, ordinal, interval.
    clusters
        Label of each row's cluster, within which units are not independent (such as the subject);
        None: units are independent.
    multiplicity
        How many units each row stands for; None: one.
    margins
        Who rated what, for Conger's kappa (`tabulate` makes it); without, that one is None.
    prevalence
        `all`: chance agreement from every rated unit, as published; `pairable`: from units with
        two ratings or more. Alpha always uses the latter.
    confidence
        Level of the intervals.
    bootstrap
        Number of replicates of a cluster bootstrap (of units, without clusters), whose standard
        deviation and percentiles then take the place of the linearised error and its interval.
        Wiser where a category is so rare that a few units decide.
    seed
        Of the bootstrap.

    Returns
    -------
    list of Coefficient
        By weights in the order given: `percent_agreement`, `gwet_ac` (AC1 with identity weights,
        else AC2), `fleiss_kappa` (generalised to incomplete ratings), `conger_kappa`,
        `brennan_prediger`; then `krippendorff_alpha` by metric.

    Notes
    -----
    Values: Gwet (2014), Handbook of Inter-Rater Reliability, 4th ed., and Gwet (2008) for AC1;
    Fleiss (1971); Conger (1980); Brennan & Prediger (1981); Krippendorff (2011).
    Errors: linearisation (Taylor series) of each ratio over clusters, G/(G − 1) Σ (z_g − z̄)²,
    with Student's t at G − 1 degrees of freedom and the upper end capped at 1. Every unit with a
    rating counts as observed, for alpha too: with missing ratings Gwet's own variances differ.
    Clusters as in Binder (1983). Without two clusters that have units with two ratings there is no
    error.

    Raises
    ------
    UsageError
        Where arguments do not fit together; the message says which and how.

    Examples
    --------
    >>> counts = [[2, 0, 0], [2, 0, 0], [1, 1, 0], [0, 0, 2]]
    >>> ac1 = coefficients(counts, categories=["PASS", "UNSURE", "FAIL"], weights="identity")[1]
    >>> ac1.name, round(ac1.value, 3), round(ac1.se, 3)
    ('gwet_ac', 0.66, 0.357)

    """
    check_options(confidence, bootstrap, seed)
    wanted = request(weights, categories)
    tallies = tally(
        counts,
        len(categories),
        wanted,
        multiplicity=multiplicity,
        clusters=clusters,
        margins=margins,
        prevalence=prevalence,
    )
    if not tallies.pairable.any():
        return [_without_value(formula, NO_PAIRS) for formula in wanted.formulas()]
    estimator = Estimator(wanted, tallies)
    if lonely := _lonely(tallies, clustered=clusters is not None):
        spreads = [Spread(None, None, None, lonely)] * len(estimator.formulas)
    elif bootstrap is None:
        spreads = list(estimator.linearised(confidence))
    else:
        spreads = list(estimator.bootstrapped(bootstrap, seed, confidence))

    found = []
    for formula, value, spread in zip(
        estimator.formulas, estimator.values.tolist(), spreads, strict=True
    ):
        if formula.name == "conger_kappa" and margins is None:
            found.append(_without_value(formula, NO_RATERS))
        elif math.isnan(value):
            found.append(_without_value(formula, NO_VARIATION))
        elif formula.name == "conger_kappa" and tallies.margins is None:
            unknown = Spread(None, None, None, NO_RATERS_PER_CLUSTER)
            found.append(_with_spread(formula, value, unknown))
        else:
            found.append(_with_spread(formula, value, spread))
    return found


def _lonely(tallies: Tallies, *, clustered: bool) -> str | None:
    """Say why there is no variance, which needs two that could differ."""
    if tallies.n_rows < 2:  # noqa: PLR2004 - two
        return ONE_CLUSTER if clustered else ONE_UNIT
    if tallies.multiplicity[tallies.pairable > 0].sum() < 2:  # noqa: PLR2004 - two
        return ONE_PAIRABLE_CLUSTER if clustered else ONE_PAIRABLE_UNIT
    return None


def check_options(confidence: float, bootstrap: int | None, seed: int) -> None:
    """Refuse what gives no interval."""
    if not 0 < confidence < 1:
        raise UsageError(f"confidence: {confidence!r} is no level; give one between 0 and 1")
    if bootstrap is not None and bootstrap < 2:  # noqa: PLR2004 - a deviation needs two
        raise UsageError(f"bootstrap: {bootstrap!r} replicates are too few; 2000 is a good number")
    if seed < 0:
        raise UsageError(f"seed: {seed!r} is none; give 0 or more")


def _with_spread(formula: Formula, value: float, spread: Spread) -> Coefficient:
    se, low, high, reason = spread
    return Coefficient(formula.name, formula.weights, value, se, low, high, reason)


def _without_value(formula: Formula, reason: str) -> Coefficient:
    return Coefficient(formula.name, formula.weights, None, None, None, None, reason)
