"""Find units whose verdict under an exclusion rule changed, and the rows behind the change."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from dirtmodel.differences.rows import (
    Counts,
    ImageKey,
    RowDifference,
    compare_by_id,
    compare_images,
    image_key,
)
from dirtmodel.differences.sides import Side
from dirtmodel.models import JudgedBy, Ratings
from dirtmodel.queries.exclusions import Exclusions
from dirtmodel.queries.ordering import nulls_last
from dirtmodel.queries.rules import KEYS, Level, Status

KINDS: Final = (
    "newly_excluded",
    "no_longer_excluded",
    "newly_reviewed",
    "no_longer_present",
)
"""The kinds of change; a unit can have several, such as newly reviewed and newly excluded."""

DEFAULT_RULE: Final = Exclusions()

_UNITS_AT_A_TIME: Final = 100
_NOT_EVIDENCE: Final = frozenset({*KEYS[Level.TARGET], "rule", "release"})

Unit = tuple[Any, ...]
SamePixels = Callable[[int, int], bool | None]


@dataclass(frozen=True)
class VerdictChange:
    """A target, scan, session or participant whose verdict changed.

    Parameters
    ----------
    kinds
        The kinds of change, from `KINDS`.
    unit
        The values that identify the unit, by column of the rule's level: `sub`, `ses` and so on.
    old, new
        Status and evidence on each side, as in `Exclusions`; None if the unit is missing.
    rows
        The differences that caused the change, the most relevant first: FAIL and clicks, then
        UNSURE, then other reviews, then pictures and sessions. Rows of the same relevance are in
        the order of their images.
    """

    kinds: tuple[str, ...]
    unit: dict[str, Any]
    old: dict[str, Any] | None
    new: dict[str, Any] | None
    rows: list[RowDifference] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the change as an object of the JSON report."""
        rows = [{"table": row.table, **row.as_json()} for row in self.rows]
        return {**self.unit, "old": self.old, "new": self.new, "rows": rows}


def compare_verdicts(
    old: Side, new: Side, rule: Exclusions, moved: Mapping[int, int], same_pixels: SamePixels
) -> Iterator[VerdictChange]:
    """Apply the rule to both sides and yield the units that changed, sorted by their columns."""
    whole = replace(rule, status=None)
    names = unit_columns(whole)
    before, after = (_by_unit(side, whole, names) for side in (old, new))
    changes = [
        VerdictChange(kinds, dict(zip(names, unit, strict=True)), before.get(unit), after.get(unit))
        for unit in sorted(before.keys() | after.keys(), key=nulls_last)
        if (kinds := _kinds(before.get(unit), after.get(unit)))
    ]
    remaining = iter(changes)
    images = _Images(old, new, whole, names, {tuple(change.unit.values()) for change in changes})
    while batch := list(itertools.islice(remaining, _UNITS_AT_A_TIME)):
        _Causes(old, new, whole, moved, same_pixels).find(batch, images)
        yield from batch


def unit_columns(rule: Exclusions) -> tuple[str, ...]:
    """Return the columns that identify a unit of the rule's level."""
    return KEYS[Level(rule.level)]


def _by_unit(side: Side, rule: Exclusions, names: tuple[str, ...]) -> dict[Unit, dict[str, Any]]:
    evidence = {}
    for row in rule.run(side.session):
        values = row._asdict()
        unit = tuple(values[name] for name in names)
        evidence[unit] = {k: value for k, value in values.items() if k not in _NOT_EVIDENCE}
    return evidence


def _kinds(old: dict[str, Any] | None, new: dict[str, Any] | None) -> tuple[str, ...]:
    was_excluded, is_excluded = (
        side is not None and side["status"] == Status.EXCLUDED for side in (old, new)
    )
    was_reviewed, is_reviewed = (bool(side and side["n_reviewed"]) for side in (old, new))
    holds = (
        is_excluded and not was_excluded,
        was_excluded and not is_excluded and new is not None,
        is_reviewed and not was_reviewed,
        new is None,
    )
    return tuple(kind for kind, true in zip(KINDS, holds, strict=True) if true)


class _Images:
    """The images of the units that changed, on both sides."""

    def __init__(
        self, old: Side, new: Side, rule: Exclusions, names: tuple[str, ...], wanted: set[Unit]
    ) -> None:
        self.old, self.new = (self._of(side, rule, names, wanted) for side in (old, new))

    @staticmethod
    def _of(
        side: Side, rule: Exclusions, names: tuple[str, ...], wanted: set[Unit]
    ) -> dict[Unit, list[int]]:
        images: dict[Unit, list[int]] = defaultdict(list)
        if wanted:
            for img_id, *unit in side.images_by_unit(rule, names):
                if tuple(unit) in wanted:
                    images[tuple(unit)].append(img_id)
        return images


class _Causes:
    """Finds the rows behind the changed verdicts of many units."""

    def __init__(
        self,
        old: Side,
        new: Side,
        rule: Exclusions,
        moved: Mapping[int, int],
        same_pixels: SamePixels,
    ) -> None:
        self._sides = old, new
        self._moved = moved
        self._same_pixels = same_pixels
        self._tables = [
            table
            for table, judged_by in (("rating", JudgedBy.VERDICT), ("coordinate", JudgedBy.CLICKS))
            if judged_by in rule.kinds
        ]

    def find(self, changes: list[VerdictChange], images: _Images) -> None:
        """Add the rows to these changes."""
        units = [tuple(change.unit.values()) for change in changes]
        # On each side, the position of the change of each image.
        places = tuple(
            {img_id: n for n, unit in enumerate(units) for img_id in of_unit.get(unit, ())}
            for of_unit in (images.old, images.new)
        )
        self._find_reviews(changes, places)
        olds, news = (
            list(side.rows("image", place.keys()))
            for side, place in zip(self._sides, places, strict=True)
        )
        for difference in compare_images(olds, news, Counts(), self._same_pixels):
            _attach(changes, difference, places, lambda row: row.id)
        # If both releases use an id, the image of the new release counts.
        keys = {image.id: image_key(image) for image in (*olds, *news)}
        for change in changes:
            change.rows.sort(key=lambda row: _relevance(row, keys))

    def _find_reviews(
        self, changes: list[VerdictChange], places: tuple[dict[int, int], ...]
    ) -> None:
        in_session: tuple[dict[int, set[int]], ...] = (defaultdict(set), defaultdict(set))
        for table in self._tables:
            olds, news = (
                _with_sessions(side.rows(table, place.keys()), place, sessions)
                for side, place, sessions in zip(self._sides, places, in_session, strict=True)
            )
            for difference in compare_by_id(table, olds, news, Counts(), self._moved):
                _attach(changes, difference, places, lambda row: row.img_id)
        # Both sides may have a session of which only one has reviews.
        ids = in_session[0].keys() | in_session[1].keys()
        olds, news = (side.rows("session", ids) for side in self._sides)
        for difference in compare_by_id("session", olds, news, Counts(), {}):
            session_id = difference.row.id
            for n in sorted(in_session[0][session_id] | in_session[1][session_id]):
                changes[n].rows.append(difference)


def _relevance(difference: RowDifference, keys: Mapping[int, ImageKey]) -> tuple[Any, ...]:
    """Return a key that sorts the most relevant rows first, and then by image."""
    table, row = difference.table, difference.row
    if table in {"session", "image"}:
        rank = {"image": 4, "session": 5}[table]
    elif difference.columns and not difference.columns.keys() & {"rating", "x", "y"}:
        rank = 3
    else:
        rank = min(_severity(one) for one in (difference.old, difference.new) if one is not None)
    img_id = row.id if table == "image" else getattr(row, "img_id", None)
    key = None if img_id is None else keys.get(img_id)
    return rank, key is None, key or (), table, row.id


def _severity(review: Any) -> int:
    """Return 0 for a FAIL or a click, 1 for an UNSURE, and 2 for other reviews."""
    if hasattr(review, "rating"):
        return {Ratings.FAIL: 0, Ratings.UNSURE: 1}.get(review.rating, 2)
    return 2 if review.x is None or review.y is None else 0


def _with_sessions(
    rows: Iterable[Any], place: Mapping[int, int], sessions: dict[int, set[int]]
) -> Iterator[Any]:
    """Yield the reviews unchanged, and add the position of their change to that of sessions."""
    for row in rows:
        sessions[row.session].add(place[row.img_id])
        yield row


def _attach(
    changes: list[VerdictChange],
    difference: RowDifference,
    places: tuple[dict[int, int], ...],
    img_id: Callable[[Any], int],
) -> None:
    """Append a difference to the changes of its image on both sides."""
    both = zip((difference.old, difference.new), places, strict=True)
    for n in sorted({place[img_id(row)] for row, place in both if row is not None}):
        changes[n].rows.append(difference)
