"""How much two different categories agree: weights and, for alpha, their disagreements."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from dirtmodel.errors import UsageError

FloatArray = npt.NDArray[np.float64]
Weights = str | Sequence[Sequence[float]] | FloatArray

AGREEMENT_WEIGHTS: Final = ("identity", "linear", "quadratic")
"""Weights of the chance-corrected coefficients, by the names that the results carry."""

ALPHA_METRICS: Final = ("nominal", "ordinal", "interval")
"""Metrics of Krippendorff's alpha."""

_WEIGHTS_OF_METRIC: Final = {"nominal": "identity", "interval": "quadratic"}
_METRIC_OF_WEIGHTS: Final = {"identity": "nominal", "quadratic": "interval"}


def scale(categories: Sequence[object]) -> FloatArray:
    """Place the categories on a line: at their own values if all are numbers, else at 0, 1, 2, …

    Parameters
    ----------
    categories
        The q declared categories, used or not, in their order.

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
            f"categories: {list(categories)!r} are too few; declare all that a rater could "
            "choose, used or not, two or more"
        )
    if len(set(categories)) < len(categories):
        raise UsageError(f"categories: {list(categories)!r} has one twice; list each once")
    if not all(isinstance(category, int | float | np.number) for category in categories):
        return np.arange(len(categories), dtype=np.float64)
    values = np.asarray(categories, dtype=np.float64)
    if not np.isfinite(values).all():
        raise UsageError(
            f"categories: {list(categories)!r} has one that is not finite; leave missing ratings "
            "out of the categories"
        )
    return values


def agreement_weights(weights: Weights, categories: Sequence[object]) -> FloatArray:
    """Return the q × q matrix of agreement between categories, 1 on the diagonal.

    `identity` counts equal categories only; `linear` is 1 − |c − k| / range and `quadratic`
    1 − (c − k)² / range² on the scale of the categories (Cohen 1968; Gwet 2014, chapter 3).
    A matrix of your own is symmetric, within 0 and 1, with 1 on the diagonal; disagreements d
    turn into it as 1 − d / max(d), and no kappa changes by that.

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
            f"weights: {weights!r} is not known; choose identity, linear, quadratic or pass a "
            "matrix"
        )
    return _checked(np.asarray(weights, dtype=np.float64), len(categories))


def _checked(matrix: FloatArray, n_categories: int) -> FloatArray:
    if matrix.shape != (n_categories, n_categories):
        raise UsageError(
            f"weights: a matrix of shape {matrix.shape} for {n_categories} categories; pass "
            f"{n_categories} × {n_categories}"
        )
    # Written so that NaN fails it.
    within = bool(((matrix >= 0) & (matrix <= 1)).all())
    if not (within and (matrix == matrix.T).all() and (np.diag(matrix) == 1).all()):
        raise UsageError(
            "weights: a matrix of agreement is symmetric, within 0 and 1, with 1 on the diagonal; "
            "turn disagreements d into 1 - d / d.max()"
        )
    if (matrix == 1).all():
        raise UsageError(
            "weights: all are 1, so nothing could disagree; lower those of different categories"
        )
    return matrix


def requested(
    weights: Weights | Sequence[str] | None, categories: Sequence[object]
) -> tuple[dict[str, FloatArray], dict[str, FloatArray | None]]:
    """Resolve the `weights` argument into weights matrices and metrics of alpha, by name.

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
        raise UsageError("weights: none given; name some, or leave the option out for all")
    return (
        {name: agreement_weights(name, categories) for name in kappas},
        {name: disagreement(name, categories) for name in metrics},
    )


def disagreement(metric: str, categories: Sequence[object]) -> FloatArray | None:
    """Return a metric's q × q squared differences, at most 1; None for `ordinal`."""
    if metric == "ordinal":
        return None
    return 1 - agreement_weights(_WEIGHTS_OF_METRIC.get(metric, metric), categories)
