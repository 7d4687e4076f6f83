"""Finding rows that repeat the key of an earlier row of the same file.

The keys of a whole file are held in memory as integers, which take a few dozen bytes per row.
"""

import numpy as np

from dirtmodel.release.checks import Columns, Describe, Ints
from dirtmodel.release.conversion import Mask


class Ids:
    """The ids of one file."""

    names: tuple[str, ...] = ()
    """The columns that are needed besides `id`."""

    def __init__(self) -> None:
        self._ids = _Keys()

    def add(self, first_row: int, columns: Columns) -> None:
        """Add a batch; `first_row` is the number of its first row in the file."""
        self._ids.add(first_row, columns.has_value("id"), columns.numbers("id"))

    def repeated(self) -> dict[str, Ints]:
        """Return the sorted numbers of rows that repeat a key, by the code of the finding."""
        return {"duplicate-id": self._ids.repeated()}


class ImageKeys(Ids):
    """The ids of the image file and its `image_meta` keys.

    In SQL, NULL does not equal NULL. Therefore images without a slice can repeat a key, which is
    only a warning.
    """

    names = ("slice", "file1", "display", "step")

    def __init__(self) -> None:
        super().__init__()
        self._sliced = _Keys()
        self._unsliced = _Keys()
        self._file1: dict[str | None, int] = {}

    def add(self, first_row: int, columns: Columns) -> None:
        """Add a batch; see `Ids`."""
        super().add(first_row, columns)
        known = self._file1
        names = columns.arrays["file1"].to_pylist()
        file1 = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
        key = (file1, columns.numbers("display"), columns.numbers("step"))
        whole = np.logical_and.reduce([columns.has_value(n) for n in ("file1", "display", "step")])
        sliced = columns.has_value("slice")
        slices = columns.numbers("slice")
        self._sliced.add(first_row, whole & sliced, slices, *key)
        self._unsliced.add(first_row, whole & ~sliced & ~columns.bad["slice"], *key)

    def repeated(self) -> dict[str, Ints]:
        """Return the sorted numbers of rows that repeat a key, by the code of the finding."""
        return {
            **super().repeated(),
            "duplicate-image": self._sliced.repeated(),
            "repeated-image": self._unsliced.repeated(),
        }


class _Keys:
    """Keys of one or several integers, with the numbers of their rows."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ints, ...]] = []

    def add(self, first_row: int, rows: Mask, *key: Ints) -> None:
        """Add the rows of a batch that the mask selects."""
        self._parts.append((first_row + np.flatnonzero(rows), *(part[rows] for part in key)))

    def repeated(self) -> Ints:
        """Return the sorted numbers of the rows whose key an earlier row has."""
        if not self._parts:
            return np.zeros(0, np.int64)
        rows, *key = (np.concatenate(parts) for parts in zip(*self._parts, strict=True))
        order = np.lexsort((rows, *key))
        same = np.ones(max(len(order) - 1, 0), np.bool_)
        for part in key:
            same &= part[order][1:] == part[order][:-1]
        return np.sort(rows[order[1:][same]])


def repeats(columns: Columns, code: str) -> Describe:
    """Return a function that describes a row which repeats a key."""
    if code == "duplicate-id":
        return lambda row: f"an earlier row also has id {columns.arrays['id'][row]}"
    return lambda row: (
        "an earlier row also has "
        + ", ".join(
            f"{name} {columns.arrays[name][row].as_py()!r}"
            for name in ("slice", "file1", "display", "step")
        )
    )
