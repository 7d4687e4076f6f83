"""Format numbers as text."""

import math
from typing import Final

UNDEFINED: Final = "–"

_UNITS_OF_TIME: Final = ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes"))


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text; a number that rounds to 0 has no sign.

    >>> number(-0.0001), number(None)
    ('0.000', '–')
    """
    return UNDEFINED if value is None else f"{value:z.{digits}f}"


def signed(value: float | None) -> str:
    """Return a difference as text, with its sign."""
    return UNDEFINED if value is None else f"{value:+.3f}"


def error(se: float | None) -> str:
    """Write a standard error; 0 says only that nothing varied."""
    return UNDEFINED if not se else number(se)


def interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Return an interval as text."""
    if low is None or high is None:
        return UNDEFINED
    sign = "+" if signed else ""
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def bracketed(value: float | None, low: float | None, high: float | None) -> str:
    """Return a value as text, followed by its interval if there is one."""
    if low is None or high is None:
        return number(value)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def duration(seconds: float | None) -> str:
    """Return a duration as text, in a suitable unit."""
    if seconds is None or math.isnan(seconds):
        return UNDEFINED
    for size, name in _UNITS_OF_TIME:
        if seconds >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.1f} seconds"
