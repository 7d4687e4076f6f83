"""Repeated ratings of a unit by the same rater, sorted by the time between them."""

import numpy as np

from dirtmodel import irr


def test_repeats_are_sorted_by_the_time_between_them() -> None:
    first, second = np.array([0, 0, 1, 1, 0]), np.array([0, 1, 1, 1, 0])
    gaps, same = np.array([0.2, 60.0, 90.0, 4.0, 1e6]), np.array([1, 1, 1, 0, 0])

    found = irr.repeats(
        first,
        second,
        gaps,
        same,
        categories=["PASS", "FAIL"],
        clusters=np.array([0, 1, 2, 3, 4]),
        sampling=irr.Sampling("subject"),
    )

    assert {name: (kind.n, kind.table) for name, kind in found.items()} == {
        "all": (5, [[2, 1], [0, 2]]),
        "double_submission": (2, [[1, 0], [0, 1]]),
        "same_session": (2, [[0, 1], [0, 1]]),
        "later": (1, [[1, 0], [0, 0]]),
    }
    assert found["all"].median_gap_seconds == 60
    assert found["all"].estimates["percent_agreement"].value == 0.8
    assert found["later"].estimates["percent_agreement"].reason == "one subject alone contributes"


def test_without_repeats_everything_is_undefined() -> None:
    nothing = np.zeros(0, dtype=np.int64)

    found = irr.repeats(
        nothing,
        nothing,
        np.zeros(0),
        nothing,
        categories=["PASS", "FAIL"],
        clusters=nothing,
        sampling=irr.Sampling("subject"),
    )

    assert all(kind.n == 0 and kind.median_gap_seconds is None for kind in found.values())
    reasons = {e.reason for kind in found.values() for e in kind.estimates.values()}
    assert reasons == {"no common units"}
