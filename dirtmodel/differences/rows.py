"""Compare the rows of a table: two ordered streams, which are merged.

This module needs no database. Memory does not grow with the number of rows.

Rows are compared as they are stored, because converting the values of millions of rows to enums,
booleans and datetimes is slow. Only the rows that differ are converted, by `readable`. `created` is
UTC text with microseconds, which sorts like the times.
"""

import datetime as dt
import enum
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from dirtmodel.models import DisplayMode, Ratings, Step

TABLES: Final = ("session", "image", "rating", "coordinate")
"""In the order of comparison: reviews are compared after images, whose ids may have changed."""

# In all row types, `extra` has the values of columns that both sides have and DIRT does not.


class SessionRow(NamedTuple):
    """A row of `session`."""

    id: int
    step: int
    user: str | None
    created: str
    extra: tuple[Any, ...] = ()


class ImageRow(NamedTuple):
    """A row of `image`; `img` is the SHA-256 of the picture."""

    id: int
    slice: int | None
    file1: str
    file2: str | None
    display: int
    step: int
    created: str
    img: str
    extra: tuple[Any, ...] = ()


class RatingRow(NamedTuple):
    """A row of `rating`."""

    id: int
    source_data_issue: bool
    rating: int
    img_id: int
    session: int
    notes: str | None
    created: str
    extra: tuple[Any, ...] = ()


class CoordinateRow(NamedTuple):
    """A row of `coordinate`."""

    id: int
    source_data_issue: bool
    x: float | None
    y: float | None
    img_id: int
    session: int
    notes: str | None
    created: str
    extra: tuple[Any, ...] = ()


Row = SessionRow | ImageRow | RatingRow | CoordinateRow

ROW_TYPES: Final[dict[str, Any]] = {
    "session": SessionRow,
    "image": ImageRow,
    "rating": RatingRow,
    "coordinate": CoordinateRow,
}

_ENUMS: Final[dict[str, type[enum.IntEnum]]] = {
    "step": Step,
    "display": DisplayMode,
    "rating": Ratings,
}


class Change(enum.StrEnum):
    """The kind of change of a row."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REKEYED = "rekeyed"


class Values(NamedTuple):
    """One column of a changed row."""

    old: Any
    new: Any


@dataclass(frozen=True)
class RowDifference:
    """A row that is not the same in both releases.

    Parameters
    ----------
    old, new
        The row on each side; None if that side does not have it.
    columns
        The values that differ, by column; `img` as SHA-256. The changed id of a re-keyed image, and
        references to it, are left out.
    re_encoded
        For a picture whose bytes differ: true if its pixels are equal, None if they were not
        compared.
    extra
        The names of the columns in `extra` of the rows.
    """

    table: str
    change: Change
    old: Any
    new: Any
    columns: dict[str, Values] = field(default_factory=dict)
    re_encoded: bool | None = None
    extra: tuple[str, ...] = ()

    @property
    def row(self) -> Any:
        """The new row, or the old one if it was removed."""
        return self.old if self.new is None else self.new

    def as_json(self) -> dict[str, Any]:
        """Return the difference as an object of the JSON report."""
        shown: dict[str, Any] = {
            "change": self.change.value,
            "old_id": None if self.old is None else self.old.id,
            "new_id": None if self.new is None else self.new.id,
        }
        row = {name: readable(name, value) for name, value in self.row._asdict().items()}
        del row["id"], row["extra"]
        shown["row"] = {**row, **dict(zip(self.extra, map(_printed, self.row.extra), strict=True))}
        if self.columns:
            shown["columns"] = {
                name: {"old": values.old, "new": values.new}
                for name, values in self.shown_columns()
            }
        if "img" in self.columns:
            shown["re_encoded"] = self.re_encoded
        return shown

    def shown_columns(self) -> Iterator[tuple[str, Values]]:
        """Yield the columns that differ, with their values as reports show them."""
        for name, values in self.columns.items():
            if name in self.extra:
                yield name, Values(_printed(values.old), _printed(values.new))
            else:
                yield name, Values(readable(name, values.old), readable(name, values.new))


@dataclass
class Counts:
    """The numbers of rows of a table that were added, removed, changed and so on."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    rekeyed: int = 0
    unchanged: int = 0
    re_encoded: int = 0
    """Of these, the rows whose picture has different bytes and equal pixels."""

    @property
    def n_differences(self) -> int:
        """The number of rows that differ."""
        return self.added + self.removed + self.changed + self.rekeyed

    def count(self, difference: RowDifference) -> RowDifference:
        """Count a difference, and return it."""
        name = difference.change.value
        setattr(self, name, getattr(self, name) + 1)
        self.re_encoded += bool(difference.re_encoded)
        return difference


def _printed(value: Any) -> Any:
    """Return a value of an extra column as reports show it: bytes as their SHA-256, like `img`."""
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def readable(column: str, value: Any) -> Any:
    """Return a value as reports show it: enums by name, times as datetimes, flags as booleans.

    >>> readable("step", 3), readable("slice", 3), readable("source_data_issue", 0)
    ('FMAP_COREGISTRATION', 3, False)
    >>> readable("created", "2025-07-13 12:00:00.000000")
    datetime.datetime(2025, 7, 13, 12, 0, tzinfo=datetime.timezone.utc)
    """
    if value is None:
        return None
    if column in _ENUMS:
        return _ENUMS[column](value).name
    if column == "created":
        return dt.datetime.fromisoformat(value).replace(tzinfo=dt.UTC)
    return bool(value) if column == "source_data_issue" else value


ImageKey = tuple[int, str, int, bool, int]


def image_key(row: ImageRow) -> ImageKey:
    """Return the key of an image, in which NULLs are equal; images are sorted by it."""
    return row.step, row.file1, row.display, row.slice is None, row.slice or 0


def compare_images(
    old: Iterable[ImageRow],
    new: Iterable[ImageRow],
    counts: Counts,
    same_pixels: Callable[[int, int], bool | None],
    extra: tuple[str, ...] = (),
) -> Iterator[RowDifference]:
    """Compare images ordered by `image_key` and id.

    Of the images with equal keys, those with equal ids are compared with each other. The remaining
    ones are paired in the order of their ids.

    Parameters
    ----------
    same_pixels
        A function that returns true if the pictures of an old and a new id have equal pixels, and
        None if that is unknown.
    extra
        Names of the columns in `extra`.
    """
    for olds, news in _groups(old, new):
        for before, after in _pairs(olds, news):
            if before is None or after is None:
                yield counts.count(_one_sided("image", before, after, extra))
                continue
            columns = _differing(before, after, extra, skipped=("id",))
            if before.id == after.id and not columns:
                counts.unchanged += 1
                continue
            re_encoded = same_pixels(before.id, after.id) if "img" in columns else None
            change = Change.CHANGED if before.id == after.id else Change.REKEYED
            yield counts.count(
                RowDifference("image", change, before, after, columns, re_encoded, extra)
            )


def _groups(
    old: Iterable[ImageRow], new: Iterable[ImageRow]
) -> Iterator[tuple[list[ImageRow], list[ImageRow]]]:
    """Yield the old and new images of each key."""
    left, right = itertools.groupby(old, image_key), itertools.groupby(new, image_key)
    one, other = _next_group(left), _next_group(right)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101 - for the type checker
            yield one[1], []
            one = _next_group(left)
        elif one is None or other[0] < one[0]:
            yield [], other[1]
            other = _next_group(right)
        else:
            yield one[1], other[1]
            one, other = _next_group(left), _next_group(right)


def _next_group(groups: Iterator[tuple[Any, Iterator[Any]]]) -> tuple[Any, list[Any]] | None:
    for key, rows in groups:
        return key, list(rows)
    return None


def _pairs(
    olds: list[ImageRow], news: list[ImageRow]
) -> Iterator[tuple[ImageRow | None, ImageRow | None]]:
    if len(olds) == len(news) == 1:
        yield olds[0], news[0]
        return
    by_id = {row.id: row for row in news}
    same = {row.id for row in olds} & by_id.keys()
    yield from ((row, by_id[row.id]) for row in olds if row.id in same)
    yield from itertools.zip_longest(
        (row for row in olds if row.id not in same), (row for row in news if row.id not in same)
    )


def compare_by_id(
    table: str,
    old: Iterable[Row],
    new: Iterable[Row],
    counts: Counts,
    moved: Mapping[int, int],
    extra: tuple[str, ...] = (),
) -> Iterator[RowDifference]:
    """Compare rows ordered by id; rows with equal ids and different `created` are different rows.

    Parameters
    ----------
    moved
        The new id of each re-keyed image, by its old id. A review whose `img_id` changed in this
        way is unchanged.
    extra
        Names of the columns in `extra`.
    """
    left, right = iter(old), iter(new)
    before, after = next(left, None), next(right, None)
    while before is not None or after is not None:
        if after is None or (before is not None and before.id < after.id):
            yield counts.count(_one_sided(table, before, None, extra))
            before = next(left, None)
        elif before is None or after.id < before.id:
            yield counts.count(_one_sided(table, None, after, extra))
            after = next(right, None)
        else:
            if before == after:
                counts.unchanged += 1
            else:
                yield from _same_id(table, before, after, counts, moved, extra)
            before, after = next(left, None), next(right, None)


def _same_id(
    table: str,
    before: Row,
    after: Row,
    counts: Counts,
    moved: Mapping[int, int],
    extra: tuple[str, ...],
) -> Iterator[RowDifference]:
    if before.created != after.created:
        yield counts.count(_one_sided(table, before, None, extra))
        yield counts.count(_one_sided(table, None, after, extra))
        return
    columns = _differing(before, after, extra)
    if "img_id" in columns and moved.get(columns["img_id"].old) == columns["img_id"].new:
        del columns["img_id"]
    if columns:
        yield counts.count(
            RowDifference(table, Change.CHANGED, before, after, columns, extra=extra)
        )
    else:
        counts.unchanged += 1


def _one_sided(
    table: str, old: Row | None, new: Row | None, extra: tuple[str, ...]
) -> RowDifference:
    change = Change.ADDED if old is None else Change.REMOVED
    return RowDifference(table, change, old, new, extra=extra)


def _differing(
    before: Any, after: Any, extra: tuple[str, ...], skipped: tuple[str, ...] = ()
) -> dict[str, Values]:
    skipped = (*skipped, "extra")
    documented = zip(before._fields, before, after, strict=True)
    additional = zip(extra, before.extra, after.extra, strict=True)
    return {
        name: Values(one, other)
        for name, one, other in (*(c for c in documented if c[0] not in skipped), *additional)
        if not _equal(one, other)
    }


def _equal(one: Any, other: Any) -> bool:
    """Return true if two values are equal; NaN, which Postgres can store, equals NaN."""
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - only NaN differs from itself
