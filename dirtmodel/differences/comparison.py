"""Compare the rows, pictures, verdicts and schemas of two releases."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from dirtmodel.differences import sides
from dirtmodel.differences.pixels import show_the_same
from dirtmodel.differences.rows import (
    TABLES,
    Change,
    Counts,
    RowDifference,
    compare_by_id,
    compare_images,
)
from dirtmodel.differences.schema import compare_schemas
from dirtmodel.differences.sides import Place, Side
from dirtmodel.differences.stale import StaleReview, stale_reviews
from dirtmodel.differences.verdicts import DEFAULT_RULE, VerdictChange, compare_verdicts
from dirtmodel.outputs import Report, table_text
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.release import Column


@dataclass(repr=False)
class Differences(Report):
    """The differences between two opened releases; each method reads the databases again.

    A notebook shows its `text()`. As a context manager, it closes both sides at the end.

    Parameters
    ----------
    old, new
        The two sides.
    rule
        The exclusion rule behind the verdicts.
    pixels
        If true, read pictures whose bytes differ, to find those with equal pixels.
    """

    old: Side
    new: Side
    rule: Exclusions = DEFAULT_RULE
    pixels: bool = True
    counts: dict[str, Counts] = field(default_factory=dict)
    """The counts of each table whose `rows` have been read to the end."""

    _moved: dict[int, int] | None = None
    _same: dict[tuple[int, int], bool] = field(default_factory=dict)

    _opened: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Closes both sides."""

    def close(self) -> None:
        """Close both sides and remove temporary databases."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Differences between {self.old.place} and {self.new.place}>"

    def text(self) -> str:
        """Return the text that `dirtmodel diff` prints."""
        from dirtmodel.differences import report

        counts = table_text(report.COUNT_COLUMNS, list(report.count_rows(self)))
        return "\n".join([counts, *report.lines(self)])

    def rows(self, table: str) -> Iterator[RowDifference]:
        """Yield the rows of a table that differ, in the order of their keys."""
        counts = Counts()
        extra = self._common_extra(table)
        names = tuple(column.name for column in extra)
        old, new = (side.rows(table, extra=extra) for side in (self.old, self.new))
        if table == "image":
            yield from self._image_rows(compare_images(old, new, counts, self._same_pixels, names))
        else:
            moved = self.moved if table in {"rating", "coordinate"} else {}
            yield from compare_by_id(table, old, new, counts, moved, names)
        self.counts[table] = counts

    def count(self) -> dict[str, Counts]:
        """Count the differences of all tables."""
        for table in TABLES:
            if table not in self.counts:
                for _ in self.rows(table):
                    pass
        return {table: self.counts[table] for table in TABLES}

    @property
    def moved(self) -> dict[int, int]:
        """The new id of each re-keyed image, by its old id."""
        if self._moved is None:
            for _ in self.rows("image"):
                pass
        assert self._moved is not None  # noqa: S101 - the loop has just set it
        return self._moved

    def verdicts(self) -> Iterator[VerdictChange]:
        """Yield the units whose verdict changed, with the rows that caused the change."""
        return compare_verdicts(self.old, self.new, self.rule, self.moved, self._same_pixels)

    def stale_reviews(self) -> Iterator[StaleReview]:
        """Yield the reviews of the new release that judged an earlier picture."""
        redrawn = (row for row in self.rows("image") if "img" in row.columns and not row.re_encoded)
        return stale_reviews(self.old, self.new, redrawn)

    def schema(self) -> Iterator[dict[str, Any]]:
        """Yield the differences of the schemas."""
        return compare_schemas(self.old, self.new)

    def are_there(self) -> bool:
        """Return true if the releases differ in rows or in their schemas."""
        return any(counts.n_differences for counts in self.count().values()) or any(
            True for _ in self.schema()
        )

    def _common_extra(self, table: str) -> tuple[Column, ...]:
        """Return the columns that DIRT does not have and both sides have."""
        new = set(self.new.extension.columns[table])
        return tuple(column for column in self.old.extension.columns[table] if column in new)

    def _image_rows(self, rows: Iterator[RowDifference]) -> Iterator[RowDifference]:
        moved = {}
        for row in rows:
            if row.change is Change.REKEYED:
                moved[row.old.id] = row.new.id
            yield row
        self._moved = moved

    def _same_pixels(self, old_id: int, new_id: int) -> bool | None:
        if not self.pixels:
            return None
        key = old_id, new_id
        if key not in self._same:
            old, new = self.old.picture(old_id), self.new.picture(new_id)
            self._same[key] = show_the_same(old, new, old_id, new_id)
        return self._same[key]


def diff(
    old: Place,
    new: Place,
    *,
    rule: Exclusions = DEFAULT_RULE,
    pixels: bool = True,
) -> Differences:
    """Compare two releases; close the result, or use it as a context manager.

    Parameters
    ----------
    old, new
        An open session, the path of a SQLite file, a SQLAlchemy URL, or the folder of a release
        (loaded into a temporary database that is removed afterwards). The engines may differ.
        Changes that a session has not committed are not compared.
    rule
        The exclusion rule behind the verdicts; its `status` does not matter.
    pixels
        Read pictures whose bytes differ, to find those that were only encoded again.

    Examples
    --------
    >>> with diff("release-3.0.db", "release-3.1.db") as found:  # doctest: +SKIP
    ...     print(found.count()["rating"].changed)
    ...     for change in found.verdicts():
    ...         print(change.unit, change.kinds)
    """
    with contextlib.ExitStack() as stack:
        one, other = (stack.enter_context(sides.opened(place)) for place in (old, new))
        return Differences(one, other, rule, pixels, _opened=stack.pop_all())
