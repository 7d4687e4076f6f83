"""Which rows of a file repeat a key that an earlier row has.

Keys are gathered over a whole file as plain integers: a few dozen bytes a row.
"""

import numpy as np

from dirtmodel.release.checks import Columns, Describe, Ints
from dirtmodel.release.conversion import Mask


class Ids:
    """The ids of one file."""

    names: tuple[str, ...] = ()
    """Columns needed beside `id`."""

    def __init__(self) -> None:
        self._ids = _Keys()

    def add(self, first_row: int, columns: Columns) -> None:
        """Take in a batch, whose first row has this number in its file."""
        self._ids.add(first_row, columns.given("id"), columns.numbers("id"))

    def repeated(self) -> dict[str, Ints]:
        """Return the sorted numbers of repeating rows by the code of their finding."""
        return {"duplicate-id": self._ids.repeated()}


class ImageKeys(Ids):
    """The ids of the image file and its `image_meta` keys.

    In SQL, NULL equals nothing: where there is no slice the unique key does not bind, and a
    repeated key is only odd.
    """

    names = ("slice", "file1", "display", "step")

    def __init__(self) -> None:
        super().__init__()
        self._sliced = _Keys()
        self._unsliced = _Keys()
        self._file1: dict[str | None, int] = {}

    def add(self, first_row: int, columns: Columns) -> None:
        """Take in a batch."""
        super().add(first_row, columns)
        known = self._file1
        names = columns.arrays["file1"].to_pylist()
        file1 = np.array([known.setdefault(name, len(known)) for name in names], np.int64)
        key = (file1, columns.numbers("display"), columns.numbers("step"))
        whole = columns.given("file1") & columns.given("display") & columns.given("step")
        sliced = columns.given("slice")
        slices = columns.numbers("slice")
        self._sliced.add(first_row, whole & sliced, slices, *key)
        self._unsliced.add(first_row, whole & ~sliced & ~columns.bad["slice"], *key)

    def repeated(self) -> dict[str, Ints]:
        """Return the sorted numbers of repeating rows by the code of their finding."""
        return {
            **super().repeated(),
            "duplicate-image": self._sliced.repeated(),
            "repeated-image": self._unsliced.repeated(),
        }


class _Keys:
    """Keys of several integers each, with the numbers of their rows."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ints, ...]] = []

    def add(self, first_row: int, rows: Mask, *key: Ints) -> None:
        """Take in those rows of a batch that the mask selects."""
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
    """Return the words for a row that repeats a key."""
    if code == "duplicate-id":
        return lambda row: f"id {columns.arrays['id'][row]} stands in an earlier row too"
    return lambda row: (
        "an earlier row too has "
        + ", ".join(
            f"{name} {columns.arrays[name][row].as_py()!r}"
            for name in ("slice", "file1", "display", "step")
        )
    )
