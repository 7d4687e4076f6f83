"""Which columns the files have, and how each physical type becomes the canonical one.

Polars, DuckDB and pandas write the same content as different types; the inference of the real
pipeline even makes strings of a column of numbers that starts with NULLs. Every type that carries
the same logical content is taken; values that would lose something are marked, never rounded.
"""

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from dirtmodel.models import DisplayMode, Ratings, Step
from dirtmodel.models.types import BigInt, UTCDateTime

if TYPE_CHECKING:
    import pyarrow as pa

Mask = NDArray[np.bool_]


class Kind(enum.Enum):
    """What a column means, whatever its physical type."""

    BIGINT = "whole numbers"
    INTEGER = "whole numbers of 32 bits"
    DOUBLE = "numbers"
    BOOLEAN = "true or false"
    TEXT = "text"
    INSTANT = "timestamps"
    DATE = "dates"
    DECIMAL = "decimal numbers"
    BINARY = "bytes"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    values
        The enum whose numbers it holds.
    digits
        Of decimal numbers: how many in all, and how many after the point.
    extra
        True for a column that a release has beside the documented ones.
    """

    name: str
    kind: Kind
    nullable: bool = False
    values: type[Step | DisplayMode | Ratings] | None = None
    digits: tuple[int, int] | None = None
    extra: bool = False

    @property
    def sql_type(self) -> sa.types.TypeEngine[Any]:
        """Return the type that the column has in a database."""
        if self.kind is Kind.DECIMAL:
            return sa.Numeric(*(self.digits or ()))
        return _SQL_TYPES[self.kind]


_SQL_TYPES: Final[dict[Kind, sa.types.TypeEngine[Any]]] = {
    Kind.BIGINT: BigInt,
    Kind.INTEGER: sa.Integer(),
    Kind.DOUBLE: sa.Double(),
    Kind.BOOLEAN: sa.Boolean(),
    Kind.TEXT: sa.Text(),
    Kind.INSTANT: UTCDateTime(),
    Kind.DATE: sa.Date(),
    Kind.BINARY: sa.LargeBinary(),
}


_ID: Final = Column("id", Kind.BIGINT)
_STEP: Final = Column("step", Kind.INTEGER, values=Step)
_CREATED: Final = Column("created", Kind.INSTANT)
_SOURCE_DATA_ISSUE: Final = Column("source_data_issue", Kind.BOOLEAN)
_REVIEW: Final = (
    Column("img_id", Kind.BIGINT),
    Column("session", Kind.BIGINT),
    Column("notes", Kind.TEXT, nullable=True),
    _CREATED,
)

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "session": (_ID, _STEP, Column("user", Kind.TEXT, nullable=True), _CREATED),
    "image": (
        _ID,
        Column("img", Kind.BINARY),
        Column("slice", Kind.INTEGER, nullable=True),
        Column("file1", Kind.TEXT),
        Column("file2", Kind.TEXT, nullable=True),
        Column("display", Kind.INTEGER, values=DisplayMode),
        _STEP,
        _CREATED,
    ),
    "rating": (
        _ID,
        _SOURCE_DATA_ISSUE,
        Column("rating", Kind.INTEGER, values=Ratings),
        *_REVIEW,
    ),
    "coordinate": (
        _ID,
        _SOURCE_DATA_ISSUE,
        Column("x", Kind.DOUBLE, nullable=True),
        Column("y", Kind.DOUBLE, nullable=True),
        *_REVIEW,
    ),
}
"""The documented layout, in file order."""

OPTIONAL: Final = frozenset({"notes"})
"""Columns that releases of DIRT's first days do not have."""


def accepts(kind: Kind, physical: "pa.DataType") -> bool:
    """Return whether a physical type can carry what a column means."""
    import pyarrow.types as pt

    if pt.is_dictionary(physical):
        physical = physical.value_type
    if pt.is_null(physical):
        return True
    text = _is_text(physical)
    number = bool(text or pt.is_integer(physical) or pt.is_floating(physical))
    return {
        Kind.BIGINT: number,
        Kind.INTEGER: number,
        Kind.DOUBLE: number,
        Kind.BOOLEAN: number or bool(pt.is_boolean(physical)),
        Kind.TEXT: text,
        Kind.INSTANT: bool(pt.is_timestamp(physical)),
        Kind.DATE: bool(pt.is_date(physical)),
        Kind.DECIMAL: bool(pt.is_decimal(physical)),
        Kind.BINARY: bool(
            pt.is_binary(physical)
            or pt.is_large_binary(physical)
            or pt.is_binary_view(physical)
            or pt.is_fixed_size_binary(physical)
        ),
    }[kind]


def convert(kind: Kind, array: "pa.Array") -> "tuple[pa.Array, Mask]":
    """Bring an array of an accepted type to the canonical one.

    Returns
    -------
    tuple
        The array as int64, double, bool, large_string, timestamp[us] (UTC, naive), date32,
        large_binary, or decimals of the type that they have;
        and a mask of the values that were there but cannot be held without loss (NULL in the
        array).
    """
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    none = np.zeros(len(array), dtype=np.bool_)
    if kind is Kind.DECIMAL:
        return array, none
    if pt.is_null(array.type):
        return pa.nulls(len(array), canonical(kind)), none
    if kind in {Kind.TEXT, Kind.BINARY}:
        return array.cast(canonical(kind)), none
    converters = {
        Kind.BIGINT: _bigint,
        Kind.INTEGER: _integer,
        Kind.DOUBLE: _double,
        Kind.BOOLEAN: _boolean,
        Kind.INSTANT: _instant,
        Kind.DATE: _date,
    }
    return converters[kind](array)


def valid(array: "pa.Array") -> Mask:
    """Return the mask of values that are not NULL."""
    mask: Mask = array.is_valid().to_numpy(zero_copy_only=False)
    return mask


def integers(array: "pa.Array") -> NDArray[np.int64]:
    """Return a canonical integer, boolean or timestamp array as int64, 0 where NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    result: NDArray[np.int64] = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(
        zero_copy_only=False
    )
    return result


def text_of(scalar: "pa.Scalar") -> str | None:
    """Write a timestamp as UTC text, or a date, also those that Python cannot hold.

    Return None for a scalar of another type, or NULL.
    """
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(scalar.type):
        scalar = scalar.value
    if pt.is_date(scalar.type) and scalar.is_valid:
        return str(scalar.cast(pa.string()).as_py())
    if not pt.is_timestamp(scalar.type) or not scalar.is_valid:
        return None
    # Arrow's ticks are UTC, and its own text shows the zone's wall clock; hence no zone.
    naive = scalar.cast(pa.int64()).cast(pa.timestamp(scalar.type.unit))
    return str(naive.cast(pa.string()).as_py())


def canonical(kind: Kind) -> "pa.DataType":
    """Return the type that every accepted one becomes; timestamps are UTC without a zone."""
    import pyarrow as pa

    return {
        Kind.BIGINT: pa.int64(),
        Kind.INTEGER: pa.int64(),
        Kind.DOUBLE: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TEXT: pa.large_string(),
        Kind.INSTANT: pa.timestamp("us"),
        Kind.DATE: pa.date32(),
        Kind.BINARY: pa.large_binary(),
    }[kind]


def _is_text(physical: Any) -> bool:
    import pyarrow.types as pt

    return bool(
        pt.is_string(physical) or pt.is_large_string(physical) or pt.is_string_view(physical)
    )


def _mask(truths: "pa.Array") -> Mask:
    """Return the mask of a boolean array, NULL counting as false."""
    return np.array(truths.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def _keep(array: "pa.Array", good: Mask) -> "tuple[pa.Array, Mask]":
    """NULL out what is not good; bad is what was there before."""
    import pyarrow as pa
    import pyarrow.compute as pc

    there = valid(array)
    kept = pc.if_else(pa.array(good & there), array, pa.nulls(len(array), array.type))
    return kept, there & ~good


_MANTISSA_BITS: Final = {16: 11, 32: 24, 64: 53}
"""By the bits of a floating-point type."""


def _without_nan(array: "pa.Array") -> "pa.Array":
    """Widen floating-point numbers to doubles, NaN to NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = array.cast(pa.float64())
    return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)


def _bigint(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if pt.is_floating(array.type):
        # From here on a float no longer tells neighbouring integers apart.
        end = 2 ** _MANTISSA_BITS[array.type.bit_width]
        array = _without_nan(array)
        values = pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False)
        good = (np.abs(values) < end) & (np.floor(values) == values)
    elif _is_text(array.type):
        array = array.cast(pa.large_string())
        good = _mask(pc.match_substring_regex(array, r"^-?[0-9]{1,18}$"))
        # 2^63 has 19 digits.
        for row in np.flatnonzero(_mask(pc.match_substring_regex(array, r"^-?[0-9]{19}$"))):
            good[row] = -(2**63) <= int(array[int(row)].as_py()) < 2**63
    elif array.type == pa.uint64():
        values = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
        good = values < np.uint64(2**63)
    else:
        good = np.ones(len(array), dtype=np.bool_)
    array, bad = _keep(array, good)
    return array.cast(pa.int64()), bad


def _integer(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    array, bad = _bigint(array)
    numbers = integers(array)
    array, wide = _keep(array, (numbers >= -(2**31)) & (numbers < 2**31))
    return array, bad | wide


def _double(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if _is_text(array.type):
        return _double_of_text(array.cast(pa.large_string()))
    good = np.ones(len(array), dtype=np.bool_)
    if pt.is_integer(array.type):
        values = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
        good = (values <= 2**53) & (values >= -(2**53))
    array, bad = _keep(array, good)
    return _without_nan(array), bad


def _double_of_text(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.compute as pc

    number = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity|nan)$"
    array, bad = _keep(array, _mask(pc.match_substring_regex(array, number)))
    # Arrow reads no plus sign.
    numbers = pc.replace_substring_regex(array, r"^\+", "").cast(pa.float64())
    # Whoever wrote 1e400 did not mean infinity.
    overflown = pc.and_not(pc.is_inf(numbers), pc.match_substring_regex(array, r"(?i)inf"))
    numbers, too_large = _keep(numbers, ~_mask(overflown))
    return _without_nan(numbers), bad | too_large


def _boolean(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    if pt.is_boolean(array.type):
        return array, np.zeros(len(array), dtype=np.bool_)
    if _is_text(array.type):
        array = pc.utf8_lower(array.cast(pa.large_string()))
        yes = pc.is_in(array, pa.array(["t", "true", "1"], pa.large_string()))
        no = pc.is_in(array, pa.array(["f", "false", "0"], pa.large_string()))
    else:
        if pt.is_floating(array.type):
            array = _without_nan(array)
        yes = pc.fill_null(pc.equal(array, 1), fill_value=False)
        no = pc.fill_null(pc.equal(array, 0), fill_value=False)
    known = pc.or_(yes, no)
    bad = valid(array) & ~known.to_numpy(zero_copy_only=False)
    return pc.if_else(known, yes, pa.scalar(None, pa.bool_())), bad


_SECONDS: Final = (-62_135_596_800, 253_402_300_800)
"""The years 1 to 9999, which Python and both databases can write."""


def _instant(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa

    per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[array.type.unit]
    ticks = integers(array)
    first, end = (max(min(s * per_second, 2**63 - 1), -(2**63)) for s in _SECONDS)
    good = (ticks >= first) & (ticks < end)
    if array.type.unit == "ns":
        good &= ticks % 1_000 == 0
    array, bad = _keep(array, good)
    # The ticks are UTC with and without a zone; dropping the zone keeps the instant.
    naive = array.cast(pa.int64()).cast(pa.timestamp(array.type.unit))
    return naive.cast(pa.timestamp("us")), bad


_SECONDS_A_DAY: Final = 86_400


def _date(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.types as pt

    per_day = _SECONDS_A_DAY * 1_000 if pt.is_date64(array.type) else 1
    width = pa.int64() if pt.is_date64(array.type) else pa.int32()
    ticks = integers(array.cast(width))
    first, end = (s // _SECONDS_A_DAY for s in _SECONDS)
    good = (ticks // per_day >= first) & (ticks // per_day < end) & (ticks % per_day == 0)
    array, bad = _keep(array, good)
    return array.cast(pa.date32()), bad
