"""Simulate raters whose true agreement is known, to test intervals and consensus."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dirtmodel.irr.coefficients import Coefficient, coefficients
from dirtmodel.irr.consensus import dawid_skene
from dirtmodel.irr.intervals import Estimate, t_quantile
from dirtmodel.irr.rates import ErrorRates, error_rates
from dirtmodel.irr.ratings import IntArray, Ratings
from dirtmodel.irr.weights import FloatArray


class Simulated(NamedTuple):
    """Ratings with each unit's cluster and true category."""

    ratings: Ratings
    clusters: IntArray
    truth: IntArray


@dataclass(frozen=True, eq=False)
class Design:
    """How units, clusters and raters are simulated.

    Parameters
    ----------
    prevalence
        q: how often each category is the true one.
    confusion
        Raters × q × q: how often each rater chooses each category (last axis), given the true one.
    n_clusters, units_per_cluster
        Numbers of clusters (such as subjects) and of units (such as images) in each.
    raters_per_unit
        Number of raters, drawn at random, of each unit of a cluster: one number per cluster, or
        one for all clusters.
    concentration
        The prevalence in each cluster is drawn from a Dirichlet distribution with the parameters
        `concentration` × `prevalence`. With small numbers, units of one cluster are more alike.

    """

    prevalence: FloatArray
    confusion: FloatArray
    n_clusters: int
    units_per_cluster: int
    raters_per_unit: int | Sequence[int] = 2
    concentration: float = 2.0

    def draw(self, random: np.random.Generator) -> Simulated:
        """Draw one data set."""
        n_raters = len(self.confusion)
        n_units = self.n_clusters * self.units_per_cluster
        clusters = np.repeat(np.arange(self.n_clusters), self.units_per_cluster)
        mixed = random.dirichlet(self.concentration * self.prevalence, self.n_clusters)
        truth = _categorical(random, mixed[clusters])
        per_unit = np.broadcast_to(self.raters_per_unit, self.n_clusters)[clusters]
        # Take the first raters of a random order.
        order = np.argsort(random.random((n_units, n_raters)), axis=1)
        unit, place = np.nonzero(np.arange(n_raters) < per_unit[:, None])
        rater = order[unit, place]
        code = _categorical(random, self.confusion[rater, truth[unit]])
        return Simulated(Ratings(unit, rater, code), clusters, truth)

    def agreement(self) -> dict[str, float]:
        """Return the true values of nominal coefficients, for raters drawn at random."""
        n_raters, q, _ = self.confusion.shape
        by_truth = self.confusion.mean(axis=0)
        same = (self.confusion.sum(axis=0) ** 2 - (self.confusion**2).sum(axis=0)).sum(-1)
        observed = float(self.prevalence @ same / (n_raters * (n_raters - 1)))
        shares = self.prevalence @ by_truth
        gwet = float((shares * (1 - shares)).sum() / (q - 1))
        fleiss = float((shares**2).sum())
        return {
            "percent_agreement": observed,
            "gwet_ac": (observed - gwet) / (1 - gwet),
            "fleiss_kappa": (observed - fleiss) / (1 - fleiss),
            "krippendorff_alpha": (observed - fleiss) / (1 - fleiss),
        }


class Coverage(NamedTuple):
    """How often intervals contain the true value, as shares of the data sets with a value.

    Parameters
    ----------
    name
        The coefficient.
    by_clusters, by_influence
        Coverage with clusters − 1 degrees of freedom, and with the effective ones. Both count every
        data set; an interval of width 0, where nothing varies, counts as a miss.
    withheld
        Share of data sets for which `coefficients` returns no interval.
    returned
        Coverage of the intervals that `coefficients` returns; None if there are none.

    """

    name: str
    by_clusters: float
    by_influence: float
    withheld: float
    returned: float | None


def coverage(
    design: Design, *, n: int, seed: int, bootstrap: int | None = None, confidence: float = 0.95
) -> list[Coverage]:
    """Simulate n data sets and count how often the intervals of coefficients contain the truth.

    Parameters
    ----------
    design
        What to simulate.
    n
        Number of data sets; the error of a coverage near 0.95 is 0.22 / √n.
    seed
        Seed of the simulation.
    bootstrap, confidence
        As in `coefficients`. With `bootstrap`, `returned` is the coverage of the percentiles.

    """
    truth = design.agreement()
    q = len(design.prevalence)
    found: dict[str, list[Coefficient]] = {name: [] for name in truth}
    for drawn in draws(design, n=n, seed=seed):
        for c in coefficients(
            drawn.ratings.counts(len(drawn.truth), q),
            categories=range(q),
            weights="identity",
            clusters=drawn.clusters,
            bootstrap=bootstrap,
            confidence=confidence,
        ):
            if c.name in truth and c.value is not None and c.se is not None:
                found[c.name].append(c)
    return [
        _covered(name, truth[name], rows, design.n_clusters - 1, confidence)
        for name, rows in found.items()
        if rows
    ]


class RateCoverage(NamedTuple):
    """How often the intervals of the raters contain the true rate; see `Coverage`."""

    name: str
    withheld: float
    returned: float | None


def rate_coverage(design: Design, category: int, *, n: int, seed: int) -> list[RateCoverage]:
    """Simulate n data sets and count how often intervals of `error_rates` contain the truth.

    Parameters
    ----------
    design
        What to simulate.
    category
        The index of the category of which to simulate sensitivity and specificity.
    n, seed
        As in `coverage`.

    """
    others = np.delete(design.prevalence, category)
    chosen = design.confusion[:, :, category]
    specificity = 1 - np.delete(chosen, category, axis=1) @ others / others.sum()
    truth = np.stack([chosen[:, category], specificity], axis=1)
    found: list[list[bool | None]] = [[], []]
    for drawn in draws(design, n=n, seed=seed):
        fit = dawid_skene(
            drawn.ratings, n_units=len(drawn.truth), n_categories=len(design.prevalence)
        )
        rated = error_rates(fit, drawn.ratings, category, clusters=drawn.clusters)
        for true, estimates in zip(truth.tolist(), rated, strict=False):
            for rate, estimate, covered in zip(true, estimates, found, strict=True):
                if estimate.value is not None:
                    covered.append(_contains(estimate, rate))
    return [
        RateCoverage(name, 1 - len(returned) / len(covered), float(np.mean(returned)))
        if (returned := [hit for hit in covered if hit is not None])
        else RateCoverage(name, 1.0, None)
        for name, covered in zip(ErrorRates._fields, found, strict=True)
    ]


def _contains(estimate: Estimate, truth: float) -> bool | None:
    if estimate.ci_low is None or estimate.ci_high is None:
        return None
    return estimate.ci_low <= truth <= estimate.ci_high


def draws(design: Design, *, n: int, seed: int) -> Iterator[Simulated]:
    """Yield n data sets, the same for the same seed."""
    for random in np.random.default_rng(seed).spawn(n):
        yield design.draw(random)


def _covered(
    name: str, truth: float, rows: list[Coefficient], df: float, confidence: float
) -> Coverage:
    def covers(c: Coefficient, df: float) -> bool:
        assert c.value is not None  # noqa: S101 - the caller leaves these out
        assert c.se is not None  # noqa: S101 - as above
        return abs(c.value - truth) <= t_quantile(df, confidence) * c.se

    returned = [
        c.ci_low <= truth <= c.ci_high
        for c in rows
        if c.ci_low is not None and c.ci_high is not None
    ]
    return Coverage(
        name,
        float(np.mean([covers(c, df) for c in rows])),
        float(np.mean([covers(c, 1.0 if c.df is None else c.df) for c in rows])),
        1 - len(returned) / len(rows),
        float(np.mean(returned)) if returned else None,
    )


def _categorical(random: np.random.Generator, probabilities: FloatArray) -> IntArray:
    """Draw one category per row of probabilities."""
    cumulative = probabilities.cumsum(axis=1)
    chosen: IntArray = (random.random((len(cumulative), 1)) > cumulative[:, :-1]).sum(axis=1)
    return chosen
