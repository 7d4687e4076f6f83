"""Compute the standard error and interval of a value from the influence of each cluster on it.

This is linearisation (the delta method; Binder 1983, International Statistical Review 51:279). A
value that is a function of sums changes by z_g, to first order, when cluster g is added once more.
Its variance is G / (G − 1) Σ (z_g − z̄)². The interval uses Student's t. The degrees of freedom come
from the influences, (Σ z²)² / Σ z⁴ − 1 (Satterthwaite's approximation with each z² as one component
of variance), and not from the number of clusters, because a few of many clusters may have almost
all of the variance.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.irr.ratings import IntArray
from dirtmodel.irr.weights import FloatArray

MIN_EFFECTIVE: Final = 2.0
"""With a smaller effective number of clusters there is no interval."""

MAX_UNDEFINED: Final = 0.05
"""With a greater share of undefined bootstrap replicates there is no interval."""

_ROUNDING: Final = 1e-12
"""Smaller errors and differences count as 0."""
_SLACK: Final = 0.05
"""The effective number of three clusters can be two or slightly less, because the z sum to 0."""

Numbers = npt.NDArray[Any]
"""Real numbers. numpy's own annotations take sums of weights for integers."""


class Estimate(NamedTuple):
    """A value with its error; undefined values are None, and `reason` explains why.

    `df` are the effective degrees of freedom of the interval: the effective number of clusters
    minus 1, and at least 1. If there is an interval, `reason` describes it.
    """

    value: float | None
    se: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    reason: str | None = None
    df: float | None = None


def defined(value: float | npt.NDArray[Any]) -> float | None:
    """Return a value, or None for NaN."""
    return None if np.isnan(value) else float(value)


class Sampling(NamedTuple):
    """The noun for what is sampled independently, such as `cluster`, and the level of intervals."""

    noun: str = "cluster"
    confidence: float = 0.95

    def checked(self) -> "Sampling":
        """Return self, or raise UsageError if the level is not between 0 and 1."""
        if not 0 < self.confidence < 1:
            raise UsageError(
                f"confidence: {self.confidence!r} is not a level; pass one between 0 and 1"
            )
        return self


class Moments(NamedTuple):
    """The number of clusters, and Σ z² and Σ z⁴ of their centred influences, for each value."""

    n: Numbers
    squares: Numbers
    fourths: Numbers

    @property
    def se(self) -> FloatArray:
        """Return the standard errors; NaN with fewer than two clusters."""
        enough = self.n > 1
        factor = np.where(enough, self.n / np.where(enough, self.n - 1, 1), np.nan)
        return np.asarray(np.sqrt(factor * self.squares))

    @property
    def effective(self) -> FloatArray:
        """Return the effective number of clusters; 0 where nothing varies."""
        varies = self.fourths > 0
        return np.where(varies, self.squares**2 / np.where(varies, self.fourths, 1), 0.0)


def moments(influence: Numbers, repeats: FloatArray | None = None) -> Moments:
    """Return the moments of clusters × values; `repeats` is the number of clusters of each row."""
    weights = np.ones(len(influence)) if repeats is None else repeats
    n = weights.sum()
    centred = influence - weights @ influence / max(n, 1)
    squares = centred**2
    sums = weights @ squares, weights @ squares**2
    return Moments(np.full(len(sums[0]), n), *sums)


def grouped_moments(influence: Numbers, groups: IntArray, n_groups: int) -> Moments:
    """Return the moments of each group; `influence` has one entry per cluster of a group."""
    n = np.bincount(groups, minlength=n_groups).astype(np.float64)
    means = np.bincount(groups, weights=influence, minlength=n_groups) / np.maximum(n, 1)
    squares = (influence - means[groups]) ** 2
    return Moments(
        n,
        np.bincount(groups, weights=squares, minlength=n_groups),
        np.bincount(groups, weights=squares**2, minlength=n_groups),
    )


def varies(rows: FloatArray) -> bool:
    """Return true if the ratio of the two columns differs between rows, where it is defined."""
    shares = rows[rows[:, 1] > 0, 0] / rows[rows[:, 1] > 0, 1]
    return bool(np.ptp(shares) > _ROUNDING) if len(shares) else False


class Spread(NamedTuple):
    """The standard error, and the numbers of effective and of informative clusters.

    A cluster is informative if the value can be computed from it alone.
    """

    se: float
    effective: float
    informative: float


def estimate(
    value: float,
    spread: Spread,
    sampling: Sampling,
    *,
    limits: tuple[float, float] = (-np.inf, np.inf),
    undefined: str = "undefined",
    proportion: bool = False,
    withhold: str | None = None,
) -> Estimate:
    """Return a value with its error and interval, or the reason why there is none.

    Parameters
    ----------
    value
        NaN if undefined.
    spread
        The error of the value, and the numbers of clusters.
    sampling
        The level of the interval, and the noun for a cluster.
    limits
        The least and greatest possible value, to which the interval is clipped.
    undefined
        The reason to return if the value is NaN.
    proportion
        True if the value is a mean of numbers within `limits`, one per cluster. If it equals one
        of the limits, nothing varies, and the other end of the interval is exact: if none of n
        clusters is off the limit, the share of such clusters is below 1 − a^(1/n) at level 1 − a
        (Clopper & Pearson 1934, one-sided).
    withhold
        A reason not to return an interval although there is an error.

    """
    if np.isnan(value):
        return Estimate(None, reason=undefined)
    if np.isnan(spread.se) or spread.informative < 2:  # noqa: PLR2004 - a variance needs two
        return Estimate(float(value), reason=f"one {sampling.noun} alone contributes")
    if spread.se <= _ROUNDING:
        return _without_variation(value, spread, sampling, limits, proportion=proportion)
    df = max(spread.effective - 1, 1.0)
    if spread.effective < MIN_EFFECTIVE - _SLACK:
        reason = f"one or two {sampling.noun}s determine this value"
        return Estimate(float(value), spread.se, reason=reason, df=df)
    if withhold is not None:
        return Estimate(float(value), spread.se, reason=withhold, df=df)
    half = t_quantile(df, sampling.confidence) * spread.se
    low, high = limits
    # With prevalence from all units, a kappa can be below -1; the lower limit then does not apply.
    low = max(low, float(value) - half) if value >= low else float(value) - half
    return Estimate(float(value), spread.se, low, min(high, float(value) + half), None, df)


def _without_variation(
    value: float,
    spread: Spread,
    sampling: Sampling,
    limits: tuple[float, float],
    *,
    proportion: bool,
) -> Estimate:
    reason = f"no two {sampling.noun}s differ"
    low, high = limits
    share = (1 - sampling.confidence) ** (1 / spread.informative)
    if not np.isfinite(high - low):
        return Estimate(float(value), 0.0, reason=reason)
    if proportion and value >= high - _ROUNDING:
        bounds = low + (high - low) * share, high
    elif proportion and value <= low + _ROUNDING:
        bounds = low, high - (high - low) * share
    else:
        return Estimate(float(value), 0.0, reason=reason)
    return Estimate(float(value), 0.0, *bounds, f"{reason}: exact one-sided bound")


def t_quantile(df: float, confidence: float) -> float:
    """Return the quantile of Student's t for a two-sided interval."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + confidence) / 2))


def bootstrapped(
    linear: Estimate, replicates: npt.NDArray[np.float64], sampling: Sampling
) -> Estimate:
    """Replace error and interval by the standard deviation and percentiles of replicates.

    There is no interval if there is no linearised one, if more than 5 % of the replicates are
    undefined, or if all of them are equal.
    """
    if linear.value is None or linear.se is None or linear.se <= _ROUNDING:
        return linear
    defined = replicates[np.isfinite(replicates)]
    n_undefined = len(replicates) - len(defined)
    note = f"undefined in {n_undefined} of {len(replicates)} bootstrap replicates"
    if n_undefined > MAX_UNDEFINED * len(replicates):
        return Estimate(linear.value, reason=note)
    if linear.ci_low is None:
        return linear
    tails = [(1 - sampling.confidence) / 2, (1 + sampling.confidence) / 2]
    low, high = np.quantile(defined, tails).tolist()
    se = float(defined.std(ddof=1))
    if high - low <= _ROUNDING:
        return Estimate(linear.value, se, reason="all bootstrap replicates are equal")
    return Estimate(linear.value, se, low, min(1.0, high), note if n_undefined else None)


def check_bootstrap(bootstrap: int | None, seed: int) -> None:
    """Raise UsageError if there are fewer than two replicates or the seed is negative."""
    if bootstrap is not None and bootstrap < 2:  # noqa: PLR2004 - a deviation needs two
        raise UsageError(f"bootstrap: {bootstrap!r} replicates are too few; pass 2000, for example")
    if seed < 0:
        raise UsageError(f"seed: {seed!r} is negative; pass 0 or more")
