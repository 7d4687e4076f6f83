"""Tables of two raters, or of one rater twice."""

import numpy as np
import pytest

from dirtmodel import irr
from dirtmodel.errors import UsageError
from dirtmodel.irr import pairs

CATEGORIES = ["PASS", "UNSURE", "FAIL"]


def test_a_table_without_units_is_undefined() -> None:
    found = irr.two_way([[0, 0, 0]] * 3, categories=CATEGORIES)

    assert found == irr.TwoWay(0, None, None, None, None, (None,) * 3, "no common units")


def test_two_raters_who_always_pass_agree_without_variation() -> None:
    found = irr.two_way([[9, 0, 0], [0, 0, 0], [0, 0, 0]], categories=CATEGORIES)

    assert found == irr.TwoWay(9, 1.0, None, None, 1.0, (1.0, None, None), "no variation")


def test_raters_without_a_common_category_disagree_altogether() -> None:
    found = irr.two_way([[0, 0, 4], [0, 0, 0], [0, 0, 0]], categories=CATEGORIES)

    assert found.percent_agreement == 0
    assert found.cohen_kappa == 0
    assert found.dice == (0.0, None, 0.0)
    assert found.reason is None


def test_swapping_the_raters_changes_nothing() -> None:
    table = [[5, 1, 2], [0, 3, 1], [2, 0, 4]]

    found = irr.two_way([list(row) for row in zip(*table, strict=True)], categories=CATEGORIES)

    expected = irr.two_way(table, categories=CATEGORIES)
    assert found[:5] == pytest.approx(expected[:5])
    assert found.dice == pytest.approx(expected.dice)


def test_no_defined_pair_has_no_mean() -> None:
    assert irr.over_pairs([None, None]) == irr.OverPairs(None, None, None, 0)


def test_a_table_that_is_not_square_is_refused() -> None:
    with pytest.raises(UsageError) as refusal:
        irr.two_way([[1, 0, 0], [0, 1, 0]], categories=CATEGORIES)

    assert str(refusal.value) == (
        "table: 2 rows for 3 categories; pass 3 × 3, the first set of ratings down, the second "
        "across"
    )


def test_pairs_are_the_same_whatever_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    unit, rater = np.nonzero(random.random((60, 6)) < 0.6)
    ratings = irr.Ratings(unit, rater, random.integers(0, 3, len(unit)))
    how = {"categories": CATEGORIES, "clusters": random.integers(0, 9, 60)}
    expected = irr.pairwise(ratings, **how)

    monkeypatch.setattr(pairs, "_BLOCK", 7)
    found = irr.pairwise(ratings, **how)

    assert [pair[:3] for pair in found.pairs] == [pair[:3] for pair in expected.pairs]
    assert len(found.pairs) == 15
    for measure, estimate in expected.over.items():
        assert found.over[measure][:8] == pytest.approx(estimate[:8])
    for one, same in zip(found.pairs, expected.pairs, strict=True):
        assert one.estimates == {
            name: pytest.approx(value) for name, value in same.estimates.items()
        }
