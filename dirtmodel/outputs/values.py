"""Converting values to text and JSON."""

import datetime as dt
import decimal
import enum
import functools
import json
import math
import re
from typing import Any, Final

_KB: Final = 1_000
_WIDE: Final = 1e5
_HUGE: Final = 1e15
_INFINITY: Final = "Infinity"
_NAN: Final = "NaN"
_UNCHANGED: Final = frozenset({str, int})
"""Types whose values are the same in all formats; most values of large results have them."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return a value as strict JSON (RFC 8259); see `jsonable`."""
    return _encoder(indent).encode(jsonable(value))


@functools.cache
def _encoder(indent: int | None) -> json.JSONEncoder:
    return json.JSONEncoder(ensure_ascii=False, allow_nan=False, indent=indent)


def jsonable(value: Any) -> Any:
    """Convert a value to the types of JSON.

    Enums become their names. JSON has no infinite numbers and no NaN: these become the strings
    "Infinity", "-Infinity" and "NaN". Only None becomes null; a statistic that does not exist is
    None.
    """
    if type(value) in _UNCHANGED:
        return value
    if hasattr(value, "_asdict"):
        value = value._asdict()
    match value:
        case dict():
            return {str(key): jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _:
            return _json_scalar(value)


def _json_scalar(value: Any) -> Any:
    match value:
        case enum.Enum():
            return value.name
        case float() | decimal.Decimal():
            return _number(value)
        case dt.datetime():
            return utc_text(value)
        case bytes() | memoryview():
            return describe_bytes(value)
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def utc_text(moment: dt.datetime) -> str:
    """Return the text of a time as it is stored in SQLite: UTC with microseconds, without a zone.

    A time without a zone is assumed to be UTC.

    >>> utc_text(dt.datetime.fromisoformat("2025-07-13T14:00:00+02:00"))
    '2025-07-13 12:00:00.000000'
    """
    utc = moment if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return utc.replace(tzinfo=None).isoformat(" ", "microseconds")


def _number(value: float | decimal.Decimal) -> int | float | str:
    """Convert a float or a decimal, which Postgres returns for sums and averages, for JSON."""
    if not math.isfinite(value):
        return _NAN if math.isnan(value) else _INFINITY if value > 0 else f"-{_INFINITY}"
    is_whole = isinstance(value, decimal.Decimal) and value == value.to_integral_value()
    return int(value) if is_whole else float(value)


def describe_bytes(data: bytes | memoryview) -> str:
    """Return a short description of a BLOB, to be printed instead of its bytes.

    >>> describe_bytes(b"abc")
    '<3 bytes>'
    """
    from dirtmodel.draw.header import probe
    from dirtmodel.errors import PictureError

    n_bytes = memoryview(data).nbytes
    size = f"{n_bytes} bytes" if n_bytes < _KB else f"{n_bytes / _KB:.0f} KB"
    try:
        header = probe(data)
    except PictureError:
        return f"<{size}>"
    return f"<{header.format} {header.width}×{header.height}, {size}>"


def text_cell(value: Any, null: str) -> Any:
    """Convert a value to a cell of a text format, with `null` for NULL.

    Infinite numbers become `inf`, which all readers of csv recognise, including polars.
    """
    if value is None or type(value) in _UNCHANGED:
        return null if value is None else value
    match value:
        case bool() | dict():
            return dumps(value)
        case float() | decimal.Decimal() if not math.isnan(value):
            is_exact = isinstance(value, decimal.Decimal) and value.is_finite()
            return f"{value:f}" if is_exact else str(float(value))
        case str() | int() if not isinstance(value, enum.Enum):
            return value
        case list() | tuple():
            return " ".join(str(text_cell(item, null)) for item in value) or null
    return str(jsonable(value))


def is_number(value: Any) -> bool:
    """Return True for numbers, which are aligned on the right."""
    return isinstance(value, int | float | decimal.Decimal) and not isinstance(
        value, bool | enum.Enum
    )


def table_cell(value: Any) -> str:
    """Convert a value other than NULL to a cell of a table for people."""
    if isinstance(value, float) and math.isfinite(value):
        # Six digits, or all digits of a larger integer part: 12345678 and not 1.23457e+07.
        return f"{value:{'.0f' if _WIDE <= abs(value) < _HUGE else '.6g'}}"
    # A line break in a note would break the row.
    return escape_control(str(text_cell(value, "")))


def escape_control(text: str, *, keep: str = "") -> str:
    """Escape control characters, which could move the cursor or break a line.

    These are the control characters of ASCII and Latin-1, the separators of lines and paragraphs,
    and the characters that change the direction of text, except those in `keep`.
    """
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
