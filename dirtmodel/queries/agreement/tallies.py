"""Ratings as sums over units: what every coefficient and its standard error is made of.

A coefficient looks at a unit only through a short row of numbers, and at the whole data set only
through the sum of those rows. So equal units collapse into one row with a multiplicity, units of
one cluster collapse into their sum, and a million ratings become a few thousand rows.
"""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.queries.agreement.formulas import Request
from dirtmodel.queries.agreement.weights import FloatArray

IntArray = npt.NDArray[np.int64]

Labels = Sequence[Hashable] | npt.NDArray[np.integer]
"""Any names, or whole numbers in an array, which are told apart many times faster."""

_ROWS_AT_ONCE: Final = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Margins:
    """How often each rater used each category: what Conger's kappa needs beside the counts.

    Parameters
    ----------
    raters
        Rater of each row; any hashable label.
    counts
        Rows × categories: the ratings of that rater, within that row's cluster.
        A rater (and cluster) may have several rows; they add up.
    clusters
        Cluster of each row, labelled as in `coefficients(clusters=…)`; when that is None,
        the index of the row of `counts` that the ratings belong to. None where unknown:
        Conger's kappa then has no standard error.

    """

    raters: Labels
    counts: npt.ArrayLike
    clusters: Labels | None = None


class Tabulation(NamedTuple):
    """Ratings of known raters, counted: units × categories, and each rater's margins."""

    counts: IntArray
    margins: Margins


@dataclasses.dataclass(frozen=True, eq=False)
class Tallies:
    """Independent rows (units, or clusters summed up) with their multiplicity.

    Of each unit, one entry per row in every array:

    - `pairable`, `rated`: 1 if it has two ratings or more, 1 as it has any
    - `shares`: q, its proportion of ratings per category
    - `values`: q, its ratings per category if it is pairable
    - `agreement`: one per weights matrix, the weighted proportion of its ordered pairs of ratings
    - `disagreement`: one per fixed metric of alpha, its coincidences weighted by the metric
    - `coincidence`: q × q, its coincidences; without columns unless ordinal alpha is asked for

    `margins` are q sparse matrices, rows × raters, or None where raters are unknown;
    `margins_total` is their sum over rows, raters × q, known even when the rows are not.
    """

    multiplicity: FloatArray
    pairable: FloatArray
    rated: FloatArray
    shares: FloatArray
    values: FloatArray
    agreement: FloatArray
    disagreement: FloatArray
    coincidence: FloatArray
    margins: list[Any] | None
    margins_total: FloatArray | None

    @property
    def n_rows(self) -> float:
        """Number of independent rows, repetitions counted."""
        return float(self.multiplicity.sum())


def tabulate(
    ratings: npt.ArrayLike | Sequence[Sequence[object]],
    *,
    categories: Sequence[object],
    clusters: Sequence[Hashable] | None = None,
    prevalence: str = "all",
) -> Tabulation:
    """Count a units × raters matrix of categories, None, NaN or -1 where a rater gave none.

    Hand on the result as `coefficients(t.counts, margins=t.margins, …)`, with the same
    `clusters` and `prevalence`.

    >>> t = tabulate([["y", "y"], ["n", None]], categories=["n", "y"])
    >>> t.counts.tolist()
    [[0, 2], [1, 0]]
    """
    codes = _codes(ratings, categories)
    q = len(categories)
    counts = np.stack([(codes == code).sum(axis=1) for code in range(q)], axis=1)
    rated = (codes >= 0) & (counts.sum(axis=1, keepdims=True) >= _least(prevalence))
    units, raters = np.nonzero(rated)
    chosen = np.eye(q, dtype=np.int64)[codes[units, raters]]
    if clusters is not None and len(clusters) != len(codes):
        raise UsageError(
            f"clusters: {len(clusters)} labels for {len(codes)} units; give one per unit"
        )
    every = range(len(codes)) if clusters is None else list(clusters)
    labels = [every[unit] for unit in units.tolist()]
    return Tabulation(counts, Margins(raters.tolist(), chosen, labels))


def _codes(
    ratings: npt.ArrayLike | Sequence[Sequence[object]], categories: Sequence[object]
) -> IntArray:
    numbers = all(isinstance(category, int | float) for category in categories)
    given = ratings
    if not (isinstance(given, np.ndarray) and given.dtype.kind in "iufb" and numbers):
        # As they are: among words, numpy would turn NaN into the word nan.
        given = np.asarray(ratings, dtype=object)
    if given.ndim != 2:  # noqa: PLR2004 - a matrix has two
        raise UsageError(f"ratings: {given.ndim} dimensions; give a matrix, units × raters")
    codes = np.full(given.shape, -1, dtype=np.int64)
    for code, category in enumerate(categories):
        codes[given == category] = code
    missing = (given != given) | (given == -1) | (given == None)  # noqa: PLR0124, E711 - elementwise
    unknown = np.argwhere((codes < 0) & ~missing.astype(bool))
    if len(unknown):
        unit, rater = unknown[0].tolist()
        raise UsageError(
            f"ratings: unit {unit}, rater {rater}: {given[unit, rater]!r} is not one of the "
            f"categories {list(categories)!r}; declare it, or set it to None"
        )
    return codes


def checked_counts(
    counts: npt.ArrayLike, n_categories: int, multiplicity: npt.ArrayLike | None
) -> tuple[FloatArray, FloatArray]:
    """Return counts (rows × categories) and multiplicities (rows) as floats, or say what is off."""
    table = _checked(counts, n_categories).astype(np.float64)
    repeats = np.ones(len(table))
    if multiplicity is not None:
        repeats = np.asarray(multiplicity, dtype=np.float64)
        if repeats.shape != (len(table),):
            raise UsageError(
                f"multiplicity: an array of shape {repeats.shape} for {len(table)} rows of "
                "counts; give one number per row"
            )
        _check_whole("multiplicity", repeats)
    return table, repeats


def _checked(counts: npt.ArrayLike, n_categories: int) -> FloatArray | npt.NDArray[np.integer]:
    """Return counts as they are if they are integers, else as floats, or say what is off."""
    table = np.asarray(counts)
    if table.dtype.kind not in "iu":
        table = np.asarray(counts, dtype=np.float64)
    if table.size == 0:
        table = table.reshape(0, n_categories)
    if table.ndim != 2 or table.shape[1] != n_categories:  # noqa: PLR2004 - a table has two
        raise UsageError(
            f"counts: an array of shape {table.shape} for {n_categories} categories; give one row "
            f"per unit and {n_categories} columns"
        )
    _check_whole("counts", table)
    return table


def _check_whole(name: str, array: FloatArray | npt.NDArray[np.integer]) -> None:
    if array.dtype.kind in "iu":
        wrong = array < 0
    else:
        # Written so that NaN fails it; infinity passes floor and is caught by isfinite.
        wrong = ~(np.isfinite(array) & (array >= 0) & (np.floor(array) == array))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise UsageError(
            f"{name}: {array[where]:g} in row {where[0]} is not a number of ratings; give whole "
            "numbers from 0"
        )


def tally(
    counts: npt.ArrayLike,
    n_categories: int,
    request: Request,
    *,
    multiplicity: npt.ArrayLike | None = None,
    clusters: Labels | None = None,
    margins: Margins | None = None,
    prevalence: str = "all",
) -> Tallies:
    """Sum units into independent rows; units nobody rated are no units.

    Parameters are those of `coefficients`.
    """
    apart = margins is not None and margins.clusters is not None
    rows, units, group_of = _independent_rows(
        counts, n_categories, request, multiplicity, clusters, prevalence, apart=apart
    )
    if margins is None or not len(units):
        return Tallies(**rows, margins=None, margins_total=None)
    by_category, total = _margin_matrices(margins, group_of, n_categories)
    if by_category is not None:
        everyone = np.ones(len(total))
        _check_margins(np.stack([matrix @ everyone for matrix in by_category], axis=1), units)
        total = np.stack([rows["multiplicity"] @ matrix for matrix in by_category], axis=1)
    _check_margins(total.sum(axis=0), rows["multiplicity"] @ units)
    return Tallies(**rows, margins=by_category, margins_total=total)


def _independent_rows(
    counts: npt.ArrayLike,
    n_categories: int,
    request: Request,
    multiplicity: npt.ArrayLike | None,
    clusters: Labels | None,
    prevalence: str,
    *,
    apart: bool,
) -> tuple[dict[str, FloatArray], FloatArray, dict[Hashable, int]]:
    """Give the rows of `Tallies`, their counts by category, and the row of each label.

    Without clusters the labels are the units' places in `counts`, and units stay `apart` where
    margins point at them.
    """
    table, repeats = checked_counts(counts, n_categories, multiplicity)
    if clusters is not None and len(clusters) != len(table):
        raise UsageError(
            f"clusters: {len(clusters)} labels for {len(table)} rows of counts; give one per row"
        )
    used = np.flatnonzero((table.sum(axis=1) >= _least(prevalence)) & (repeats > 0))
    table, repeats = table[used], repeats[used]
    group_of: dict[Hashable, int] = {}
    if clusters is None:
        group_of = {row: i for i, row in enumerate(used.tolist())}
        group = np.arange(len(used)) if apart else np.zeros(len(used), dtype=np.int64)
        table, _, repeats = _collapse(table, group, repeats)
        return _unit_rows(table, repeats, request), table, group_of
    labels: Labels
    if isinstance(clusters, np.ndarray):
        labels = clusters[used]
    else:
        # By place: what comes out of a data frame may have labels of its own.
        every = list(clusters)
        labels = [every[row] for row in used.tolist()]
    group = _index(labels, group_of, "clusters")
    table, group, repeats = _collapse(table, group, repeats)
    units = np.zeros((len(group_of), n_categories))
    np.add.at(units, group, table * repeats[:, None])
    return _cluster_rows(table, repeats, request, group, len(group_of)), units, group_of


def _check_margins(found: FloatArray, expected: FloatArray) -> None:
    if not (found == expected).all():
        raise UsageError(
            "margins: the raters' ratings do not add up to counts; count the same units in both "
            "(with prevalence='pairable', only those with two ratings or more)"
        )


def _least(prevalence: str) -> int:
    if prevalence not in {"all", "pairable"}:
        raise UsageError(
            f"prevalence: {prevalence!r} is not known; choose all (every rated unit) or pairable "
            "(units with two ratings or more)"
        )
    return 1 if prevalence == "all" else 2


def _index(
    labels: Iterable[Hashable] | npt.NDArray[np.integer], known: dict[Hashable, int], what: str
) -> IntArray:
    """Give each label its number, adding to those known."""
    if isinstance(labels, np.ndarray):
        different, place = np.unique(labels, return_inverse=True)
        return _index(different.tolist(), known, what)[place.reshape(-1)]
    numbers = []
    for row, label in enumerate(labels):
        if label is None or label != label:  # noqa: PLR0124 - NaN, too, is no label
            raise UsageError(
                f"{what}: rated row {row} has none; give it a label of its own or leave the row out"
            )
        numbers.append(known.setdefault(label, len(known)))
    return np.asarray(numbers, dtype=np.int64)


def _collapse(
    table: FloatArray, group: IntArray, repeats: FloatArray
) -> tuple[FloatArray, IntArray, FloatArray]:
    """Merge equal patterns of one group, adding up their multiplicities, and sort by group."""
    if not len(table):
        return table, group, repeats
    bases = [int(most) + 1 for most in table.max(axis=0)]
    if math.prod([int(group.max()) + 1, *bases]) < 2**63:
        # Sorting one integer is twenty times faster than sorting rows.
        key = group
        for column, base in zip(table.T, bases, strict=True):
            key = key * base + column.astype(np.int64)
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    else:
        rows = np.column_stack([group, table]).astype(np.int64)
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    added = np.bincount(inverse.reshape(-1), weights=repeats).astype(np.float64)
    return table[first], group[first], added


def _unit_rows(table: FloatArray, repeats: FloatArray, request: Request) -> dict[str, FloatArray]:
    total = table.sum(axis=1)
    pairable = (total > 1).astype(np.float64)
    others = np.maximum(total - 1, 1)

    def coincident(matrix: FloatArray) -> FloatArray:
        # Without the q × q coincidences, which are many when categories are.
        pairs = ((table @ matrix) * table).sum(axis=1) - table @ np.diag(matrix)
        return np.asarray(pairs / others)

    def columns(arrays: Sequence[FloatArray]) -> FloatArray:
        return np.stack(arrays, axis=1) if arrays else np.empty((len(table), 0))

    return {
        "multiplicity": repeats,
        "pairable": pairable,
        "rated": np.ones(len(table)),
        "shares": table / total[:, None],
        "values": table * pairable[:, None],
        "agreement": columns([coincident(w) / total for w in request.matrices.values()]),
        "disagreement": columns([coincident(metric) for metric in request.fixed_metrics]),
        "coincidence": coincidences(table) if request.is_ordinal else np.empty((len(table), 0, 0)),
    }


def coincidences(table: FloatArray) -> FloatArray:
    """Give each unit's q × q ordered pairs of ratings over (its ratings − 1); 0 below two."""
    total = table.sum(axis=1)
    pairs = table[:, :, None] * table[:, None, :]
    diagonal = np.arange(table.shape[1])
    pairs[:, diagonal, diagonal] -= table
    return np.asarray(pairs / np.maximum(total - 1, 1)[:, None, None])


def _cluster_rows(
    table: FloatArray, repeats: FloatArray, request: Request, group: IntArray, n_groups: int
) -> dict[str, FloatArray]:
    """Sum units by group, in order of which they are, without holding all their rows at once."""
    summed: dict[str, FloatArray] = {}
    for start in range(0, max(len(table), 1), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        first = np.flatnonzero(np.diff(group[part], prepend=-1))
        for name, array in _unit_rows(table[part], repeats[part], request).items():
            whole = summed.setdefault(name, np.zeros((n_groups, *array.shape[1:])))
            if array.size and name != "multiplicity":
                times = repeats[part].reshape(-1, *(1,) * (array.ndim - 1))
                whole[group[part][first]] += np.add.reduceat(array * times, first)
    return {**summed, "multiplicity": np.ones(n_groups)}


def _margin_matrices(
    margins: Margins, group_of: dict[Hashable, int], q: int
) -> tuple[list[Any] | None, FloatArray]:
    """Give q matrices, rows × raters, or None where rows are unknown, and the sum: raters × q.

    The sum is left to the caller where rows are known.
    """
    counts = _checked(margins.counts, q)
    for name, labels in (("raters", margins.raters), ("clusters", margins.clusters)):
        if labels is not None and len(labels) != len(counts):
            raise UsageError(
                f"margins: {len(labels)} {name} for {len(counts)} rows of counts; give one per row"
            )
    rater_of: dict[Hashable, int] = {}
    rater = _index(margins.raters, rater_of, "margins.raters")
    total = np.zeros((len(rater_of), q))
    if margins.clusters is None:
        np.add.at(total, rater, counts)
        return None, total
    row = _index(margins.clusters, cluster_of := dict(group_of), "margins.clusters")
    if unknown := list(cluster_of)[len(group_of) :]:
        raise UsageError(
            f"margins: cluster {unknown[0]!r} has no such unit in counts; count the same units in "
            "both (with prevalence='pairable', only those with two ratings or more)"
        )
    from scipy import sparse

    order = np.argsort(row, kind="stable")
    starts = np.append(0, np.cumsum(np.bincount(row, minlength=len(group_of))))
    places = rater[order].astype(np.int32), starts.astype(np.int32)
    del row, rater
    shape = (len(group_of), len(rater_of))
    return [sparse.csr_matrix((column[order], *places), shape=shape) for column in counts.T], total
