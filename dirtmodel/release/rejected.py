"""Rows that cannot be loaded, stored completely as JSON."""

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dirtmodel.release import checks
from dirtmodel.release.blobs import Img
from dirtmodel.release.conversion import Mask, text_of
from dirtmodel.release.findings import ERRORS, shown

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be loaded, with all its values."""

    table: str
    file_row: int
    id: int | None
    code: str
    reason: str
    row: dict[str, Any]


def rejected(
    columns: checks.Columns,
    imgs: list[Img] | None,
    problems: list[checks.Problem],
    first_row: int,
    rows: Mask,
) -> list[Rejected]:
    """Return the selected rows of a batch, with the code of the first error and all reasons."""
    kept = []
    for row in np.flatnonzero(rows).tolist():
        errors = [problem for problem in problems if problem.code in ERRORS and problem.rows[row]]
        kept.append(
            Rejected(
                table=columns.table,
                file_row=first_row + row,
                id=columns.arrays["id"][row].as_py(),
                code=errors[0].code,
                reason="; ".join(shown(problem.describe(row)) for problem in errors),
                row=_json_row(columns.raw, row) | _json_img(imgs, row),
            )
        )
    return kept


def _json_row(raw: "dict[str, pa.Array]", row: int) -> dict[str, Any]:
    return {name: _json_value(array[row]) for name, array in raw.items()}


def _json_img(imgs: list[Img] | None, row: int) -> dict[str, Any]:
    if imgs is None:
        return {}
    img = imgs[row]
    return {"img": None if img is None else _base64(img)}


def _base64(data: bytes | memoryview) -> str:
    return base64.b64encode(data).decode("ascii")


def _json_value(scalar: "pa.Scalar") -> Any:
    """Convert any Arrow value to JSON without loss."""
    try:
        value = text_of(scalar) or scalar.as_py()
    except (ValueError, OverflowError):
        # Arrow's dates, times and durations can be larger or more precise than Python's.
        value = f"{scalar.type} {scalar.cast('int64').as_py()}"
    if isinstance(value, bytes):
        return _base64(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        # Postgres cannot store NUL, not even in JSON; U+2400 is the visible symbol for it.
        return value.replace("\0", "␀")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)
