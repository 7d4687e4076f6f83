"""Clicks match one to one: as many as possible, then as close as possible."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirtmodel.errors import UsageError
from dirtmodel.queries import agreement

# The first example imports scipy, which a busy machine takes its time for.
unhurried = settings(deadline=None)

VECTORS = json.loads((Path(__file__).parent / "data/click_matching.json").read_text())["vectors"]

Points = list[tuple[float, float]]

# Whole pixels collide and tie, as real clicks on the same landmark do; fractions do not.
_coordinate = st.integers(0, 30) | st.floats(-5, 35, allow_subnormal=False)
points = st.lists(st.tuples(_coordinate, _coordinate), max_size=5)


def _brute_force(first: Points, second: Points, tolerance: float) -> tuple[int, float]:
    """Try every matching."""
    if len(first) > len(second):
        first, second = second, first
    best = (0, 0.0)
    for partners in itertools.permutations([*range(len(second)), *[None] * len(first)], len(first)):
        distances = [
            math.dist(point, second[partner])
            for point, partner in zip(first, partners, strict=True)
            if partner is not None
        ]
        if all(distance <= tolerance for distance in distances):
            best = max(best, (len(distances), -math.fsum(distances)))
    return best[0], -best[1]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['case']}-{v['tol']}")
def test_matching_equals_reference(vector: dict[str, Any]) -> None:
    found = agreement.match(vector["A"], vector["B"], vector["tol"])

    assert (found.n_matched, found.f1) == (vector["matched"], vector["f1"])
    assert found.distance == pytest.approx(vector["total_matched_distance"], rel=1e-15)


@unhurried
@given(first=points, second=points.filter(lambda p: len(p) < 5), tolerance=st.integers(0, 40))
def test_matching_is_the_best_of_all(first: Points, second: Points, tolerance: int) -> None:
    first = first[:4]

    found = agreement.match(first, second, tolerance)

    n_matched, distance = _brute_force(first, second, tolerance)
    assert found.n_matched == n_matched
    assert found.distance == pytest.approx(distance, abs=1e-9)


@unhurried
@given(first=points, second=points, tolerance=st.integers(0, 40))
def test_matching_is_symmetric(first: Points, second: Points, tolerance: int) -> None:
    there = agreement.match(first, second, tolerance)

    back = agreement.match(second, first, tolerance)

    assert (there.n_matched, there.f1) == (back.n_matched, back.f1)
    assert there.distance == pytest.approx(back.distance, abs=1e-9)


def test_a_wider_tolerance_matches_more_in_a_crowd() -> None:
    first = [(float(x), 0.0) for x in range(0, 400, 2)]
    second = [(x + 1.5, 0.0) for x, _ in first]

    found = [agreement.match(first, second, tolerance).n_matched for tolerance in (0.4, 0.5, 1.5)]

    assert found == [0, 199, 200]


def test_a_distance_of_the_tolerance_still_matches() -> None:
    assert agreement.match([(0, 0)], [(3, 4)], 5).n_matched == 1
    assert agreement.match([(0, 0)], [(3, 4)], math.nextafter(5, 0)).n_matched == 0


def test_the_largest_doubles_are_far_apart_without_overflow() -> None:
    assert agreement.match([(-1.7e308, 0)], [(1.7e308, 0)], 1e308).n_matched == 0


def test_one_matching_has_its_mean_distance() -> None:
    found = agreement.match([(0, 0), (100, 100)], [(3, 4), (100, 101)], 10)

    assert found.mean_distance == 3.0
    assert agreement.match([(0, 0)], [], 10).mean_distance is None


def test_pooling_counts_clicks_and_the_mean_counts_reviews() -> None:
    both_empty = agreement.match([], [], 10)
    perfect = agreement.match([(0, 0)], [(0, 2)], 10)
    half = agreement.match([(0, 0), (50, 50), (90, 90)], [(0, 0)], 10)

    found = agreement.summarise([both_empty, perfect, half])

    assert found == agreement.ClickAgreement(
        n_pairs=3,
        n_clicked=2,
        n_matched=2,
        pooled_f1=4 / 6,
        mean_f1=0.75,
        mean_distance=1.0,
    )


def test_nothing_clicked_has_no_agreement() -> None:
    found = agreement.summarise([agreement.match([], [], 10)])

    assert found == agreement.ClickAgreement(1, 0, 0, None, None, None)


@pytest.mark.parametrize(
    ("point", "tolerance", "message"),
    [
        (
            (math.inf, 0.0),
            10,
            "click at (inf, 0.0): match needs finite points; leave this one out before",
        ),
        (
            (0.0, math.nan),
            10,
            "click at (0.0, nan): match needs finite points; leave this one out before",
        ),
        ((0.0, 0.0), -1, "tolerance: -1 is no distance; give pixels, 0 or more"),
        ((0.0, 0.0), math.nan, "tolerance: nan is no distance; give pixels, 0 or more"),
    ],
)
def test_points_and_tolerances_must_be_numbers(
    point: tuple[float, float], tolerance: float, message: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        agreement.match([(0.0, 0.0)], [point], tolerance)

    assert str(refusal.value) == message
