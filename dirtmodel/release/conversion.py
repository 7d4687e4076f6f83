"""Converting each physical type to the canonical type of its column.

Polars, DuckDB and pandas write the same content with different types, and the published pipeline
writes a column of numbers that starts with NULLs as text. Every type that can hold the content is
accepted. A value that cannot be converted without loss is marked as invalid, never rounded.

Arrow's safe cast decides what is a loss. There are a few further rules: NaN is NULL, the text 1e400
is not infinity, and t and f are true and false.
"""

import decimal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dirtmodel.release.columns import Column, Kind

if TYPE_CHECKING:
    import pyarrow as pa

Mask = NDArray[np.bool_]

_SECONDS: Final = (-62_135_596_800, 253_402_300_800)
"""The years 1 to 9999 in seconds since 1970, which Python and both databases can represent."""

_SECONDS_A_DAY: Final = 86_400

_MANTISSA_BITS: Final = {16: 11, 32: 24, 64: 53}
"""Bits of the mantissa of a floating-point type, by the bits of the type."""

_ZONE: Final = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
"""Pattern of the time zone at the end of a timestamp."""


def accepts(kind: Kind, physical: "pa.DataType") -> bool:
    """Return True if a physical type can hold the values of a kind of column."""
    import pyarrow.types as pt

    physical = _plain_type(physical)
    text = (pt.is_string, pt.is_large_string, pt.is_string_view)
    binary = (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)
    # Booleans are not numbers: true and false in `rating` would not mean UNSURE and PASS.
    number = (pt.is_integer, pt.is_floating, pt.is_decimal, *text)
    accepted: dict[Kind, tuple[Callable[[Any], bool], ...]] = {
        Kind.BIGINT: number,
        Kind.INTEGER: number,
        Kind.DOUBLE: number,
        Kind.BOOLEAN: (pt.is_boolean, *number),
        # Readers of a dump take names that consist of digits for integers.
        Kind.TEXT: (pt.is_integer, *text, *binary),
        Kind.INSTANT: (pt.is_timestamp, pt.is_date, *text),
        Kind.DATE: (pt.is_date, *text),
        Kind.DECIMAL: (pt.is_decimal, *text),
        Kind.BINARY: binary,
    }
    return pt.is_null(physical) or any(is_type(physical) for is_type in accepted[kind])


def convert(column: Column, array: "pa.Array") -> "tuple[pa.Array, Mask]":
    """Convert an array of an accepted type to the canonical type of a column.

    Returns
    -------
    tuple
        The array as `column.arrow_type`, and the mask of values that cannot be converted without
        loss; these are NULL in the array.
    """
    import pyarrow as pa
    import pyarrow.types as pt

    array = plain(array)
    if pt.is_null(array.type):
        return pa.nulls(len(array), column.arrow_type), np.zeros(len(array), np.bool_)
    steps = {
        Kind.BIGINT: _bigint,
        Kind.INTEGER: _integer,
        Kind.DOUBLE: _double,
        Kind.BOOLEAN: _boolean,
        Kind.INSTANT: _instant,
        Kind.DATE: _date,
    }
    if column.kind in steps:
        return steps[column.kind](array)
    array, bad = _cast(array, column.arrow_type)
    return (_blank_to_null(array) if column.blank_is_null else array), bad


def plain(array: "pa.Array") -> "pa.Array":
    """Return an array without its dictionary encoding or extension type."""
    import pyarrow as pa
    import pyarrow.types as pt

    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pt.is_decimal(array.type) and array.type.bit_width < pa.decimal128(1).bit_width:
        # Arrow's casts of narrow decimal numbers can overflow.
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
    return array


def _plain_type(physical: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa
    import pyarrow.types as pt

    if isinstance(physical, pa.BaseExtensionType):
        physical = physical.storage_type
    return physical.value_type if pt.is_dictionary(physical) else physical


def valid(array: "pa.Array") -> Mask:
    """Return the mask of values that are not NULL."""
    mask: Mask = array.is_valid().to_numpy(zero_copy_only=False)
    return mask


def integers(array: "pa.Array") -> NDArray[np.int64]:
    """Return a canonical integer, boolean or timestamp array as int64, with 0 for NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    result: NDArray[np.int64] = pc.fill_null(array.cast(pa.int64()), 0).to_numpy(
        zero_copy_only=False
    )
    return result


def text_of(scalar: "pa.Scalar") -> str | None:
    """Return the text of a timestamp (in UTC) or a date, including those that Python cannot hold.

    Return None for NULL or a scalar of another type.
    """
    import pyarrow as pa
    import pyarrow.types as pt

    if pt.is_dictionary(scalar.type):
        scalar = scalar.value
    if pt.is_date(scalar.type) and scalar.is_valid:
        return str(scalar.cast(pa.string()).as_py())
    if not pt.is_timestamp(scalar.type) or not scalar.is_valid:
        return None
    # Arrow stores UTC, but its text has the local time of the zone; therefore drop the zone.
    naive = scalar.cast(pa.int64()).cast(pa.timestamp(scalar.type.unit))
    return str(naive.cast(pa.string()).as_py())


def _cast(array: "pa.Array", to: "pa.DataType") -> "tuple[pa.Array, Mask]":
    """Cast an array; values that cannot be cast without loss are NULL, and marked in the mask."""
    import pyarrow as pa

    try:
        return array.cast(to), np.zeros(len(array), np.bool_)
    except pa.ArrowInvalid:
        if len(array) == 1:
            return pa.nulls(1, to), np.ones(1, np.bool_)
    half = len(array) // 2
    halves = [_cast(part, to) for part in (array.slice(0, half), array.slice(half))]
    arrays, bad = zip(*halves, strict=True)
    return pa.concat_arrays(arrays), np.concatenate(bad)


def _mask(truths: "pa.Array") -> Mask:
    """Return a boolean array as a mask, with False for NULL."""
    return np.array(truths.fill_null(False).to_numpy(zero_copy_only=False), np.bool_)


def _keep(array: "pa.Array", good: Mask) -> "tuple[pa.Array, Mask]":
    """Replace values that are not good by NULL, and return the mask of those values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    was_valid = valid(array)
    kept = pc.if_else(pa.array(good & was_valid), array, pa.nulls(len(array), array.type))
    return kept, was_valid & ~good


def _blank_to_null(array: "pa.Array") -> "pa.Array":
    import pyarrow.compute as pc

    return _keep(array, ~_mask(pc.equal(pc.utf8_trim_whitespace(array), "")))[0]


def _is_text(physical: "pa.DataType") -> bool:
    import pyarrow.types as pt

    return bool(
        pt.is_string(physical) or pt.is_large_string(physical) or pt.is_string_view(physical)
    )


def _without_nan(array: "pa.Array") -> "pa.Array":
    """Convert floating-point numbers to doubles, and NaN to NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = array.cast(pa.float64())
    return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)


def _bigint(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.types as pt

    if not pt.is_floating(array.type):
        return _cast(array, pa.int64())
    # Larger floating-point numbers cannot represent all integers, and may have been rounded.
    end = 2 ** _MANTISSA_BITS[array.type.bit_width]
    numbers, bad = _cast(_without_nan(array), pa.int64())
    numbers, large = _keep(numbers, np.abs(integers(numbers)) < end)
    return numbers, bad | large


def _integer(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    array, bad = _bigint(array)
    numbers = integers(array)
    array, wide = _keep(array, (numbers >= -(2**31)) & (numbers < 2**31))
    return array, bad | wide


def _double(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    original = array
    if _is_text(original.type) or pt.is_decimal(original.type):
        # Arrow rounds text correctly, but not all decimal numbers.
        array = original.cast(pa.large_string())
    numbers, bad = _cast(array, pa.float64())
    if _is_text(original.type):
        # A text such as 1e400 becomes infinity, but does not mean it.
        spelled = pc.match_substring_regex(array, r"(?i)inf")
        bad |= _mask(pc.and_not(pc.is_inf(numbers), spelled))
    elif pt.is_decimal(original.type):
        pairs = zip(original.to_pylist(), numbers.to_pylist(), strict=True)
        bad |= np.array([d is not None and not _same(d, n) for d, n in pairs], np.bool_)
    return _without_nan(_keep(numbers, ~bad)[0]), bad


def _same(exact: decimal.Decimal, double: float) -> bool:
    """Return True if a double equals a decimal number exactly, or in its shortest text form."""
    return exact in {decimal.Decimal(double), decimal.Decimal(repr(double))}


def _boolean(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as pt

    bad = np.zeros(len(array), np.bool_)
    if pt.is_boolean(array.type):
        return array, bad
    if _is_text(array.type):
        truths = pc.utf8_lower(array.cast(pa.large_string()))
        no_yes = pa.array(["f", "false", "0", "t", "true", "1"], pa.large_string())
    else:
        truths, bad = _bigint(array)
        no_yes = pa.array([0, 1])
    index = pc.index_in(truths, no_yes)
    booleans = pc.greater_equal(index, len(no_yes) // 2)
    return booleans, bad | (valid(truths) & ~valid(index))


def _instant(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.types as pt

    us = pa.timestamp("us")
    if _is_text(array.type):
        array, bad = _instant_of_text(array.cast(pa.large_string()))
    elif pt.is_date(array.type):
        array, bad = _cast(array, us)
    else:
        # Arrow stores UTC with and without a zone, so that dropping the zone keeps the instant.
        array, bad = _cast(array.cast(pa.int64()).cast(pa.timestamp(array.type.unit)), us)
    first, end = (s * 1_000_000 for s in _SECONDS)
    ticks = integers(array)
    array, beyond = _keep(array, (ticks >= first) & (ticks < end))
    return array, bad | beyond


def _instant_of_text(texts: "pa.Array") -> "tuple[pa.Array, Mask]":
    """Read ISO 8601 timestamps; those without a time zone are UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # Arrow rejects more than six decimals of a second; zeros can be dropped without loss.
    texts = pc.replace_substring_regex(texts, r"(\.[0-9]{6})0+", r"\1")
    zoned = _mask(pc.match_substring_regex(texts, f":[0-9.]+{_ZONE}"))
    with_zone, bad_with = _cast(_keep(texts, zoned)[0], pa.timestamp("us", "UTC"))
    without, bad_without = _cast(_keep(texts, ~zoned)[0], pa.timestamp("us"))
    return pc.coalesce(with_zone.cast(pa.timestamp("us")), without), bad_with | bad_without


def _date(array: "pa.Array") -> "tuple[pa.Array, Mask]":
    import pyarrow as pa
    import pyarrow.types as pt

    bad = np.zeros(len(array), np.bool_)
    if pt.is_date64(array.type):
        # Arrow's cast would drop the time of day.
        ticks = integers(array.cast(pa.int64()))
        array, bad = _keep(array, ticks % (_SECONDS_A_DAY * 1_000) == 0)
    array, wrong = _cast(array, pa.date32())
    first, end = (s // _SECONDS_A_DAY for s in _SECONDS)
    days = integers(array.cast(pa.int32()))
    array, beyond = _keep(array, (days >= first) & (days < end))
    return array, bad | wrong | beyond
