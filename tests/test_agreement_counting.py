"""Keys are counted as by a dictionary, in whatever order and portions they come."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirtmodel.queries.agreement import counting

N_KINDS = 3
PORTIONS = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, N_KINDS - 1)), min_size=1, max_size=12),
    max_size=30,
)


@pytest.fixture(autouse=True, scope="module")
def few_pending() -> "pytest.Generator[None]":
    """Sort often, as a million ratings do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(counting, "_PENDING", 5)
        yield


def counted(portions: list[list[tuple[int, int]]]) -> Counter[tuple[int, int]]:
    counts = counting.KeyCounts(N_KINDS)
    for portion in portions:
        keys, kinds = np.array(portion).T
        counts.add(keys, kinds)
    keys, table = counts.result()
    assert (np.diff(keys) > 0).all()
    return Counter(
        {
            (key, kind): n
            for key, row in zip(keys.tolist(), table.tolist(), strict=True)
            for kind, n in enumerate(row)
            if n
        }
    )


@given(PORTIONS)
def test_keys_in_any_order(portions: list[list[tuple[int, int]]]) -> None:
    found = counted(portions)

    assert found == Counter(entry for portion in portions for entry in portion)


@given(PORTIONS)
def test_keys_in_about_their_order(portions: list[list[tuple[int, int]]]) -> None:
    rising = [[(key + 20 * n, kind) for key, kind in part] for n, part in enumerate(portions)]

    found = counted(rising)

    assert found == Counter(entry for portion in rising for entry in portion)


def test_a_result_can_be_asked_for_twice() -> None:
    counts = counting.KeyCounts()
    counts.add(np.array([7, 7, 3]))

    first, second = counts.result(), counts.result()

    assert [array.tolist() for array in first] == [[3, 7], [[1], [2]]]
    assert [array.tolist() for array in second] == [[3, 7], [[1], [2]]]
