"""Values as they stand in text formats and JSON."""

import datetime as dt
import decimal
import enum
import json
import math
import re
from typing import Any, Final

_KB: Final = 1_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Write JSON that any reader takes: no NaN, no bytes, names instead of enums."""
    return json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False, indent=indent)


def jsonable(value: Any) -> Any:
    """Bring a value into what JSON knows; what is not a number there becomes null."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, decimal.Decimal):
        value = _decimal(value)
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
        case float():
            return value if math.isfinite(value) else None
        case dt.datetime():
            return utc_text(value)
        case bytes() | memoryview():
            return describe_bytes(value)
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def utc_text(moment: dt.datetime) -> str:
    """Write a time as SQLite holds it: UTC, with microseconds and without a zone.

    A time without a zone is taken for UTC.

    >>> utc_text(dt.datetime.fromisoformat("2025-07-13T14:00:00+02:00"))
    '2025-07-13 12:00:00.000000'
    """
    utc = moment if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return utc.replace(tzinfo=None).isoformat(" ", "microseconds")


def _decimal(value: decimal.Decimal) -> int | float | None:
    """Postgres gives sums and averages as decimals; JSON has one kind of number."""
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def describe_bytes(data: bytes | memoryview) -> str:
    """Describe a BLOB instead of printing it.

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
    """Convert a value to a cell of a text format, with `null` for NULL."""
    match value:
        case None:
            return null
        case bool():
            return "true" if value else "false"
        case int() | float() | decimal.Decimal() | str() if not isinstance(value, enum.Enum):
            return value
        case list() | tuple():
            return " ".join(str(text_cell(item, null)) for item in value) or null
        case dict():
            return dumps(value)
        case _:
            return str(jsonable(value))


def is_number(value: Any) -> bool:
    """Return whether a value is aligned on the right."""
    return isinstance(value, int | float | decimal.Decimal) and not isinstance(
        value, bool | enum.Enum
    )


def table_cell(value: Any) -> Any:
    """Convert a value to a cell of a table for people; NULL stays None."""
    if value is None:
        return None
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    cell = text_cell(value, "")
    # Notes are free text: they must not move the cursor or colour the terminal.
    return escape_control(cell) if isinstance(cell, str) else cell


def escape_control(text: str) -> str:
    """Write control characters, which could move a cursor or break a line, as escapes."""
    return _CONTROL.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
