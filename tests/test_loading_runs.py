"""The writers receive rows in runs of ascending ids."""

import itertools
from collections.abc import Iterator

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dirtmodel.loading import runs
from dirtmodel.release import Batch, Pictures, Rejected

REJECTED = Rejected("rating", 3, 7, "bad-value", "no reason", {})


def batch(table: str, ids: list[int], *rejected: Rejected, pictures: bool = False) -> Batch:
    columns = {"id": pa.array(ids, pa.int64()), "twice": pa.array([2 * i for i in ids], pa.int64())}
    return Batch(table, columns, Pictures([], []) if pictures else None, list(rejected))


def rows(found: Iterator[Batch]) -> list[tuple[str, int, int]]:
    return [
        (batch.table, *row)
        for batch in found
        for row in zip(*(column.to_pylist() for column in batch.columns.values()), strict=True)
    ]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 1000))))
def test_rows_keep_their_order(parts: list[list[int]]) -> None:
    found = rows(runs.in_runs(batch("rating", ids) for ids in parts))

    assert found == [("rating", i, 2 * i) for i in sorted(itertools.chain(*parts))]


def test_each_table_is_a_run_of_its_own() -> None:
    found = rows(runs.in_runs(iter([batch("rating", [2, 1]), batch("coordinate", [1, 0])])))

    assert found == [("rating", 1, 2), ("rating", 2, 4), ("coordinate", 0, 0), ("coordinate", 1, 2)]


def test_a_run_ends_before_it_grows_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUN_ROWS", 3)
    parts = [[9, 8], [7, 6], [5, 4]]

    found = rows(runs.in_runs(batch("rating", ids) for ids in parts))

    assert [i for _, i, _ in found] == [6, 7, 8, 9, 4, 5]


def test_a_run_ends_before_it_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUN_BYTES", 40)
    parts = [[9, 8], [7, 6], [5, 4]]

    found = rows(runs.in_runs(batch("rating", ids) for ids in parts))

    assert [i for _, i, _ in found] == [6, 7, 8, 9, 4, 5]


def test_large_batches_pass_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "LARGE_BYTES", 48)
    parts = [[9, 8], [7, 6, 5], [4]]

    found = rows(runs.in_runs(batch("rating", ids) for ids in parts))

    assert [i for _, i, _ in found] == [7, 6, 5, 4, 8, 9]


def test_batches_with_pictures_pass_unchanged() -> None:
    shown = batch("image", [3, 1], pictures=True)

    found = list(runs.in_runs(iter([batch("session", [1]), shown, batch("rating", [1])])))

    assert [one.table for one in found] == ["session", "image", "rating"]
    assert found[1] is shown


def test_rejected_rows_are_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "NARROW_ROWS", 2)
    parts = [batch("rating", [5, 4], REJECTED), batch("rating", [3], REJECTED)]

    found = list(runs.in_runs(iter(parts)))

    assert [len(one) for one in found] == [2, 1]
    assert [one.rejected for one in found] == [[REJECTED, REJECTED], []]


def test_rejected_rows_are_kept_when_no_sound_row_is_left() -> None:
    found = list(runs.in_runs(iter([batch("rating", [], REJECTED)])))

    assert [one.rejected for one in found] == [[REJECTED]]
