"""A second implementation in exact fractions, directly from the formulas, agrees on any ratings."""

import functools
import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirtmodel import irr

# The first example imports scipy, which can take longer than the deadline of hypothesis.
unhurried = settings(deadline=None)

CATEGORIES = [0, 1, 2]
Row = list[int | None]
Ratings = list[Row]
Mass = list[Fraction]
Matrix = list[list[Fraction]]

STEP = Fraction(1, 10**12)


def _weights(name: str) -> Matrix:
    power = {"identity": None, "linear": 1, "quadratic": 2}[name]
    if power is None:
        return [[Fraction(a == b) for b in CATEGORIES] for a in CATEGORIES]
    return [[1 - Fraction(abs(a - b), 2) ** power for b in CATEGORIES] for a in CATEGORIES]


def _given(row: Row) -> list[int]:
    return [rating for rating in row if rating is not None]


def _observed(ratings: Ratings, mass: Mass, w: Matrix) -> Fraction | None:
    total = units = Fraction(0)
    for row, m in zip(ratings, mass, strict=True):
        here = _given(row)
        pairs = list(itertools.permutations(here, 2))
        if pairs:
            total += m * sum(w[a][b] for a, b in pairs) / len(pairs)
            units += m
    return total / units if units else None


def _proportions(ratings: Ratings, mass: Mass) -> list[Fraction]:
    shares, units = [Fraction(0)] * 3, Fraction(0)
    for row, m in zip(ratings, mass, strict=True):
        here = _given(row)
        if here:
            units += m
            for k in CATEGORIES:
                shares[k] += m * Fraction(here.count(k), len(here))
    return [share / units for share in shares]


def _square(w: Matrix) -> Fraction:
    return sum(itertools.chain.from_iterable(w))


def _gwet(ratings: Ratings, mass: Mass, w: Matrix) -> Fraction:
    return _square(w) / 6 * sum(p * (1 - p) for p in _proportions(ratings, mass))


def _fleiss(ratings: Ratings, mass: Mass, w: Matrix) -> Fraction:
    p = _proportions(ratings, mass)
    return sum(w[a][b] * p[a] * p[b] for a in CATEGORIES for b in CATEGORIES)


def _uniform(ratings: Ratings, mass: Mass, w: Matrix) -> Fraction:  # noqa: ARG001 - all chances are called alike
    return _square(w) / 9


def _conger(ratings: Ratings, mass: Mass, w: Matrix) -> Fraction:
    habits = []
    for column in zip(*ratings, strict=True):
        used = [
            sum((m for r, m in zip(column, mass, strict=True) if r == k), Fraction(0))
            for k in CATEGORIES
        ]
        if sum(used):
            habits.append([u / sum(used) for u in used])
    pairs = list(itertools.permutations(habits, 2))
    expected = sum(w[a][b] * g[a] * h[b] for g, h in pairs for a in CATEGORIES for b in CATEGORIES)
    return expected / len(pairs)


CHANCES = {
    "gwet_ac": _gwet,
    "fleiss_kappa": _fleiss,
    "conger_kappa": _conger,
    "brennan_prediger": _uniform,
}


def _alpha(ratings: Ratings, mass: Mass, metric: str) -> Fraction | None:
    units = [(row, m) for row, m in ((_given(r), m) for r, m in zip(ratings, mass, strict=True))]
    units = [(row, m) for row, m in units if len(row) > 1]
    n = [sum(m * row.count(k) for row, m in units) for k in CATEGORIES]

    def distance(a: int, b: int) -> Fraction:
        low, high = min(a, b), max(a, b)
        return {
            "nominal": Fraction(a != b),
            "interval": Fraction((a - b) ** 2),
            "ordinal": (sum(n[low : high + 1]) - Fraction(n[a] + n[b]) / 2) ** 2,
        }[metric]

    observed = sum(
        m * sum(distance(a, b) for a, b in itertools.permutations(row, 2)) / (len(row) - 1)
        for row, m in units
    )
    expected = sum(n[a] * n[b] * distance(a, b) for a in CATEGORIES for b in CATEGORIES)
    return 1 - (sum(n) - 1) * observed / expected if expected else None


def naive(ratings: Ratings, mass: Mass, name: str, weights: str) -> Fraction | None:
    if not any(len(_given(row)) > 1 for row in ratings):
        return None
    if name == "krippendorff_alpha":
        return _alpha(ratings, mass, weights)
    w = _weights(weights)
    observed = _observed(ratings, mass, w)
    if name == "percent_agreement":
        return observed
    chance = CHANCES[name](ratings, mass, w)
    return None if chance == 1 else (observed - chance) / (1 - chance)


class Naive(NamedTuple):
    se: float
    df: float


def naive_error(ratings: Ratings, clusters: list[int], name: str, weights: str) -> Naive | None:
    """Infinitesimal jackknife: the change per weight of a unit, summed over clusters."""
    return jackknife(ratings, clusters, lambda mass: naive(ratings, mass, name, weights))


def jackknife(
    ratings: Ratings, clusters: list[int], value: Callable[[Mass], Fraction | None]
) -> Naive | None:
    pulls: dict[int, float] = {}
    for unit, cluster in enumerate(clusters):
        if not _given(ratings[unit]):
            continue
        ends = []
        for step in (STEP, -STEP):
            mass = [Fraction(1)] * len(ratings)
            mass[unit] += step
            ends.append(value(mass))
        pull = float((ends[0] - ends[1]) / (2 * STEP))
        pulls[cluster] = pulls.get(cluster, 0.0) + pull
    n = len(pulls)
    if n < 2:
        return None
    mean = sum(pulls.values()) / n
    squares = [(pull - mean) ** 2 for pull in pulls.values()]
    fourths = sum(square**2 for square in squares)
    df = max(sum(squares) ** 2 / fourths - 1, 1.0) if fourths else math.nan
    return Naive(math.sqrt(n / (n - 1) * sum(squares)), df)


def _pairable(ratings: Ratings) -> Ratings:
    return [row if len(_given(row)) > 1 else [None] * len(row) for row in ratings]


matrices = st.integers(2, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.sampled_from([0, 0, 1, 2, None]), min_size=raters, max_size=raters),
        min_size=1,
        max_size=7,
    )
)


@unhurried
@given(ratings=matrices, prevalence=st.sampled_from(["all", "pairable"]))
def test_values_equal_the_naive_ones(ratings: Ratings, prevalence: str) -> None:
    t = irr.tabulate(ratings, categories=CATEGORIES)

    found = irr.coefficients(
        t.counts, categories=CATEGORIES, margins=t.margins, prevalence=prevalence
    )

    seen = ratings if prevalence == "all" else _pairable(ratings)
    mass = [Fraction(1)] * len(ratings)
    for c in found:
        expected = naive(seen, mass, c.name, c.weights)
        assert (c.value is None) == (expected is None), c
        assert c.value is None or c.value == pytest.approx(float(expected), abs=1e-12)


@unhurried
@given(
    ratings=matrices,
    labels=st.lists(st.integers(0, 3), min_size=7, max_size=7),
    weights=st.sampled_from(["identity", "quadratic", "ordinal"]),
)
def test_clustered_errors_equal_the_naive_ones(
    ratings: Ratings, labels: list[int], weights: str
) -> None:
    clusters = labels[: len(ratings)]
    t = irr.tabulate(ratings, categories=CATEGORIES)

    found = irr.coefficients(
        t.counts, categories=CATEGORIES, margins=t.margins, clusters=clusters, weights=weights
    )

    informative = {
        cluster
        for cluster, row in zip(clusters, ratings, strict=True)
        if sum(rating is not None for rating in row) > 1
    }
    for c in found:
        if c.value is not None and len(informative) < 2:
            assert c.se is None
        elif c.value is not None:
            expected = naive_error(ratings, clusters, c.name, c.weights)
            assert (c.se is None) == (expected is None), c
            if expected is not None:
                assert c.se == pytest.approx(expected.se, abs=1e-9)
            if expected is not None and c.df is not None:
                assert c.df == pytest.approx(expected.df, rel=1e-6)


@unhurried
@given(ratings=matrices, labels=st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_leaving_one_rater_out_equals_alpha_of_the_others(
    ratings: Ratings, labels: list[int]
) -> None:
    t = irr.tabulate(ratings, categories=CATEGORIES)

    found = irr.leave_one_out(t.margins, categories=CATEGORIES, clusters=np.array(labels))

    mass = [Fraction(1)] * len(ratings)
    whole = naive(ratings, mass, "krippendorff_alpha", "ordinal")
    assert [left.rater for left in found] == sorted(set(t.margins.rater.tolist()))
    for left in found:
        others = [[*row[: left.rater], None, *row[left.rater + 1 :]] for row in ratings]
        expected = naive(others, mass, "krippendorff_alpha", "ordinal")
        assert (left.alpha.value is None) == (expected is None)
        if expected is not None and whole is not None:
            assert left.alpha.value == pytest.approx(float(expected), abs=1e-12)
            assert left.change.value == pytest.approx(float(expected - whole), abs=1e-12)
        if left.change.se is not None:
            error = jackknife(
                ratings, labels[: len(ratings)], functools.partial(rise, ratings, left)
            )
            assert left.change.se == pytest.approx(error.se, abs=1e-9)


def rise(ratings: Ratings, left: irr.LeftOut, mass: Mass) -> Fraction:
    others = [[*row[: left.rater], None, *row[left.rater + 1 :]] for row in ratings]
    without, whole = (naive(r, mass, "krippendorff_alpha", "ordinal") for r in (others, ratings))
    assert without is not None
    assert whole is not None
    return without - whole


@unhurried
@given(ratings=matrices, labels=st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_proportions_have_the_error_of_a_ratio(ratings: Ratings, labels: list[int]) -> None:
    t, clusters = irr.tabulate(ratings, categories=CATEGORIES), labels[: len(ratings)]
    how = {"n_categories": 3, "clusters": clusters}

    found = {
        "prevalence": irr.prevalence(t.counts, **how)[2],
        "specific": irr.specific_agreement(t.counts, **how)[0],
        "unanimity": irr.unanimity(t.counts, **how),
    }

    rows = [(row.count(0), row.count(2), len(row)) for row in map(_given, ratings)]
    pairs = {
        "prevalence": [(Fraction(c), n) for _, c, n in rows],
        "specific": [(Fraction(a * (a - 1)), a * (n - 1)) for a, _, n in rows],
        "unanimity": [
            (Fraction(len(set(row)) == 1), 1) if len(row) > 1 else (Fraction(0), 0)
            for row in map(_given, ratings)
        ],
    }
    for name, ratios in pairs.items():
        value, error = ratio_of(ratios, clusters)
        assert found[name].value == (None if value is None else pytest.approx(float(value)))
        assert found[name].se == (None if error is None else pytest.approx(error, abs=1e-12))


def ratio_of(
    ratios: list[tuple[Fraction, int]], clusters: list[int]
) -> tuple[Fraction | None, float | None]:
    """Return a ratio of sums and its error over the clusters that have a denominator."""
    total = sum(d for _, d in ratios)
    if not total:
        return None, None
    value = sum((n for n, _ in ratios), Fraction(0)) / total
    residuals: dict[int, Fraction] = {}
    for (n, d), cluster in zip(ratios, clusters, strict=True):
        if d:
            residuals[cluster] = residuals.get(cluster, Fraction(0)) + (n - value * d) / total
    n_clusters = len(residuals)
    if n_clusters < 2:
        return value, None
    squares = sum(float(residual) ** 2 for residual in residuals.values())
    return value, math.sqrt(n_clusters / (n_clusters - 1) * squares)


@unhurried
@given(
    ratings=st.lists(
        st.lists(st.sampled_from([0, 0, 1, 2, None]), min_size=3, max_size=3),
        min_size=1,
        max_size=7,
    ),
    labels=st.lists(st.integers(0, 3), min_size=7, max_size=7),
)
def test_pairs_equal_the_naive_ones(ratings: Ratings, labels: list[int]) -> None:
    t = irr.tabulate(ratings, categories=CATEGORIES)

    found = irr.pairwise(t.margins, categories=CATEGORIES, clusters=np.array(labels)).pairs

    assert [pair[:2] for pair in found] == [
        (a, b)
        for a, b in itertools.combinations(range(3), 2)
        if any(None not in (row[a], row[b]) for row in ratings)
    ]
    for pair in found:
        common = [(row[pair.first], row[pair.second]) for row in ratings]
        clusters = [c for c, row in zip(labels, common, strict=False) if None not in row]
        both = [list(row) for row in common if None not in row]
        assert pair.n == len(both)
        for field, (name, weights) in MEASURES.items():
            estimate = pair.estimates[field]
            expected = naive(both, [Fraction(1)] * len(both), name, weights)
            assert (estimate.value is None) == (expected is None)
            error = naive_error(both, clusters, name, weights) if expected is not None else None
            assert (estimate.se is None) == (error is None)
            if error is not None:
                assert estimate.se == pytest.approx(error.se, abs=1e-9)


MEASURES = {
    "percent_agreement": ("percent_agreement", "identity"),
    "cohen_kappa": ("conger_kappa", "identity"),
    "cohen_kappa_linear": ("conger_kappa", "linear"),
    "gwet_ac": ("gwet_ac", "identity"),
}


@unhurried
@given(table=st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=3, max_size=3))
def test_a_table_of_two_raters_equals_its_ratings(table: list[list[int]]) -> None:
    ratings = [[a, b] for a in CATEGORIES for b in CATEGORIES for _ in range(table[a][b])]

    found = irr.two_way(table, categories=CATEGORIES)

    assert found.n == len(ratings)
    for field, (name, weights) in MEASURES.items():
        expected = naive(ratings, [Fraction(1)] * len(ratings), name, weights)
        value = getattr(found, field)
        assert (value is None) == (expected is None), field
        assert value is None or value == pytest.approx(float(expected), abs=1e-12)
