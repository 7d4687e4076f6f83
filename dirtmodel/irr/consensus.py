"""Estimate the true category of each unit and the error rates of each rater.

The model is that of Dawid & Skene (1979, Applied Statistics 28:20). Each unit has one true
category, which is not observed. Given the true category, ratings are independent. Each rater has a
table of error rates.
"""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from dirtmodel.errors import UsageError
from dirtmodel.irr.ratings import IntArray, Ratings, checked_ratings
from dirtmodel.irr.weights import FloatArray

_LEAST: Final = 1e-300
"""The least probability that a logarithm is taken of."""
_ALMOST_ZERO: Final = 1e-12
"""The probability that replaces extrapolated ones below it."""
_NO_RATINGS: Final = 1e-6
"""With fewer expected ratings of a true category, a rater counts as having rated none of it."""
_FEW_RATERS: Final = 3


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model of Dawid and Skene.

    Parameters
    ----------
    probabilities
        Units × q: the probability that each category is the true one. Units without a rating have
        the prevalence.
    prevalence
        q: how often each category is the true one.
    confusion
        Raters × q × q: how often a rater chooses each category (last axis), given the true one.
        NaN for a category that is never the true one, unless there is a prior.
    n_ratings
        Number of ratings of each rater.
    expected
        Raters × q × q: expected numbers of ratings, by true category and then by choice.
    prior
        Number of ratings that each cell of a rater's table started with.
    iterations, converged
        Number of iterations (two steps of EM each); true if the probabilities converged.

    """

    probabilities: FloatArray
    prevalence: FloatArray
    confusion: FloatArray
    n_ratings: IntArray
    expected: FloatArray
    prior: float
    iterations: int
    converged: bool

    def sensitivity(self, category: int) -> FloatArray:
        """Return how often each rater chooses a category, given that it is the true one.

        NaN for raters who rated no unit that is likely to be of this category, because the value
        would come from the prior alone.
        """
        rated = self.expected[:, category].sum(axis=1) > _NO_RATINGS
        return np.where(rated, self.confusion[:, category, category], np.nan)

    def specificity(self, category: int) -> FloatArray:
        """Return how often each rater does not choose a category, given that another is true.

        The other categories are weighted by their prevalence, which is the same for every rater.
        NaN for raters who rated no unit that is likely to be of another category.
        """
        others = np.delete(np.arange(len(self.prevalence)), category)
        weights = self.prevalence[others]
        present = weights > 0
        if not present.any():
            return np.full(len(self.confusion), np.nan)
        chosen = self.confusion[:, others[present], category]
        rated = self.expected[:, others].sum(axis=(1, 2)) > _NO_RATINGS
        return np.where(rated, 1 - chosen @ weights[present] / weights[present].sum(), np.nan)

    @property
    def switched(self) -> list[tuple[int, int]]:
        """Return pairs (a, b): where the model takes a to be true, raters choose b most often.

        The likelihood does not depend on the labels of the categories, so EM may have exchanged the
        labels of such a pair.
        """
        pooled = self.expected.sum(axis=0)
        return [
            (true, int(row.argmax()))
            for true, row in enumerate(pooled)
            if row.sum() >= 1 and row.argmax() != true
        ]

    @property
    def few_raters(self) -> bool:
        """Return true if there are fewer than three raters.

        If two raters differ, the data do not show which of them is wrong. Error rates then depend
        on the prior and the starting values (Walter & Irwig 1988, J Clin Epidemiol 41:923).
        """
        return int((self.n_ratings > 0).sum()) < _FEW_RATERS

    def information(self) -> FloatArray:
        """Return the expected information, in bits, of one more rating of each unit.

        This is the mutual information of the true category and the rating of an average rater. It
        is large if the true category is uncertain and a rating can decide it, and 0 if it is known.
        """
        pooled = self.expected.sum(axis=0)
        totals = pooled.sum(axis=1, keepdims=True)
        typical = np.divide(pooled, totals, out=np.zeros_like(pooled), where=totals > 0)
        marginal = self.probabilities @ typical
        noise = self.probabilities @ _entropy(typical)
        return np.maximum(_entropy(marginal) - noise, 0.0)


def dawid_skene(
    ratings: Ratings,
    *,
    n_units: int,
    n_categories: int,
    prior: float = 0.5,
    tolerance: float = 1e-7,
    max_iterations: int = 500,
) -> Fit:
    """Fit the model of Dawid and Skene by EM, starting from the shares of votes.

    Parameters
    ----------
    ratings
        A rater may rate a unit several times, as in the paper; indices as in `Ratings`.
    n_units, n_categories
        Numbers of units, rated or not, and of categories.
    prior
        Number of ratings that each cell of each rater's table starts with (a symmetric Dirichlet
        prior). It prevents certain conclusions about a rater with few ratings. 0: maximum
        likelihood, as in the paper.
    tolerance
        EM stops when no probability changes by more than this in one step.
    max_iterations
        EM stops after this number of iterations; `converged` is then false.

    Returns
    -------
    Fit
        The same ratings always return the same numbers. If no unit has two ratings, the
        probabilities are the ratings themselves.

    Raises
    ------
    UsageError
        If an argument is out of range.

    Examples
    --------
    >>> from dirtmodel.irr import tabulate
    >>> votes = tabulate([[1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]], categories=[0, 1])
    >>> fit = dawid_skene(votes.margins, n_units=5, n_categories=2, prior=0)
    >>> fit.probabilities.round(3)[:, 1].tolist(), fit.sensitivity(1).round(3).tolist()
    ([1.0, 1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.5])

    """
    from scipy import sparse

    if not 0 <= prior < np.inf:
        raise UsageError(f"prior: {prior!r} is not a number of ratings; pass 0 or more")
    who = checked_ratings(ratings, n_units, n_categories)
    q, n_raters = n_categories, int(who.rater.max(initial=-1)) + 1
    # Number of ratings: units × (raters × q).
    votes = sparse.csr_matrix(
        (np.ones(len(who.unit)), (who.unit, who.rater * q + who.code)),
        shape=(n_units, n_raters * q),
    )
    rated = np.bincount(who.unit, minlength=n_units) > 0
    votes = votes[np.flatnonzero(rated)]
    by_category = who.counts(n_units, q)[rated].astype(np.float64)
    probabilities = by_category / np.maximum(by_category.sum(axis=1, keepdims=True), 1)
    # If no unit has two ratings, error rates cannot be estimated: keep the shares of votes.
    iterations, converged = 0, not (by_category.sum(axis=1) > 1).any()
    model = _Model(votes, votes.T.tocsr(), n_raters, prior)
    while not converged and iterations < max_iterations:
        updated, change = model.cycle(probabilities)
        iterations += 1
        converged = change <= tolerance
        probabilities = updated
    prevalence, confusion, expected = model.maximise(probabilities)
    of_all_units = np.tile(prevalence, (n_units, 1))
    of_all_units[rated] = probabilities
    return Fit(
        of_all_units,
        prevalence,
        confusion,
        np.bincount(who.rater, minlength=n_raters),
        expected,
        prior,
        iterations,
        converged,
    )


class _Model(NamedTuple):
    """The votes, units × (raters × chosen) and transposed, and the two steps of EM.

    EM is accelerated by squared extrapolation (SQUAREM; Varadhan & Roland 2008, Scandinavian
    Journal of Statistics 35:335). Two steps predict the result of many further steps; the
    prediction is used unless it is less probable. This needs a fraction of the iterations.
    """

    votes: Any
    transposed: Any
    n_raters: int
    prior: float

    def cycle(self, probabilities: FloatArray) -> tuple[FloatArray, float]:
        """Return improved probabilities, and the greatest change of one in a step of EM."""
        start = _packed(*self.maximise(probabilities)[:2])
        first, _ = self.expect(start)
        one = _packed(*self.maximise(first)[:2])
        second, before = self.expect(one)
        change = float(np.abs(second - first).max())
        two = _packed(*self.maximise(second)[:2])
        step, bend = one - start, two - 2 * one + start
        size = np.sqrt((step**2).sum())
        curvature = np.sqrt((bend**2).sum())
        if curvature <= _LEAST or size <= curvature:
            return second, change
        length = size / curvature
        leap = _normalised(start + 2 * length * step + length**2 * bend)
        predicted, after = self.expect(leap)
        return (predicted if after >= before else second), change

    def maximise(self, probabilities: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """M step: return prevalence, error rates, and the expected counts behind them."""
        q = probabilities.shape[1]
        # (raters × chosen) × true, as raters × true × chosen.
        by_cell = (self.transposed @ probabilities).reshape(self.n_raters, q, q)
        expected = np.ascontiguousarray(by_cell.transpose(0, 2, 1))
        totals = expected.sum(axis=2, keepdims=True) + q * self.prior
        confusion = np.full(expected.shape, np.nan)
        np.divide(expected + self.prior, totals, out=confusion, where=totals > 0)
        prevalence = probabilities.mean(axis=0) if len(probabilities) else np.full(q, 1 / q)
        return prevalence, confusion, expected

    def expect(self, packed: FloatArray) -> tuple[FloatArray, float]:
        """E step: return each category's probability to be the true one, and the log posterior.

        The first row of `packed` is the prevalence; the others are the error rates.
        """
        prevalence, rates = packed[0], packed[1:]
        q = len(prevalence)
        logs = np.log(np.maximum(rates, _LEAST))
        by_cell = logs.reshape(self.n_raters, q, q).transpose(0, 2, 1).reshape(-1, q)
        joint = self.votes @ by_cell + np.log(np.maximum(prevalence, _LEAST))
        greatest = joint.max(axis=1, keepdims=True)
        weights = np.exp(joint - greatest)
        # A category with prevalence 0 keeps it.
        weights[:, prevalence <= 0] = 0
        totals = weights.sum(axis=1, keepdims=True)
        likelihood = float((np.log(totals) + greatest).sum())
        return weights / totals, likelihood + self.prior * float(logs.sum())


def _packed(prevalence: FloatArray, confusion: FloatArray) -> FloatArray:
    rates = np.nan_to_num(confusion).reshape(-1, len(prevalence))
    return np.concatenate([prevalence[None], rates])


def _normalised(packed: FloatArray) -> FloatArray:
    """Make each row sum to 1 again, after replacing extrapolated values below 0 by almost 0."""
    positive = np.where(packed == 0, 0.0, np.maximum(packed, _ALMOST_ZERO))
    totals = positive.sum(axis=1, keepdims=True)
    return positive / np.where(totals > 0, totals, 1)


def _entropy(probabilities: FloatArray) -> FloatArray:
    """Return the entropy in bits of each row."""
    logs = np.log2(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return np.asarray(-(probabilities * logs).sum(axis=-1))
