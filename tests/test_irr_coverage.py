"""Intervals of simulated ratings contain the truth as often as they state."""

import numpy as np
import pytest

from dirtmodel import irr

N = 400
# Three standard errors of a proportion of 0.95 in 400 data sets are 0.033.
TOLERANCE = 0.035


def design(fail: float, n_subjects: int, n_twice: int) -> irr.Design:
    """Simulate raters who say FAIL at this rate; some subjects are read by one rater only."""
    false_alarm, sensitivity = 0.3 * fail, 0.8
    bad = (fail - false_alarm) / (sensitivity - false_alarm)
    confusion = [[1 - false_alarm, false_alarm], [1 - sensitivity, sensitivity]]
    return irr.Design(
        prevalence=np.array([1 - bad, bad]),
        confusion=np.array([confusion] * 5),
        n_clusters=n_subjects,
        units_per_cluster=21,
        raters_per_unit=[2] * n_twice + [1] * (n_subjects - n_twice),
        concentration=20.0,
    )


def by_name(found: list[irr.Coverage]) -> dict[str, irr.Coverage]:
    return {row.name: row for row in found}


def test_intervals_cover_at_their_level_with_many_subjects() -> None:
    found = irr.coverage(design(0.2, 100, 100), n=N, seed=1)

    assert {row.name: row.returned for row in found} == {
        name: pytest.approx(0.95, abs=TOLERANCE)
        for name in ("percent_agreement", "gwet_ac", "fleiss_kappa", "krippendorff_alpha")
    }


@pytest.mark.parametrize(
    ("fail", "n_subjects", "n_twice", "least"),
    [
        (0.05, 30, 3, {"gwet_ac": 0.85, "fleiss_kappa": 0.87, "krippendorff_alpha": 0.65}),
        (0.20, 30, 3, {"gwet_ac": 0.93, "fleiss_kappa": 0.91, "krippendorff_alpha": 0.95}),
        (0.01, 30, 30, {"gwet_ac": 0.93, "fleiss_kappa": 0.90, "krippendorff_alpha": 0.90}),
        (0.05, 10, 10, {"gwet_ac": 0.93, "fleiss_kappa": 0.93, "krippendorff_alpha": 0.94}),
    ],
)
def test_intervals_cover_more_with_effective_degrees_of_freedom(
    fail: float, n_subjects: int, n_twice: int, least: dict[str, float]
) -> None:
    found = by_name(irr.coverage(design(fail, n_subjects, n_twice), n=N, seed=2))

    for name, share in least.items():
        assert found[name].by_influence >= share - TOLERANCE
        assert found[name].by_influence > found[name].by_clusters
        assert found[name].returned >= 0.95 - TOLERANCE


def test_bootstrap_does_not_help_with_few_subjects() -> None:
    linear = by_name(irr.coverage(design(0.05, 10, 10), n=100, seed=3))
    resampled = by_name(irr.coverage(design(0.05, 10, 10), n=100, seed=3, bootstrap=200))

    for name in ("gwet_ac", "fleiss_kappa", "krippendorff_alpha"):
        assert resampled[name].returned < linear[name].returned


def test_the_true_agreement_of_a_design_is_that_of_a_large_sample() -> None:
    large = irr.Design(
        prevalence=np.array([0.7, 0.1, 0.2]),
        confusion=np.array(
            [
                [[0.9, 0.1, 0.0], [0.3, 0.5, 0.2], [0.1, 0.2, 0.7]],
                [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]],
                [[0.95, 0.05, 0.0], [0.2, 0.6, 0.2], [0.1, 0.1, 0.8]],
            ]
        ),
        n_clusters=4000,
        units_per_cluster=20,
    )
    drawn = large.draw(np.random.default_rng(4))

    found = irr.coefficients(
        drawn.ratings.counts(len(drawn.truth), 3), categories=range(3), weights="identity"
    )

    truth = large.agreement()
    values = {c.name: c.value for c in found if c.name in truth}
    assert values == {name: pytest.approx(value, abs=0.02) for name, value in truth.items()}


def test_the_same_seed_draws_the_same_data() -> None:
    few = design(0.2, 5, 5)

    first, second = (few.draw(np.random.default_rng(5)) for _ in range(2))

    assert first.ratings.code.tolist() == second.ratings.code.tolist()
