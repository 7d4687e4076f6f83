"""Equal things counted instead of kept, in memory that grows with the different ones only."""

from typing import Final

import numpy as np
import numpy.typing as npt

from dirtmodel.queries.agreement.tallies import IntArray

_PENDING: Final = 1 << 14

Int32Array = npt.NDArray[np.int32]

_Run = tuple[IntArray, Int32Array]
"""Different keys in order, and keys × kinds."""


class KeyCounts:
    """How often each integer from 0 occurred, and as which kind.

    Takes memory for the different ones only, and when they come in about their order, as an ordered
    scan gives them, sorts them among their neighbours only.
    """

    def __init__(self, n_kinds: int = 1) -> None:
        self._n_kinds = n_kinds
        self._runs: list[_Run] = []
        self._pending: list[_Run] = []
        self._n_pending = 0

    def add(self, keys: IntArray, kinds: IntArray | int = 0) -> None:
        """Count keys, of which there is at least one, with the kind of each."""
        different, place = np.unique(keys, return_inverse=True)
        cells = place.reshape(-1) * self._n_kinds + kinds
        counts = np.bincount(cells, minlength=len(different) * self._n_kinds)
        self._pending.append((different, counts.reshape(-1, self._n_kinds).astype(np.int32)))
        self._n_pending += len(different)
        if self._n_pending > max(_PENDING, len(self._runs[-1][0]) if self._runs else 0):
            self._merge()

    def result(self) -> _Run:
        """Give the different keys in order, and how often each occurred: keys × kinds."""
        if self._pending:
            self._merge()
        if not self._runs:
            return np.empty(0, np.int64), np.empty((0, self._n_kinds), np.int32)
        self._runs = [_joined(self._runs)]
        return self._runs[0]

    def _merge(self) -> None:
        parts, self._pending, self._n_pending = self._pending, [], 0
        least = min(int(keys[0]) for keys, _ in parts)
        while self._runs and self._runs[-1][0][-1] >= least:
            keys, counts = self._runs.pop()
            cut = int(np.searchsorted(keys, least))
            if cut:
                self._runs.append((keys[:cut], counts[:cut]))
            parts.append((keys[cut:], counts[cut:]))
        keys, counts = _joined(parts)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        self._runs.append((keys[first], np.add.reduceat(counts[order], first)))


def _joined(parts: list[_Run]) -> _Run:
    keys, counts = zip(*parts, strict=True)
    return np.concatenate(keys), np.concatenate(counts)


class Patterns:
    """Numbers for the different rows of counts, in order of appearance."""

    def __init__(self, n_categories: int) -> None:
        self._n_categories = n_categories
        self._number: dict[tuple[int, ...], int] = {}

    def numbers(self, counts: IntArray) -> IntArray:
        """Give each row's number."""
        # A row as one number: sorting these is many times faster than sorting rows.
        place_values = (int(counts.max(initial=0)) + 1) ** np.arange(self._n_categories)
        _, first, place = np.unique(counts @ place_values, return_index=True, return_inverse=True)
        known = self._number
        numbers = [known.setdefault(tuple(row), len(known)) for row in counts[first].tolist()]
        number: IntArray = np.array(numbers, dtype=np.int64)[place.reshape(-1)]
        return number

    def rows(self) -> Int32Array:
        """Give patterns × categories, by number."""
        return np.array(list(self._number), dtype=np.int32).reshape(-1, self._n_categories)
