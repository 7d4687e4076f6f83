"""How coefficients behave: what must not matter, what is undefined, and what is refused."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirtmodel.errors import UsageError
from dirtmodel.queries import agreement

# The first example imports scipy, which a busy machine takes its time for.
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


def _same(
    found: list[agreement.Coefficient], expected: list[agreement.Coefficient], **given_: float
) -> bool:
    abs_tol = given_.get("abs_tol", 1e-9)

    def close(a: float | None, b: float | None) -> bool:
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=0, abs_tol=abs_tol)

    return len(found) == len(expected) and all(
        f[:2] == e[:2] and f.reason == e.reason and all(map(close, f[2:6], e[2:6]))
        for f, e in zip(found, expected, strict=True)
    )


def _by_name(found: list[agreement.Coefficient]) -> dict[str, agreement.Coefficient]:
    return {c.name: c for c in found}


def test_all_coefficients_come_by_default_in_the_order_of_the_contract() -> None:
    found = agreement.coefficients([[2, 0, 0], [1, 0, 1]], categories=CATEGORIES)

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
    found = agreement.coefficients([[2, 0, 0], [1, 0, 1]], categories=CATEGORIES, weights=weights)

    assert [c.weights for c in found if c.name == "krippendorff_alpha"] == metrics


def test_numbers_are_categories_at_their_values_and_words_are_evenly_spaced() -> None:
    counts = [[2, 0, 0], [1, 1, 0], [2, 1, 0], [0, 1, 1], [1, 0, 2]]

    words, even, uneven = (
        agreement.coefficients(counts, categories=categories)
        for categories in (CATEGORIES, [10, 20, 30], [0, 1, 10])
    )

    assert words == even
    changed = {w.weights for w, u in zip(words, uneven, strict=True) if w != u}
    assert changed == {"linear", "quadratic", "interval"}


@unhurried
@given(counts=counts_of_units, data=st.data())
def test_the_order_of_units_does_not_matter(counts: Counts, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(counts))

    found = agreement.coefficients(shuffled, categories=CATEGORIES)

    assert _same(found, agreement.coefficients(counts, categories=CATEGORIES))


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
    one = agreement.tabulate(ratings, categories=CATEGORIES)
    other = agreement.tabulate([[r[i] for i in order] for r in ratings], categories=CATEGORIES)

    found = agreement.coefficients(other.counts, categories=CATEGORIES, margins=other.margins)

    expected = agreement.coefficients(one.counts, categories=CATEGORIES, margins=one.margins)
    assert _same(found, expected)


@unhurried
@given(counts=counts_of_units, data=st.data())
def test_a_multiplicity_is_a_repetition(counts: Counts, data: st.DataObject) -> None:
    n = len(counts)
    repeats = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    clusters = data.draw(st.none() | st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    rows = [row for row, m in enumerate(repeats) for _ in range(m)]

    found = agreement.coefficients(
        counts, categories=CATEGORIES, multiplicity=repeats, clusters=clusters
    )

    expected = agreement.coefficients(
        [counts[row] for row in rows],
        categories=CATEGORIES,
        clusters=None if clusters is None else [clusters[row] for row in rows],
    )
    assert _same(found, expected)


@unhurried
@given(counts=counts_of_units)
def test_clusters_of_one_unit_are_independent_units(counts: Counts) -> None:
    found = agreement.coefficients(counts, categories=CATEGORIES, clusters=range(len(counts)))

    expected = agreement.coefficients(counts, categories=CATEGORIES)
    assert _same(
        [c._replace(reason=None) for c in found], [c._replace(reason=None) for c in expected]
    )


@unhurried
@given(counts=counts_of_units)
def test_copies_within_a_cluster_add_no_certainty(counts: Counts) -> None:
    clusters = list(range(len(counts)))
    kappas = ["identity", "linear", "quadratic"]

    found = agreement.coefficients(
        counts * 5, categories=CATEGORIES, clusters=clusters * 5, weights=kappas
    )

    expected = agreement.coefficients(
        counts, categories=CATEGORIES, clusters=clusters, weights=kappas
    )
    # Alpha alone corrects for the number of values.
    assert _same(found[:-3], expected[:-3])


@unhurried
@given(counts=counts_of_units)
def test_units_nobody_rated_are_no_units(counts: Counts) -> None:
    found = agreement.coefficients([*counts, [0, 0, 0]], categories=CATEGORIES)

    assert _same(found, agreement.coefficients(counts, categories=CATEGORIES))


@unhurried
@given(counts=counts_of_units)
def test_turning_the_scale_around_changes_nothing(counts: Counts) -> None:
    found = agreement.coefficients([row[::-1] for row in counts], categories=CATEGORIES)

    assert _same(found, agreement.coefficients(counts, categories=CATEGORIES))


@unhurried
@given(counts=counts_of_units)
def test_the_interval_holds_the_value_and_ends_at_one(counts: Counts) -> None:
    found = agreement.coefficients(counts, categories=CATEGORIES)

    for c in found:
        if c.se is not None:
            assert c.ci_low <= c.value <= c.ci_high + 1e-12
            assert c.ci_high <= 1


def test_prevalence_pairable_looks_at_units_with_two_ratings_only() -> None:
    pairable = [[2, 0, 0], [1, 1, 0], [0, 0, 2]]

    found = agreement.coefficients(
        [*pairable, [0, 0, 1]], categories=CATEGORIES, prevalence="pairable"
    )

    assert found == agreement.coefficients(pairable, categories=CATEGORIES)


def test_one_category_used_leaves_kappa_and_alpha_without_variation() -> None:
    t = agreement.tabulate([["PASS"] * 3] * 5, categories=CATEGORIES)

    found = agreement.coefficients(t.counts, categories=CATEGORIES, margins=t.margins)

    ones = {"percent_agreement", "gwet_ac", "brennan_prediger"}
    for c in found:
        expected = (1.0, 0.0, 1.0, 1.0, None) if c.name in ones else (*[None] * 4, "no variation")
        assert c[2:] == expected


@pytest.mark.parametrize("counts", [[], [[0, 0, 0]], [[1, 0, 0], [0, 1, 0]]])
def test_without_a_unit_rated_twice_all_is_undefined(counts: Counts) -> None:
    found = agreement.coefficients(counts, categories=CATEGORIES, clusters=["s"] * len(counts))

    assert {c[2:] for c in found} == {(None, None, None, None, "no unit has two ratings")}


def test_one_cluster_has_values_and_no_interval() -> None:
    counts = [[2, 0, 0], [1, 0, 1]]

    found = agreement.coefficients(
        counts, categories=CATEGORIES, clusters=["s", "s"], weights="identity"
    )

    free = agreement.coefficients(counts, categories=CATEGORIES, weights="identity")
    assert [c.value for c in found] == [c.value for c in free]
    assert {c[3:] for c in found if c.value is not None} == {(None, None, None, "one cluster")}


def test_one_unit_has_values_and_no_interval() -> None:
    found = agreement.coefficients([[1, 0, 1]], categories=CATEGORIES, weights="identity")

    assert _by_name(found)["percent_agreement"][2:] == (0.0, None, None, None, "one unit")


def test_conger_needs_to_know_the_raters() -> None:
    found = agreement.coefficients([[2, 0, 0], [1, 0, 1]], categories=CATEGORIES)

    assert _by_name(found)["conger_kappa"][2:] == (*[None] * 4, "who rated what is not given")


def test_conger_has_no_error_where_raters_are_known_overall_only() -> None:
    counts = [[2, 0, 0], [1, 0, 1]]
    margins = agreement.Margins(["a", "b"], [[2, 0, 0], [1, 0, 1]])

    found = agreement.coefficients(counts, categories=CATEGORIES, margins=margins)

    t = agreement.tabulate([["PASS", "PASS"], ["PASS", "FAIL"]], categories=CATEGORIES)
    known = agreement.coefficients(counts, categories=CATEGORIES, margins=t.margins)
    conger = _by_name(found)["conger_kappa"]
    assert conger.value == _by_name(known)["conger_kappa"].value
    assert conger[3:] == (None, None, None, "who rated what is not given per cluster")


def test_margins_may_come_in_pieces_per_cluster() -> None:
    ratings = [["PASS", "PASS"], ["PASS", "FAIL"], ["FAIL", "FAIL"], [None, "UNSURE"]]
    clusters = ["s1", "s1", "s2", "s3"]
    t = agreement.tabulate(ratings, categories=CATEGORIES, clusters=clusters)
    summed = agreement.Margins(
        ["a", "b", "a", "b", "b"],
        [[2, 0, 0], [1, 0, 1], [0, 0, 1], [0, 0, 1], [0, 1, 0]],
        ["s1", "s1", "s2", "s2", "s3"],
    )

    found = agreement.coefficients(
        t.counts, categories=CATEGORIES, clusters=clusters, margins=summed
    )

    expected = agreement.coefficients(
        t.counts, categories=CATEGORIES, clusters=clusters, margins=t.margins
    )
    assert _same(found, expected)


def _sample(n_subjects: int) -> tuple[agreement.Tabulation, list[int]]:
    random = np.random.default_rng(7)
    hard = random.random(n_subjects)[:, None, None]
    codes = (random.random((n_subjects, 6, 3)) < hard) * 2
    clusters = np.repeat(np.arange(n_subjects), 6).tolist()
    return agreement.tabulate(
        codes.reshape(-1, 3), categories=[0, 1, 2], clusters=clusters
    ), clusters


def test_bootstrap_repeats_itself_by_its_seed() -> None:
    t, clusters = _sample(30)

    def run(seed: int) -> list[agreement.Coefficient]:
        return agreement.coefficients(
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

    found = agreement.coefficients(t.counts, bootstrap=2000, seed=3, margins=margins, **ask)

    linear = agreement.coefficients(t.counts, margins=margins, **ask)
    for b, c in zip(found, linear, strict=True):
        assert b.value == c.value
        # 2000 replicates know a deviation to 1.6 %.
        assert b.se == (None if c.se is None else pytest.approx(c.se, rel=0.08))
        if c.se is not None:
            assert b.ci_low == pytest.approx(c.ci_low, abs=0.5 * c.se)


def test_bootstrap_tells_of_replicates_without_variation() -> None:
    counts = [[2, 0, 0]] * 4 + [[1, 0, 1]]

    found = agreement.coefficients(counts, categories=CATEGORIES, bootstrap=400)

    # Each replicate misses the fifth unit with probability 0.8 ** 5 = 0.33.
    fleiss = _by_name(found)["fleiss_kappa"]
    assert fleiss.se is not None
    assert 90 <= int(fleiss.reason.split()[2]) <= 170
    assert fleiss.reason.endswith("of 400 bootstrap replicates")
    assert _by_name(found)["percent_agreement"].reason is None


def test_bootstrap_gives_up_where_most_replicates_are_undefined() -> None:
    counts = [[1, 0, 0]] * 20 + [[2, 0, 0], [0, 0, 2]]

    (alpha,) = agreement.coefficients(
        counts, categories=CATEGORIES, bootstrap=400, weights="nominal"
    )

    # Alpha needs both of the last two units; 0.6 of the replicates miss one.
    assert alpha.value == 1
    assert alpha[3:6] == (None, None, None)
    assert 200 < int(alpha.reason.split()[2]) < 290


def test_wide_tables_collapse_as_narrow_ones_do() -> None:
    categories = list(range(40))
    random = np.random.default_rng(5)
    counts = random.integers(0, 3, size=(30, 40))
    repeats = [2] * 30

    found = agreement.coefficients(counts, categories=categories, multiplicity=repeats)

    twice = agreement.coefficients(np.repeat(counts, 2, axis=0), categories=categories)
    assert _same(found, twice)


def test_specific_agreement_prevalence_and_unanimity_count_multiplicities() -> None:
    counts, repeats = [[2, 0, 0], [1, 0, 1], [0, 0, 1]], [3, 1, 2]
    ask = {"n_categories": 3, "multiplicity": repeats}

    assert agreement.specific_agreement(counts, **ask) == [6 / 7, None, 0.0]
    assert agreement.prevalence(counts, **ask) == [7 / 10, 0.0, 3 / 10]
    assert agreement.unanimity(counts, **ask) == 3 / 4


def test_summaries_of_nothing_are_undefined() -> None:
    assert agreement.prevalence([], n_categories=3) == [None] * 3
    assert agreement.specific_agreement([[1, 0, 0]], n_categories=3) == [None] * 3
    assert agreement.unanimity([[1, 0, 0]], n_categories=3) is None
    assert agreement.leave_one_out([], [], [], categories=CATEGORIES) == {}


COUNTS = [[2, 0, 0], [1, 0, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"confidence": 95}, "confidence: 95 is no level; give one between 0 and 1"),
        ({"bootstrap": 1}, "bootstrap: 1 replicates are too few; 2000 is a good number"),
        ({"seed": -1}, "seed: -1 is none; give 0 or more"),
        (
            {"prevalence": "some"},
            (
                "prevalence: 'some' is not known; choose all (every rated unit) or pairable (units "
                "with two ratings or more)"
            ),
        ),
        (
            {"weights": "cubic"},
            "weights: 'cubic' is not known; choose identity, linear, quadratic or give a matrix",
        ),
        ({"weights": []}, "weights: none given; name some, or leave them out for all"),
        (
            {"weights": np.eye(2)},
            "weights: a matrix of shape (2, 2) for 3 categories; give 3 × 3",
        ),
        (
            {"weights": [[0, 1, 3], [1, 0, 6], [3, 6, 0]]},
            (
                "weights: a matrix of agreement is symmetric, within 0 and 1, with 1 on the "
                "diagonal; turn disagreements d into 1 - d / d.max()"
            ),
        ),
        (
            {"weights": np.ones((3, 3))},
            "weights: all are 1, so nothing could disagree; lower those of different categories",
        ),
        (
            {"categories": ["PASS"]},
            (
                "categories: ['PASS'] are too few; declare all that a rater could choose, used or "
                "not, two or more"
            ),
        ),
        (
            {"categories": ["PASS", "PASS", "FAIL"]},
            "categories: ['PASS', 'PASS', 'FAIL'] has one twice; list each once",
        ),
        (
            {"categories": [0, 1, math.inf]},
            (
                "categories: [0, 1, inf] has one that is not finite; leave missing ratings "
                "out of the categories"
            ),
        ),
        (
            {"categories": ["PASS", "FAIL"]},
            (
                "counts: an array of shape (2, 3) for 2 categories; give one row per unit and 2 "
                "columns"
            ),
        ),
        (
            {"counts": [[2, 0, 0], [1, 0, 0.5]]},
            "counts: 0.5 in row 1 is not a number of ratings; give whole numbers from 0",
        ),
        (
            {"counts": [[2, 0, math.nan]]},
            "counts: nan in row 0 is not a number of ratings; give whole numbers from 0",
        ),
        (
            {"multiplicity": [1]},
            "multiplicity: an array of shape (1,) for 2 rows of counts; give one number per row",
        ),
        (
            {"multiplicity": [1, -1]},
            "multiplicity: -1 in row 1 is not a number of ratings; give whole numbers from 0",
        ),
        ({"clusters": ["s"]}, "clusters: 1 labels for 2 rows of counts; give one per row"),
        (
            {"clusters": ["s", None]},
            "clusters: rated row 1 has none; give it a label of its own or leave the row out",
        ),
        (
            {"margins": agreement.Margins(["a", "b"], [[2, 0, 0]])},
            "margins: 2 raters for 1 rows of counts; give one per row",
        ),
        (
            {"margins": agreement.Margins(["a"], [[3, 0, 1]], ["s9"])},
            (
                "margins: cluster 's9' has no such unit in counts; count the same units in "
                "both (with prevalence='pairable', only those with two ratings or more)"
            ),
        ),
        (
            {"margins": agreement.Margins(["a"], [[3, 0, 0]])},
            (
                "margins: the raters' ratings do not add up to counts; count the same units in "
                "both (with prevalence='pairable', only those with two ratings or more)"
            ),
        ),
    ],
)
def test_what_does_not_fit_is_refused(arguments: dict[str, object], message: str) -> None:
    ask = {"counts": COUNTS, "categories": CATEGORIES, **arguments}

    with pytest.raises(UsageError) as refusal:
        agreement.coefficients(ask.pop("counts"), **ask)

    assert str(refusal.value) == message


def test_an_undeclared_rating_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        agreement.tabulate([["PASS", "PASS"], [None, "MAYBE"]], categories=CATEGORIES)

    assert str(refusal.value) == (
        "ratings: unit 1, rater 1: 'MAYBE' is not one of the categories "
        "['PASS', 'UNSURE', 'FAIL']; declare it, or set it to None"
    )


def test_a_list_of_ratings_is_no_matrix() -> None:
    with pytest.raises(UsageError) as refusal:
        agreement.tabulate([0, 1], categories=[0, 1])

    assert str(refusal.value) == "ratings: 1 dimensions; give a matrix, units × raters"


@pytest.mark.parametrize("missing", [None, math.nan, -1])
@pytest.mark.parametrize("categories", [[0, 1], ["n", "y"]])
def test_missing_ratings_have_three_spellings(missing: object, categories: list[object]) -> None:
    first, second = categories

    found = agreement.tabulate([[first, missing], [second, second]], categories=categories)

    assert found.counts.tolist() == [[1, 0], [0, 2]]
    assert list(found.margins.raters) == [0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (["a"], [0, 1], [[1, 0, 1]]),
            "leave_one_out: 1 raters, 2 codes and 1 rows of counts; give one of each per row",
        ),
        (
            (["a"], [-1], [[1, 0, 1]]),
            "leave_one_out: codes are indices of the 3 categories, from 0; found -1 to -1",
        ),
        (
            (["a"], [1], [[1, 0, 1]]),
            (
                "leave_one_out: counts do not hold the rater's own rating; count all raters of the "
                "unit"
            ),
        ),
    ],
)
def test_rows_that_cannot_be_left_out_are_refused(
    arguments: tuple[list[object], ...], message: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        agreement.leave_one_out(*arguments, categories=CATEGORIES)

    assert str(refusal.value) == message


def test_unanimity_of_single_ratings_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        agreement.unanimity(COUNTS, n_categories=3, at_least=1)

    assert str(refusal.value) == "at_least: 1 ratings cannot disagree; give 2 or more"


def test_labels_of_clusters_go_by_place_not_by_a_data_frame_s_index() -> None:
    counts = [[2, 0, 0], [1, 1, 0], [0, 0, 2], [2, 0, 0]]
    labels = list("aabb")
    series = pd.Series(labels, index=[3, 0, 1, 12])

    found = agreement.coefficients(counts, categories=CATEGORIES, clusters=series)

    assert found == agreement.coefficients(counts, categories=CATEGORIES, clusters=labels)
    ratings = [["PASS", "PASS"], ["PASS", "UNSURE"], ["FAIL", "FAIL"], ["PASS", "PASS"]]
    one, other = (
        agreement.tabulate(ratings, categories=CATEGORIES, clusters=given)
        for given in (series, labels)
    )
    assert one.margins.clusters == other.margins.clusters


def test_tabulate_wants_a_cluster_for_each_unit() -> None:
    with pytest.raises(UsageError) as caught:
        agreement.tabulate([["PASS", "PASS"]], categories=CATEGORIES, clusters=["a", "b"])

    assert str(caught.value) == "clusters: 2 labels for 1 units; give one per unit"


@pytest.mark.parametrize("bootstrap", [None, 20])
def test_where_one_cluster_alone_has_two_ratings_there_is_no_interval(
    bootstrap: int | None,
) -> None:
    counts = [[1, 0]] * 25 + [[2, 0]] * 6 + [[1, 1]] * 4
    clusters = [*range(25), *[99] * 10]

    found = agreement.coefficients(
        counts, categories=["a", "b"], clusters=clusters, bootstrap=bootstrap
    )

    assert found[0].value == pytest.approx(0.6)
    assert {(c.se, c.ci_low, c.ci_high, c.reason) for c in found if c.value is not None} == {
        (None, None, None, "one cluster has all units with two ratings")
    }


def test_one_unit_with_two_ratings_gives_no_interval() -> None:
    (found, *_) = agreement.coefficients([[1, 0]] * 9 + [[1, 1]], categories=["a", "b"])

    assert (found.value, found.se, found.reason) == (0, None, "one unit has two ratings")
