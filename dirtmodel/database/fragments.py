"""Parts of SQL statements: names, and lists of ids."""

import itertools
import string
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final, TypeVar

import sqlalchemy as sa

LONGEST_NAME: Final = 63
"""Bytes of an identifier; Postgres truncates longer ones."""

_VALUES_AT_ONCE: Final = 500
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

T = TypeVar("T")


def quote(name: str) -> str:
    """Quote an identifier for either engine.

    >>> print(quote('my "own" schema'))
    "my ""own"" schema"
    """
    return '"' + name.replace('"', '""') + '"'


def fold(name: str) -> str:
    """Return an identifier in lower case, as both engines compare those that are not quoted.

    >>> fold("NiiQ_Ä")
    'niiq_Ä'
    """
    return name.translate(_LOWER)


def one_of(column: Any, ids: Collection[int]) -> sa.ColumnElement[bool]:
    """Return `column IN (ids)` with literal ids, because the number of parameters is limited."""
    listed: Any = sa.bindparam(None, list(ids), expanding=True, literal_execute=True)
    return column.in_(listed)  # type: ignore[no-any-return]  # `column` is Any


def in_batches(values: Iterable[T]) -> Iterator[list[T]]:
    """Split values into lists that are short enough for one statement."""
    remaining = iter(values)
    while batch := list(itertools.islice(remaining, _VALUES_AT_ONCE)):
        yield batch
