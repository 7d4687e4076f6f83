"""Write differences as a single HTML page, without scripts and links to other files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Final, NamedTuple

from dirtmodel import pages
from dirtmodel.differences.comparison import Differences
from dirtmodel.differences.gallery import Gallery, Half, Pair, draw_half
from dirtmodel.differences.report import (
    COUNT_COLUMNS,
    causes,
    count_rows,
    flat_rows,
    row_columns,
    text_of,
)
from dirtmodel.differences.rows import TABLES, readable
from dirtmodel.differences.sides import Side
from dirtmodel.differences.texts import shortened
from dirtmodel.differences.verdicts import KINDS, VerdictChange
from dirtmodel.errors import PictureError
from dirtmodel.pages import Change, Chip, Picture, Section, Table, chips
from dirtmodel.wording import count

MOST_PICTURES: Final = 60
_MOST_ROWS: Final = 200
_NUMBERS: Final = frozenset(range(1, len(COUNT_COLUMNS)))


class HalfShown(NamedTuple):
    """A picture of one side, and the results of its reviews."""

    picture: Picture
    caption: str = ""
    found: tuple[Chip, ...] = ()


class PairShown(NamedTuple):
    """An image on both sides, and the reason for showing it."""

    file: str
    place: str
    why: str
    old: HalfShown
    new: HalfShown


@dataclass(frozen=True)
class Page:
    """The contents of the page, in the order of its sections.

    Pictures and rows are read while the page is written.
    """

    title: str
    sides: tuple[tuple[str, str, str | None], ...]
    rule: str
    counts: Table
    re_encoded: str
    changes: list[Section]
    n_shown: int
    pairs: Iterable[PairShown]
    left_out: str
    stale: Section | None
    schema: Table | None
    rows: Iterable[tuple[str, int, Table]]


def write(found: Differences, file: IO[bytes], *, most_pictures: int = MOST_PICTURES) -> None:
    """Write the page.

    Parameters
    ----------
    most_pictures
        The most pairs of pictures; the page states how many it leaves out.
    """
    pages.write("diff.html", file, page=describe(found, most_pictures))


def describe(found: Differences, most_pictures: int) -> Page:
    """Return the contents of the page."""
    gallery = Gallery(found, most_pictures)
    left = gallery.n_left_out
    n_encoded = found.count()["image"].re_encoded
    return Page(
        title=f"{_name(found.old)} → {_name(found.new)}",
        sides=tuple(
            (name, side.place, side.revision)
            for name, side in (("old", found.old), ("new", found.new))
        ),
        rule=found.rule.rule_text,
        counts=Table("Rows by table", ("", *COUNT_COLUMNS[1:]), count_rows(found), _NUMBERS),
        re_encoded=count(n_encoded, "re-encoded picture") if n_encoded else "",
        changes=list(_changes(found, list(found.verdicts()))),
        n_shown=gallery.n_shown,
        pairs=(_pair(found, pair) for pair in gallery),
        left_out=f"Left out: {count(left, 'picture')} with differences." if left else "",
        stale=_stale(found),
        schema=_schema(found),
        rows=_rows(found),
    )


def _name(side: Side) -> str:
    return side.label or side.place


def _changes(found: Differences, changes: list[VerdictChange]) -> Iterator[Section]:
    """Yield a section per kind of change; a unit is only in the section of its first kind."""
    for kind in KINDS:
        chosen = [change for change in changes if change.kinds[0] == kind]
        if not chosen:
            continue
        rows = [
            (
                *(_text(name, value) for name, value in change.unit.items()),
                Change(_status(change.old), _status(change.new)),
                "; ".join([*map(_words, change.kinds[1:]), causes(change)]),
            )
            for change in chosen[:_MOST_ROWS]
        ]
        heading = f"{count(len(chosen), str(found.rule.level))} {_words(kind)}"
        columns = (*chosen[0].unit, "status", "because of")
        yield Section(heading, Table(heading, columns, rows, more=_more(len(chosen), "--verdicts")))


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _text(name: str, value: Any) -> str | None:
    return text_of(readable(name, value))


def _status(side: dict[str, Any] | None) -> Chip:
    status = side["status"] if side else "not there"
    return Chip(status.replace(" ", "-"), status)


def _more(n: int, option: str) -> str:
    return "" if n <= _MOST_ROWS else f"And {n - _MOST_ROWS:,} more; see all with {option}."


def _pair(found: Differences, pair: Pair) -> PairShown:
    half = pair.new or pair.old
    assert half is not None  # noqa: S101 - a pair has at least one
    image = half.image
    cut = "" if image.slice is None else f" {image.slice}"
    return PairShown(
        image.file1,
        f"{readable('step', image.step)} · {readable('display', image.display)}{cut}",
        ", ".join(pair.why),
        _half(found.old, pair.old, "old"),
        _half(found.new, pair.new, "new"),
    )


def _half(side: Side, half: Half | None, name: str) -> HalfShown:
    if half is None:
        return HalfShown(Picture(None, f"not in the {name} release", ""))
    alt = f"image {half.image.id}, {name}"
    try:
        picture = Picture(draw_half(side, half), None, alt)
    except PictureError as error:
        picture = Picture(None, str(error), alt)
    found = tuple(chips(half.history.reviews)) or (Chip("unreviewed", "not reviewed"),)
    return HalfShown(picture, f"{name}, image {half.image.id}", found)


def _stale(found: Differences) -> Section | None:
    rows = []
    n = 0
    for n, review in enumerate(found.stale_reviews(), 1):
        if n <= _MOST_ROWS:
            cut = "" if review.slice is None else f" {review.slice}"
            rows.append(
                (
                    "verdict" if review.table == "rating" else f"clicks ({len(review.ids)})",
                    review.rater or "unknown",
                    f"{review.created:%Y-%m-%d %H:%M}",
                    review.step,
                    f"{review.display}{cut}",
                    review.file1,
                    review.reason,
                )
            )
    if not rows:
        return None
    heading = count(n, "stale review")
    columns = ("review", "rater", "made", "step", "cut", "file", "why")
    return Section(heading, Table(heading, columns, rows, more=_more(n, "--format json")))


def _schema(found: Differences) -> Table | None:
    rows = [
        (
            entry["only_in"],
            entry["change"],
            entry.get("message") or "; ".join(entry.get("examples", [])),
        )
        for entry in found.schema()
    ]
    return Table("Schema", ("only in", "what", ""), rows) if rows else None


def _rows(found: Differences) -> Iterator[tuple[str, int, Table]]:
    for table in TABLES:
        n = found.count()[table].n_differences
        if n:
            lines = (
                [shortened(text_of(cell)) for cell in row]
                for row in islice(flat_rows(table, found.rows(table)), _MOST_ROWS)
            )
            more = _more(n, f"--table {table}")
            yield table, n, Table(f"Rows of {table}", row_columns(table), lines, more=more)
