"""What stands beside the coefficients: prevalence, agreement per category, each rater's weight."""

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError
from dirtmodel.queries.agreement.formulas import (
    disagreement,
    krippendorff_alpha,
    ordinal_metric,
    ratio,
)
from dirtmodel.queries.agreement.tallies import checked_counts, coincidences

_ROUNDING: Final = 1e-12


def prevalence(
    counts: npt.ArrayLike, *, n_categories: int, multiplicity: npt.ArrayLike | None = None
) -> list[float | None]:
    """Give each category's proportion of all ratings; None without ratings.

    Rows are units, or raters: whatever was counted by category.

    >>> prevalence([[3, 0, 1], [4, 0, 0]], n_categories=3)
    [0.875, 0.0, 0.125]
    """
    table, repeats = checked_counts(counts, n_categories, multiplicity)
    used = repeats @ table
    return _defined(ratio(used, used.sum()))


def specific_agreement(
    counts: npt.ArrayLike, *, n_categories: int, multiplicity: npt.ArrayLike | None = None
) -> list[float | None]:
    """Give for each category how likely another rater of the unit repeats it.

    Σ n_ik (n_ik − 1) / Σ n_ik (r_i − 1) (Uebersax; Cicchetti & Feinstein 1990): None for a
    category that nobody used on a unit with two ratings.

    >>> specific_agreement([[2, 0, 0], [1, 0, 1]], n_categories=3)
    [0.6666666666666666, None, 0.0]
    """
    table, repeats = checked_counts(counts, n_categories, multiplicity)
    others = table.sum(axis=1, keepdims=True) - 1
    return _defined(ratio(repeats @ (table * (table - 1)), repeats @ (table * others)))


def unanimity(
    counts: npt.ArrayLike,
    *,
    n_categories: int,
    multiplicity: npt.ArrayLike | None = None,
    at_least: int = 2,
) -> float | None:
    """Give the proportion of units whose ratings are all the same.

    Parameters
    ----------
    counts, multiplicity
        As in `coefficients`.
    n_categories
        Number of columns.
    at_least
        Leave out units with fewer ratings: 2 for every pairable unit, the number of raters for
        completely rated ones only.

    Returns
    -------
    float or None
        None where no unit has as many ratings.

    """
    if at_least < 2:  # noqa: PLR2004 - one rating agrees with itself
        raise UsageError(f"at_least: {at_least} ratings cannot disagree; give 2 or more")
    table, repeats = checked_counts(counts, n_categories, multiplicity)
    total = table.sum(axis=1)
    enough = repeats * (total >= at_least)
    return _defined(ratio(enough @ (table.max(axis=1, initial=0) == total), enough.sum()[None]))[0]


def one_against_rest(counts: npt.ArrayLike, category: int) -> npt.NDArray[np.int64]:
    """Merge all categories but one: … × q counts into … × 2, the rest first.

    >>> one_against_rest([[2, 1, 0], [0, 0, 3]], 2).tolist()
    [[3, 0], [0, 3]]
    """
    table = np.asarray(counts, dtype=np.int64)
    chosen = table[..., category]
    return np.stack([table.sum(axis=-1) - chosen, chosen], axis=-1)


def leave_one_out(
    raters: Sequence[Hashable],
    codes: npt.ArrayLike,
    counts: npt.ArrayLike,
    *,
    categories: Sequence[object],
    multiplicity: npt.ArrayLike | None = None,
    metric: str = "ordinal",
) -> dict[Hashable, float | None]:
    """Give Krippendorff's alpha of all other raters, for each rater in turn.

    An alpha that rises without a rater points at the one who rates differently.

    Parameters
    ----------
    raters
        Rater of each row, in the order of the result.
    codes
        Which category (index) that rater chose.
    counts
        Rows × q: the counts of the rated unit, this rater's included.
        Each rated unit thus occurs once per rater of it.
    categories
        As in `coefficients`.
    multiplicity
        How many such units the row stands for: equal (rater, code, counts) collapse.
    metric
        `nominal`, `ordinal`, `interval` or `linear`.

    Returns
    -------
    dict
        Rater → alpha; None where undefined.

    """
    distance = disagreement(metric, categories)
    table, repeats = checked_counts(counts, len(categories), multiplicity)
    chosen = np.asarray(codes, dtype=np.int64).reshape(-1)
    rater_of: dict[Hashable, int] = {}
    rater = np.array([rater_of.setdefault(r, len(rater_of)) for r in raters], dtype=np.int64)
    if not len(rater) == len(chosen) == len(table):
        raise UsageError(
            f"leave_one_out: {len(rater)} raters, {len(chosen)} codes and {len(table)} rows of "
            "counts; give one of each per row"
        )
    if not ((chosen >= 0) & (chosen < len(categories))).all():
        raise UsageError(
            f"leave_one_out: codes are indices of the {len(categories)} categories, from 0; "
            f"found {chosen.min()} to {chosen.max()}"
        )
    own = np.eye(len(categories))[chosen]
    if (table < own).any():
        raise UsageError(
            "leave_one_out: counts do not hold the rater's own rating; count all raters of the unit"
        )
    whole = coincidences(table)
    # A unit occurs once per rater of it, so its share of the whole is one over their number.
    shares = repeats / table.sum(axis=1)
    everything = np.einsum("i,ikl->kl", shares, whole)
    change = np.zeros((len(rater_of), *everything.shape))
    np.add.at(change, rater, repeats[:, None, None] * (coincidences(table - own) - whole))
    remaining = everything + change
    # What cancels must leave no trace of rounding, or an unused category would seem used.
    remaining[np.abs(remaining) < _ROUNDING * everything.max(initial=0)] = 0
    values = remaining.sum(axis=-1)
    differences = ordinal_metric(values) if distance is None else distance
    alphas = krippendorff_alpha(values, (remaining * differences).sum((-2, -1)), differences)
    return dict(zip(rater_of, _defined(alphas), strict=True))


def _defined(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]
