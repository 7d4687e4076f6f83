"""Intervals of the error rates of raters."""

import numpy as np
import pytest

from dirtmodel import irr

N_CLUSTERS = 25
SHARES = np.array([0.6, 0.2, 0.2])
CONFUSION = np.array([[[0.92, 0.05, 0.03], [0.1, 0.8, 0.1], [0.05, 0.1, 0.85]]] * 4)


def fit_of(ratings: irr.Ratings, n_units: int) -> irr.Fit:
    return irr.dawid_skene(ratings, n_units=n_units, n_categories=3)


@pytest.fixture(scope="module")
def drawn() -> irr.Simulated:
    design = irr.Design(SHARES, CONFUSION, N_CLUSTERS, 12, raters_per_unit=3)
    return design.draw(np.random.default_rng(3))


def test_the_error_is_that_of_a_jackknife_over_clusters(drawn: irr.Simulated) -> None:
    n_units = len(drawn.truth)

    found = irr.error_rates(
        fit_of(drawn.ratings, n_units), drawn.ratings, 2, clusters=drawn.clusters
    )

    without = [
        fit_of(drawn.ratings.take(drawn.clusters[drawn.ratings.unit] != left), n_units)
        for left in range(N_CLUSTERS)
    ]
    for rate in ("sensitivity", "specificity"):
        values = np.array([getattr(fit, rate)(2) for fit in without])
        jackknifed = np.sqrt((N_CLUSTERS - 1) * values.var(axis=0))
        errors = [getattr(rater, rate).se for rater in found]
        assert errors == pytest.approx(jackknifed, rel=0.12)


def test_the_values_are_those_of_the_fit(drawn: irr.Simulated) -> None:
    fit = fit_of(drawn.ratings, len(drawn.truth))

    found = irr.error_rates(fit, drawn.ratings, 2, clusters=drawn.clusters)

    assert [rater.sensitivity.value for rater in found] == fit.sensitivity(2).tolist()
    assert [rater.specificity.value for rater in found] == fit.specificity(2).tolist()
    for rate in (rate for rater in found for rate in rater):
        assert 0 < rate.ci_low < rate.value < rate.ci_high < 1  # type: ignore[operator]  # all defined
        assert rate.reason is None


def test_the_error_is_not_below_that_of_a_known_truth() -> None:
    votes = irr.tabulate([[1], [1], [1], [0], [0], [0], [0]], categories=[0, 1])

    (found,) = irr.error_rates(
        irr.dawid_skene(votes.margins, n_units=7, n_categories=2), votes.margins, 1
    )

    # Three of three, and half a rating is added to each cell.
    assert found.sensitivity.value == pytest.approx(3.5 / 4)
    assert found.sensitivity.se == pytest.approx((3.5 / 4 * 0.5 / 4 / 5) ** 0.5)


def test_a_single_cluster_has_no_interval(drawn: irr.Simulated) -> None:
    fit = fit_of(drawn.ratings, len(drawn.truth))
    together = np.zeros(len(drawn.truth), dtype=np.int64)

    found = irr.error_rates(fit, drawn.ratings, 2, clusters=together)

    assert {rate.reason for rater in found for rate in rater} == {"one cluster alone contributes"}
    assert {rate.ci_low for rater in found for rate in rater} == {None}


def test_a_rate_at_its_limit_has_no_interval() -> None:
    votes = irr.tabulate([[1, 1], [1, 1], [0, 0], [0, 0], [0, 0]], categories=[0, 1])
    fit = irr.dawid_skene(votes.margins, n_units=5, n_categories=2, prior=0)

    found = irr.error_rates(fit, votes.margins, 1)

    assert {rate.reason for rater in found for rate in rater} == {"the rate is 0 or 1"}


def test_a_category_that_is_never_true_has_no_sensitivity() -> None:
    votes = irr.tabulate([[0, 0], [0, 0], [0, 0]], categories=[0, 1])
    fit = irr.dawid_skene(votes.margins, n_units=3, n_categories=2)

    found = irr.error_rates(fit, votes.margins, 1)

    assert {rater.sensitivity for rater in found} == {
        irr.Estimate(None, reason="no rated unit is likely to be one")
    }


def test_without_ratings_there_are_no_raters() -> None:
    nothing = irr.tabulate(np.full((3, 2), -1), categories=[0, 1]).margins

    found = irr.error_rates(irr.dawid_skene(nothing, n_units=3, n_categories=2), nothing, 1)

    assert found == []


def test_intervals_cover_at_their_level() -> None:
    confusion = np.array([[[0.97, 0.03], [0.2, 0.8]]] * 4 + [[[0.92, 0.08], [0.6, 0.4]]])
    design = irr.Design(np.array([0.9, 0.1]), confusion, 60, 10, raters_per_unit=3)

    found = irr.rate_coverage(design, 1, n=40, seed=1)

    # Slightly more than three standard errors of a proportion of 0.95 (40 data sets × 5 raters).
    assert {rate.name: rate.returned for rate in found} == {
        "sensitivity": pytest.approx(0.96, abs=0.04),
        "specificity": pytest.approx(0.96, abs=0.04),
    }
