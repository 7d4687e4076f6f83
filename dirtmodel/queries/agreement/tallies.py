"""Ratings as sums over units: what every coefficient and its standard error is made of.

A coefficient looks at a unit only through a short row of numbers, and at the whole data set only
through the sum of those rows. So equal units collapse into one row with a multiplicity, units of
one cluster collapse into their sum, and a million ratings become a few thousand rows.
"""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.queries.agreement.formulas import Request
from dirtmodel.queries.agreement.weights import FloatArray

IntArray = npt.NDArray[np.int64]

Labels = Sequence[Hashable] | IntArray
"""Any names, or whole numbers in an array, which are told apart many times faster."""


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

    `margins` is a sparse matrix, rows × (raters · q), or None where raters are unknown;
    `margins_total` is its sum, known even when the rows are not.
    """

    multiplicity: FloatArray
    pairable: FloatArray
    rated: FloatArray
    shares: FloatArray
    values: FloatArray
    agreement: FloatArray
    disagreement: FloatArray
    coincidence: FloatArray
    margins: Any
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
    labels = units.tolist() if clusters is None else [clusters[unit] for unit in units.tolist()]
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
    table = np.asarray(counts, dtype=np.float64)
    if table.size == 0:
        table = table.reshape(0, n_categories)
    if table.ndim != 2 or table.shape[1] != n_categories:  # noqa: PLR2004 - a table has two
        raise UsageError(
            f"counts: an array of shape {table.shape} for {n_categories} categories; give one row "
            f"per unit and {n_categories} columns"
        )
    _check_whole("counts", table)
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


def _check_whole(name: str, array: FloatArray) -> None:
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
    table, repeats = checked_counts(counts, n_categories, multiplicity)
    if clusters is not None and len(clusters) != len(table):
        raise UsageError(
            f"clusters: {len(clusters)} labels for {len(table)} rows of counts; give one per row"
        )
    used = (table.sum(axis=1) >= _least(prevalence)) & (repeats > 0)
    if clusters is None:
        # Rows stay apart where margins point at them.
        apart = margins is not None and margins.clusters is not None
        group_of: dict[Hashable, int] = {row: i for i, row in enumerate(np.flatnonzero(used))}
        group = np.arange(int(used.sum())) if apart else np.zeros(int(used.sum()), dtype=np.int64)
    else:
        group_of = {}
        rated = np.flatnonzero(used)
        labels = (
            clusters[rated]
            if isinstance(clusters, np.ndarray)
            else (clusters[i] for i in rated.tolist())
        )
        group = _index(labels, group_of, "clusters")
    table, group, repeats = _collapse(table[used], group, repeats[used])
    if clusters is None or not len(table):
        rows, units = _unit_rows(table, repeats, request), table
    else:
        rows = _summed(_unit_rows(table, repeats, request), group, len(group_of))
        units = np.zeros((len(group_of), n_categories))
        np.add.at(units, group, table * repeats[:, None])
    if margins is None or not len(table):
        return Tallies(**rows, margins=None, margins_total=None)
    by_rater, total = _margin_matrix(margins, group_of, n_categories)
    if by_rater is not None:
        _check_margins(by_rater @ np.tile(np.eye(n_categories), (len(total), 1)), units)
        total = (rows["multiplicity"] @ by_rater).reshape(total.shape)
    _check_margins(total.sum(axis=0), rows["multiplicity"] @ units)
    return Tallies(**rows, margins=by_rater, margins_total=total)


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
    labels: Iterable[Hashable] | IntArray, known: dict[Hashable, int], what: str
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
    """Merge equal patterns of one group, adding up their multiplicities."""
    columns = np.column_stack([group, table]).astype(np.int64)
    if not len(columns):
        return table, group, repeats
    radix = columns.max(axis=0) + 1
    if np.log2(radix.astype(np.float64)).sum() < 62:  # noqa: PLR2004 - a key fits in int64
        # Sorting one integer is twenty times faster than sorting rows.
        key = columns @ np.append(np.cumprod(radix[:0:-1])[::-1], 1)
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    else:
        _, first, inverse = np.unique(columns, axis=0, return_index=True, return_inverse=True)
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


def _summed(rows: dict[str, FloatArray], group: IntArray, n_groups: int) -> dict[str, FloatArray]:
    from scipy import sparse

    repeats = rows["multiplicity"]
    adder = sparse.csr_matrix(
        (repeats, (group, np.arange(len(group)))), shape=(n_groups, len(group))
    )
    summed = {}
    for name, array in rows.items():
        if name != "multiplicity":
            flat = array.reshape(len(array), math.prod(array.shape[1:]))
            summed[name] = (adder @ flat).reshape(n_groups, *array.shape[1:])
    return {"multiplicity": np.ones(n_groups), **summed}


def _margin_matrix(
    margins: Margins, group_of: dict[Hashable, int], q: int
) -> tuple[Any, FloatArray]:
    """Give rows × (raters · q), or None where rows are unknown, and the sum as raters × q."""
    counts, _ = checked_counts(margins.counts, q, None)
    for name, labels in (("raters", margins.raters), ("clusters", margins.clusters)):
        if labels is not None and len(labels) != len(counts):
            raise UsageError(
                f"margins: {len(labels)} {name} for {len(counts)} rows of counts; give one per row"
            )
    rater_of: dict[Hashable, int] = {}
    rater = _index(margins.raters, rater_of, "margins.raters")
    if margins.clusters is None:
        total = np.zeros((len(rater_of), q))
        np.add.at(total, rater, counts)
        return None, total
    row = _index(margins.clusters, cluster_of := dict(group_of), "margins.clusters")
    if unknown := list(cluster_of)[len(group_of) :]:
        raise UsageError(
            f"margins: cluster {unknown[0]!r} has no such unit in counts; count the same units in "
            "both (with prevalence='pairable', only those with two ratings or more)"
        )
    from scipy import sparse

    shape = (len(group_of), len(rater_of) * q)
    # One category at a time, for a million ratings have many raters within many clusters.
    matrix = sum(
        sparse.csr_matrix((counts[used, k], (row[used], rater[used] * q + k)), shape=shape)
        for k in range(q)
        for used in [np.flatnonzero(counts[:, k])]
    )
    return matrix, np.zeros((len(rater_of), q))
