"""Simulated reviews: an interval of 95 % holds the truth 95 times in 100, if clusters are known.

Images of one subject share what makes them hard: most subjects are clear, some are not, and on
those the raters both fail more and disagree more.
"""

import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from dirtmodel.queries import agreement

CATEGORIES = ["not FAIL", "FAIL"]
N_RATERS = 3
N_IMAGES = 15
N_SUBJECTS = 80
N_REPLICATES = 500
# Of each kind of subject: how many, how often an image is bad, how often a rater errs.
KINDS = [(0.7, 0.05, 0.03), (0.3, 0.60, 0.25)]
# Three standard errors of a proportion of 0.95 in 500 replicates are 0.029.
TOLERANCE = 0.03


def _truth() -> dict[str, float | None]:
    """Coefficients of all images there could be: each pattern as often as it is expected."""
    expected = np.zeros(N_RATERS + 1)
    for share, bad, error in KINDS:
        for weight, p in ((bad, 1 - error), (1 - bad, error)):
            for k in range(N_RATERS + 1):
                ways = math.comb(N_RATERS, k)
                expected[k] += share * weight * ways * p**k * (1 - p) ** (N_RATERS - k)
    patterns = [[N_RATERS - k, k] for k in range(N_RATERS + 1)]
    repeats = np.round(expected * 1e12)
    found = agreement.coefficients(
        patterns, categories=CATEGORIES, multiplicity=repeats, weights="identity"
    )
    return {c.name: c.value for c in found}


def _samples() -> Iterator[npt.NDArray[np.int64]]:
    """Give counts, subjects × images × 2, one replicate after the other."""
    random = np.random.default_rng(20250713)
    shares, bad, error = np.array(KINDS).T
    for _ in range(N_REPLICATES):
        kind = random.choice(len(KINDS), size=N_SUBJECTS, p=shares)
        is_bad = random.random((N_SUBJECTS, N_IMAGES)) < bad[kind][:, None]
        says_fail = np.where(is_bad, 1 - error[kind][:, None], error[kind][:, None])
        fails = random.binomial(N_RATERS, says_fail)
        yield np.stack([N_RATERS - fails, fails], axis=-1)


def _coverage(*, clustered: bool) -> dict[str, float]:
    truth = _truth()
    subjects = np.repeat(np.arange(N_SUBJECTS), N_IMAGES).tolist()
    hits: Counter[str] = Counter()
    for counts in _samples():
        found = agreement.coefficients(
            counts.reshape(-1, 2),
            categories=CATEGORIES,
            weights="identity",
            clusters=subjects if clustered else None,
        )
        hits.update(
            c.name for c in found if c.value is not None and c.ci_low <= truth[c.name] <= c.ci_high
        )
    return {name: n / N_REPLICATES for name, n in hits.items()}


NAMES = ["percent_agreement", "gwet_ac", "fleiss_kappa", "brennan_prediger", "krippendorff_alpha"]


def test_clustered_intervals_cover_at_their_level() -> None:
    coverage = _coverage(clustered=True)

    assert coverage == {name: pytest.approx(0.95, abs=TOLERANCE) for name in NAMES}


def test_intervals_that_ignore_clusters_cover_too_little() -> None:
    coverage = _coverage(clustered=False)

    assert max(coverage.values()) < 0.95 - TOLERANCE
    assert min(coverage.values()) < 0.75
