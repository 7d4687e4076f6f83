"""Ratings as plain arrays, and checks of arguments."""

import math
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.irr.weights import FloatArray

IntArray = npt.NDArray[np.int64]

Labels = Sequence[Hashable] | npt.NDArray[Any]
"""One label per row: any hashable values, or an array."""


class Ratings(NamedTuple):
    """Ratings with their units and raters: three integer arrays with one entry per rating.

    Parameters
    ----------
    unit
        Index of the rated unit, from 0: its row in `counts`.
    rater
        Index of the rater, from 0.
    code
        Index of the chosen category, from 0.

    """

    unit: IntArray
    rater: IntArray
    code: IntArray

    def take(self, chosen: npt.NDArray[Any]) -> "Ratings":
        """Return the ratings at these positions, or where this mask is true."""
        return Ratings(self.unit[chosen], self.rater[chosen], self.code[chosen])

    def counts(self, n_units: int, n_categories: int) -> IntArray:
        """Return the number of raters who put each unit into each category: units × categories."""
        cells = self.unit * n_categories + self.code
        counts = np.bincount(cells, minlength=n_units * n_categories)
        return counts.reshape(n_units, n_categories)


class Tabulation(NamedTuple):
    """The counts (units × categories) of a units × raters table, and its single ratings."""

    counts: IntArray
    margins: Ratings


def tabulate(
    ratings: npt.ArrayLike | Sequence[Sequence[object]], *, categories: Sequence[object]
) -> Tabulation:
    """Count the categories in a units × raters table.

    Parameters
    ----------
    ratings
        Units × raters. None, NaN or -1 means that the rater did not rate the unit.
    categories
        All categories that a rater could choose, used or not.

    Returns
    -------
    Tabulation
        `coefficients(t.counts, margins=t.margins, categories=categories)` takes both parts.

    Raises
    ------
    UsageError
        If `ratings` is not a table, or contains a value that is not one of `categories`.

    Examples
    --------
    >>> t = tabulate([["y", "y"], ["n", None]], categories=["n", "y"])
    >>> t.counts.tolist()
    [[0, 2], [1, 0]]

    """
    codes = _codes(ratings, categories)
    unit, rater = np.nonzero(codes >= 0)
    margins = Ratings(unit, rater, codes[unit, rater])
    return Tabulation(margins.counts(len(codes), len(categories)), margins)


def _codes(
    ratings: npt.ArrayLike | Sequence[Sequence[object]], categories: Sequence[object]
) -> IntArray:
    numbers = all(isinstance(category, int | float) for category in categories)
    table = ratings
    if not (isinstance(table, np.ndarray) and table.dtype.kind in "iufb" and numbers):
        # dtype=object, because in an array of text numpy turns NaN into the text "nan".
        table = np.asarray(ratings, dtype=object)
    if table.ndim != 2:  # noqa: PLR2004 - a table has two
        raise UsageError(
            f"ratings: an array with {table.ndim} dimensions; pass a table, units × raters"
        )
    codes = np.full(table.shape, -1, dtype=np.int64)
    for code, category in enumerate(categories):
        codes[table == category] = code
    missing = (table != table) | (table == -1) | (table == None)  # noqa: PLR0124, E711 - elementwise
    unknown = np.argwhere((codes < 0) & ~missing.astype(bool))
    if len(unknown):
        unit, rater = unknown[0].tolist()
        raise UsageError(
            f"ratings: unit {unit}, rater {rater}: {table[unit, rater]!r} is not one of the "
            f"categories {list(categories)!r}; declare it, or set it to None"
        )
    return codes


def checked_counts(counts: npt.ArrayLike, n_categories: int) -> FloatArray:
    """Return units × categories counts as floats.

    Raises
    ------
    UsageError
        If the shape does not fit the categories, or an entry is not a whole number ≥ 0.

    """
    table = np.asarray(counts, dtype=np.float64)
    if table.size == 0:
        table = table.reshape(0, n_categories)
    if table.ndim != 2 or table.shape[1] != n_categories:  # noqa: PLR2004 - a table has two
        raise UsageError(
            f"counts: an array of shape {table.shape} for {n_categories} categories; pass one row "
            f"per unit and {n_categories} columns"
        )
    _check_whole("counts", table)
    return table


def checked_multiplicity(multiplicity: npt.ArrayLike | None, n_rows: int) -> FloatArray:
    """Return the number of units that each row stands for: 1 by default."""
    if multiplicity is None:
        return np.ones(n_rows)
    repeats = np.asarray(multiplicity, dtype=np.float64)
    if repeats.shape != (n_rows,):
        raise UsageError(
            f"multiplicity: an array of shape {repeats.shape} for {n_rows} rows of counts; pass "
            "one number per row"
        )
    _check_whole("multiplicity", repeats)
    return repeats


def _check_whole(name: str, array: FloatArray) -> None:
    # NaN fails every comparison; infinity equals its floor, but is not finite.
    wrong = ~(np.isfinite(array) & (array >= 0) & (np.floor(array) == array))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise UsageError(
            f"{name}: {array[where]:g} in row {where[0]} is not a number of ratings; pass whole "
            "numbers from 0"
        )


def checked_ratings(
    ratings: Ratings, n_units: int | None = None, n_categories: int | None = None
) -> Ratings:
    """Return ratings as int64 arrays.

    Raises
    ------
    UsageError
        If the arrays differ in length, or contain an index that is negative or too large.

    """
    unit, rater, code = (np.asarray(part, dtype=np.int64).reshape(-1) for part in ratings)
    if not len(unit) == len(rater) == len(code):
        raise UsageError(
            f"ratings: {len(unit)} units, {len(rater)} raters and {len(code)} codes; pass one of "
            "each per rating"
        )
    for name, part, end in (
        ("units", unit, n_units),
        ("raters", rater, None),
        ("codes", code, n_categories),
    ):
        if len(part) and (part.min() < 0 or (end is not None and part.max() >= end)):
            limit = "" if end is None else f" to {end - 1}"
            raise UsageError(
                f"ratings: {name} are indices from 0{limit}; found {part.min()} to {part.max()}"
            )
    return Ratings(unit, rater, code)


def group(labels: Labels | None, rated: npt.NDArray[np.bool_]) -> IntArray | None:
    """Return the index of the cluster of each rated row, from 0; None without clusters.

    Raises
    ------
    UsageError
        If the number of labels differs from the number of rows, or a rated row has no label.

    """
    if labels is None:
        return None
    if len(labels) != len(rated):
        raise UsageError(
            f"clusters: {len(labels)} labels for {len(rated)} rows of counts; pass one per row"
        )
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "iu":
        return distinct(labels[rated].astype(np.int64))[1]
    number: dict[Hashable, int] = {}
    groups = []
    # list(): a pandas Series would be indexed by its labels instead of positions.
    for row, (label, is_rated) in enumerate(zip(list(labels), rated.tolist(), strict=True)):
        if not is_rated:
            continue
        if label is None or label != label:  # noqa: PLR0124 - NaN is not a label either
            raise UsageError(
                f"clusters: rated row {row} has no label; give it a label or leave the row out"
            )
        groups.append(number.setdefault(label, len(number)))
    return np.asarray(groups, dtype=np.int64)


def distinct(labels: IntArray) -> tuple[IntArray, IntArray]:
    """Return the sorted distinct labels, and the index of each label among them."""
    if len(labels) and labels.min() >= 0 and labels.max() <= 4 * len(labels):
        # Small numbers from 0 need no sorting.
        used = np.bincount(labels) > 0
        place: IntArray = np.cumsum(used)[labels] - 1
        return np.flatnonzero(used), place
    values, place = np.unique(labels, return_inverse=True)
    return values, place.reshape(-1)


def collapsed(
    counts: FloatArray, groups: IntArray, repeats: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Merge equal rows of counts within a group, and sum the numbers of units they stand for."""
    bases = [int(most) + 1 for most in counts.max(axis=0, initial=0)]
    if not len(counts) or math.prod([int(groups.max()) + 1, *bases]) >= 2**63:
        return counts, groups, repeats
    key = groups
    for column, base in zip(counts.T, bases, strict=True):
        key = key * base + column.astype(np.int64)
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    times = np.bincount(inverse.reshape(-1), weights=repeats).astype(np.float64)
    return counts[first], groups[first], times


def column_sums(
    table: FloatArray, groups: IntArray, n_groups: int, weights: FloatArray | None = None
) -> FloatArray:
    """Sum the rows of each group: rows × columns become groups × columns."""
    summed = np.empty((n_groups, table.shape[1]))
    for column in range(table.shape[1]):
        values = table[:, column] if weights is None else table[:, column] * weights
        summed[:, column] = np.bincount(groups, weights=values, minlength=n_groups)
    return summed
