"""Properties of coefficients: invariances, undefined values, and invalid arguments."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirtmodel import irr
from dirtmodel.errors import UsageError
from dirtmodel.irr import intervals
from dirtmodel.irr.proportions import values

# The first example imports scipy, which can take longer than the deadline of hypothesis.
unhurried = settings(deadline=None)

CATEGORIES = ["PASS", "UNSURE", "FAIL"]
CONTRACT = [
    (name, weights)
    for weights in ("identity", "linear", "quadratic")
    for name in (
        "percent_agreement",
        "gwet_ac",
        "fleiss_kappa",
        "conger_kappa",
        "brennan_prediger",
    )
] + [("krippendorff_alpha", metric) for metric in ("nominal", "ordinal", "interval")]

Counts = list[list[int]]

counts_of_units = st.lists(
    st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=12
)


def _same(found: list[irr.Coefficient], expected: list[irr.Coefficient], **given_: float) -> bool:
    abs_tol = given_.get("abs_tol", 1e-9)

    def close(a: float | None, b: float | None) -> bool:
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=0, abs_tol=abs_tol)

    return len(found) == len(expected) and all(
        f[:2] == e[:2] and f.reason == e.reason and all(map(close, f[2:6], e[2:6]))
        for f, e in zip(found, expected, strict=True)
    )


def _by_name(found: list[irr.Coefficient]) -> dict[str, irr.Coefficient]:
    return {c.name: c for c in found}


def test_all_coefficients_are_returned_by_default_in_a_fixed_order() -> None:
    found = irr.coefficients([[2, 0, 0], [1, 0, 1]], categories=CATEGORIES)

    assert [(c.name, c.weights) for c in found] == CONTRACT


@pytest.mark.parametrize(
    ("weights", "metrics"),
    [
        ("identity", ["nominal"]),
        ("linear", ["linear"]),
        ("quadratic", ["interval"]),
        ("ordinal", ["ordinal"]),
        (["identity", "nominal", "ordinal"], ["nominal", "ordinal"]),
        ([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], ["custom"]),
    ],
)
def test_weights_choose_the_metric_of_alpha(weights: object, metrics: list[str]) -> None:
    found = irr.coefficients([[2, 0, 0], [1, 0, 1]], categories=CATEGORIES, weights=weights)

    assert [c.weights for c in found if c.name == "krippendorff_alpha"] == metrics


def test_numbers_are_categories_at_their_values_and_words_are_evenly_spaced() -> None:
    counts = [[2, 0, 0], [1, 1, 0], [2, 1, 0], [0, 1, 1], [1, 0, 2]]

    words, even, uneven = (
        irr.coefficients(counts, categories=categories)
        for categories in (CATEGORIES, [10, 20, 30], [0, 1, 10])
    )

    assert words == even
    changed = {w.weights for w, u in zip(words, uneven, strict=True) if w != u}
    assert changed == {"linear", "quadratic", "interval"}


@unhurried
@given(counts=counts_of_units, data=st.data())
def test_the_order_of_units_does_not_matter(counts: Counts, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(counts))

    found = irr.coefficients(shuffled, categories=CATEGORIES)

    assert _same(found, irr.coefficients(counts, categories=CATEGORIES))


@unhurried
@given(
    ratings=st.lists(
        st.lists(st.sampled_from([*CATEGORIES, None]), min_size=3, max_size=3), min_size=1
    ),
    order=st.permutations(range(3)),
)
def test_the_order_of_raters_does_not_matter(
    ratings: list[list[str | None]], order: list[int]
) -> None:
    one = irr.tabulate(ratings, categories=CATEGORIES)
    other = irr.tabulate([[r[i] for i in order] for r in ratings], categories=CATEGORIES)

    found = irr.coefficients(other.counts, categories=CATEGORIES, margins=other.margins)

    expected = irr.coefficients(one.counts, categories=CATEGORIES, margins=one.margins)
    assert _same(found, expected)


@unhurried
@given(counts=counts_of_units, data=st.data())
def test_a_multiplicity_is_a_repetition(counts: Counts, data: st.DataObject) -> None:
    n = len(counts)
    repeats = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    clusters = data.draw(st.none() | st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    rows = [row for row, m in enumerate(repeats) for _ in range(m)]

    found = irr.coefficients(counts, categories=CATEGORIES, multiplicity=repeats, clusters=clusters)

    expected = irr.coefficients(
        [counts[row] for row in rows],
        categories=CATEGORIES,
        clusters=None if clusters is None else [clusters[row] for row in rows],
    )
    assert _same(found, expected)


@unhurried
@given(counts=counts_of_units)
def test_clusters_of_one_unit_are_independent_units(counts: Counts) -> None:
    found = irr.coefficients(counts, categories=CATEGORIES, clusters=range(len(counts)))

    expected = irr.coefficients(counts, categories=CATEGORIES)
    assert _same(
        [c._replace(reason=None) for c in found], [c._replace(reason=None) for c in expected]
    )


@unhurried
@given(counts=counts_of_units)
def test_copies_within_a_cluster_add_no_certainty(counts: Counts) -> None:
    clusters = list(range(len(counts)))
    kappas = ["identity", "linear", "quadratic"]

    found = irr.coefficients(
        counts * 5, categories=CATEGORIES, clusters=clusters * 5, weights=kappas
    )

    expected = irr.coefficients(counts, categories=CATEGORIES, clusters=clusters, weights=kappas)
    # Alpha alone corrects for the number of values.
    assert _same(found[:-3], expected[:-3])


@unhurried
@given(counts=counts_of_units)
def test_units_without_ratings_do_not_count(counts: Counts) -> None:
    found = irr.coefficients([*counts, [0, 0, 0]], categories=CATEGORIES)

    assert _same(found, irr.coefficients(counts, categories=CATEGORIES))


@unhurried
@given(counts=counts_of_units)
def test_reversing_the_scale_changes_nothing(counts: Counts) -> None:
    found = irr.coefficients([row[::-1] for row in counts], categories=CATEGORIES)

    assert _same(found, irr.coefficients(counts, categories=CATEGORIES))


@unhurried
@given(counts=counts_of_units)
def test_the_interval_holds_the_value_and_ends_at_one(counts: Counts) -> None:
    found = irr.coefficients(counts, categories=CATEGORIES)

    for c in found:
        if c.ci_low is not None:
            assert c.ci_low <= c.value <= c.ci_high + 1e-12
            assert c.ci_high - c.ci_low > 0
        assert c.ci_low is not None or c.reason


def test_prevalence_pairable_looks_at_units_with_two_ratings_only() -> None:
    pairable = [[2, 0, 0], [1, 1, 0], [0, 0, 2]]

    found = irr.coefficients([*pairable, [0, 0, 1]], categories=CATEGORIES, prevalence="pairable")

    assert found == irr.coefficients(pairable, categories=CATEGORIES)


def test_one_category_used_leaves_kappa_and_alpha_without_variation() -> None:
    t = irr.tabulate([["PASS"] * 3] * 5, categories=CATEGORIES)

    found = irr.coefficients(t.counts, categories=CATEGORIES, margins=t.margins)

    bound = 0.05 ** (1 / 5)
    exact = "no two units differ: exact one-sided bound"
    by_name = {c.name: c[2:] for c in found if c.weights in {"identity", "nominal"}}
    assert by_name == {
        "percent_agreement": (1.0, 0.0, pytest.approx(bound), 1.0, exact, None),
        "brennan_prediger": (1.0, 0.0, pytest.approx(1 - 1.5 * (1 - bound)), 1.0, exact, None),
        "gwet_ac": (1.0, 0.0, None, None, "no two units differ", None),
        "fleiss_kappa": (*[None] * 4, "no variation", None),
        "conger_kappa": (*[None] * 4, "no variation", None),
        "krippendorff_alpha": (*[None] * 4, "no variation", None),
    }


@pytest.mark.parametrize("counts", [[], [[0, 0, 0]], [[1, 0, 0], [0, 1, 0]]])
def test_without_a_unit_rated_twice_everything_is_undefined(counts: Counts) -> None:
    found = irr.coefficients(counts, categories=CATEGORIES, clusters=["s"] * len(counts))

    assert {c[2:] for c in found} == {(None, None, None, None, "no unit has two ratings", None)}


def test_one_cluster_has_values_and_no_interval() -> None:
    counts = [[2, 0, 0], [1, 0, 1]]

    found = irr.coefficients(counts, categories=CATEGORIES, clusters=["s", "s"], weights="identity")

    free = irr.coefficients(counts, categories=CATEGORIES, weights="identity")
    assert [c.value for c in found] == [c.value for c in free]
    assert {c[3:] for c in found if c.value is not None} == {
        (None, None, None, "one cluster alone contributes", None)
    }


def test_one_unit_has_values_and_no_interval() -> None:
    found = irr.coefficients([[1, 0, 1]], categories=CATEGORIES, weights="identity")

    assert _by_name(found)["percent_agreement"][2:] == (
        *(0.0, None, None, None),
        "one unit alone contributes",
        None,
    )


def test_conger_needs_to_know_the_raters() -> None:
    found = irr.coefficients([[2, 0, 0], [1, 0, 1]], categories=CATEGORIES)

    assert _by_name(found)["conger_kappa"][2:] == (
        *[None] * 4,
        "the raters are not given (margins)",
        None,
    )


def _sample(n_subjects: int) -> tuple[irr.Tabulation, list[int]]:
    random = np.random.default_rng(7)
    hard = random.random(n_subjects)[:, None, None]
    codes = (random.random((n_subjects, 6, 3)) < hard) * 2
    clusters = np.repeat(np.arange(n_subjects), 6).tolist()
    return irr.tabulate(codes.reshape(-1, 3), categories=[0, 1, 2]), clusters


def test_bootstrap_repeats_itself_by_its_seed() -> None:
    t, clusters = _sample(30)

    def run(seed: int) -> list[irr.Coefficient]:
        return irr.coefficients(
            t.counts,
            categories=[0, 1, 2],
            clusters=clusters,
            margins=t.margins,
            bootstrap=50,
            seed=seed,
        )

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("clustered", [True, False])
def test_bootstrap_and_linearisation_agree_on_large_samples(clustered: bool) -> None:
    t, clusters = _sample(300)
    ask = {"categories": [0, 1, 2], "clusters": clusters if clustered else None}
    margins = t.margins if clustered else None

    found = irr.coefficients(t.counts, bootstrap=2000, seed=3, margins=margins, **ask)

    linear = irr.coefficients(t.counts, margins=margins, **ask)
    for b, c in zip(found, linear, strict=True):
        assert b.value == c.value
        # 2000 replicates estimate a standard deviation to 1.6 %.
        assert b.se == (None if c.se is None else pytest.approx(c.se, rel=0.08))
        if c.se is not None:
            assert b.ci_low == pytest.approx(c.ci_low, abs=0.5 * c.se)


def test_bootstrap_reports_undefined_replicates() -> None:
    counts = [[2, 0, 0]] * 30 + [[1, 0, 1]] * 2 + [[0, 0, 2]] * 2

    found = irr.coefficients(counts, categories=CATEGORIES, bootstrap=400, weights="identity")

    # A replicate misses the last four units with probability (30 / 34) ** 34 = 0.014.
    fleiss = _by_name(found)["fleiss_kappa"]
    assert fleiss.ci_low < fleiss.value < fleiss.ci_high
    assert 1 <= int(fleiss.reason.split()[2]) <= 20
    assert fleiss.reason.endswith("of 400 bootstrap replicates")
    assert _by_name(found)["percent_agreement"].reason is None


def test_bootstrap_gives_no_interval_where_many_replicates_are_undefined() -> None:
    counts = [[1, 0, 0]] * 20 + [[2, 0, 0], [0, 0, 2], [1, 0, 1]]

    (alpha,) = irr.coefficients(counts, categories=CATEGORIES, bootstrap=400, weights="nominal")

    # A replicate misses both of the last two units with probability (21 / 23) ** 23 = 0.12.
    assert alpha.value is not None
    assert alpha[3:6] == (None, None, None)
    assert 20 < int(alpha.reason.split()[2]) < 200


def test_bootstrap_gives_no_interval_where_linearisation_refuses_one() -> None:
    counts = [[2, 0]] * 30 + [[1, 1]]

    (agreement, *_) = irr.coefficients(counts, categories=["a", "b"], bootstrap=400)

    assert agreement.reason == "one or two units determine this value"
    assert agreement.ci_low is None


def test_one_subject_that_differs_gives_no_interval() -> None:
    counts = [[2, 0]] * 29 + [[0, 2]]

    found = irr.coefficients(counts, categories=["a", "b"], weights="identity", clusters=range(30))

    gwet = _by_name(found)["gwet_ac"]
    assert gwet[2:] == (1.0, 0.0, None, None, "no two clusters differ", None)


def test_degrees_of_freedom_come_from_the_influences() -> None:
    counts = [[2, 0]] * 6 + [[1, 1]] * 4

    (agreement, *_) = irr.coefficients(counts, categories=["a", "b"], weights="identity")

    # Influences on a mean of 0.6: six times 0.4, four times -0.6 (over 10).
    squares, fourths = 6 * 0.4**2 + 4 * 0.6**2, 6 * 0.4**4 + 4 * 0.6**4
    assert agreement.df == pytest.approx(squares**2 / fourths - 1)
    half = intervals.t_quantile(agreement.df, 0.95) * agreement.se
    assert agreement.ci_low == pytest.approx(0.6 - half)
    assert agreement.ci_high == pytest.approx(min(1, 0.6 + half))


def test_agreement_on_one_category_only_gives_no_interval_of_kappa_and_alpha() -> None:
    counts = [[2, 0]] * 20 + [[1, 1]] * 5

    found = irr.coefficients(counts, categories=["a", "b"], weights="identity")

    reasons = {c.name: c.reason for c in found if c.value is not None and c.ci_low is None}
    assert reasons == {
        "fleiss_kappa": "raters agree on one category only",
        "krippendorff_alpha": "raters agree on one category only",
    }
    assert _by_name(found)["fleiss_kappa"].se > 0


def test_equal_observed_agreement_everywhere_gives_no_interval() -> None:
    twice = [[2, 0], [2, 0], [0, 2], [1, 1]]
    once = [[1, 0]] * 5 + [[0, 1]] * 3

    found = irr.coefficients(
        twice * 4 + once,
        categories=["a", "b"],
        weights="identity",
        clusters=[n // 4 for n in range(16)] + list(range(100, 108)),
    )

    gwet = _by_name(found)["gwet_ac"]
    assert gwet.se > 0
    assert (gwet.ci_low, gwet.reason) == (None, "observed agreement is the same everywhere")


@unhurried
@given(counts=counts_of_units, weights=st.sampled_from(["identity", "linear", "quadratic"]))
def test_bounds_stay_in_the_possible_range(counts: Counts, weights: str) -> None:
    found = irr.coefficients(counts, categories=CATEGORIES, weights=weights, prevalence="pairable")

    chance = np.mean(irr.agreement_weights(weights, CATEGORIES))
    worst = -chance / (1 - chance)
    for c in found:
        if c.ci_low is not None:
            lowest = {"percent_agreement": 0, "brennan_prediger": worst}.get(c.name, -1)
            assert lowest - 1e-12 <= c.ci_low < c.ci_high <= 1


def test_a_multiplicity_is_a_repetition_in_wide_tables_too() -> None:
    categories = list(range(40))
    random = np.random.default_rng(5)
    counts = random.integers(0, 3, size=(30, 40))
    repeats = [2] * 30

    found = irr.coefficients(counts, categories=categories, multiplicity=repeats)

    twice = irr.coefficients(np.repeat(counts, 2, axis=0), categories=categories)
    assert _same(found, twice)


def test_specific_agreement_prevalence_and_unanimity_count_multiplicities() -> None:
    counts, repeats = [[2, 0, 0], [1, 0, 1], [0, 0, 1]], [3, 1, 2]
    ask = {"n_categories": 3, "multiplicity": repeats}

    assert values(irr.specific_agreement(counts, **ask)) == [6 / 7, None, 0.0]
    assert values(irr.prevalence(counts, **ask)) == [7 / 10, 0.0, 3 / 10]
    assert irr.unanimity(counts, **ask).value == 3 / 4


def test_a_category_that_nobody_used_has_an_exact_bound() -> None:
    counts = [[2, 0, 0], [1, 0, 1], [2, 0, 0], [0, 0, 2], [1, 0, 1]]

    unsure = irr.prevalence(counts, n_categories=3, clusters=list("abcde"))[1]

    assert unsure[:4] == (0.0, 0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 5)))
    assert unsure.reason == "no two clusters differ: exact one-sided bound"


def test_summaries_of_nothing_are_undefined() -> None:
    assert values(irr.prevalence([], n_categories=3)) == [None] * 3
    assert values(irr.specific_agreement([[1, 0, 0]], n_categories=3)) == [None] * 3
    assert irr.unanimity([[1, 0, 0]], n_categories=3).value is None
    assert irr.leave_one_out(irr.Ratings([], [], []), categories=CATEGORIES) == []


COUNTS = [[2, 0, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 95}, "confidence: 95 is not a level; pass one between 0 and 1"),
        ({"bootstrap": 1}, "bootstrap: 1 replicates are too few; pass 2000, for example"),
        ({"seed": -1}, "seed: -1 is negative; pass 0 or more"),
        (
            {"prevalence": "some"},
            (
                "prevalence: 'some' is not known; choose all (every rated unit) or pairable (units "
                "with two ratings or more)"
            ),
        ),
        (
            {"weights": "cubic"},
            "weights: 'cubic' is not known; choose identity, linear or quadratic, or pass a matrix",
        ),
        ({"weights": []}, "weights: the list is empty; name some, or pass None for all"),
        (
            {"weights": np.eye(2)},
            "weights: a matrix of shape (2, 2) for 3 categories; pass 3 × 3",
        ),
        (
            {"weights": [[0, 1, 3], [1, 0, 6], [3, 6, 0]]},
            (
                "weights: a matrix of agreement must be symmetric, with values from 0 to 1 and 1 "
                "on the diagonal; turn a matrix d of disagreements into 1 - d / d.max()"
            ),
        ),
        (
            {"weights": np.ones((3, 3))},
            "weights: all are 1, so nothing can disagree; lower those of different categories",
        ),
        (
            {"categories": ["PASS"]},
            (
                "categories: ['PASS'] are too few; pass at least two, all that a rater could "
                "choose, used or not"
            ),
        ),
        (
            {"categories": ["PASS", "PASS", "FAIL"]},
            "categories: ['PASS', 'PASS', 'FAIL'] has a category twice; list each once",
        ),
        (
            {"categories": [0, 1, math.inf]},
            (
                "categories: [0, 1, inf] has a number that is not finite; leave missing ratings "
                "out of the categories"
            ),
        ),
        (
            {"categories": ["PASS", "FAIL"]},
            (
                "counts: an array of shape (2, 3) for 2 categories; pass one row per unit and 2 "
                "columns"
            ),
        ),
        (
            {"counts": [[2, 0, 0], [1, 0, 0.5]]},
            "counts: 0.5 in row 1 is not a number of ratings; pass whole numbers from 0",
        ),
        (
            {"counts": [[2, 0, math.nan]]},
            "counts: nan in row 0 is not a number of ratings; pass whole numbers from 0",
        ),
        (
            {"multiplicity": [1]},
            "multiplicity: an array of shape (1,) for 2 rows of counts; pass one number per row",
        ),
        (
            {"multiplicity": [1, -1]},
            "multiplicity: -1 in row 1 is not a number of ratings; pass whole numbers from 0",
        ),
        ({"clusters": ["s"]}, "clusters: 1 labels for 2 rows of counts; pass one per row"),
        (
            {"clusters": ["s", None]},
            "clusters: rated row 1 has no label; give it a label or leave the row out",
        ),
        (
            {"margins": irr.Ratings([0, 1], [0, 1], [0])},
            "ratings: 2 units, 2 raters and 1 codes; pass one of each per rating",
        ),
        (
            {"margins": irr.Ratings([9], [0], [0])},
            "ratings: units are indices from 0 to 1; found 9 to 9",
        ),
        (
            {"margins": irr.Ratings([0], [-1], [0])},
            "ratings: raters are indices from 0; found -1 to -1",
        ),
        (
            {"margins": irr.Ratings([0, 0], [0, 1], [0, 0])},
            (
                "margins: the raters' ratings do not add up to counts; count the same ratings in "
                "both"
            ),
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, object], message: str) -> None:
    ask = {"counts": COUNTS, "categories": CATEGORIES, **arguments}

    with pytest.raises(UsageError) as refusal:
        irr.coefficients(ask.pop("counts"), **ask)

    assert str(refusal.value) == message


def test_an_undeclared_rating_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        irr.tabulate([["PASS", "PASS"], [None, "MAYBE"]], categories=CATEGORIES)

    assert str(refusal.value) == (
        "ratings: unit 1, rater 1: 'MAYBE' is not one of the categories "
        "['PASS', 'UNSURE', 'FAIL']; declare it, or set it to None"
    )


def test_a_list_of_ratings_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        irr.tabulate([0, 1], categories=[0, 1])

    assert str(refusal.value) == "ratings: an array with 1 dimensions; pass a table, units × raters"


@pytest.mark.parametrize("missing", [None, math.nan, -1])
@pytest.mark.parametrize("categories", [[0, 1], ["n", "y"]])
def test_missing_ratings_may_be_written_in_three_ways(
    missing: object, categories: list[object]
) -> None:
    first, second = categories

    found = irr.tabulate([[first, missing], [second, second]], categories=categories)

    assert found.counts.tolist() == [[1, 0], [0, 2]]
    assert found.margins.rater.tolist() == [0, 0, 1]


def test_unanimity_of_single_ratings_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        irr.unanimity(COUNTS, n_categories=3, at_least=1)

    assert str(refusal.value) == "at_least: 1 ratings cannot disagree; pass 2 or more"


def test_clusters_are_matched_by_position_not_by_index() -> None:
    counts = [[2, 0, 0], [1, 1, 0], [0, 0, 2], [2, 0, 0]]
    labels = list("aabb")
    series = pd.Series(labels, index=[3, 0, 1, 12])

    found = irr.coefficients(counts, categories=CATEGORIES, clusters=series)

    assert found == irr.coefficients(counts, categories=CATEGORIES, clusters=labels)


@pytest.mark.parametrize("bootstrap", [None, 20])
def test_where_one_cluster_alone_has_two_ratings_there_is_no_interval(
    bootstrap: int | None,
) -> None:
    counts = [[1, 0]] * 25 + [[2, 0]] * 6 + [[1, 1]] * 4
    clusters = [*range(25), *[99] * 10]

    found = irr.coefficients(counts, categories=["a", "b"], clusters=clusters, bootstrap=bootstrap)

    assert found[0].value == pytest.approx(0.6)
    assert {(c.se, c.ci_low, c.ci_high, c.reason) for c in found if c.value is not None} == {
        (None, None, None, "one cluster alone contributes")
    }


def test_one_unit_with_two_ratings_gives_no_interval() -> None:
    (found, *_) = irr.coefficients([[1, 0]] * 9 + [[1, 1]], categories=["a", "b"])

    assert (found.value, found.se, found.reason) == (0, None, "one unit alone contributes")
