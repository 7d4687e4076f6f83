"""Splitting rows into groups of few bytes, to bound the memory for rows of any size."""

import itertools
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

BYTES: Final = 8 << 20
"""The approximate maximum of the bytes in a group; a group has at least one row."""

T = TypeVar("T")


def take(rows: Iterator[T], size: Callable[[T], int], at_most: int) -> list[T]:
    """Take rows until they have `BYTES` or more, or their number is `at_most`."""
    group = []
    n_bytes = 0
    for row in itertools.islice(rows, at_most):
        group.append(row)
        n_bytes += size(row)
        if n_bytes >= BYTES:
            break
    return group


def groups(rows: Iterable[T], size: Callable[[T], int], at_most: int) -> Iterator[list[T]]:
    """Split rows into groups of few bytes, and of `at_most` rows.

    >>> list(groups([BYTES, 1, 2, 3], int, at_most=2))
    [[8388608], [1, 2], [3]]
    """
    remaining = iter(rows)
    while group := take(remaining, size, at_most):
        yield group


def row_size(row: Iterable[Any]) -> int:
    """Return the bytes that the values of a row take in memory."""
    return sum(map(sys.getsizeof, row))
