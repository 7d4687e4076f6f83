"""The model of Dawid and Skene: the tables of the paper, simulated raters, and corner cases."""

import numpy as np
import pytest

from dirtmodel import irr
from dirtmodel.errors import UsageError

# Dawid & Skene (1979), Table 1: fitness of 45 patients for a general anaesthetic, on a scale from
# 1 to 4, as five anaesthetists assessed it. The first one saw each form three times.
PATIENTS = """
    111 1 1 1 1,  333 4 3 3 4,  112 2 1 2 2,  222 3 1 2 1,  222 3 2 2 2,  222 3 3 2 2,
    122 2 1 1 1,  333 3 4 3 3,  222 2 2 2 3,  232 2 2 2 3,  444 4 4 4 4,  222 3 3 4 3,
    111 1 1 1 1,  222 3 2 1 2,  121 1 1 1 1,  111 2 1 1 1,  111 1 1 1 1,  111 1 1 1 1,
    222 2 2 2 1,  222 1 3 2 2,  222 2 2 2 2,  222 2 2 2 1,  222 3 2 2 2,  221 2 2 2 2,
    111 1 1 1 1,  111 1 1 1 1,  232 2 2 2 2,  111 1 1 1 1,  111 1 1 1 1,  112 1 1 2 1,
    111 1 1 1 1,  333 3 2 3 3,  111 1 1 1 1,  222 2 2 2 2,  222 3 2 3 2,  433 4 3 4 3,
    221 2 2 3 2,  232 3 2 3 3,  333 3 4 3 2,  111 1 1 1 1,  111 1 1 1 1,  121 2 1 1 1,
    232 2 2 2 2,  121 1 1 1 1,  222 2 2 2 2
"""
PREVALENCE = [0.40, 0.42, 0.11, 0.07]
ERROR_RATES = [
    [
        [0.89, 0.11, 0.00, 0.00],
        [0.07, 0.88, 0.05, 0.00],
        [0.00, 0.34, 0.66, 0.00],
        [0.00, 0.00, 0.56, 0.44],
    ],
    [
        [0.83, 0.17, 0.00, 0.00],
        [0.05, 0.63, 0.31, 0.00],
        [0.00, 0.00, 1.00, 0.00],
        [0.00, 0.00, 0.00, 1.00],
    ],
    [
        [1.00, 0.00, 0.00, 0.00],
        [0.11, 0.79, 0.11, 0.00],
        [0.00, 0.40, 0.20, 0.40],
        [0.00, 0.00, 0.67, 0.33],
    ],
    [
        [0.94, 0.06, 0.00, 0.00],
        [0.05, 0.84, 0.10, 0.00],
        [0.00, 0.00, 0.80, 0.20],
        [0.00, 0.00, 0.33, 0.67],
    ],
    [
        [1.00, 0.00, 0.00, 0.00],
        [0.16, 0.73, 0.11, 0.00],
        [0.00, 0.21, 0.79, 0.00],
        [0.00, 0.00, 0.33, 0.67],
    ],
]
# Patient → probabilities; for patients whose probabilities are 0 and 1, the certain class.
UNCERTAIN = {
    7: [0.98, 0.02, 0.00, 0.00],
    35: [0.00, 0.95, 0.05, 0.00],
    38: [0.00, 0.02, 0.98, 0.00],
}
CERTAIN = {
    1: [1, 13, 15, 16, 17, 18, 25, 26, 28, 29, 30, 31, 33, 40, 41, 42, 44],
    2: [3, 4, 5, 6, 9, 10, 14, 19, 20, 21, 22, 23, 24, 27, 34, 37, 43, 45],
    3: [8, 12, 32, 39],
    4: [2, 11, 36],
}


def anaesthetists() -> irr.Ratings:
    rows = [
        (patient, observer, int(digit) - 1)
        for patient, line in enumerate(PATIENTS.split(","))
        for observer, digits in enumerate(line.split())
        for digit in digits
    ]
    return irr.Ratings(*np.array(rows).T)


@pytest.fixture(scope="module")
def paper() -> irr.Fit:
    return irr.dawid_skene(anaesthetists(), n_units=45, n_categories=4, prior=0, tolerance=1e-12)


def test_the_paper_s_error_rates_are_reproduced(paper: irr.Fit) -> None:
    assert paper.converged
    assert np.abs(paper.confusion - ERROR_RATES).max() < 0.005 + 1e-9


def test_the_paper_s_prevalence_is_reproduced(paper: irr.Fit) -> None:
    assert paper.prevalence.round(2).tolist() == PREVALENCE
    assert paper.n_ratings.tolist() == [135, 45, 45, 45, 45]


def test_the_paper_s_probabilities_are_reproduced(paper: irr.Fit) -> None:
    expected = np.zeros((45, 4))
    for category, patients in CERTAIN.items():
        expected[np.array(patients) - 1, category - 1] = 1
    for patient, row in UNCERTAIN.items():
        expected[patient - 1] = row

    assert paper.probabilities.round(2).tolist() == expected.tolist()


def test_a_prior_keeps_a_rater_with_few_ratings_uncertain() -> None:
    few = anaesthetists().take(np.arange(315) < 310)
    newcomer = irr.Ratings(
        *(np.append(part, new) for part, new in zip(few, (0, 5, 0), strict=True))
    )

    fitted = irr.dawid_skene(newcomer, n_units=45, n_categories=4)
    certain = irr.dawid_skene(newcomer, n_units=45, n_categories=4, prior=0)

    assert certain.confusion[5, 0, 0] == pytest.approx(1, abs=1e-6)
    assert fitted.confusion[5, 0, 0] == pytest.approx(1.5 / 3, abs=0.01)
    assert fitted.confusion[5, 3].tolist() == pytest.approx([0.25] * 4, abs=0.01)


def confusion(sensitivity: float, specificity: float) -> list[list[float]]:
    return [[specificity, 1 - specificity], [1 - sensitivity, sensitivity]]


def simulated(*odd: list[list[float]], n_clusters: int = 60) -> tuple[irr.Design, irr.Simulated]:
    raters = [confusion(0.8, 0.97)] * 4 + list(odd)
    design = irr.Design(
        prevalence=np.array([0.9, 0.1]),
        confusion=np.array(raters),
        n_clusters=n_clusters,
        units_per_cluster=20,
        raters_per_unit=2,
    )
    return design, design.draw(np.random.default_rng(11))


def test_error_rates_of_simulated_raters_are_recovered() -> None:
    design, drawn = simulated(confusion(0.4, 0.99), n_clusters=1500)

    fitted = irr.dawid_skene(drawn.ratings, n_units=30_000, n_categories=2)

    assert fitted.sensitivity(1) == pytest.approx(design.confusion[:, 1, 1], abs=0.06)
    assert fitted.specificity(1) == pytest.approx(design.confusion[:, 0, 0], abs=0.02)
    assert fitted.prevalence[1] == pytest.approx(drawn.truth.mean(), abs=0.01)


@pytest.mark.parametrize("odd", [confusion(0.3, 0.98), confusion(0.8, 0.75)])
def test_a_lenient_and_a_severe_rater_are_identified(odd: list[list[float]]) -> None:
    _, drawn = simulated(odd)

    fitted = irr.dawid_skene(drawn.ratings, n_units=1200, n_categories=2)

    youden = fitted.sensitivity(1) + fitted.specificity(1)
    assert youden.argmin() == 4


def test_probabilities_are_calibrated() -> None:
    _, drawn = simulated(n_clusters=500)

    p = irr.dawid_skene(drawn.ratings, n_units=10_000, n_categories=2).probabilities[:, 1]

    bins = [(p >= low) & (p < high) for low, high in ((0, 0.05), (0.05, 0.3), (0.3, 0.8), (0.8, 2))]
    for chosen in [chosen for chosen in bins if chosen.sum() > 50]:
        assert drawn.truth[chosen].mean() == pytest.approx(p[chosen].mean(), abs=0.06)


def test_the_same_ratings_give_the_same_numbers() -> None:
    first, second = (irr.dawid_skene(anaesthetists(), n_units=45, n_categories=4) for _ in range(2))

    assert first.probabilities.tolist() == second.probabilities.tolist()


def test_the_order_of_ratings_does_not_matter() -> None:
    shuffled = anaesthetists().take(np.random.default_rng(1).permutation(315))

    found = irr.dawid_skene(shuffled, n_units=45, n_categories=4)

    expected = irr.dawid_skene(anaesthetists(), n_units=45, n_categories=4)
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-9)


def test_unrated_units_have_the_prevalence_and_are_the_most_informative_to_rate() -> None:
    ratings = irr.tabulate([[1, 1, 1]] * 5 + [[0, 0, 0]] * 5, categories=[0, 1]).margins

    fitted = irr.dawid_skene(ratings, n_units=12, n_categories=2)

    assert fitted.probabilities[10:] == pytest.approx(np.full((2, 2), 0.5))
    gain = fitted.information()
    assert gain[10] == gain[11] == gain.max()
    assert gain[:10].max() < 0.1


def test_disagreement_is_more_informative_to_resolve_than_agreement() -> None:
    votes = [[0, 0, 0]] * 20 + [[1, 1, 1]] * 5 + [[0, 1, None]]
    ratings = irr.tabulate(votes, categories=[0, 1]).margins

    fitted = irr.dawid_skene(ratings, n_units=26, n_categories=2)

    assert fitted.information().argmax() == 25


def test_a_category_that_nobody_chose_is_never_the_true_one() -> None:
    ratings = irr.tabulate([[0, 0, 2], [2, 2, 2], [0, 0, 0]], categories=[0, 1, 2]).margins

    fitted = irr.dawid_skene(ratings, n_units=3, n_categories=3, prior=0)

    assert fitted.prevalence[1] == 0
    assert np.isnan(fitted.confusion[:, 1]).all()
    assert np.isnan(fitted.sensitivity(1)).all()
    assert fitted.specificity(1).tolist() == [1, 1, 1]


def test_one_rater_is_believed_and_reported() -> None:
    ratings = irr.tabulate([[0], [1], [0]], categories=[0, 1]).margins

    fitted = irr.dawid_skene(ratings, n_units=3, n_categories=2)

    assert fitted.probabilities.argmax(axis=1).tolist() == [0, 1, 0]
    assert fitted.few_raters


def test_without_ratings_nothing_is_known() -> None:
    fitted = irr.dawid_skene(irr.Ratings([], [], []), n_units=2, n_categories=2)

    assert fitted.probabilities.tolist() == [[0.5, 0.5]] * 2
    assert (fitted.iterations, fitted.converged) == (0, True)


def test_exchanged_labels_are_reported() -> None:
    expected = np.array([[[1.0, 9.0], [8.0, 2.0]]])
    fitted = irr.Fit(
        np.eye(2),
        np.array([0.5, 0.5]),
        expected / 10,
        np.array([20]),
        expected,
        prior=0.5,
        iterations=1,
        converged=True,
    )

    assert fitted.switched == [(0, 1), (1, 0)]


def test_too_few_iterations_are_reported() -> None:
    fitted = irr.dawid_skene(anaesthetists(), n_units=45, n_categories=4, max_iterations=2)

    assert (fitted.iterations, fitted.converged) == (2, False)


@pytest.mark.parametrize("prior", [-1, float("nan"), float("inf")])
def test_a_prior_must_be_a_number_of_ratings(prior: float) -> None:
    with pytest.raises(UsageError, match="is not a number of ratings; pass 0 or more"):
        irr.dawid_skene(anaesthetists(), n_units=45, n_categories=4, prior=prior)
