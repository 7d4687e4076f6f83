"""Clicks are matched one to one: as many as possible, then as close as possible."""

import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirtmodel import irr
from dirtmodel.errors import UsageError

# The first example imports scipy, which can take longer than the deadline of hypothesis.
unhurried = settings(deadline=None)

VECTORS = json.loads((Path(__file__).parent / "data/click_matching.json").read_text())["vectors"]

Points = list[tuple[float, float]]

# Whole pixels have equal places and distances, as clicks on a landmark do; fractions do not.
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
    found = irr.match(vector["A"], vector["B"], vector["tol"])

    assert (found.n_matched, found.f1) == (vector["matched"], vector["f1"])
    assert found.distance == pytest.approx(vector["total_matched_distance"], rel=1e-15)


@unhurried
@given(first=points, second=points.filter(lambda p: len(p) < 5), tolerance=st.integers(0, 40))
def test_matching_is_the_best_of_all(first: Points, second: Points, tolerance: int) -> None:
    first = first[:4]

    found = irr.match(first, second, tolerance)

    n_matched, distance = _brute_force(first, second, tolerance)
    assert found.n_matched == n_matched
    assert found.distance == pytest.approx(distance, abs=1e-9)


@unhurried
@given(first=points, second=points, tolerance=st.integers(0, 40))
def test_matching_is_symmetric(first: Points, second: Points, tolerance: int) -> None:
    forward = irr.match(first, second, tolerance)

    backward = irr.match(second, first, tolerance)

    assert (forward.n_matched, forward.f1) == (backward.n_matched, backward.f1)
    assert forward.distance == pytest.approx(backward.distance, abs=1e-9)


def test_a_wider_tolerance_matches_more_in_a_crowd() -> None:
    first = [(float(x), 0.0) for x in range(0, 400, 2)]
    second = [(x + 1.5, 0.0) for x, _ in first]

    found = [irr.match(first, second, tolerance).n_matched for tolerance in (0.4, 0.5, 1.5)]

    assert found == [0, 199, 200]


def test_a_distance_of_the_tolerance_still_matches() -> None:
    assert irr.match([(0, 0)], [(3, 4)], 5).n_matched == 1
    assert irr.match([(0, 0)], [(3, 4)], math.nextafter(5, 0)).n_matched == 0


def test_the_largest_doubles_are_far_apart_without_overflow() -> None:
    assert irr.match([(-1.7e308, 0)], [(1.7e308, 0)], 1e308).n_matched == 0


def test_one_matching_has_its_mean_distance() -> None:
    found = irr.match([(0, 0), (100, 100)], [(3, 4), (100, 101)], 10)

    assert found.mean_distance == 3.0
    assert irr.match([(0, 0)], [], 10).mean_distance is None


def test_pooling_counts_clicks_and_the_mean_counts_reviews() -> None:
    both_empty = irr.match([], [], 10)
    perfect = irr.match([(0, 0)], [(0, 2)], 10)
    half = irr.match([(0, 0), (50, 50), (90, 90)], [(0, 0)], 10)

    found = irr.summarise([both_empty, perfect, half])

    assert found[:3] == (3, 2, 2)
    assert [estimate.value for estimate in found[3:]] == [4 / 6, 0.75, 1.0]


def test_nothing_clicked_has_no_agreement() -> None:
    found = irr.summarise([irr.match([], [], 10)])

    assert found[:3] == (1, 0, 0)
    assert [estimate[::4] for estimate in found[3:]] == [
        (None, "no clicks"),
        (None, "no clicks"),
        (None, "no clicks match"),
    ]


def test_pooled_f1_has_an_error_over_clusters() -> None:
    hit, miss = irr.match([(0, 0)], [(0, 0)], 10), irr.match([(0, 0)], [(99, 0)], 10)
    matches, clusters = [hit, hit, miss, hit, miss, miss], [0, 0, 0, 1, 1, 2]

    found = irr.summarise(matches, clusters=clusters).pooled_f1

    # Of clusters: 2 of 3, 1 of 2, 0 of 1; the ratio is 1/2 and its residuals 1/2, 0, -1/2 (over 6).
    assert found.value == 0.5
    assert found.se == pytest.approx(math.sqrt(3 / 2 * 2 * (0.5 / 6) ** 2))


def test_chance_matches_clicks_by_the_area_that_they_share() -> None:
    corners = [(0, 0), (1000, 0), (0, 1000), (1000, 1000)]
    sizes = [(1, 1)] * 50 + [(0, 3)] * 5

    near, far, none = irr.chance_f1(sizes, corners, [100, 5000, 0], draws=4000)

    # Two points in a square of side 1: P(distance ≤ r) = πr² − 8r³/3 + r⁴/2.
    share = math.pi * 0.01 - 8 * 0.001 / 3 + 0.0001 / 2
    assert near == pytest.approx(2 * 50 * share / 115, abs=0.01)
    assert far == pytest.approx(100 / 115)
    assert none == 0


def test_chance_matching_counts_a_click_once() -> None:
    line = [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]

    (found,) = irr.chance_f1([(2, 5)], line, [10])

    assert found == pytest.approx(4 / 7)


def test_without_clicks_there_is_no_chance() -> None:
    assert irr.chance_f1([(0, 0)], [], [10, 20]) == [None, None]


@pytest.mark.parametrize(
    ("point", "tolerance", "message"),
    [
        (
            (math.inf, 0.0),
            10,
            "click at (inf, 0.0): match needs finite points; leave this one out",
        ),
        (
            (0.0, math.nan),
            10,
            "click at (0.0, nan): match needs finite points; leave this one out",
        ),
        ((0.0, 0.0), -1, "tolerance: -1 is not a distance; pass pixels, 0 or more"),
        ((0.0, 0.0), math.nan, "tolerance: nan is not a distance; pass pixels, 0 or more"),
    ],
)
def test_points_and_tolerances_must_be_numbers(
    point: tuple[float, float], tolerance: float, message: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        irr.match([(0.0, 0.0)], [point], tolerance)

    assert str(refusal.value) == message


def test_clicks_on_exactly_the_same_places_have_no_interval_of_their_distance() -> None:
    same = irr.match([(0, 0)], [(0, 0)], 10)

    found = irr.summarise([same, same], clusters=["a", "b"]).mean_distance

    assert found == irr.Estimate(0.0, 0.0, None, None, "no two clusters differ", None)


def test_chance_of_many_clicks_is_simulated_in_parts() -> None:
    corners = [(0, 0), (1000, 0), (0, 1000), (1000, 1000)]

    (found,) = irr.chance_f1([(400, 400)], corners, [20])

    # On average half a click is within the tolerance of another; not all of them are matched.
    assert 0.25 < found < 0.4
