"""Weights of agreement between categories and, for alpha, metrics of disagreement."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError

FloatArray = npt.NDArray[np.float64]
Weights = str | Sequence[Sequence[float]] | FloatArray

AGREEMENT_WEIGHTS: Final = ("identity", "linear", "quadratic")
"""Names of the weights of chance-corrected coefficients, as in the results."""

ALPHA_METRICS: Final = ("nominal", "ordinal", "interval")
"""Metrics of Krippendorff's alpha."""

_WEIGHTS_OF_METRIC: Final = {"nominal": "identity", "interval": "quadratic"}
_METRIC_OF_WEIGHTS: Final = {"identity": "nominal", "quadratic": "interval"}


def scale(categories: Sequence[object]) -> FloatArray:
    """Return the positions of the categories: their values if all are numbers, else 0, 1, 2, …

    Parameters
    ----------
    categories
        All q categories that a rater could choose, used or not, in order.

    Returns
    -------
    ndarray of shape (q,)

    Raises
    ------
    UsageError
        If there are fewer than two categories, or one occurs twice or is not finite.

    """
    if len(categories) < 2:  # noqa: PLR2004 - agreement by chance needs an alternative
        raise UsageError(
            f"categories: {list(categories)!r} are too few; pass at least two, all that a rater "
            "could choose, used or not"
        )
    if len(set(categories)) < len(categories):
        raise UsageError(f"categories: {list(categories)!r} has a category twice; list each once")
    if not all(isinstance(category, int | float | np.number) for category in categories):
        return np.arange(len(categories), dtype=np.float64)
    values = np.asarray(categories, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UsageError(
            f"categories: {list(categories)!r} has a number that is not finite; leave missing "
            "ratings out of the categories"
        )
    return values


def agreement_weights(weights: Weights, categories: Sequence[object]) -> FloatArray:
    """Return the q × q matrix of agreement between categories, 1 on the diagonal.

    `identity` counts only equal categories as agreement; `linear` is 1 − |c − k| / range and
    `quadratic` 1 − (c − k)² / range² on the scale of the categories (Cohen 1968; Gwet 2014,
    chapter 3). A matrix must be symmetric, with values from 0 to 1 and 1 on the diagonal. Turn a
    matrix d of disagreements into 1 − d / max(d); the scaling changes no kappa.

    >>> agreement_weights("linear", ["PASS", "UNSURE", "FAIL"])
    array([[1. , 0.5, 0. ],
           [0.5, 1. , 0.5],
           [0. , 0.5, 1. ]])
    """
    if isinstance(weights, str):
        values = scale(categories)
        distance = np.abs(values[:, None] - values)
        distance /= distance.max()
        if weights == "identity":
            return np.eye(len(values))
        if weights == "linear":
            return 1 - distance
        if weights == "quadratic":
            return 1 - distance**2
        raise UsageError(
            f"weights: {weights!r} is not known; choose identity, linear or quadratic, or pass a "
            "matrix"
        )
    return _checked(np.asarray(weights, dtype=np.float64), len(categories))


def _checked(matrix: FloatArray, n_categories: int) -> FloatArray:
    if matrix.shape != (n_categories, n_categories):
        raise UsageError(
            f"weights: a matrix of shape {matrix.shape} for {n_categories} categories; pass "
            f"{n_categories} × {n_categories}"
        )
    # NaN fails these comparisons.
    within = bool(((matrix >= 0) & (matrix <= 1)).all())
    if not (within and (matrix == matrix.T).all() and (np.diag(matrix) == 1).all()):
        raise UsageError(
            "weights: a matrix of agreement must be symmetric, with values from 0 to 1 and 1 on "
            "the diagonal; turn a matrix d of disagreements into 1 - d / d.max()"
        )
    if (matrix == 1).all():
        raise UsageError(
            "weights: all are 1, so nothing can disagree; lower those of different categories"
        )
    return matrix


def requested(
    weights: Weights | Sequence[str] | None, categories: Sequence[object]
) -> tuple[dict[str, FloatArray], dict[str, FloatArray | None]]:
    """Return the weights matrices and the metrics of alpha that `weights` asks for, by name.

    A metric is a matrix of disagreements, or None for `ordinal`, which depends on the data.
    """
    if weights is not None and not isinstance(weights, str):
        matrix_given = not all(isinstance(entry, str) for entry in weights)
        if matrix_given:
            matrix = agreement_weights(np.asarray(weights, dtype=np.float64), categories)
            return {"custom": matrix}, {"custom": 1 - matrix}
    if weights is None:
        kappas: tuple[str, ...] = AGREEMENT_WEIGHTS
        metrics: tuple[str, ...] = ALPHA_METRICS
    else:
        names = [weights] if isinstance(weights, str) else [str(name) for name in weights]
        kappas = tuple(name for name in names if name not in ALPHA_METRICS)
        metrics = tuple(_METRIC_OF_WEIGHTS.get(name, name) for name in names)
    if not metrics:
        raise UsageError("weights: the list is empty; name some, or pass None for all")
    return (
        {name: agreement_weights(name, categories) for name in kappas},
        {name: disagreement(name, categories) for name in metrics},
    )


def disagreement(metric: str, categories: Sequence[object]) -> FloatArray | None:
    """Return the q × q squared differences of a metric, at most 1; None for `ordinal`."""
    if metric == "ordinal":
        return None
    return 1 - agreement_weights(_WEIGHTS_OF_METRIC.get(metric, metric), categories)
